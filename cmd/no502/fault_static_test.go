package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/controller/npm/npmtest"
)

// withLocation makes a host whose custom location /api names another container,
// as people do in NPM's pages.
func (w *world) withLocation(id int, domain, main, api string) {
	w.npm.AddHost(npmtest.ProxyHost{
		ID: id, DomainNames: []string{domain}, ForwardHost: main, ForwardPort: 8080,
		Locations: []npmtest.Location{{Path: "/api", ForwardHost: api, ForwardPort: 8080}},
	})
}

// amongCrowd makes such a host, number 9, beside three others.
func (w *world) amongCrowd() *guard {
	w.t.Helper()
	w.crowd(3)
	w.app("api", "proxy")
	w.app("web", "proxy")
	w.startNPM()
	w.withLocation(9, "shop.example.com", "web", "api")
	g := w.guard()
	g.crowd(3)
	return g
}

// wantUnder fails unless a visitor of a path gets a container's page.
func (w *world) wantUnder(when, domain, path, container string) {
	w.t.Helper()
	if status, body := w.visitPath(domain, path); status != http.StatusOK || !strings.HasPrefix(body, container+" answers") {
		w.t.Errorf("%s: a visitor of %s%s gets %d %s, want %s", when, domain, path, status, strings.TrimSpace(body), container)
	}
}

// A name in a custom location is gone for long: meanwhile every write gets a
// 500, until its host is switched off. Then what was to be written is, and when
// the name is back, so is the host.
func TestFaultStaticNameVanishes(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		g := w.amongCrowd()
		w.start()
		pass(time.Minute)
		w.must(w.people.Stop(t.Context(), "api"))
		if got := w.ask(http.MethodPut, "/nginx/proxy-hosts/1", map[string]any{"forward_host": "APP1"}); got.Code != 500 {
			t.Fatalf("NPM is not poisoned: %d", got.Code)
		}
		pass(29 * time.Second)
		w.wantAnswer("for half a minute", "shop.example.com", "web")
		pass(30 * time.Second)
		w.wantForward(1, "http://app1:8080")
		g.check("the culprit is off")
		w.npm.Restart(time.Second)
		pass(10 * time.Second)
		g.check("NPM starts, in spite of all")

		w.must(w.people.Start(t.Context(), "api"))
		pass(20 * time.Second)
		w.wantAnswer("the name is back", "shop.example.com", "web")
		w.wantUnder("the name is back", "shop.example.com", "/api", "api")
		g.holds("a static name that vanished")
		if row := string(w.npm.Snapshot()["proxy_host/9"]); strings.Contains(row, `"no502"`) {
			t.Errorf("the host remembers more than before: %s", row)
		}
	})
}

// no502 was killed after it had switched a host off and before it could say so.
// Who switches that on is obeyed all the same.
func TestFaultStaticKilledWhileSwitchingOff(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.app("api", "proxy")
		w.app("web", "proxy")
		w.startNPM()
		w.withLocation(9, "shop.example.com", "web", "api")
		w.edit(9, map[string]any{"meta": map[string]any{"no502": map[string]any{
			"instance": "no502", "origin": "repaired", "disabled": "static-name", "disabling": true, "missing": []string{"api"},
		}}})
		w.person(http.MethodPost, "/nginx/proxy-hosts/9/disable", nil, nil)
		w.must(w.people.Stop(t.Context(), "api"))
		w.start()
		pass(time.Minute)
		w.ask(http.MethodPost, "/nginx/proxy-hosts/9/enable", nil) // which NPM does, and answers with an error
		pass(time.Hour)
		if w.row("9")["enabled"] != true {
			t.Error("the host is off again")
		}
	})
}

// A container crashes as soon as it is started, which Docker does once a minute
// by then: a name that comes and goes does not have its host switched on and off
// each time, and when it stays the host is on again.
func TestFaultStaticNameComesAndGoes(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.app("api", "proxy")
		w.app("web", "proxy")
		w.startNPM()
		w.withLocation(9, "shop.example.com", "web", "api")
		g := w.guard()
		w.start()
		pass(time.Minute)
		w.writes()
		for range 30 {
			w.must(w.docker.Exit("api", 1))
			pass(59 * time.Second)
			w.must(w.people.Start(t.Context(), "api"))
			pass(time.Second)
		}
		got := w.writes()
		if t.Logf("30 starts: %v", got); got["POST proxy-hosts/{id}/disable"] > 5 || got["POST proxy-hosts/{id}/enable"] > 5 {
			t.Errorf("wrote %v", got)
		}
		pass(2 * time.Minute)
		w.wantUnder("it stays", "shop.example.com", "/api", "api")
		g.expects("shop.example.com", "web")
		g.holds("a static name that comes and goes")
	})
}

// A container comes back with another address, and another one has its old one:
// nginx, which has looked the name up when it loaded, would send /api there.
func TestFaultStaticAddressChanges(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.app("web", "proxy")
		w.app("api", "proxy")
		w.startNPM()
		w.withLocation(9, "shop.example.com", "web", "api")
		w.withLocation(10, "shop2.example.com", "web", "api")
		g := w.guard()
		g.expects("shop.example.com", "web")
		w.start()
		pass(time.Minute)
		was := w.address("api", "proxy")
		w.asked()
		w.must(w.people.Stop(t.Context(), "api"))
		w.app("thief", "proxy")
		if got := w.address("thief", "proxy"); got != was {
			t.Fatalf("thief is at %s, not at %s", got, was)
		}
		w.must(w.people.Start(t.Context(), "api"))
		pass(time.Second)
		w.wantUnder("at once", "shop.example.com", "/api", "api")
		w.wantUnder("by the same reload", "shop2.example.com", "/api", "api")
		want(t, "two hosts", w.asked(), map[string]int{npmPuts: 1})
		g.holds("an address that changed")
	})
}

// NPM is started while the name is missing, and its nginx does not come up: all
// hosts are down. Through its back end's port the host is switched off at once,
// and when the name is back all is as it was. So it is after a power cut, where
// no502 knows nothing from before.
func TestFaultNPMIsRescued(t *testing.T) {
	for _, powerCut := range []bool{false, true} {
		inBubble(t, func(t *testing.T, w *world) {
			g := w.amongCrowd()
			if !powerCut {
				w.start()
				pass(time.Minute)
			}
			w.must(w.people.Stop(t.Context(), "api"))
			w.npm.Restart(time.Second)
			if w.npm.Running() {
				t.Fatal("nginx runs")
			}
			if powerCut {
				w.start()
			}
			pass(20 * time.Second) // a poll sees it
			w.wantReady("")
			g.check("rescued")
			w.wantSaid(1, `"finding":"NPMStranded"`)
			w.must(w.people.Start(t.Context(), "api"))
			pass(20 * time.Second)
			w.wantUnder("the name is back", "shop.example.com", "/api", "api")
			g.holds("an NPM that could not start")
		})
	}
}

// A host that nobody opted in keeps NPM from starting: it is left alone, and the
// way out is said.
func TestFaultNPMCannotStartForAStranger(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(1)
		w.startNPM()
		g := w.guard() // one of its hosts has a custom location
		g.crowd(1)
		w.start()
		pass(time.Minute)
		w.must(w.people.Stop(t.Context(), "bystander"))
		w.npm.Restart(time.Second)
		pass(time.Hour)
		w.wantReady("nginx does not run, so that every host is down")
		w.wantSaid(1, `"finding":"NPMStranded","message":"NPM's nginx does not start, so that every host is down; the custom location /x of bystander0.example.com names bystander`)
		w.must(w.people.Start(t.Context(), "bystander"))
		g.holds("a stranger's name")
	})
}
