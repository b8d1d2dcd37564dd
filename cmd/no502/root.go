package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "no502",
		Short: "Keeps Nginx Proxy Manager's proxy hosts pointing at the containers they mean",
		Long: `no502 watches the Docker Engine and Nginx Proxy Manager (NPM). It attaches
containers to the network that NPM shares with them, and rewrites a proxy host's
forward hostname, port and scheme when they are wrong.

Opt a container in with the label no502.enable: "true", or let no502.host:
app.example.com make the proxy host as well: no502 labels lists all labels.`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	// As wide as a terminal at least is.
	cmd.SetUsageTemplate(strings.ReplaceAll(cmd.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped 80"))
	cmd.AddCommand(runCommand(), planCommand(), undoCommand(), historyCommand(), migrateCommand(), demoCommand(), labelsCommand(), healthcheckCommand(), versionCommand())
	return cmd
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "no502", version)
			return err
		},
	}
}
