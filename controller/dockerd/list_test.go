package dockerd

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/dockerdtest"
)

// at strikes requests for one path.
func at(suffix string, f dockerdtest.Fault) func(*http.Request) *dockerdtest.Fault {
	return func(r *http.Request) *dockerdtest.Fault {
		if strings.HasSuffix(r.URL.Path, suffix) {
			return &f
		}
		return nil
	}
}

func TestFailedListKeepsTheCache(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.running("web", yes)
		r.must(r.Refresh(t.Context()))
		for name, fault := range map[string]func(*http.Request) *dockerdtest.Fault{
			"list fails":       at("/containers/json", dockerdtest.Fault{Status: 500, Message: "no"}),
			"list breaks":      at("/containers/json", dockerdtest.Fault{Drop: true}),
			"list hangs":       at("/containers/json", dockerdtest.Fault{Delay: time.Hour}),
			"networks fail":    at("/networks", dockerdtest.Fault{Status: 500, Message: "no"}),
			"inspection drops": at(id+"/json", dockerdtest.Fault{Drop: true}),
		} {
			r.docker.SetFault(fault)
			if err := r.Refresh(t.Context()); err == nil {
				t.Errorf("%s: no error", name)
			}
			r.wantStatus(id, api.Running)
		}
	})
}

func TestContainerVanishesDuringTheList(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		stays, goes := r.running("stays", yes), r.running("goes", yes)
		r.docker.SetFault(at(goes+"/json", dockerdtest.Fault{Status: 404, Message: "No such container: " + goes}))
		r.must(r.Refresh(t.Context()))
		r.wantStatus(stays, api.Running)
		if c := r.get(goes); c != nil {
			t.Errorf("cached: %s", describe(c))
		}
	})
}

// One container that cannot be described does not hold up the rest.
func TestContainerThatCannotBeInspected(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.running("broken", yes)
		r.docker.SetFault(at(id+"/json", dockerdtest.Fault{Status: 500, Message: "layer missing"}))
		r.run()
		pass(10 * time.Minute)
		if c := r.get(id); c == nil || c.Inspected {
			t.Errorf("cached: %s, want the list's row", describe(c))
		}
		if got := containing(r.logged(), "layer missing"); got != 1 {
			t.Errorf("logged %d times", got)
		}
		if got := r.calls()[inspects]; got < 5 || got > 20 {
			t.Errorf("%d inspections in 10 minutes", got)
		}
		r.docker.SetFault(nil)
		pass(time.Minute)
		if c := r.get(id); c == nil || !c.Inspected {
			t.Errorf("cached: %s, want a whole description", describe(c))
		}
	})
}

func TestRefreshKeepsDescriptionsWhole(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.running("web", nil)
		r.must(r.Refresh(t.Context()))
		if r.get(id).Inspected {
			t.Fatal("inspected without reason")
		}
		r.must(r.Look(t.Context(), id))
		r.must(r.Refresh(t.Context()))
		if !r.get(id).Inspected {
			t.Error("a description was replaced by a row of the list")
		}
	})
}

func TestLook(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.running("web", nil)
		if err := r.Look(t.Context(), id); !errors.Is(err, errNotListed) {
			t.Errorf("before the list: %v", err)
		}
		r.must(r.Refresh(t.Context()))
		r.must(r.docker.Exit("web", 7))
		synctest.Wait()
		r.must(r.Look(t.Context(), id))
		if c := r.get(id); c.State.ExitCode != 7 {
			t.Errorf("cached: %s", describe(c))
		}
		r.must(r.user.ContainerRemove(t.Context(), id, container.RemoveOptions{}))
		r.must(r.Look(t.Context(), id))
		if c := r.get(id); c != nil {
			t.Errorf("cached: %s", describe(c))
		}
		r.docker.SetFault(at("/json", dockerdtest.Fault{Status: 500, Message: "no"}))
		if err := r.Look(t.Context(), id); err == nil {
			t.Error("no error")
		}
	})
}

// Answers that overtake each other.
func TestCacheKeepsTheLater(t *testing.T) {
	c := cache{}
	named := func(name string) *api.Container { return &api.Container{ID: "a", Name: name} }
	set := func(began uint64, name string) bool {
		return c.keep("a", began, func(e *api.Engine) { e.SetContainer(named(name)) })
	}
	name := func() (n string) {
		c.view(func(e *api.Engine) {
			if a := e.Container("a"); a != nil {
				n = a.Name
			}
		})
		return n
	}
	first, second, third, fourth := c.begin(), c.begin(), c.begin(), c.begin()
	c.swap(listing{began: first, containers: []*api.Container{named("listed")}})
	if !set(third, "third") || set(second, "second") || name() != "third" {
		t.Errorf("now %q, want the third", name())
	}
	c.swap(listing{began: second, containers: []*api.Container{named("stale")}})
	if name() != "third" {
		t.Errorf("an older list replaced it by %q", name())
	}
	c.remove("a", fourth)
	c.swap(listing{began: third, containers: []*api.Container{named("stale")}})
	if name() != "" {
		t.Errorf("an older list brought back %q", name())
	}
	c.swap(listing{began: first, containers: []*api.Container{named("oldest"), {ID: "b"}}})
	c.view(func(e *api.Engine) {
		if n := len(e.Containers()); n != 0 {
			t.Errorf("a list from before another brought back %d containers", n)
		}
	})
	if set(first, "first") {
		t.Error("kept what was seen before the list")
	}
	fifth := c.begin()
	c.swap(listing{began: fifth})
	if set(fourth, "fourth") || !set(c.begin(), "new") || name() != "new" {
		t.Errorf("now %q", name())
	}
}

func TestRemovedBeforeTheFirstList(t *testing.T) {
	c := cache{}
	listed := c.begin()
	c.remove("a", c.begin())
	c.swap(listing{began: listed, containers: []*api.Container{{ID: "a"}, {ID: "b"}}})
	c.view(func(e *api.Engine) {
		if e.Container("a") != nil || e.Container("b") == nil {
			t.Errorf("the list has %v", e.Containers())
		}
	})
}

func TestDescribe(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.opts.Describe = func(c *api.Container) { c.Role = c.Labels["role"] }
		row := r.running("row", map[string]string{"role": "proxy"})
		whole := r.running("whole", map[string]string{"role": "backend", enabled: "true"})
		r.must(r.Refresh(t.Context()))
		for id, want := range map[string]string{row: "proxy", whole: "backend"} {
			if got := r.get(id).Role; got != want {
				t.Errorf("role %q, want %q", got, want)
			}
		}
		r.must(r.Look(t.Context(), row))
		if got := r.get(row).Role; got != "proxy" {
			t.Errorf("looked at, role %q", got)
		}
	})
}

// A container may be described before its network is: it has only its name.
func TestNetworkKnownLater(t *testing.T) {
	now := api.NewEngine([]*api.Container{{ID: "c", Attachments: []api.Attachment{{Network: "n"}, {Network: "m"}}}}, nil)
	before := now.Container("c")
	setNetwork(now, &api.Network{ID: "1", Name: "n"})
	if a := now.Container("c").Attachments; a[0].NetworkID != "1" || a[1].NetworkID != "" {
		t.Errorf("attachments %+v", a)
	}
	if before.Attachments[0].NetworkID != "" {
		t.Error("a container that others may hold was changed")
	}
}
