package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/test/lab"
)

// illness is a backend that does not answer, about which only a person can do
// something. no502 says which one it is, and writes nothing.
type illness struct {
	name   string
	given  func(s *scene) lab.ProxyHost
	before int
	code   api.Code
	words  string // of what no502 says, %s being the container's name
	person func(s *scene)
	mends  []api.Code // what no502 can mend all the same; usually nothing
}

// sick is an app on NPM's network that nobody typed wrong.
func sick(c stage.Container) func(s *scene) lab.ProxyHost {
	return func(s *scene) lab.ProxyHost {
		s.run(sickApp(s, c))
		return forward("http", s.name("app"), 8080)
	}
}

func sickApp(s *scene, c stage.Container) stage.Container {
	c.Name, c.Network, c.Labels = "app", or(c.Network, s.Home()), enable
	if c.Cmd == nil {
		c.Cmd = []string{"8080/http"}
	}
	return c
}

// well is the app as it should be, in place of the one that was not.
func well(s *scene) { s.again(sickApp(s, stage.Container{})) }

func start(s *scene) { must(s.t, s.Start(s.t.Context(), s.name("app"))) }

// eventuallyServes waits until the app in a container answers on port 8080.
func eventuallyServes(s *scene, name string) {
	s.t.Helper()
	eventually(s.t, name+" serves", func(ctx context.Context) error {
		code, text, err := s.Exec(ctx, s.name(name), stage.Binary, "healthcheck", "--listen=:8080")
		if err == nil && code != 0 {
			err = errors.New(text)
		}
		return err
	})
}

// eventuallyExited waits for a container's end, and returns its exit code.
func eventuallyExited(s *scene, name string) (code int, oom bool) {
	s.t.Helper()
	eventually(s.t, name+" ends", func(ctx context.Context) error {
		state, err := s.State(ctx, s.name(name))
		if err != nil {
			return err
		}
		if code, oom = state.ExitCode, state.OOMKilled; state.Status != "exited" {
			return fmt.Errorf("it is %s", state.Status)
		}
		return nil
	})
	return code, oom
}

var illnesses = []illness{
	{
		name: "4 created, never started",
		given: func(s *scene) lab.ProxyHost {
			s.create(sickApp(s, stage.Container{}))
			return forward("http", s.name("app"), 8080)
		},
		code: api.BackendNotStarted, words: "the container %s was created but never started", person: start,
	},
	{
		name: "4 killed, exit code 137",
		given: func(s *scene) lab.ProxyHost {
			h := sick(stage.Container{})(s)
			must(s.t, s.Kill(s.t.Context(), s.name("app"), "KILL"))
			eventuallyExited(s, "app")
			return h
		},
		code: api.BackendExited, words: "the container %s exited (code 137, killed: SIGKILL)", person: start,
	},
	{
		name: "4 stopped, exit code 0",
		given: func(s *scene) lab.ProxyHost {
			h := sick(stage.Container{})(s)
			eventuallyServes(s, "app") // until then a SIGTERM is not its own to handle
			must(s.t, s.Kill(s.t.Context(), s.name("app"), "TERM"))
			eventuallyExited(s, "app")
			return h
		},
		code: api.BackendExited, words: "the container %s is stopped (exit code 0)", person: start,
	},
	{
		name: "4 crashed, exit code 1",
		given: func(s *scene) lab.ProxyHost {
			h := sick(stage.Container{Cmd: []string{"exit=1"}})(s)
			eventuallyExited(s, "app")
			return h
		},
		code: api.BackendExited, words: "the container %s exited (code 1)", person: well,
	},
	{
		name: "4 out of memory",
		given: func(s *scene) lab.ProxyHost {
			h := sick(stage.Container{Memory: 32 << 20, Cmd: []string{"eat=256", "8080/http"}})(s)
			if code, oom := eventuallyExited(s, "app"); !oom {
				s.t.Skipf("this Engine does not tell that a container ran out of memory: exit code %d, OOMKilled false", code)
			}
			return h
		},
		code: api.BackendOOMKilled, words: "the container %s was killed because it ran out of memory", person: well,
	},
	{
		name:  "4 crashes and is started again and again",
		given: sick(stage.Container{Restart: "always", Cmd: []string{"exit=1"}}),
		code:  api.BackendRestarting, words: "the container %s crashes and is started again and again (last exit code 1)", person: well,
	},
	{
		name: "4 paused",
		given: func(s *scene) lab.ProxyHost {
			h := sick(stage.Container{})(s)
			must(s.t, s.Pause(s.t.Context(), s.name("app")))
			return h
		},
		before: hangs, code: api.BackendPaused, words: "the container %s is paused",
		person: func(s *scene) { must(s.t, s.Unpause(s.t.Context(), s.name("app"))) },
	},
	{
		name:  "4 its health check fails, and it does not listen",
		given: sick(stage.Container{Expose: []string{"8080"}, Health: []string{stage.Binary, "demo", "dial", "127.0.0.1:8080"}, Cmd: []string{"wait", "8080/http"}}),
		code:  api.BackendUnhealthy, words: "the health check of %s fails", person: wake,
	},
	{
		name:  "4 not listening yet",
		given: sick(stage.Container{Expose: []string{"8080"}, Cmd: []string{"wait", "8080/http"}}),
		code:  api.PortNotListening, words: "%s runs, but nothing accepts connections on its port 8080", person: wake,
	},
	{
		name:  "4 bound to 127.0.0.1 inside its container",
		given: sick(stage.Container{Expose: []string{"8080"}, Cmd: []string{"127.0.0.1:8080/http"}}),
		code:  api.LoopbackOnly, words: "the app in %s listens on port 8080 of 127.0.0.1 only", person: well,
	},
	{
		name: "4 a process on the machine that listens on loopback only",
		given: func(s *scene) lab.ProxyHost {
			s.run(stage.Container{Name: "app", Network: "host", Cmd: []string{"127.0.0.1:28503/http"}})
			h := forward("http", "localhost", 28503)
			h.AdvancedConfig = "# no502: on"
			return h
		},
		code: api.LoopbackOnly, words: "the process on port 28503 of this machine listens on 127.0.0.1 only",
		person: func(s *scene) {
			s.again(stage.Container{Name: "app", Network: "host", Cmd: []string{"28503/http"}})
		},
		mends: []api.Code{api.ForwardHostMachine},
	},
}

// wake is the signal at which an app begins to listen.
func wake(s *scene) { must(s.t, s.Kill(s.t.Context(), s.name("app"), "HUP")) }

// told: no502 says what is the matter, and writes nothing but what it can mend.
func (s *scene) told(d illness) {
	s.t.Helper()
	words := d.words
	if strings.Contains(words, "%s") {
		words = fmt.Sprintf(words, s.name("app"))
	}
	s.finding(s.t, api.KindHost, s.domain, d.code, words)
	if len(d.mends) > 0 {
		s.healed(d.mends...)
		s.fromNow()
	}
	s.untouched()
	d.person(s)
	s.answers("app")
	s.untouched()
}
