package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/test/lab"
)

// TestWithoutHostProc: where the machine's /proc is not mounted, its addresses
// are believed when they are configured, and what cannot be known is said so.
func TestWithoutHostProc(t *testing.T) {
	t.Parallel()
	w := raise(t, "noproc", "")
	lan := w.scene(t).lan()
	for _, c := range []cause{
		{
			name: "1 the machine's LAN address, configured",
			given: func(s *scene) lab.ProxyHost {
				app(s, stage.Container{Publish: []string{"127.0.0.1::8080"}})
				return forward("http", lan, s.published("app", "8080"))
			},
			because: []api.Code{api.ForwardHostMachine, api.ForwardPortPublished}, forward: "http://app:8080",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := w.scene(t)
			s.given(c.given(s), 502)
			s.broken()
			w.controller(t, withoutProc, "NO502_HOST_ADDRESSES="+lan)
			s.mended(c)
		})
	}
	for _, d := range []illness{
		{
			name:  "4 bound to 127.0.0.1 inside its container, or not there yet",
			given: sick(stage.Container{Expose: []string{"8080"}, Cmd: []string{"127.0.0.1:8080/http"}}),
			code:  api.PortNotListening, words: "the app is not up yet, listens on another port, or on 127.0.0.1 only", person: well,
		},
	} {
		t.Run(d.name, func(t *testing.T) {
			s := w.scene(t)
			s.given(d.given(s), 502)
			s.broken()
			w.controller(t, withoutProc, "NO502_HOST_ADDRESSES="+lan)
			s.told(d)
		})
	}
}

// TestModes: one NPM, and no502 started again and again in other ways.
func TestModes(t *testing.T) {
	t.Parallel()
	w := raise(t, "modes", "")
	// fresh is a case of its own: no502 is started for it, as it is to be.
	fresh := func(name string, test func(s *scene)) {
		t.Run(name, func(t *testing.T) {
			w.dismiss(t)
			test(w.scene(t))
		})
	}
	fresh("NO502_MODE=observe reports and writes nothing", func(s *scene) {
		app(s, stage.Container{Publish: []string{"8080"}})
		s.given(forward("http", "localhost", s.published("app", "8080")), 502)
		s.broken()
		w.controller(s.t, "NO502_MODE=observe")
		s.finding(s.t, api.KindHost, s.domain, api.NotOnProxyNetwork, "shares no network with NPM")
		s.untouched()
		s.alone("app")
		if nets, err := s.Networks(s.t.Context(), s.Name("npm")); err != nil || len(nets) != 1 {
			s.t.Errorf("NPM is on %v (%v), want its own network only", nets, err)
		}
		must(s.t, s.visitorGets(s.t.Context(), 502))
		w.dismiss(s.t)
		w.controller(s.t)
		s.answers("app")
		s.healed(api.ForwardHostLoopback, api.ForwardPortPublished)
	})
	fresh("NO502_SCOPE=all heals what has no label", func(s *scene) {
		app(s, stage.Container{Labels: map[string]string{}, Publish: []string{"8080"}})
		s.given(forward("http", "localhost", s.published("app", "8080")), 502)
		s.broken()
		w.controller(s.t, "NO502_SCOPE=all")
		s.answers("app")
		s.healed(api.ForwardHostLoopback, api.ForwardPortPublished)
	})
	fresh("an allow-list in front of the socket: no502 says which call is refused, and reports all the same", func(s *scene) {
		guard := s.dress(stage.Container{Name: "guard", Network: s.Home(), User: "0", Binds: s.Controller().Binds[:1]})
		guard.Cmd = []string{"demo", "guard", "-allowGET=.*", "-allowHEAD=.*"}
		_, err := s.Run(s.t.Context(), guard)
		must(s.t, err)
		app(s, stage.Container{})
		s.given(forward("http", s.name("app"), 8080), 502)
		s.broken()
		w.controller(s.t, "NO502_DOCKER_HOST=tcp://"+guard.Name+":2375")
		s.finding(s.t, api.KindHost, s.domain, api.NotOnProxyNetwork, "shares no network with NPM")
		s.finding(s.t, api.KindSystem, "no502", api.EngineRefuses, "is refused (405) before it reaches the Docker Engine")
		s.finding(s.t, api.KindContainer, s.name("app"), api.NotOnProxyNetwork, "docker network connect "+s.managed+" "+s.name("app"))
		s.untouched()
		must(s.t, s.visitorGets(s.t.Context(), 502))
		w.dismiss(s.t)
		w.controller(s.t)
		s.answers("app")
		s.untouched()
	})
	fresh("a wrong password for NPM is said once; the right one, written later, works at once", func(s *scene) {
		const file = "/password"
		w.dressed = func() { must(s.t, s.Put(s.t.Context(), s.Name("no502"), file, "wrong")) }
		defer func() { w.dressed = nil }()
		app(s, stage.Container{Network: s.Home()})
		s.given(forward("https", s.name("app"), 8080), 502)
		s.broken()
		w.controller(s.t, "NO502_NPM_PASSWORD=", "NO502_NPM_PASSWORD_FILE="+file)
		s.says("Invalid email or password")
		s.ready(1)
		s.untouched()
		must(s.t, s.Put(s.t.Context(), s.Name("no502"), file, lab.Password))
		s.answers("app")
		s.ready(0)
		s.healed(api.SchemeMismatch)
		if _, text := s.log(s.t.Context()); strings.Count(text, "Invalid email or password") != 1 {
			s.t.Errorf("it is said not once:\n%s", lines(text, "Invalid email"))
		}
	})
}

// says waits for words in no502's log.
func (s *scene) says(words string) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("no502 says %q", words), func(ctx context.Context) error {
		if _, text := s.log(ctx); !strings.Contains(text, words) {
			return errors.New("it says:\n" + lines(text, `"level":"error"`, "waiting"))
		}
		return nil
	})
}

// ready waits until no502's own health check exits with this code.
func (s *scene) ready(code int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("the health check exits with %d", code), func(ctx context.Context) error {
		got, text, err := s.Exec(ctx, s.Name("no502"), stage.Binary, "healthcheck")
		if err == nil && got != code {
			err = fmt.Errorf("it exits with %d: %s", got, text)
		}
		return err
	})
}
