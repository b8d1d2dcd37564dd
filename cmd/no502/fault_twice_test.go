package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// no502 was started twice by mistake: one is at work, the other one stands by,
// says so once, and takes over at once when the first one ends.
func TestFaultStartedTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const n = 20
		w.strangers(n)
		w.startNPM()
		g := w.guard()
		for i := 1; i <= n; i++ {
			g.expects(fmt.Sprintf("app%d.example.com", i), fmt.Sprintf("svc%d", i))
		}
		w.start()
		said, stop := w.second("twin", "no502", func(s *settings, _ *place) { s.instance = "no502" })
		defer stop()
		g.holds("both started at once")

		logs, containers := []*lines{&w.log, said}, []string{"no502", "no502-twin"}
		stops := []func(){w.stop, stop}
		idle := 1
		if len(with(w.log.text, "StandingBy")) > 0 {
			idle = 0
		}
		working := 1 - idle
		if got := len(with(logs[idle].text, `"finding":"StandingBy"`, containers[working])); got != 1 {
			t.Errorf("it was said %d times who stands by\n%s\nand\n%s", got, logs[0].everything(), logs[1].everything())
		}
		logs[idle].take()
		w.edit(1, map[string]any{"forward_host": "SVC1"})
		w.asked()
		pass(time.Minute)
		w.wantForward(1, "http://svc1:8080")
		want(t, "one of them", w.asked(), map[string]int{npmPuts: 1})
		if done := with(logs[idle].text, `"done"`); len(done) > 0 {
			t.Errorf("the idle one did %s", done)
		}

		stops[working]()
		w.must(w.people.Stop(t.Context(), containers[working]))
		w.edit(1, map[string]any{"forward_host": "SVC1"})
		pass(w.settings.poll + time.Second)
		w.wantForward(1, "http://svc1:8080")
		g.holds("taken over")
	})
}

// Of two processes of which Docker tells nothing the one that wrote last is at
// work, and the other one takes over a minute after that one fell silent.
func TestFaultStartedTwiceElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(2)
		w.startNPM()
		g := w.guard()
		g.crowd(2)
		w.start()
		pass(time.Minute)
		w.edit(1, map[string]any{"forward_host": "APP1"})
		pass(time.Minute)
		said, stop := w.second("twin", "no502", func(s *settings, p *place) { s.instance, p.selfHints = "no502", nil })
		defer stop()
		w.asked()
		pass(time.Second)
		if got := strings.Count(said.everything(), `"finding":"StandingBy"`); got != 1 {
			t.Errorf("said %d times that it stands by: %s", got, said.everything())
		}
		w.stop()
		w.must(w.people.Stop(t.Context(), "no502"))
		w.edit(1, map[string]any{"forward_host": "APP1"})
		pass(w.settings.poll + time.Second)
		w.wantForward(1, "http://app1:8080")
		g.holds("taken over")

		// Now the one at work is the one of which nothing is known.
		w.must(w.people.Start(t.Context(), "no502"))
		w.start()
		pass(2 * time.Second)
		w.edit(2, map[string]any{"forward_host": "APP2"})
		pass(2 * time.Minute)
		w.wantForward(2, "http://app2:8080")
		g.holds("back")
	})
}

// A process that is killed and started again in its container, and one that is
// recreated, go on at once: nobody else is there.
func TestFaultRestartedIsNoTwin(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(1)
		w.startNPM()
		w.start()
		pass(time.Minute)
		w.edit(1, map[string]any{"forward_host": "APP1"})
		pass(w.settings.poll + time.Second)
		w.stop()
		w.edit(1, map[string]any{"forward_host": "APP1"})
		w.start()
		pass(2 * time.Second)
		w.wantForward(1, "http://app1:8080")
		w.wantSaid(0, "StandingBy")
	})
}
