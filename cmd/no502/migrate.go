package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent/dialect"
)

func migrateCommand() *cobra.Command {
	var wait time.Duration
	cmd := command(&cobra.Command{
		Use:   "migrate",
		Short: "Print the no502 labels that say the same as another tool's",
		Long: `migrate reads the labels that other tools' users have put on the containers of
this machine (--dialects says which tools), and prints the no502 labels that say
the same, to be pasted into a compose file. Nothing is changed.`,
	}, func(cmd *cobra.Command, s settings) error {
		if len(s.dialects) == 0 {
			return errors.New("say whose labels to read with --dialects (NO502_DIALECTS): " + strings.Join(dialect.Names(), ", "))
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), wait)
		defer cancel()
		return migrate(ctx, s, machine(), cmd.OutOrStdout(), cmd.ErrOrStderr())
	})
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long to wait for Docker")
	return cmd
}

func migrate(ctx context.Context, s settings, at place, out, log io.Writer) error {
	p, err := assemble(s, at, s.logger(log))
	if err != nil {
		return err
	}
	defer p.engine.Close()
	if err := p.engine.Refresh(ctx); err != nil {
		return err
	}
	seen := map[api.Identity]bool{}
	var text strings.Builder
	p.engine.View(func(e *api.Engine) {
		for _, c := range byName(e.Containers()) {
			labels, findings := dialect.Translate(s.dialects, c.Labels, c.Env)
			if len(labels)+len(findings) == 0 || c.OneOff() || seen[c.Identity()] {
				continue
			}
			seen[c.Identity()] = true
			translated(&text, s.labelPrefix, c, labels, findings)
		}
	})
	if text.Len() == 0 {
		fmt.Fprintf(&text, "No container has labels of %s.\n", strings.Join(s.dialects, " or "))
	}
	_, err = io.WriteString(out, text.String())
	return err
}

// byName are containers as people look for them.
func byName(cs []*api.Container) []*api.Container {
	slices.SortFunc(cs, func(a, b *api.Container) int { return strings.Compare(a.Name, b.Name) })
	return cs
}

// translated prints a service as it stands in a compose file. What came from a
// label is quoted: it may hold anything.
func translated(w io.Writer, prefix string, c *api.Container, labels map[string]string, findings []api.Finding) {
	service := c.Service()
	if service == "" {
		service = c.Name
	}
	fmt.Fprintf(w, "# %s\n", c.Identity())
	for _, f := range findings {
		fmt.Fprintf(w, "# %s\n#   %s\n", comment(f.Message), comment(f.Fix))
	}
	if len(labels) == 0 {
		fmt.Fprintln(w)
		return
	}
	fmt.Fprintf(w, "services:\n  %s:\n    labels:\n", strconv.Quote(service))
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		// A dollar sign would be Compose's to interpolate.
		fmt.Fprintf(w, "      %s.%s: %s\n", prefix, name, strconv.Quote(strings.ReplaceAll(labels[name], "$", "$$")))
	}
	fmt.Fprintln(w)
}

// comment keeps a text on its line.
func comment(s string) string { return strings.Join(strings.Fields(s), " ") }
