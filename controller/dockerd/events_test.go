package dockerd

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/events"

	"github.com/no502/no502/api"
)

func TestWhatEventsMean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looksAt := func(kind kind, delay time.Duration) map[task]time.Duration {
			return map[task]time.Duration{{kind, "c"}: delay}
		}
		for _, c := range []struct {
			kind   events.Type
			action events.Action
			want   map[task]time.Duration
			notify []string
		}{
			{"container", "create", looksAt(containerTask, 0), nil},
			{"container", "start", looksAt(containerTask, 0), nil},
			{"container", "rename", looksAt(containerTask, 0), nil},
			{"container", "health_status: unhealthy", looksAt(containerTask, 0), nil},
			{"container", "health_status", looksAt(containerTask, 0), nil}, // Podman's
			{"container", "die", looksAt(containerTask, settle), nil},
			{"container", "died", looksAt(containerTask, settle), nil},
			{"container", "oom", looksAt(containerTask, settle), nil},
			{"container", "destroy", nil, []string{"container/c"}},
			{"container", "remove", nil, []string{"container/c"}},
			{"container", "exec_start: curl localhost", nil, nil},
			{"container", "", nil, nil},
			{"network", "create", looksAt(networkTask, 0), nil},
			{"network", "connect", looksAt(containerTask, settle), nil},
			{"network", "disconnect", looksAt(containerTask, settle), nil},
			{"network", "destroy", nil, []string{"system"}},
			{"image", "pull", nil, nil},
		} {
			var e Engine
			var notified []string
			notify := func(k api.Key) { notified = append(notified, k.String()) }
			m := events.Message{Type: c.kind, Action: c.action, Actor: events.Actor{ID: "c"}}
			e.handle(events.Message{Type: c.kind, Action: c.action}, notify) // of nothing
			if c.kind == "network" {
				e.handle(m, notify) // names no container
				e.agenda.clear()
				notified = nil
				m.Actor.Attributes = map[string]string{"container": "c"}
			}
			e.handle(m, notify)
			if len(e.agenda.due) != len(c.want) || !slices.Equal(notified, c.notify) {
				t.Errorf("%s %s: due %v, notified %v", c.kind, c.action, e.agenda.due, notified)
			}
			for what, delay := range c.want {
				if got, ok := e.agenda.due[what]; !ok || time.Until(got.at) != delay {
					t.Errorf("%s %s: due %v, want %v in %v", c.kind, c.action, e.agenda.due, what, delay)
				}
			}
		}
	})
}

// After somebody's disconnect, a connect is not taken for no502's own.
func TestConnectAfterADisconnect(t *testing.T) {
	var e Engine
	at := endpoint{"n", "c"}
	e.own.expect(at)
	e.own.made(at)
	for _, action := range []events.Action{"disconnect", "connect"} {
		e.agenda.clear()
		e.handle(events.Message{Type: "network", Action: action, Actor: events.Actor{
			ID: at.network, Attributes: map[string]string{"container": at.container},
		}}, nil)
		if len(e.agenda.due) != 1 {
			t.Errorf("%s: due %v", action, e.agenda.due)
		}
	}
}

func TestAgenda(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a agenda
		one, two := task{containerTask, "one"}, task{containerTask, "two"}
		ctx, cancel := context.WithCancel(t.Context())
		next := func(want task, after time.Duration) {
			t.Helper()
			began := time.Now()
			got, _, ok := a.next(ctx)
			if !ok || got != want || time.Since(began) != after {
				t.Errorf("%v (%v) after %v, want %v after %v", got, ok, time.Since(began), want, after)
			}
		}
		a.add(one, time.Minute, 1)
		a.add(two, time.Second, 1)
		a.add(one, time.Hour, 2) // the earlier counts
		next(two, time.Second)
		a.add(two, 0, 3)
		next(one, 59*time.Second) // the other is being looked at
		a.done(two)
		next(two, 0)
		a.done(two)
		a.done(one)

		for i, delay := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			if times := a.retry(one); times != i+1 {
				t.Errorf("failure %d is said to be number %d", i+1, times)
			}
			next(one, delay*time.Second)
			a.done(one)
		}
		a.succeeded(one)
		if a.retry(one) != 1 {
			t.Error("after a success a failure is the first again")
		}
		a.drop(one)
		time.AfterFunc(time.Second, func() { a.add(two, 0, 1) })
		next(two, time.Second) // it comes while it is waited for
		a.done(two)
		cancel()
		if got, _, ok := a.next(ctx); ok {
			t.Errorf("%v after the end", got)
		}
	})
}
