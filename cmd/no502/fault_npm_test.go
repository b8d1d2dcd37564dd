package main

import (
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
