package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller"
	"github.com/no502/no502/controller/dockerd"
	"github.com/no502/no502/controller/npm"
	"github.com/no502/no502/controller/probe"
	"github.com/no502/no502/controller/report"
	"github.com/no502/no502/reconcile"
	"github.com/no502/no502/reconcile/intent"
	"github.com/no502/no502/reconcile/intent/dialect"
	"github.com/no502/no502/reconcile/resolve"
)

func runCommand() *cobra.Command {
	return command(&cobra.Command{
		Use:   "run",
		Short: "Run the controller: watch, attach, repair",
	}, func(cmd *cobra.Command, s settings) error {
		log := s.logger(cmd.ErrOrStderr())
		// Rather collect garbage more often than be killed at the container's
		// limit; GOMEMLIMIT counts more.
		if limit, err := memlimit.Set(); err != nil {
			log.V(1).Info("the container's memory limit is not known", "reason", err.Error())
		} else if limit < math.MaxInt64 {
			log.V(1).Info("keeping to a memory limit", "bytes", limit)
		}
		return run(cmd.Context(), s, machine(), log)
	})
}

// place is where no502 runs: how it reaches networks and the Engine, and what
// it may be known by there. Tests and the demo run it in a place of their own.
type place struct {
	dial      func(ctx context.Context, network, addr string) (net.Conn, error)
	listen    func(network, addr string) (net.Listener, error)
	engine    func(ctx context.Context, network, addr string) (net.Conn, error) // nil: the real one
	selfHints []string
}

// outside tells that no502 runs in no container.
func (at place) outside() bool { return len(at.selfHints) == 0 && at.engine == nil }

// machine is the real place.
func machine() place {
	var d net.Dialer
	return place{dial: d.DialContext, listen: net.Listen, selfHints: dockerd.SelfHints()}
}

// parts are no502 put together.
type parts struct {
	engine     *dockerd.Engine
	npm        *npm.Client
	prober     *probe.Prober
	board      *report.Board
	journal    *report.Journal
	reconciler *reconcile.Reconciler
	nonce      string
}

func assemble(s settings, at place, log logr.Logger) (*parts, error) {
	policy, err := s.policy()
	if err != nil {
		return nil, err
	}
	p := &parts{journal: report.NewJournal(log.WithName("journal")), nonce: rand.Text()}
	p.board = report.NewBoard(log, p.journal)
	p.engine, err = dockerd.Open(dockerd.Options{
		Host: s.dockerHost, DialContext: at.engine, Log: log.WithName("docker"),
		Describe: func(c *api.Container) {
			in := intent.Of(c, policy)
			c.Claims, c.Uses, c.Role = resolve.Claimed(in), resolve.Uses(in), in.Role
		},
		Inspect: func(labels map[string]string) bool {
			return policy.Scope == api.ScopeAll || intent.Concerns(labels, policy)
		},
		Env: func(name string) bool { return dialect.NeedsEnv(policy.Dialects) && dialect.ReadsEnv(name) },
	})
	if err != nil {
		return nil, err
	}
	p.npm = npm.New(npm.Options{
		DialContext: at.dial, CAFile: s.npmCAFile, Insecure: s.npmInsecure,
		Credentials: s.credentials, TOTP: s.totp(), DataDir: s.npmData,
		Poll: s.poll, Instance: s.instance, Log: log.WithName("npm"),
	})
	p.prober = probe.New(probe.Options{
		DialContext: at.dial, Proc: procDir(s.hostProc, at), NPMData: s.npmData, Nonce: p.nonce,
		PublishedPort: func() uint16 { return p.reconciler.PublishedPort(s.statusPort()) }, Log: log.WithName("probe"),
	})
	p.reconciler = reconcile.New(reconcile.Options{
		Engine: p.engine, NPM: p.npm, Prober: p.prober, Recorder: p.board,
		Policy: policy, SelfHints: at.selfHints, NPMURL: s.npmURL,
		DNSCredentials: s.dnsCredential, Resync: s.resync,
	})
	return p, nil
}

// procDir is where the machine's /proc is: a mount, or outside Docker its own.
func procDir(mounted string, at place) string {
	if at.outside() {
		return "/proc"
	}
	return mounted
}

// run runs the controller until ctx ends.
func run(ctx context.Context, s settings, at place, log logr.Logger) error {
	if _, _, err := s.credentials(); err != nil && s.npmPasswordFile == "" {
		return err
	}
	p, err := assemble(s, at, log)
	if err != nil {
		return err
	}
	p.reconciler.Process = rand.Text()
	defer p.engine.Close()
	status, err := at.listen("tcp", s.listenAt(at))
	if err != nil {
		return fmt.Errorf("status port: %w", err)
	}
	if dir := s.state(); dir != "" {
		p.journal.Keep(dir)
	} else {
		log.V(1).Info("the journal is kept in memory only: there is no state directory", "dir", stateMount)
	}
	log.Info("starting", "version", version, "docker", p.engine.Host(), "mode", s.mode, "scope", s.scope)
	if s.npmInsecure {
		log.Info("NPM's certificate is not verified, so that others on the way to NPM could read its password", "setting", twin("npm-insecure"))
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.serve(ctx, status, p.admission(s)) })
	g.Go(func() error {
		return controller.Run(ctx, controller.Options{
			Reconciler: p.reconciler,
			Sources:    map[string]controller.Source{"docker": p.engine, "npm": p.npm},
			Resync:     s.resync, Workers: reconcile.Workers, Log: log,
		})
	})
	err = g.Wait()
	log.Info("stopped")
	return err
}

// admission is who may see more on the status port than that no502 lives:
// everybody who reaches it where the operator said where to listen; else who
// comes from this container itself, or over a network that NPM is on.
func (p *parts) admission(s settings) report.Admission {
	if s.listen != "" {
		return func(netip.Addr) bool { return true }
	}
	return func(local netip.Addr) bool { return local.IsLoopback() || p.reconciler.SharedWithNPM(local) }
}

// serve answers on the status port until ctx ends.
func (p *parts) serve(ctx context.Context, l net.Listener, admits report.Admission) error {
	server := &http.Server{
		Handler:           p.board.Handler(p.nonce, p.ready, admits),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if server.Shutdown(soon) != nil {
		_ = server.Close() // what is still open is cut
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ready says what is still waited for.
func (p *parts) ready() (bool, string) {
	if !p.engine.View(func(*api.Engine) {}) {
		return false, "the Docker Engine" // its address may be a path of the machine's
	}
	if st := p.npm.State(); !st.Connected {
		return false, st.Problem
	}
	return true, ""
}

func healthcheckCommand() *cobra.Command {
	return command(&cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running no502 whether it is ready (for HEALTHCHECK)",
	}, func(cmd *cobra.Command, s settings) error {
		client := http.Client{Timeout: 5 * time.Second}
		answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", s.statusPort()))
		if err != nil {
			return fmt.Errorf("nobody answers on the status port: %w", err)
		}
		defer answer.Body.Close()
		if _, err := io.Copy(cmd.OutOrStdout(), io.LimitReader(answer.Body, 4<<10)); err != nil {
			return err
		}
		if answer.StatusCode != http.StatusOK {
			return status(1)
		}
		return nil
	})
}
