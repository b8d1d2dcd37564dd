package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/report"
)

func planCommand() *cobra.Command {
	var asJSON bool
	var wait time.Duration
	cmd := command(&cobra.Command{
		Use:   "plan",
		Short: "Show what no502 would change, and why; change nothing",
		Long: `plan looks at Docker and NPM once and shows what no502 would change and why.

Exit status: 0 nothing to change, 2 changes, 1 an error.`,
	}, func(cmd *cobra.Command, s settings) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), wait)
		defer cancel()
		p, err := lookOnce(ctx, s, machine(), cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		if asJSON {
			err = printJSON(cmd.OutOrStdout(), p)
		} else {
			err = printPlan(cmd.OutOrStdout(), p)
		}
		if err == nil && len(p.Actions) > 0 {
			return status(2)
		}
		return err
	})
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long to wait for Docker and NPM")
	return cmd
}

// lookOnce observes everything and plans, with nothing running on.
func lookOnce(ctx context.Context, s settings, at place, say io.Writer) (made api.Plan, err error) {
	err = once(ctx, s, at, say, func(p *parts) error {
		made = p.reconciler.Plan(ctx)
		report.Sort(made.Verdicts)
		return nil
	})
	return made, err
}

// once observes Docker and NPM until both are known, does something with that,
// and ends.
func once(ctx context.Context, s settings, at place, say io.Writer, do func(*parts) error) error {
	p, err := assemble(s, at, s.logger(say))
	if err != nil {
		return err
	}
	defer p.engine.Close()
	running, stop := context.WithCancel(ctx)
	news := make(chan struct{}, 1)
	notify := func(api.Key) {
		select {
		case news <- struct{}{}:
		default:
		}
	}
	var g errgroup.Group
	g.Go(func() error { return p.engine.Run(running, notify) })
	g.Go(func() error { return p.npm.Run(running, notify) })
	defer func() { stop(); _ = g.Wait() }()
	for {
		p.reconciler.FindNPM()
		if p.engine.View(func(*api.Engine) {}) && p.npm.View(func(*api.NPM) {}) {
			return do(p)
		}
		select {
		case <-news:
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return p.stuck(ctx)
		}
	}
}

// stuck says what is waited for, and what is known about why.
func (p *parts) stuck(ctx context.Context) error {
	_, waitsFor := p.ready()
	why := ""
	for _, v := range p.reconciler.Plan(ctx).Verdicts {
		if v.Key.Kind != api.KindSystem {
			continue
		}
		for _, f := range v.Findings {
			why += fmt.Sprintf("; %s (%s)", f.Message, f.Fix)
		}
	}
	return fmt.Errorf("both Docker (%s) and NPM are needed; still waiting for: %s%s", p.engine.Host(), waitsFor, why)
}

func printPlan(w io.Writer, p api.Plan) (err error) {
	w = report.Plain(w)
	line := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format+"\n", args...)
		}
	}
	found := 0
	for _, v := range p.Verdicts {
		found += len(v.Findings)
	}
	switch {
	case len(p.Actions) > 0:
		line("no502 would:")
	case found > 0:
		line("Nothing that no502 would change.")
	default:
		line("Nothing to change.")
	}
	for _, a := range p.Actions {
		line("  %s\n      because: %s", a, a.Why())
	}
	if found > 0 {
		line("\nFound:")
	}
	for _, v := range p.Verdicts {
		for _, f := range v.Findings {
			line("  %s: %s (%s)", v.Name, f.Message, f.Code)
			if f.Fix != "" {
				line("      fix: %s", f.Fix)
			}
		}
	}
	return err
}

func printJSON(w io.Writer, p api.Plan) error {
	type action struct {
		Op       api.Op     `json:"op"`
		Does     string     `json:"does"`
		Because  []api.Code `json:"because"`
		Host     string     `json:"host,omitempty"`
		Domain   string     `json:"domain,omitempty"`
		From     api.Fields `json:"from,omitempty"`
		To       api.Fields `json:"to,omitempty"`
		Network  string     `json:"network,omitempty"`
		Attached string     `json:"container,omitempty"`
	}
	out := struct {
		Actions  []action      `json:"actions"`
		Verdicts []report.View `json:"verdicts"`
	}{Actions: []action{}, Verdicts: report.Views(p.Verdicts)}
	for _, a := range p.Actions {
		x := action{Op: a.Op, Does: a.String(), Because: a.Because, Domain: a.Domain, Network: a.Network, Attached: a.Name}
		if a.Host.IsHost() {
			x.Host = a.Host.String()
		}
		if a.Op != api.OpResave {
			x.From, x.To = a.From.Shown(), a.To.Shown()
		}
		out.Actions = append(out.Actions, x)
	}
	e := json.NewEncoder(report.Plain(w))
	e.SetIndent("", "  ")
	return e.Encode(out)
}
