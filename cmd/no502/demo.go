package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/no502/no502/test/lab"
)

func demoCommand() *cobra.Command {
	var keep bool
	var patience time.Duration
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Break proxy hosts in every way that gives a 502, and mend them",
		Long: `demo makes an NPM with one broken proxy host for each cause of a 502, shows what
a visitor gets, starts no502, and shows it again. Where a Docker Engine answers
it uses real containers, whose image is made of this very program: nothing is
pulled. Without an Engine it uses one that is built in.

Exit status 0 means that every host answered 200 in the end.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := demo{out: cmd.OutOrStdout(), say: cmd.ErrOrStderr(), keep: keep, patience: patience}
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave everything running, to play with")
	cmd.Flags().DurationVar(&patience, "patience", time.Minute, "how long to wait for the hosts to be mended")
	cmd.AddCommand(programCommands()...)
	return cmd
}

// visitorWaits is how long a visitor of a broken host waits for an answer.
const visitorWaits = 5 * time.Second

type demo struct {
	out, say io.Writer
	keep     bool
	patience time.Duration

	lab   *lab.Lab
	cases []lab.Case
	hosts []lab.ProxyHost
	got   []lab.Answer
}

func (d *demo) run(ctx context.Context) (err error) {
	ground, err := d.ground(ctx)
	if err != nil {
		return err
	}
	defer ground.close()
	d.lab = ground.lab
	fmt.Fprintf(d.say, "Docker Engine: %s\nNPM:           %s\n", ground.engine, ground.npm)
	if err := d.strike(ctx); err != nil {
		return fmt.Errorf("clearing away an earlier demo: %w", err)
	}
	if !d.keep {
		defer func() { err = errors.Join(err, d.strike(context.WithoutCancel(ctx))) }()
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	d.wait(ctx, visitorWaits, func(_ int, a lab.Answer) bool { return a.Status != 404 }) // NPM answers before nginx has reloaded
	d.table("BEFORE", func(i int) string { return d.hosts[i].Forward() })

	fmt.Fprintln(d.say, "\nstarting no502 …")
	start := time.Now()
	if _, err := d.lab.Run(ctx, d.lab.Controller("NO502_NETWORK="+d.lab.Name("no502"))); err != nil {
		return err
	}
	mended := d.wait(ctx, time.Second, func(i int, a lab.Answer) bool { return a.Status == 200 || d.cases[i].Stopped })
	d.people(ctx)
	mended = d.wait(ctx, time.Second, func(_ int, a lab.Answer) bool { return a.Status == 200 }) && mended
	d.after(ctx, time.Since(start))
	if d.keep {
		ground.stay(ctx, d)
	}
	if !mended {
		fmt.Fprintln(d.say, "\nnot every host was mended; no502's log:")
		d.log(ctx)
		return status(1)
	}
	return nil
}

// prepare breaks one host per cause.
func (d *demo) prepare(ctx context.Context) error {
	fmt.Fprintln(d.say, "starting NPM …")
	if err := d.lab.Raise(ctx); err != nil {
		return err
	}
	d.cases = lab.Cases()
	for i, c := range d.cases {
		fmt.Fprintf(d.say, "breaking host %d of %d: %s\n", i+1, len(d.cases), c.Cause)
		h, err := d.lab.Break(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Cause, err)
		}
		d.hosts = append(d.hosts, h)
	}
	d.got = make([]lab.Answer, len(d.cases))
	return nil
}

// wait asks for every page, as a visitor who gives each try so much time, until
// the answer is one that will do or the demo's patience ends. It reports whether
// all will do.
func (d *demo) wait(ctx context.Context, each time.Duration, willDo func(int, lab.Answer) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	good := make(chan bool)
	for i, c := range d.cases {
		go func() {
			for {
				d.got[i] = d.get(ctx, c.Domain, each)
				if willDo(i, d.got[i]) {
					good <- true
					return
				}
				select {
				case <-ctx.Done():
					good <- false
					return
				case <-time.After(100 * time.Millisecond):
				}
			}
		}()
	}
	all := true
	for range d.cases {
		all = <-good && all
	}
	return all
}

func (d *demo) get(ctx context.Context, domain string, each time.Duration) lab.Answer {
	ctx, cancel := context.WithTimeout(ctx, each)
	defer cancel()
	return d.lab.Get(ctx, domain)
}

// people do what no502 cannot do, having read what it says.
func (d *demo) people(ctx context.Context) {
	for i, c := range d.cases {
		if !c.Stopped || d.got[i].Status == 200 {
			continue
		}
		name := d.lab.Name(c.Backend.Name)
		fmt.Fprintf(d.say, "%s is left for a person: docker start %s\n", c.Domain, name)
		if err := d.lab.Start(ctx, name); err != nil {
			fmt.Fprintln(d.say, err)
		}
	}
}

func (d *demo) after(ctx context.Context, took time.Duration) {
	forwards := make([]string, len(d.hosts))
	for i, h := range d.hosts {
		forwards[i] = "?"
		if now, err := d.lab.Host(ctx, h.ID); err == nil {
			forwards[i] = now.Forward()
		}
	}
	d.table("AFTER", func(i int) string { return forwards[i] })
	good := 0
	for _, a := range d.got {
		if a.Status == 200 {
			good++
		}
	}
	fmt.Fprintf(d.out, "\n%d of %d hosts answer 200, %.1f s after no502 was started.\n", good, len(d.got), took.Seconds())
}

func (d *demo) table(title string, forward func(int) string) {
	fmt.Fprintf(d.out, "\n%s\n", title)
	w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	for i, c := range d.cases {
		answer := d.got[i].String()
		if d.got[i].Status == 0 {
			answer = fmt.Sprintf("no answer in %s", visitorWaits)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", d.paint(d.got[i], answer), c.Domain, forward(i), c.Cause+": "+c.Says)
	}
	_ = w.Flush() // an unwritable standard output is noticed by the next line
}

// paint colours an answer where a person looks at it on a terminal.
func (d *demo) paint(a lab.Answer, text string) string {
	f, ok := d.out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("NO_COLOR") != "" {
		return text
	}
	if a.Status == 200 {
		return "\x1b[32m" + text + "\x1b[0m"
	}
	return "\x1b[31m" + text + "\x1b[0m"
}

func (d *demo) log(ctx context.Context) {
	text, err := d.lab.Logs(ctx, d.lab.Name("no502"))
	if err != nil {
		text = err.Error()
	}
	fmt.Fprintln(d.say, strings.TrimSpace(text))
}

func (d *demo) strike(ctx context.Context) error {
	return d.lab.Strike(ctx, d.lab.Name("no502"))
}
