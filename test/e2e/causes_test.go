package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/test/lab"
)

// cause is a way to a 502 that no502 mends by itself.
type cause struct {
	name    string
	given   func(s *scene) lab.ProxyHost // puts the containers, says what was typed into NPM
	before  int                          // what a visitor gets; 0: 502
	because []api.Code                   // what no502 says it mended
	forward string                       // what NPM has afterwards
	answers string                       // who answers; "": app
}

// app is a service on port 8080 of a network that NPM is not on.
func app(s *scene, c stage.Container) {
	if c.Name == "" {
		c.Name = "app"
	}
	if c.Labels == nil {
		c.Labels = enable
	}
	if c.Cmd == nil {
		c.Cmd = []string{"8080/http"}
	}
	s.run(c)
}

// lan is an address of the machine that is not Docker's.
func (s *scene) lan() string {
	s.t.Helper()
	name := "addresses"
	c := s.dress(stage.Container{Name: name, Network: "host"})
	c.Cmd = []string{"demo", "addresses"}
	_, err := s.Run(s.t.Context(), c)
	must(s.t, err)
	eventuallyExited(s, name)
	text, err := s.Logs(s.t.Context(), s.name(name))
	must(s.t, err)
	for line := range strings.Lines(text) {
		if addr := strings.TrimSpace(line); !strings.Contains(addr, ":") {
			return addr
		}
	}
	s.t.Skip("the Engine's machine has no IPv4 address but Docker's own")
	return ""
}

var wrongHost = []cause{
	{
		name: "1 localhost, as on a machine without Docker",
		given: func(s *scene) lab.ProxyHost {
			app(s, stage.Container{Publish: []string{"8080"}})
			return forward("http", "localhost", s.published("app", "8080"))
		},
		because: []api.Code{api.ForwardHostLoopback, api.ForwardPortPublished}, forward: "http://app:8080",
	},
	{
		name: "1 127.0.0.1",
		given: func(s *scene) lab.ProxyHost {
			app(s, stage.Container{Publish: []string{"8080"}})
			return forward("http", "127.0.0.1", s.published("app", "8080"))
		},
		because: []api.Code{api.ForwardHostLoopback, api.ForwardPortPublished}, forward: "http://app:8080",
	},
	{
		name: "1 a Docker gateway address, the port published on loopback only",
		given: func(s *scene) lab.ProxyHost {
			app(s, stage.Container{Publish: []string{"127.0.0.1::8080"}})
			gw, err := s.Gateway(s.t.Context(), s.Home())
			must(s.t, err)
			return forward("http", gw, s.published("app", "8080"))
		},
		because: []api.Code{api.ForwardHostMachine, api.ForwardPortPublished}, forward: "http://app:8080",
	},
	{
		name: "1 the machine's LAN address, proven by /host/proc",
		given: func(s *scene) lab.ProxyHost {
			addr := s.lan()
			app(s, stage.Container{Publish: []string{"127.0.0.1::8080"}})
			return forward("http", addr, s.published("app", "8080"))
		},
		because: []api.Code{api.ForwardHostMachine, api.ForwardPortPublished}, forward: "http://app:8080",
	},
	{
		name: "1 a container's address on a network that NPM is not on",
		given: func(s *scene) lab.ProxyHost {
			app(s, stage.Container{})
			return forward("http", s.address("app", s.Elsewhere), 8080)
		},
		before: hangs, because: []api.Code{api.ForwardHostAddress}, forward: "http://app:8080",
	},
	{
		name: "1 a container's address on NPM's network, good only until it is recreated",
		given: func(s *scene) lab.ProxyHost {
			app(s, stage.Container{Network: s.Home()})
			return forward("http", s.address("app", s.Home()), 8080)
		},
		before: 200, because: []api.Code{api.ForwardHostAddress}, forward: "http://app:8080",
	},
	{
		name: "1 a container's short ID",
		given: func(s *scene) lab.ProxyHost {
			id := s.run(stage.Container{Name: "app", Labels: enable, Cmd: []string{"8080/http"}})
			return forward("http", id[:12], 8080)
		},
		because: []api.Code{api.ForwardHostID}, forward: "http://app:8080",
	},
	{
		name: "1 a container's full ID",
		given: func(s *scene) lab.ProxyHost {
			id := s.run(stage.Container{Name: "app", Labels: enable, Network: s.Home(), Cmd: []string{"8080/http"}})
			return forward("http", id, 8080)
		},
		before: hangs, because: []api.Code{api.ForwardHostID}, forward: "http://app:8080",
	},
	{
		name: "1 the name in another case",
		given: func(s *scene) lab.ProxyHost {
			app(s, stage.Container{})
			return forward("http", strings.ToUpper(s.name("app")), 8080)
		},
		because: []api.Code{api.ForwardHostCase}, forward: "http://app:8080",
	},
	{
		name: "1 a bare Compose service name that NPM cannot resolve",
		given: func(s *scene) lab.ProxyHost {
			service := fmt.Sprintf("shop%d", s.n)
			app(s, stage.Container{Name: "shop-1", Aliases: []string{service}, Labels: compose(s.name("shop"), service, "1", enable)})
			return forward("http", service, 8080)
		},
		because: []api.Code{api.ForwardHostUnresolvable}, forward: "http://shop-1:8080", answers: "shop-1",
	},
}

var otherCauses = []cause{
	{
		name: "2 the machine's port instead of the container's",
		given: func(s *scene) lab.ProxyHost {
			app(s, stage.Container{Network: s.Home(), Publish: []string{"8080"}})
			return forward("http", s.name("app"), s.published("app", "8080"))
		},
		because: []api.Code{api.ForwardPortPublished}, forward: "http://app:8080",
	},
	{
		name: "2 a wrong port, and exactly one that is exposed and answers",
		given: func(s *scene) lab.ProxyHost {
			app(s, stage.Container{Network: s.Home(), Expose: []string{"8080"}})
			return forward("http", s.name("app"), 80)
		},
		because: []api.Code{api.ForwardPortWrong}, forward: "http://app:8080",
	},
	{
		name: "3 another network",
		given: func(s *scene) lab.ProxyHost {
			app(s, stage.Container{Expose: []string{"8080"}})
			return forward("http", s.name("app"), 8080)
		},
	},
	{
		name: "3 network_mode host",
		given: func(s *scene) lab.ProxyHost {
			app(s, stage.Container{Network: "host", Cmd: []string{"28501/http"}, Expose: []string{"28501"}})
			return forward("http", s.name("app"), 28501)
		},
		because: []api.Code{api.ForwardHostMachine},
	},
	{
		name: "3 the network of another container (network_mode container:vpn)",
		given: func(s *scene) lab.ProxyHost {
			app(s, stage.Container{Name: "vpn", Labels: map[string]string{}, Cmd: []string{"9999/http"}})
			app(s, stage.Container{Network: "container:vpn"})
			return forward("http", s.name("app"), 8080)
		},
		because: []api.Code{api.ForwardHostUnresolvable}, forward: "http://vpn:8080",
	},
	{
		name: "5 https to a port that speaks plain HTTP",
		given: func(s *scene) lab.ProxyHost {
			app(s, stage.Container{Network: s.Home()})
			return forward("https", s.name("app"), 8080)
		},
		because: []api.Code{api.SchemeMismatch}, forward: "http://app:8080",
	},
	{
		name: "5 http to a port that speaks TLS",
		given: func(s *scene) lab.ProxyHost {
			app(s, stage.Container{Network: s.Home(), Cmd: []string{"8443/tls"}})
			return forward("http", s.name("app"), 8443)
		},
		before: 400, because: []api.Code{api.SchemeMismatch}, forward: "https://app:8443",
	},
	{
		name: "1+2+3+5 all at once, in one write",
		given: func(s *scene) lab.ProxyHost {
			app(s, stage.Container{Publish: []string{"8080"}})
			h := forward("https", "localhost", s.published("app", "8080"))
			h.AdvancedConfig, h.Meta = "client_max_body_size 1g;", map[string]any{"letsencrypt_email": "a@example.com"}
			return h
		},
		because: []api.Code{api.ForwardHostLoopback, api.ForwardPortPublished, api.SchemeMismatch}, forward: "http://app:8080",
	},
	{
		name: "a process on the machine, marked in the host's Advanced tab",
		given: func(s *scene) lab.ProxyHost {
			s.run(stage.Container{Name: "app", Network: "host", Cmd: []string{"28502/http"}})
			h := forward("http", "localhost", 28502)
			h.AdvancedConfig = "# no502: on"
			return h
		},
		because: []api.Code{api.ForwardHostMachine},
	},
}

// TestCauses: hosts that were broken before no502 came are mended once it has
// been started, each with one write; or, where only a person can help, no502
// says exactly what is the matter, and writes nothing.
func TestCauses(t *testing.T) {
	w := sharedWorld(t)
	w.dismiss(t)
	var scenes []*scene
	for _, c := range append(wrongHost, otherCauses...) {
		t.Run(c.name, func(t *testing.T) {
			s := w.scene(t)
			scenes = append(scenes, s)
			s.given(c.given(s), or(c.before, 502))
			t.Parallel() // goes on once all hosts are broken, and no502 is there
			s.broken()
			s.mended(c)
		})
	}
	for _, d := range illnesses {
		t.Run(d.name, func(t *testing.T) {
			s := w.scene(t)
			scenes = append(scenes, s)
			s.given(d.given(s), or(d.before, 502))
			t.Parallel()
			s.broken()
			s.told(d)
		})
	}
	for _, s := range scenes {
		if s.host.ID != 0 {
			err := <-s.before
			s.before <- err
		}
	}
	w.controller(t)
}

func (s *scene) mended(c cause) {
	s.t.Helper()
	s.answers(or(c.answers, "app"))
	if len(c.because) > 0 {
		s.healed(c.because...) // some answered before as well
	}
	if c.forward != "" {
		s.forwards(c.forward)
	}
	if len(c.because) == 0 {
		s.untouched() // a matter of networks alone
	}
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
