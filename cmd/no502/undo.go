package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/no502/no502/api"
)

// markOff is the line in a host's Advanced tab by which no502 leaves it alone.
const markOff = "# no502: off"

func undoCommand() *cobra.Command {
	var wait time.Duration
	cmd := command(&cobra.Command{
		Use:   "undo DOMAIN",
		Short: "Put back what no502 changed in a host, and leave it alone",
		Long: `undo puts back what a host in NPM said before no502 repaired it or took it over,
as the host's own record has it. A line in its Advanced tab, "` + markOff + `", then
keeps no502 away from it; remove that line to have it looked after again.
What was changed before, and by whom, is what no502 history shows.`,
		Args: cobra.ExactArgs(1),
	}, func(cmd *cobra.Command, s settings) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), wait)
		defer cancel()
		return undo(ctx, s, machine(), cmd.Flags().Arg(0), cmd.OutOrStdout(), cmd.ErrOrStderr())
	})
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long to wait for Docker and NPM")
	return cmd
}

func undo(ctx context.Context, s settings, at place, domain string, out, log io.Writer) error {
	return once(ctx, s, at, log, func(p *parts) error {
		var h *api.Host
		p.npm.View(func(n *api.NPM) { h = n.Serving(domain) })
		if err := undoable(h, domain, s.instance); err != nil {
			return err
		}
		row, was := h.Fields(), h.Ownership.Was
		to := was.With(nil)
		advanced := row.Text(api.FieldAdvanced)
		if before, said := was[api.FieldAdvanced]; said {
			advanced, _ = before.(string)
		}
		to[api.FieldAdvanced] = strings.TrimLeft(strings.TrimRight(advanced, "\n")+"\n"+markOff, "\n")
		write := p.npm.Patch
		if switchesOn(h) {
			write = p.npm.Enable
		}
		if err := write(ctx, h.Key(), to.Of(row), to, nil); err != nil {
			return err
		}
		if dir := s.state(); dir != "" {
			p.journal.Keep(dir)
			for _, c := range undoing(h, to) {
				p.journal.Record(c)
			}
		}
		return undone(out, h, was)
	})
}

// switchesOn reports whether no502 switched a host off, so that undo switches it on.
func switchesOn(h *api.Host) bool { return h.Ownership.Disabled != "" && !h.Enabled }

// undoable says why there is nothing to put back.
func undoable(h *api.Host, domain, instance string) error {
	switch {
	case h == nil:
		return fmt.Errorf("NPM has no host for %s", domain)
	case h.Ownership == nil:
		return fmt.Errorf("no502 never changed %s, so there is nothing to put back", domain)
	case h.Ownership.Instance != instance:
		return fmt.Errorf("%s is looked after by the no502 instance %q: run undo with --instance %s", domain, h.Ownership.Instance, h.Ownership.Instance)
	case h.Ownership.Origin == api.OriginDeclared:
		return fmt.Errorf("no502 made %s for %s, so there is nothing from before: take the labels away, or delete it in NPM", domain, h.Ownership.Service)
	case h.Key().Kind == api.KindStream, h.Key().Kind == api.KindDeadHost:
		return fmt.Errorf("%s is a %s, which cannot be marked to be left alone: take the labels of %s away instead", domain, h.Kind.Words(), h.Ownership.Service)
	}
	return nil
}

// undoing is what undo did to a host, as a running no502 sees it too.
func undoing(h *api.Host, to api.Fields) []api.Change {
	c := api.Change{By: api.Undo, Instance: h.Ownership.Instance, Domains: h.Serves(), Action: api.Action{
		Op: api.OpPatch, Host: h.Key(), Domain: h.Domain(), From: to.Of(h.Fields()), To: to,
	}}
	changes := []api.Change{c}
	if switchesOn(h) {
		c.Op, c.From, c.To = api.OpEnable, nil, nil
		changes = append(changes, c)
	}
	return changes
}

func undone(w io.Writer, h *api.Host, was api.Fields) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s is as it was before no502:\n", h.Domain())
	if _, moved := was[api.FieldHost]; moved {
		fmt.Fprintf(&text, "  it forwards to %s\n", was.Endpoint())
	}
	for _, name := range was.Names() {
		switch name {
		case api.FieldScheme, api.FieldHost, api.FieldPort, api.FieldAdvanced:
		default:
			fmt.Fprintf(&text, "  %s: %s\n", name, api.Show(name, was[name]))
		}
	}
	fmt.Fprintf(&text, "Its Advanced tab now says %q, so no502 leaves it alone. Remove that line to have it looked after again.\n", markOff)
	_, err := io.WriteString(w, text.String())
	return err
}
