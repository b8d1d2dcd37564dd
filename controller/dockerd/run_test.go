package dockerd

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/dockerdtest"
)

var yes = map[string]string{enabled: "true"}

func TestFirstList(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		one, two := r.running("one", yes), r.running("two", yes)
		other := r.running("other", nil)
		if r.View(func(*api.Engine) { t.Error("viewed before the first list") }) {
			t.Error("synced before the first list")
		}
		r.run()
		r.wantCalls(map[string]int{subscribes: 1, lists: 1, netLists: 1, inspects: 2})
		if got := r.notified(); !slices.Equal(got, []string{"system"}) {
			t.Errorf("notified %v, want the system once", got)
		}
		for id, whole := range map[string]bool{one: true, two: true, other: false} {
			if c := r.get(id); c == nil || c.Inspected != whole || c.State.Status != api.Running {
				t.Errorf("cached: %s, want a running container, whole: %v", describe(c), whole)
			}
		}
		if got := r.logged(); len(got) != 1 || containing(got, "following the Docker Engine") != 1 {
			t.Errorf("logged %q", got)
		}
	})
}

func TestOneInspectionPerChange(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.run()
		r.calls()
		var id string
		change := func(what string, want api.Status, f func() error) {
			t.Helper()
			r.notified()
			r.must(f())
			pass(2 * starting)
			if got := r.calls(); got[inspects] != 1 || got[lists]+got[netLists] != 0 {
				t.Errorf("%s: calls %v, want one inspection", what, got)
			}
			if got := r.notified(); !slices.Equal(got, []string{"container/" + id}) {
				t.Errorf("%s: notified %v", what, got)
			}
			r.wantStatus(id, want)
		}
		ctx := t.Context()
		change("create", api.Created, func() error { id = r.create("web", yes); return nil })
		change("start", api.Running, func() error { return r.user.ContainerStart(ctx, id, container.StartOptions{}) })
		change("pause", api.Paused, func() error { return r.user.ContainerPause(ctx, id) })
		change("unpause", api.Running, func() error { return r.user.ContainerUnpause(ctx, id) })
		change("rename", api.Running, func() error { return r.user.ContainerRename(ctx, id, "shop") })
		if name := r.get(id).Name; name != "shop" {
			t.Errorf("name %q", name)
		}
		change("stop", api.Exited, func() error { return r.user.ContainerStop(ctx, id, container.StopOptions{}) })
		r.must(r.user.ContainerRemove(ctx, id, container.RemoveOptions{}))
		synctest.Wait()
		r.wantCalls(nil)
		if c := r.get(id); c != nil {
			t.Errorf("removed, but cached: %s", describe(c))
		}
		if got := r.notified(); !slices.Equal(got, []string{"container/" + id}) {
			t.Errorf("destroy: notified %v", got)
		}
	})
}

func TestHealthEvent(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id, err := r.docker.AddContainer("web", container.CreateRequest{Config: &container.Config{
			Image: "app", Labels: yes, Healthcheck: &container.HealthConfig{Test: []string{"CMD", "check"}, Interval: time.Hour},
		}})
		r.must(err)
		r.run()
		r.calls()
		r.must(r.docker.SetHealth("web", "unhealthy"))
		synctest.Wait()
		r.wantCalls(map[string]int{inspects: 1})
		if c := r.get(id); c.State.Health != api.Unhealthy {
			t.Errorf("cached: %s", describe(c))
		}
	})
}

func TestShortLived(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.running("web", nil)
		r.run()
		r.calls()
		r.must(r.user.ContainerRemove(t.Context(), id, container.RemoveOptions{Force: true}))
		pass(time.Minute)
		r.wantCalls(nil) // die and disconnect had not settled
		if c := r.get(id); c != nil {
			t.Errorf("cached: %s", describe(c))
		}
		r.wantFormer("web", "web")
	})
}

func TestNetworkEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.run()
		r.calls()
		r.notified()
		id := r.network("proxy", "10.9.0.0/24")
		synctest.Wait()
		r.wantCalls(map[string]int{netInspects: 1})
		if got := r.notified(); !slices.Equal(got, []string{"system"}) {
			t.Errorf("create: notified %v", got)
		}
		r.View(func(now *api.Engine) {
			if n := now.Network(id); n == nil || n.Gateway4().String() != "10.9.0.1" {
				t.Errorf("cached: %+v", n)
			}
		})
		r.must(r.user.NetworkRemove(t.Context(), id))
		synctest.Wait()
		r.wantCalls(nil)
		if got := r.notified(); !slices.Equal(got, []string{"system"}) {
			t.Errorf("destroy: notified %v", got)
		}
		r.View(func(now *api.Engine) {
			if n := now.Network(id); n != nil {
				t.Errorf("cached: %+v", n)
			}
		})
	})
}

// connect and disconnect by somebody else.
func TestEndpointEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.running("web", yes)
		r.run()
		netID := r.network("proxy", "")
		pass(time.Second)
		r.calls()
		r.must(r.user.NetworkConnect(t.Context(), netID, id, nil))
		pass(time.Second)
		if got := r.calls()[inspects]; got != 1 {
			t.Errorf("connect: %d inspections", got)
		}
		if a, ok := r.get(id).Attachment(netID); !ok || a.Ours || !a.IPv4.IsValid() {
			t.Errorf("connected: %+v", a)
		}
		r.must(r.user.NetworkDisconnect(t.Context(), netID, id, false))
		pass(time.Second)
		if got := r.calls()[inspects]; got != 1 {
			t.Errorf("disconnect: %d inspections", got)
		}
		if a, ok := r.get(id).Attachment(netID); ok {
			t.Errorf("disconnected: %+v", a)
		}
	})
}

func TestStreamBreaks(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.running("web", yes)
		r.run()
		r.logged()
		for range 12 {
			pass(time.Minute)
			r.notified()
			r.docker.CutEvents()
			pass(time.Second)
			if got := r.notified(); !slices.Equal(got, []string{"system"}) {
				t.Errorf("notified %v", got)
			}
		}
		r.must(r.docker.Exit("web", 3))
		pass(time.Second)
		r.wantStatus(id, api.Exited)
		if got := r.logged(); len(got) != 0 {
			t.Errorf("a stream that is back at once is no outage, but logged %q", got)
		}
	})
}

// While the Engine is away the cache stays, one line says so, and everything
// that happened meanwhile is found: more than the events it remembers.
func TestOutage(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		gone := r.running("gone", yes)
		r.run()
		r.logged()
		r.docker.SetFault(at("/_ping", dockerdtest.Fault{Drop: true}))
		r.docker.CutEvents()
		pass(10 * time.Minute)
		r.wantStatus(gone, api.Running)
		if got := r.logged(); len(got) != 1 || containing(got, `"waiting for the Docker Engine"`) != 1 ||
			containing(got, "tcp://docker:2375") != 1 {
			t.Errorf("logged %q", got)
		}
		r.must(r.docker.Exit("gone", 0))
		var ids []string
		for i := range 300 {
			ids = append(ids, r.create(fmt.Sprint("new", i), yes))
		}
		r.must(r.user.ContainerRemove(t.Context(), gone, container.RemoveOptions{Force: true}))
		r.docker.SetFault(nil)
		pass(time.Minute)
		if c := r.get(gone); c != nil {
			t.Errorf("removed during the outage, but cached: %s", describe(c))
		}
		for _, id := range ids {
			if c := r.get(id); c == nil || !c.Inspected {
				t.Fatalf("created during the outage, but cached: %s", describe(c))
			}
		}
		if got := r.logged(); len(got) != 1 || containing(got, "the Docker Engine is back") != 1 {
			t.Errorf("logged %q", got)
		}
		r.wantFormer("gone", "gone")
	})
}

func TestRunWaitsForTheEngine(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.docker.SetFault(at("/networks", dockerdtest.Fault{Status: 500, Message: "no networks today"}))
		id := r.running("web", yes)
		r.run()
		pass(5 * time.Minute)
		if r.View(func(*api.Engine) {}) {
			t.Error("synced by half a list")
		}
		if got := r.notified(); len(got) != 0 {
			t.Errorf("notified %v", got)
		}
		if got := r.logged(); len(got) != 1 || containing(got, "no networks today") != 1 {
			t.Errorf("logged %q", got)
		}
		if n := r.docker.EventStreams(); n > 1 {
			t.Errorf("%d event streams", n)
		}
		r.docker.SetFault(nil)
		pass(time.Minute)
		r.wantStatus(id, api.Running)
		if got := r.logged(); len(got) != 1 || containing(got, "is back") != 1 {
			t.Errorf("logged %q", got)
		}
	})
}

// What changes while the list is being made is not lost.
func TestChangesDuringTheList(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		dies, goes := r.running("dies", nil), r.running("goes", nil)
		r.docker.SetFault(at("/networks", dockerdtest.Fault{Delay: 10 * time.Second}))
		r.run() // the containers are listed, the networks not yet
		if r.View(func(*api.Engine) {}) {
			t.Fatal("the list is complete already")
		}
		r.must(r.docker.Exit("dies", 1))
		r.must(r.user.ContainerRemove(t.Context(), goes, container.RemoveOptions{Force: true}))
		comes := r.create("comes", nil)
		pass(11 * time.Second)
		r.wantStatus(dies, api.Exited)
		r.wantStatus(comes, api.Created)
		if c := r.get(goes); c != nil {
			t.Errorf("removed, but cached: %s", describe(c))
		}
	})
}
