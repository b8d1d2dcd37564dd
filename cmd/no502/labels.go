package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
)

func labelsCommand() *cobra.Command {
	var markdown bool
	cmd := &cobra.Command{
		Use:   "labels",
		Short: "Print the reference of all labels",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			render := labelsForTerminal
			if markdown {
				render = labelsAsMarkdown
			}
			_, err := io.WriteString(cmd.OutOrStdout(), render(intent.Reference()))
			return err
		},
	}
	cmd.Flags().BoolVar(&markdown, "markdown", false, "print docs/labels.md")
	return cmd
}

const labelsIntro = `A container's labels say which hosts Nginx Proxy Manager (NPM) is to have for
it. One of host, redirect-from, stream or parked declares a host:

    no502.host: app.example.com

A label is no502.<field>, or no502.<route>.<field> for a further host, where
<route> is a name of your choice, of a-z, 0-9 and -, that is no field's:

    no502.admin.host: admin.example.com
    no502.admin.port: "9000"

The prefix no502 is the operator's choice (NO502_LABEL_PREFIX).

What a label says is enforced, again and again. What none says is yours to set
in NPM's UI, and stays as you left it. Where nothing is said a new host begins
with the default of the tables below, or else with NPM's own.

Take a label away, and what it set goes back to what it was before, or to NPM's
default: without access-list the host is open to everybody.

A label that cannot be read or is not known is reported and counts as not said;
until it is mended, nothing is removed, switched off or opened for its
container, and what may be meant to protect a host keeps it from being made.

Of two services that claim one domain the one that has it keeps it, else the
older one gets it. What is found is in no502's log; no502 plan lists it.

The operator's environment can say the same for every route that does not say
otherwise. This is enforced like a label, but declares no host by itself:

    NO502_DEFAULT_FORCE_SSL=true
    NO502_DEFAULT_ON_REMOVE=delete

`

// withoutDefault tells which fields no NO502_DEFAULT_ variable is for.
func withoutDefault(all []intent.Subject) string {
	var names []string
	locations := false
	for _, s := range all {
		for _, l := range s.Labels {
			switch {
			case l.Variable != "":
			case !strings.HasPrefix(l.Name, "location."):
				names = append(names, l.Name)
			case !locations:
				names, locations = append(names, "location.*"), true
			}
		}
	}
	last := len(names) - 1
	return "There is no such variable for " + strings.Join(names[:last], ", ") + " and " + names[last] + "."
}

// labelsForTerminal is the reference in 80 columns.
func labelsForTerminal(all []intent.Subject) string {
	const width, indent = 80, 28
	var b strings.Builder
	b.WriteString(labelsIntro)
	for line := range wrapped(withoutDefault(all), width) {
		b.WriteString(line + "\n")
	}
	for _, s := range all {
		fmt.Fprintf(&b, "\n%s\n", strings.ToUpper(s.Title))
		for _, l := range s.Labels {
			name := l.Name
			for _, text := range []string{l.Meaning, "values: " + l.Values, told("default: ", l.Default), told("for: ", kindsOf(l))} {
				for line := range wrapped(text, width-indent) {
					fmt.Fprintf(&b, "  %-*s%s\n", indent-2, name, line)
					name = ""
				}
			}
		}
		b.WriteString("\n    labels:\n")
		for _, line := range s.Sample {
			fmt.Fprintf(&b, "      no502.%s\n", line)
		}
	}
	return b.String()
}

func told(what, text string) string {
	if text == "" {
		return ""
	}
	return what + text
}

// wrapped breaks a text into lines.
func wrapped(text string, width int) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		line := ""
		for word := range strings.FieldsSeq(text) {
			if line != "" && len(line)+1+len(word) > width {
				if !yield(line) {
					return
				}
				line = ""
			}
			line = strings.TrimPrefix(line+" "+word, " ")
		}
		if line != "" {
			yield(line)
		}
	}
}

// labelsAsMarkdown is docs/labels.md.
func labelsAsMarkdown(all []intent.Subject) string {
	var b strings.Builder
	b.WriteString("<!-- Made by: go run ./cmd/no502 labels --markdown > docs/labels.md -->\n\n# Labels\n\n")
	b.WriteString(strings.ReplaceAll(labelsIntro, "<", "\\<") + withoutDefault(all) + "\n")
	for _, s := range all {
		fmt.Fprintf(&b, "\n## %s\n\n| label | values | default | meaning | example | for |\n|---|---|---|---|---|---|\n", s.Title)
		for _, l := range s.Labels {
			fmt.Fprintf(&b, "| `no502.%s` | %s | %s | %s | `%s` | %s |\n",
				l.Name, cell(l.Values), cell(l.Default), cell(l.Meaning), l.Example, kindsOf(l))
		}
		b.WriteString("\n```yaml\nlabels:\n")
		for _, line := range s.Sample {
			fmt.Fprintf(&b, "  no502.%s\n", line)
		}
		b.WriteString("```\n")
	}
	return b.String()
}

// cell is a text that Markdown leaves as it is.
func cell(text string) string {
	return strings.NewReplacer("<", "\\<", "*", "\\*", "|", "\\|", "~", "\\~", "_", "\\_").Replace(text)
}

// kindsOf are the kinds of hosts that a label is for, as people call them.
func kindsOf(l intent.Label) string {
	names := map[api.Kind]string{
		api.KindHost: "proxy host", api.KindRedirection: "redirection", api.KindStream: "stream", api.KindDeadHost: "404 host",
	}
	var list []string
	for _, kind := range l.Kinds {
		list = append(list, names[kind])
	}
	switch len(list) {
	case 0:
		return "the container"
	case len(names):
		return "every kind of host"
	}
	return strings.Join(list, ", ")
}
