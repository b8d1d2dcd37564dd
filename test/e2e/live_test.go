package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/stage"
)

// liveCase happens while no502 is at work.
type liveCase struct {
	name string
	test func(s *scene)
}

// TestLive: what people do, and what containers do, while no502 is at work.
func TestLive(t *testing.T) {
	w := sharedWorld(t)
	w.controller(t)
	for _, c := range slices.Concat(changes, reports, edits, stays) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(w.scene(t))
		})
	}
}

// known waits until no502 has seen a container.
func (s *scene) known(name string) {
	s.t.Helper()
	eventually(s.t, "no502 sees "+name, func(ctx context.Context) error {
		_, err := s.verdict(ctx, api.KindContainer, s.name(name))
		return err
	})
}

var changes = []liveCase{
	{"1 an address that the container had before it was recreated", func(s *scene) {
		app(s, stage.Container{Address: s.elsewhere(200)})
		s.known("app")
		s.again(stage.Container{Name: "app", Labels: enable, Address: s.elsewhere(201), Cmd: []string{"8080/http"}})
		s.observed(forward("http", s.elsewhere(200), 8080), hangs)
		s.finding(s.t, api.KindHost, s.domain, api.ForwardHostOld, "an address that "+s.name("app")+" no longer has")
		s.untouched()
		s.release()
		s.answers("app")
		s.healed(api.ForwardHostOld)
		s.forwards("http://app:8080")
	}},
	{"1 the name that the container had before docker rename", func(s *scene) {
		app(s, stage.Container{Name: "old"})
		s.known("old")
		must(s.t, s.Rename(s.t.Context(), s.name("old"), s.name("new")))
		s.known("new")
		s.observed(forward("http", s.name("old"), 8080), 502)
		s.finding(s.t, api.KindHost, s.domain, api.ForwardHostOld, "a name that "+s.name("new")+" no longer has")
		s.untouched()
		s.release()
		s.answers("old") // the name that it was started with
		s.healed(api.ForwardHostOld)
		s.forwards("http://new:8080")
	}},
	{"3 a created container is attached before it is started", func(s *scene) {
		s.create(stage.Container{Name: "app", Labels: enable, Cmd: []string{"8080/http"}})
		s.given(forward("http", s.name("app"), 8080), 502)
		s.broken()
		s.attached("app")
		s.finding(s.t, api.KindHost, s.domain, api.BackendNotStarted, "created but never started")
		start(s)
		s.answers("app")
		s.untouched()
	}},
}

// attached waits until a container is on the network that no502 made.
func (s *scene) attached(name string) {
	s.t.Helper()
	eventually(s.t, name+" is attached", func(ctx context.Context) error {
		nets, err := s.Networks(ctx, s.name(name))
		if err == nil && !slices.Contains(nets, s.managed) {
			err = fmt.Errorf("it is on %v", nets)
		}
		return err
	})
}

// alone: no502 attached a container to nothing.
func (s *scene) alone(name string) {
	s.t.Helper()
	nets, err := s.Networks(s.t.Context(), s.name(name))
	must(s.t, err)
	if diff := cmp.Diff([]string{s.Elsewhere}, nets); diff != "" {
		s.t.Errorf("networks of %s (- wanted):\n%s", name, diff)
	}
}

var reports = []liveCase{
	{"two projects' web: reported with both, and not written until a person says which", func(s *scene) {
		web := fmt.Sprintf("web%d", s.n)
		one, two := s.name("one"), s.name("two")
		app(s, stage.Container{Name: "one-web-1", Aliases: []string{web}, Labels: compose(one, web, "1", enable)})
		app(s, stage.Container{Name: "two-web-1", Aliases: []string{web}, Labels: compose(two, web, "1", enable)})
		s.given(forward("http", web, 8080), 502)
		s.broken()
		f := s.finding(s.t, api.KindHost, s.domain, api.Ambiguous, web)
		if diff := cmp.Diff([]string{one + "/" + web, two + "/" + web}, f.Candidates); diff != "" {
			s.t.Error(diff)
		}
		s.untouched()
		must(s.t, s.visitorGets(s.t.Context(), 502))
		s.again(stage.Container{
			Name: "two-web-1", Aliases: []string{web}, Cmd: []string{"8080/http"},
			Labels: compose(two, web, "1", map[string]string{"no502.host": s.domain}),
		})
		s.answers("two-web-1")
		s.forwards("http://two-web-1:8080")
	}},
	{"not opted in: reported, and left as it is", func(s *scene) {
		app(s, stage.Container{Labels: map[string]string{}})
		s.given(forward("http", s.name("app"), 8080), 502)
		s.left(502, api.NotOptedIn, "shares no network with NPM")
		s.alone("app")
	}},
	{"enable=false: left as it is, whatever the host says", func(s *scene) {
		app(s, stage.Container{Labels: map[string]string{"no502.enable": "false"}})
		h := forward("http", s.name("app"), 8080)
		h.AdvancedConfig = "# no502: on"
		s.given(h, 502)
		s.left(502, api.NotOptedIn, "is opted out")
		s.alone("app")
	}},
	{"a host marked off is left alone", func(s *scene) {
		app(s, stage.Container{Publish: []string{"8080"}})
		h := forward("http", "localhost", s.published("app", "8080"))
		h.AdvancedConfig = "# no502: off"
		s.given(h, 502)
		s.broken()
		eventually(s.t, "no502 looks at the host", func(ctx context.Context) error {
			v, err := s.verdict(ctx, api.KindHost, s.domain)
			if err == nil && !strings.Contains(v.Conditions["Resolved"].Message, "left alone") {
				err = fmt.Errorf("it says %+v", v)
			}
			return err
		})
		s.untouched()
		must(s.t, s.visitorGets(s.t.Context(), 502))
	}},
	{"a host marked observe is only reported", func(s *scene) {
		app(s, stage.Container{Labels: map[string]string{}, Publish: []string{"8080"}})
		h := forward("http", "localhost", s.published("app", "8080"))
		h.AdvancedConfig = "client_max_body_size 1g;\n# no502: observe"
		s.given(h, 502)
		s.left(502, api.NotOnProxyNetwork, "docker network connect")
		s.finding(s.t, api.KindHost, s.domain, api.ForwardHostLoopback, "make NPM forward to")
		s.alone("app")
	}},
	{"NPM's own page is left alone", func(s *scene) {
		s.given(forward("http", "127.0.0.1", 81), 200)
		s.broken()
		eventually(s.t, "no502 looks at the host", func(ctx context.Context) error {
			v, err := s.verdict(ctx, api.KindHost, s.domain)
			if err == nil && v.Conditions["Resolved"].Message != "NPM's own page" {
				err = fmt.Errorf("it says %+v", v)
			}
			return err
		})
		s.untouched()
		must(s.t, s.visitorGets(s.t.Context(), 200))
	}},
	{"a misspelt label is named, with the one that was meant", func(s *scene) {
		app(s, stage.Container{Labels: map[string]string{"no502.enabel": "true"}})
		s.given(forward("http", s.name("app"), 8080), 502)
		s.broken()
		f := s.finding(s.t, api.KindContainer, s.name("app"), api.UnknownLabel, s.Label("no502.enabel"))
		if diff := cmp.Diff([]string{s.Label("no502.enable")}, f.Candidates); diff != "" {
			s.t.Error(diff)
		}
		s.left(502, api.NotOptedIn, "shares no network with NPM")
		s.alone("app")
		s.again(stage.Container{Name: "app", Labels: enable, Cmd: []string{"8080/http"}})
		s.answers("app")
		s.untouched()
	}},
	{"a label's value that is not allowed is named, with those that are", func(s *scene) {
		app(s, stage.Container{Labels: map[string]string{"no502.enable": "maybe"}})
		s.given(forward("http", s.name("app"), 8080), 502)
		s.broken()
		s.finding(s.t, api.KindContainer, s.name("app"), api.InvalidLabel, `has the value "maybe", which is not allowed`)
		s.finding(s.t, api.KindContainer, s.name("app"), api.InvalidLabel, `use "true" or "false"`)
		s.left(502, api.NotOptedIn, "is opted out")
		s.alone("app")
		s.again(stage.Container{Name: "app", Labels: enable, Cmd: []string{"8080/http"}})
		s.answers("app")
		s.untouched()
	}},
}
