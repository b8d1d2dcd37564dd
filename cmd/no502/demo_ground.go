package main

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/test/lab"
)

const (
	demoName   = "no502-demo"
	demoImage  = "no502/demo:latest"
	realNPM    = "jc21/nginx-proxy-manager"
	demoPrefix = "demo-"
)

// ground is where the demo takes place.
type ground struct {
	lab         *lab.Lab
	engine, npm string // what they are, for people
	embedded    bool
	close       func()
}

// ground finds a Docker Engine, or uses the one that is built in.
func (d *demo) ground(ctx context.Context) (*ground, error) {
	s, err := stage.Open(ctx, demoName, "", nil)
	if err != nil {
		return embeddedGround(ctx)
	}
	g := &ground{
		engine: "real, " + s.Version(ctx) + " at " + s.Host(),
		lab:    &lab.Lab{Stage: s, Prefix: demoPrefix, Image: demoImage, NPM: demoImage},
		npm:    "embedded in this program, run in a container",
		close:  func() { _ = s.Close() },
	}
	if ref := s.LocalImage(ctx, realNPM); ref != "" {
		g.lab.NPM, g.npm = ref, "real, image "+ref
	}
	fmt.Fprintln(d.say, "making an image of this program …")
	binary, cleanup, err := staticBinary(ctx)
	if err != nil {
		return nil, err
	}
	defer cleanup()
	return g, s.Import(ctx, demoImage, binary)
}

func embeddedGround(ctx context.Context) (*ground, error) {
	e := dockerdtest.New(dockerdtest.Options{})
	e.Register(demoImage, func(ctx context.Context, box *dockerdtest.Box) int { return embeddedProgram(ctx, e, box) })
	s, err := stage.Open(ctx, demoName, "", e.DialContext)
	if err != nil {
		return nil, err
	}
	return &ground{
		embedded: true,
		engine:   "embedded in this program (no real one answers)",
		npm:      "embedded in this program",
		lab:      &lab.Lab{Stage: s, Prefix: demoPrefix, Image: demoImage, NPM: demoImage},
		close:    func() { _ = s.Close(); e.Close() },
	}, nil
}

// embeddedProgram is what the image's one binary does, in a container of the
// embedded Engine.
func embeddedProgram(ctx context.Context, e *dockerdtest.Engine, box *dockerdtest.Box) int {
	args := box.Args
	if len(args) > 0 && args[0] == stage.Binary {
		args = args[1:]
	}
	p := &lab.Process{Env: box.Env, Hostname: box.Hostname, Network: box, Stdin: box.Stdin, Stdout: box.Stdout}
	var err error
	switch {
	case len(args) == 1 && args[0] == "run":
		err = embeddedRun(ctx, e, box, p)
	case len(args) > 1 && args[0] == "demo" && programs[args[1]] != nil:
		p.Args = args[2:]
		err = programs[args[1]](ctx, p)
	default:
		err = fmt.Errorf("unknown command %q", args)
	}
	var code lab.ExitCode
	switch {
	case err == nil || ctx.Err() != nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(box.Stderr, "no502:", err)
	return 1
}

// embeddedRun is `no502 run` in a container of the embedded Engine.
func embeddedRun(ctx context.Context, e *dockerdtest.Engine, box *dockerdtest.Box, p *lab.Process) error {
	var s settings
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	s.bind(flags)
	var err error
	if s.defaults, err = fromEnvironment(flags, p.Env); err != nil {
		return err
	}
	s.dockerHost, s.npmData, s.hostProc = "tcp://docker", "", ""
	at := place{dial: box.DialContext, listen: box.Listen, engine: e.DialContext, selfHints: []string{box.Hostname}}
	return run(ctx, s, at, s.logger(box.Stderr))
}

// programs are what runs in the demo's containers beside no502 itself.
var programs = map[string]func(context.Context, *lab.Process) error{
	"backend":   lab.Backend,
	"npm":       lab.NPM,
	"datagram":  lab.Datagram,
	"dial":      lab.Dial,
	"person":    lab.Person,
	"visitor":   lab.Visitor,
	"guard":     lab.Guard,
	"addresses": lab.Addresses,
}

func programCommands() []*cobra.Command {
	var cmds []*cobra.Command
	for name, program := range programs {
		cmds = append(cmds, &cobra.Command{
			Use: name, Hidden: true, DisableFlagParsing: true,
			RunE: func(cmd *cobra.Command, args []string) error {
				err := program(cmd.Context(), lab.This(args))
				var code lab.ExitCode
				if errors.As(err, &code) {
					return status(code)
				}
				return err
			},
		})
	}
	return cmds
}

// staticBinary is this program as a static Linux binary: itself, or built anew
// where `go run` made a dynamic one.
func staticBinary(ctx context.Context) (path string, cleanup func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	if runtime.GOOS == "linux" && isStatic(self) {
		return self, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "no502-demo-")
	if err != nil {
		return "", nil, err
	}
	cleanup = func() { _ = os.RemoveAll(dir) }
	path = filepath.Join(dir, "no502")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "github.com/no502/no502/cmd/no502")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	var words bytes.Buffer
	build.Stdout, build.Stderr = io.Discard, &words
	if err := build.Run(); err != nil {
		cleanup()
		return "", nil, fmt.Errorf("containers need a static build of this program, and go build failed: %w: %s", err, strings.TrimSpace(words.String()))
	}
	return path, cleanup, nil
}

func isStatic(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}

// stay ends a demo that is kept: it says how to go on, and in the embedded
// case waits, since everything ends with this process.
func (g *ground) stay(ctx context.Context, d *demo) {
	if g.embedded {
		fmt.Fprintln(d.say, "\neverything runs on in this process; Ctrl-C ends it")
		<-ctx.Done()
		return
	}
	fmt.Fprintf(d.say, `
everything runs on, until the next demo. To play with it:
  docker logs -f %[1]sno502             what no502 says
  docker exec %[1]sno502 /no502 plan    what it would change now
  docker port %[1]snpm                  where NPM answers: 80 the hosts, 81 its API
                                        (%[2]s, %[3]s)
To clear away:
  docker rm -fv $(docker ps -aq --filter label=no502-stage=%[4]s)
  docker network rm %[1]sno502 $(docker network ls -q --filter label=no502-stage=%[4]s)
`, d.lab.Prefix, lab.Email, lab.Password, demoName)
}
