package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/controller/npm/npmtest"
)

// strangers makes n services, each on a network of its own, that people made
// proxy hosts for as on a machine without Docker: localhost, and the machine's
// port. NPM can reach none of them.
func (w *world) strangers(n int) {
	w.t.Helper()
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("svc%d", i)
		w.must(w.people.Network(w.t.Context(), name+"_default", "", nil))
		w.app(name, name+"_default", func(c *stage.Container) { c.Publish = []string{fmt.Sprintf("%d:8080", 13000+i)} })
		w.host(i, "localhost", 13000+i)
	}
}

// wantServed fails unless visitors of hosts 1 to n get their services.
func (w *world) wantServed(when string, n int) {
	w.t.Helper()
	for i := 1; i <= n; i++ {
		domain, name := fmt.Sprintf("app%d.example.com", i), fmt.Sprintf("svc%d", i)
		if status, body := w.visit(domain); status != http.StatusOK || !strings.HasPrefix(body, name+" answers") {
			w.t.Errorf("%s: a visitor of %s gets %d %s", when, domain, status, strings.TrimSpace(body))
		}
	}
}

// All is wrong at the start: each container is attached once and each host
// written once. Started again there is nothing left to do.
func TestRepairsEachOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const n = 20
		w.strangers(n)
		w.startNPM()
		w.start()
		pass(20 * time.Second)
		w.wantServed("repaired", n)
		got := w.asked()
		want(t, "repair", got, map[string]int{npmPuts: n, npmGets: n, connects: n, logins: 1})
		if found := with(w.log.take(), `"done"`); len(found) != 2*n {
			t.Errorf("%d changes were logged, want %d", len(found), 2*n)
		}
		w.stop()
		w.asked()
		w.start()
		pass(20 * time.Second)
		want(t, "second start", w.asked(), map[string]int{npmPuts: 0, npmGets: 0, connects: 0})
		w.wantServed("second start", n)
	})
}

// With mode "observe" nothing is changed anywhere, and everything is said.
func TestObserve(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settings.mode = "observe"
		w.strangers(3)
		w.startNPM()
		w.start()
		pass(10 * time.Minute)
		for what, n := range w.asked() {
			if !strings.Contains(what, " GET ") && !strings.Contains(what, " HEAD ") && what != logins && !strings.HasPrefix(what, "docker POST /containers") && what != "docker POST /networks/create" {
				t.Errorf("%s was asked %d times", what, n)
			}
		}
		w.wantForward(1, "http://localhost:13001")
		if n := len(with(w.log.take(), "NotOnProxyNetwork")); n == 0 || n > 6 {
			t.Errorf("that they are on other networks was said %d times", n)
		}
	})
}

// The Engine restarts, as at an update: addresses are handed out anew, in
// another order, and nobody gets another one's pages for long.
func TestEngineRestarts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for i := 1; i <= 4; i++ {
			w.app(fmt.Sprintf("svc%d", i), "proxy", func(c *stage.Container) { c.Restart = "always" })
			w.host(i, fmt.Sprintf("svc%d", i), 8080)
		}
		w.settle()
		w.wantServed("before", 4)
		// NPM and no502 are bare containers here, which would not come back.
		for _, name := range []string{"svc1", "svc2", "svc3", "svc4"} {
			w.must(w.people.Stop(t.Context(), name))
		}
		w.docker.CutEvents()
		for _, name := range []string{"svc3", "svc1", "svc4", "svc2"} {
			w.must(w.people.Start(t.Context(), name))
		}
		pass(5 * time.Second)
		w.wantServed("after", 4)
		if got := w.asked(); got[npmPuts] > 4 {
			t.Errorf("%d writes for four new addresses", got[npmPuts])
		}
	})
}

// NPM restarts: one line that it is waited for, one that it is back, no write.
func TestNPMRestarts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(5)
		w.settle()
		w.npm.Stop()
		pass(2 * time.Minute)
		w.wantReady("connection refused")
		w.npm.Restart(1500 * time.Millisecond)
		pass(30 * time.Second)
		w.wantReady("")
		said := w.log.take()
		if len(with(said, "waiting for NPM")) != 1 || len(with(said, "connected to NPM")) != 1 || len(said) != 2 {
			t.Errorf("logged %q", said)
		}
		want(t, "restart", w.asked(), map[string]int{npmPuts: 0, logins: 0})
	})
}

// What only a person can mend is said once, and costs nothing while nobody does.
func TestBrokenForAWhile(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.app("deaf", "proxy", func(c *stage.Container) { c.Cmd = []string{"demo", "backend"} })
		w.host(1, "deaf", 8080)
		w.app("off", "proxy")
		w.host(2, "off", 8080)
		w.host(3, "nobody", 8080)
		w.must(w.people.Stop(t.Context(), "off"))
		w.startNPM()
		w.start()
		pass(10 * time.Minute)
		for code, times := range map[string]int{"PortNotListening": 1, "BackendExited": 1, "BackendUnknown": 1} {
			if n := len(with(w.log.text, `"found"`, code)); n != times {
				t.Errorf("%s was said %d times, want %d, in\n%s", code, n, times, strings.Join(with(w.log.text, `"found"`), ""))
			}
		}
		want(t, "ten minutes", w.asked(), map[string]int{npmPuts: 0, npmGets: 0, connects: 0})
		w.must(w.people.Start(t.Context(), "off"))
		pass(time.Second)
		if status, body := w.visit("app2.example.com"); status != http.StatusOK {
			t.Errorf("a visitor gets %d %s", status, body)
		}
	})
}

// A dead name in somebody's custom location poisons all of NPM: every write
// gets a 500. no502 tries ever more seldom, and is done soon after the cure.
func TestPoisonedNPM(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(3)
		w.app("media", "proxy", func(c *stage.Container) { c.Labels = nil })
		w.npm.AddHost(npmtest.ProxyHost{
			ID: 9, DomainNames: []string{"theirs.example.com"}, ForwardHost: "media", ForwardPort: 8080,
			Locations: []npmtest.Location{{Path: "/media", ForwardHost: "media", ForwardPort: 8080}},
		})
		w.settle()
		w.must(w.people.Stop(t.Context(), "media"))
		// Theirs gets a 500 as well, and sticks all the same.
		if got := w.ask(http.MethodPut, "/nginx/proxy-hosts/1", map[string]any{"forward_host": "APP1"}); got.Code != 500 {
			t.Fatalf("NPM is not poisoned: %d", got.Code)
		}
		w.asked()
		pass(time.Hour)
		got := w.asked()
		if got[npmPuts] == 0 || got[npmPuts] > 200 {
			t.Errorf("%d writes in an hour", got[npmPuts])
		}
		t.Logf("an hour: %v, %d lines", got, len(w.log.take()))
		w.must(w.people.Start(t.Context(), "media"))
		pass(6 * time.Minute)
		w.wantForward(1, "http://app1:8080")
		for _, domain := range []string{"app1.example.com", "app2.example.com", "theirs.example.com"} {
			if status, body := w.visit(domain); status != http.StatusOK {
				t.Errorf("a visitor of %s gets %d %s", domain, status, body)
			}
		}
		w.asked()
		pass(10 * time.Minute)
		want(t, "cured", w.asked(), map[string]int{npmPuts: 0})
	})
}

// A container that has just started may open its ports one after the other:
// what its image declares and what answers first is not what is meant.
func TestPortOpensLate(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.host(1, "svc1", 8080)
		w.settle()
		w.app("svc1", "proxy", func(c *stage.Container) {
			c.Expose, c.Cmd = []string{"9000"}, []string{"demo", "backend", "9000/http", "delay=5s", "8080/http"}
		})
		pass(30 * time.Second)
		w.wantForward(1, "http://svc1:8080")
		w.wantServed("once it listens", 1)
	})
}

// After a while it is: then nothing else can be meant.
func TestPortNeverOpens(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.host(1, "svc1", 8080)
		w.settle()
		w.app("svc1", "proxy", func(c *stage.Container) {
			c.Expose, c.Cmd = []string{"9000"}, []string{"demo", "backend", "9000/http"}
		})
		pass(3 * time.Minute)
		w.wantForward(1, "http://svc1:9000")
		w.wantServed("once that is certain", 1)
	})
}
