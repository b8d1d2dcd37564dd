package e2e

import (
	"context"
	"fmt"

	"github.com/no502/no502/api"
)

// ends are what becomes of hosts when their services stop or go away.
var ends = []liveCase{
	{"on-stop: kept, switched off, deleted, and all of them back", func(s *scene) {
		three := s.three("no502.on-stop")
		three.up()
		for _, end := range three.ends {
			must(s.t, s.Stop(s.t.Context(), s.name("shop-"+end+"-1")))
		}
		three.ended()
		for _, end := range three.ends {
			must(s.t, s.Start(s.t.Context(), s.name("shop-"+end+"-1")))
		}
		three.up()
		three.same("keep", "disable")
	}},
	{"on-remove: kept, switched off, deleted, and all of them back", func(s *scene) {
		three := s.three("no502.on-remove")
		three.up()
		for _, end := range three.ends {
			must(s.t, s.Remove(s.t.Context(), s.name("shop-"+end+"-1")))
		}
		three.ended()
		three.run()
		three.up()
		three.same("keep", "disable")
	}},
	{"labels removed: as if the service were", func(s *scene) {
		c := s.service("web", 1, map[string]string{"no502.host": s.domain, "no502.on-remove": "delete", "no502.grace": "5s"})
		s.run(c)
		s.answers("shop-web-1")
		for key := range c.Labels {
			if key != api.ComposeProject && key != api.ComposeService && key != api.ComposeNumber {
				delete(c.Labels, key)
			}
		}
		s.recreated(c)
		eventually(s.t, s.domain+" is gone", func(ctx context.Context) error {
			found, err := s.hosts(ctx, "proxy-hosts", s.domain)
			if err == nil && len(found) > 0 {
				err = fmt.Errorf("NPM has %+v", found)
			}
			return err
		})
	}},
	{"a restart, a recreate and a rename within the grace are nothing", func(s *scene) {
		c := s.service("web", 1, map[string]string{
			"no502.host": s.domain, "no502.on-stop": "delete", "no502.on-remove": "delete", "no502.grace": "5s",
		})
		s.run(c)
		s.answers("shop-web-1")
		was := s.one(s.domain, "there", there)
		must(s.t, s.Restart(s.t.Context(), s.name(c.Name)))
		s.answers("shop-web-1")
		s.recreated(c)
		s.answers("shop-web-1")
		s.again(c)
		s.answers("shop-web-1")
		if now := s.one(s.domain, "there", there); now.ID != was.ID {
			s.t.Errorf("it is proxy host %d, was %d", now.ID, was.ID)
		}
		s.never(was, "disabled", "enabled", "deleted")
	}},
}

// three are services that differ in what becomes of their hosts.
type three struct {
	*scene
	label string
	ends  []string
	was   map[string]host
}

func (s *scene) three(label string) *three {
	t := &three{s, label, []string{"keep", "disable", "delete"}, map[string]host{}}
	t.run()
	return t
}

func (t *three) run() {
	t.t.Helper()
	for _, end := range t.ends {
		t.scene.run(t.service(end, 1, map[string]string{"no502.host": end + "." + t.domain, t.label: end, "no502.grace": "5s"}))
	}
}

// up waits until all three answer, and keeps their hosts in mind.
func (t *three) up() {
	t.t.Helper()
	for _, end := range t.ends {
		t.visits().get("http://"+end+"."+t.domain+"/", 200, "shop-"+end+"-1")
		if h := t.one(end+"."+t.domain, "there", there); t.was[end].ID == 0 {
			t.was[end] = h
		}
	}
}

// ended waits until each has gone its way. The grace is the same for all: what
// is kept would be gone by then as well.
func (t *three) ended() {
	t.t.Helper()
	t.one("disable."+t.domain, "switched off", func(h host) bool { return !h.Enabled })
	eventually(t.t, "delete."+t.domain+" is gone", func(ctx context.Context) error {
		found, err := t.hosts(ctx, "proxy-hosts", "delete."+t.domain)
		if err == nil && len(found) > 0 {
			err = fmt.Errorf("NPM has %+v", found)
		}
		return err
	})
	if h := t.one("keep."+t.domain, "there", there); !h.Enabled || h.ID != t.was["keep"].ID {
		t.t.Errorf("what is to be kept is %+v", h)
	}
}

// same: these hosts are still the same.
func (t *three) same(ends ...string) {
	t.t.Helper()
	for _, end := range ends {
		if h := t.one(end+"."+t.domain, "there", there); h.ID != t.was[end].ID {
			t.t.Errorf("%s.%s is proxy host %d, was %d", end, t.domain, h.ID, t.was[end].ID)
		}
	}
}
