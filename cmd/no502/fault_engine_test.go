package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
	"github.com/no502/no502/controller/dockerd/stage"
)

// services are n containers that Compose restarts, and a right host for each.
func (w *world) services(n int) {
	w.t.Helper()
	for i := 1; i <= n; i++ {
		w.app(fmt.Sprintf("svc%d", i), "proxy", func(c *stage.Container) { c.Restart = "always" })
		w.host(i, fmt.Sprintf("svc%d", i), 8080)
	}
}

// services expects what world.services made.
func (g *guard) services(n int) {
	for i := 1; i <= n; i++ {
		g.expects(fmt.Sprintf("app%d.example.com", i), fmt.Sprintf("svc%d", i))
	}
}

// servicesAtWork makes services, and starts all, until nothing is new any more.
func (w *world) servicesAtWork(n int) *guard {
	w.t.Helper()
	w.services(n)
	w.startNPM()
	g := w.guard()
	g.services(n)
	w.start()
	pass(time.Minute)
	w.log.take()
	return g
}

// restart restarts services 1 to n in another order, so that each gets an
// address that another one had.
func (w *world) restart(n int) {
	w.t.Helper()
	for i := 1; i <= n; i++ {
		w.must(w.people.Stop(w.t.Context(), fmt.Sprintf("svc%d", i)))
	}
	for i := n; i >= 1; i-- {
		w.must(w.people.Start(w.t.Context(), fmt.Sprintf("svc%d", i)))
	}
}

// wantCalm fails if no502 said more of a fault than that it waits, and that that
// is over, so often.
func (w *world) wantCalm(what string, waits int) {
	w.t.Helper()
	said := w.log.take()
	if n := len(with(said, `"waiting for the Docker Engine"`)); n != waits {
		w.t.Errorf("%s: that the Engine is waited for was said %d times, want %d", what, n, waits)
	}
	if n := len(with(said, "the Docker Engine is back")); n != waits {
		w.t.Errorf("%s: that the Engine is back was said %d times, want %d", what, n, waits)
	}
	wrong := slices.DeleteFunc(with(said, `"level":"error"`), func(line string) bool {
		return strings.Contains(line, "NPM answered 502") // it is being started as well
	})
	if len(wrong) > 0 {
		w.t.Errorf("%s: logged as an error:\n%s", what, strings.Join(wrong, ""))
	}
}

// The Engine is stopped and started again, as at an update: its containers with
// it, and NPM. Each gets another one's address.
func TestFaultEngineRestarts(t *testing.T) {
	for _, away := range []time.Duration{0, 3 * time.Second, 20 * time.Minute} {
		t.Run(away.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				engine := w.daemon()
				g := w.servicesAtWork(5)
				engine.stop()
				w.npm.Stop()
				pass(away)
				w.restart(5)
				w.npm.Restart(1500 * time.Millisecond)
				engine.start()
				g.holds("a restart")
				waits := 1
				if away == 0 {
					waits = 0 // a stream that is had again at once is no outage
				}
				w.wantCalm("a restart", waits)
			})
		})
	}
}

// The Engine is killed while it answers; its containers run on, and are restarted
// when it is back.
func TestFaultEngineKilled(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		engine := w.daemon()
		g := w.servicesAtWork(5)
		for range 10 {
			engine.delay.Store(int64(time.Second))
			w.restart(5)
			pass(500 * time.Millisecond) // it is being asked about them
			engine.kill()
			engine.delay.Store(0)
			pass(30 * time.Second)
			w.restart(5)
			engine.start()
			pass(time.Minute)
		}
		g.holds("ten times")
		w.wantCalm("ten times", 10)
	})
}

// The Engine dies while 20 services are to be attached: that is waited for in one
// line, and not in one for each of them.
func TestFaultEngineKilledInTheMiddleOfAttaching(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const n = 20
		w.strangers(n)
		engine := w.daemon()
		w.startNPM()
		g := w.guard()
		g.services(n)
		w.start()
		for !w.attachedOne() {
			pass(time.Millisecond)
		}
		engine.delay.Store(int64(time.Second))
		pass(2500 * time.Millisecond)
		engine.kill()
		pass(time.Hour)
		engine.delay.Store(0)
		engine.start()
		g.holds("an hour away")
		w.wantCalm("an hour away", 1)
	})
}

// attachedOne: no502 has attached something.
func (w *world) attachedOne() bool {
	return slices.ContainsFunc(w.docker.Calls(), func(c dockerdtest.Call) bool { return strings.HasSuffix(c.Path, "/connect") })
}

// The Engine lives on and its socket is made anew, as systemd does: who connects
// by its path finds the new one.
func TestFaultSocketRecreated(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		engine := w.daemon()
		g := w.servicesAtWork(3)
		w.asked()
		for range 5 {
			engine.kill()
			engine.start()
			pass(2 * time.Minute)
		}
		want(t, "five new sockets", w.asked(), map[string]int{npmPuts: 0, connects: 0, streams: 5})
		w.wantCalm("five new sockets", 0)
		engine.kill()
		w.restart(3)
		engine.start()
		g.holds("new sockets")
	})
}

// Each answer of the Engine takes five seconds, for half an hour, in which all is
// wrong at first and then everything is restarted.
func TestFaultEngineSlow(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const n = 20
		w.strangers(n)
		engine := w.daemon()
		engine.delay.Store(int64(5 * time.Second))
		w.startNPM()
		g := w.guard()
		g.services(n)
		w.start()
		pass(10 * time.Minute)
		g.check("all is repaired by a slow Engine")
		for range 3 {
			w.restart(n)
			pass(5 * time.Minute)
		}
		g.check("what was restarted is served by a slow Engine")
		said := w.log.everything()
		engine.delay.Store(0)
		g.holds("slow")
		for _, wrong := range []string{`"level":"error"`, "waiting for the Docker Engine", "BackendUnknown", "Ambiguous", "CannotAttach"} {
			found := slices.DeleteFunc(with(strings.SplitAfter(said, "\n"), wrong), func(line string) bool {
				return strings.Contains(line, `"about":"bystander`)
			})
			if len(found) > 0 {
				t.Errorf("a slow Engine, and it said:\n%s", strings.Join(found, ""))
			}
		}
	})
}

// A proxy ends the stream of events again and again, and each time a service is
// made anew right then.
func TestFaultEventsCut(t *testing.T) {
	for _, every := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
		t.Run(every.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				const n = 3
				g := w.servicesAtWork(n)
				for i := range 40 {
					w.docker.CutEvents()
					name := fmt.Sprintf("svc%d", 1+i%n)
					w.must(w.people.Remove(t.Context(), name))
					w.app(name, "proxy")
					pass(every)
				}
				g.holds("forty cuts")
				w.wantCalm("forty cuts", 0)
			})
		})
	}
}

// More happens while there is no stream than the Engine remembers, and what
// concerns the hosts happens first.
func TestFaultManyEventsMissed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const n = 5
		g := w.servicesAtWork(n)
		w.failDocker(func(r *http.Request) *dockerdtest.Fault {
			if r.URL.Path == "/events" {
				return &dockerdtest.Fault{Drop: true}
			}
			return nil
		})
		w.docker.CutEvents()
		w.must(w.people.Remove(t.Context(), "svc1")) // and made anew, elsewhere
		w.must(w.people.Network(t.Context(), "elsewhere", "", nil))
		w.app("svc1", "elsewhere")
		w.must(w.people.Rename(t.Context(), "svc2", "other")) // and another has its name
		w.app("svc2", "proxy")
		w.must(w.people.Disconnect(t.Context(), "proxy", "svc3"))
		w.restart(n)
		for i := range 300 {
			name := fmt.Sprint("passing", i)
			w.app(name, "proxy", func(c *stage.Container) { c.Labels = nil })
			w.must(w.people.Remove(t.Context(), name))
		}
		w.failDocker(nil)
		g.holds("thousands of events")
	})
}

// By the time that a container is asked about it is gone: that is no news, and
// whoever has its name next is served.
func TestFaultContainerGoneAtItsEvent(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.host(1, "svc1", 8080)
		w.startNPM()
		g := w.guard()
		w.start()
		pass(time.Minute)
		w.log.take()
		w.asked()
		late := dockerdtest.Fault{Delay: 100 * time.Millisecond}
		w.failDocker(func(r *http.Request) *dockerdtest.Fault {
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/json") {
				return &late
			}
			return nil
		})
		for range 20 {
			id, err := w.people.Create(t.Context(), anApp("svc1", "proxy"))
			w.must(err)
			pass(0) // no502 asks
			w.must(w.people.Remove(t.Context(), id))
			pass(time.Second)
		}
		w.failDocker(nil)
		if asked := w.asked()[inspects]; asked < 20 {
			t.Errorf("%d inspections of what is gone, want 20", asked)
		}
		w.wantCalm("what is gone", 0)
		w.app("svc1", "proxy")
		g.expects("app1.example.com", "svc1")
		g.holds("what is gone")
	})
}
