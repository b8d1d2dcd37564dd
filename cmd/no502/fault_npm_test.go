package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/controller/npm/npmtest"
)

// NPM restarts while a name is missing that nginx needs to start: every host is
// down. no502 says so, and what keeps nginx from starting, and goes on by itself
// once that is over.
func TestFaultNPMCannotStart(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(3)
		w.app("media", "proxy", func(c *stage.Container) { c.Labels = nil })
		w.npm.AddHost(npmtest.ProxyHost{
			ID: 9, DomainNames: []string{"theirs.example.com"}, ForwardHost: "media", ForwardPort: 8080,
			Locations: []npmtest.Location{{Path: "/media", ForwardHost: "media", ForwardPort: 8080}},
		})
		w.startNPM()
		g := w.guard()
		g.crowd(3)
		w.start()
		pass(time.Minute)
		w.log.take()
		w.must(w.people.Stop(t.Context(), "media"))
		w.npm.Restart(1500 * time.Millisecond)
		pass(10 * time.Minute)
		w.wantReady("nginx does not run, so that every host is down")
		said := w.log.take()
		if waits := with(said, "waiting for NPM"); len(waits) != 1 || len(with(waits, `"for":"its nginx"`)) != 1 {
			t.Errorf("that NPM's nginx does not run was said so:\n%s", said)
		}
		w.must(w.people.Start(t.Context(), "media"))
		pass(5 * time.Second)
		w.wantReady("")
		w.wantSaid(1, "connected to NPM")
		g.expects("theirs.example.com", "media")
		g.holds("NPM could not start")
	})
}

// task gives no502 something to do whatever befalls NPM: a host to repair, and
// one to make. It names what visitors must reach in the end.
func (w *world) task(g *guard) {
	w.t.Helper()
	w.edit(1, map[string]any{"forward_host": "APP1"})
	w.up(shop("web"))
	g.expects("web.example.com", "shop-web-1")
}

// done fails unless the task is.
func (w *world) done(what string) {
	w.t.Helper()
	if got := w.forward(1); got != "http://app1:8080" {
		w.t.Errorf("%s: NPM forwards host 1 to %s", what, got)
	}
	if n := len(w.rows("proxy-hosts")); n != 3+4+1 {
		w.t.Errorf("%s: NPM has %d proxy hosts, want the crowd's, the bystanders and one more", what, n)
	}
}

const internalError = `{"error":{"code":500,"message":"Internal Error"}}`

// NPM, or what is before it, answers badly, from the start or while no502 works:
// nothing is lost and nothing done twice, what is waited for is said once, and
// all is right soon after.
func TestFaultNPMAnswersBadly(t *testing.T) {
	every := func(f npmtest.Fault) func(*http.Request) *npmtest.Fault {
		return func(*http.Request) *npmtest.Fault { return &f }
	}
	for name, c := range map[string]struct {
		fault func(*http.Request) *npmtest.Fault
		works bool // all the same
	}{
		"502 of its nginx":  {fault: every(npmtest.Fault{Status: 502, Body: "<html>502 Bad Gateway"})},
		"503":               {fault: every(npmtest.Fault{Status: 503, Body: ""})},
		"500":               {fault: every(npmtest.Fault{Status: 500, Body: internalError})},
		"connections break": {fault: every(npmtest.Fault{Drop: true})},
		"answers get lost":  {fault: every(npmtest.Fault{Drop: true, After: true})},
		"30 s late":         {fault: every(npmtest.Fault{Delay: 30 * time.Second}), works: true},
	} {
		for _, when := range []string{"from the start", "while it works"} {
			what := name + " " + when
			t.Run(what, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					w.crowd(3)
					w.startNPM()
					g := w.guard()
					g.crowd(3)
					if when == "from the start" {
						w.failNPM(c.fault)
					}
					w.start()
					pass(time.Minute)
					w.log.take()
					w.failNPM(c.fault)
					w.task(g)
					pass(20 * time.Minute)
					said := w.log.take()
					if waits := len(with(said, "waiting for NPM")); !c.works && waits != map[string]int{"while it works": 1}[when] {
						t.Errorf("%s: that NPM is waited for was said %d times", what, waits)
					}
					if tries := len(with(said, `"level":"error"`)); tries > 2 { // of the two hosts
						t.Errorf("%s: %d tries went wrong:\n%s", what, tries, strings.Join(said, ""))
					}
					if c.works {
						w.done(what)
					}
					w.failNPM(nil)
					pass(time.Minute)
					w.done(what)
					g.holds(what)
				})
			})
		}
	}
}
