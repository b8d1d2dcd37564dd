package dockerd

import (
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/dockerdtest"
)

// A proxy that ends an idle stream does not make what was seen before unseen; an
// Engine that was away does.
func TestFollowedSince(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		since := func() (at time.Time) {
			r.View(func(e *api.Engine) { at = e.Since })
			return at
		}
		r.run()
		first := since()
		if first.IsZero() {
			t.Fatal("not known")
		}
		pass(time.Minute)
		r.docker.CutEvents()
		pass(time.Minute)
		r.must(r.Refresh(t.Context()))
		if got := since(); got != first {
			t.Errorf("a brief break: since %v, want %v", got, first)
		}
		r.docker.SetFault(at("/events", dockerdtest.Fault{Status: 500, Message: "away"}))
		r.docker.CutEvents()
		pass(time.Minute)
		back := time.Now()
		r.docker.SetFault(nil)
		pass(time.Minute)
		if got := since(); got.Before(back) {
			t.Errorf("after an outage: since %v, want %v or later", got, back)
		}
	})
}

// Of a container's environment only what is asked for is kept: the rest is
// nobody's business.
func TestEnvironment(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id, err := r.docker.AddContainer("web", container.CreateRequest{Config: &container.Config{
			Image: "app", Labels: yes, Env: []string{"PASSWORD=secret", "VIRTUAL_HOST=a=b", "EMPTY="},
		}})
		r.must(err)
		r.run()
		if env := r.get(id).Env; len(env) != 0 {
			t.Errorf("kept %v", env)
		}
		r.opts.Env = func(name string) bool { return name == "VIRTUAL_HOST" }
		r.must(r.Refresh(t.Context()))
		if diff := cmp.Diff(map[string]string{"VIRTUAL_HOST": "a=b"}, r.get(id).Env); diff != "" {
			t.Error(diff)
		}
	})
}
