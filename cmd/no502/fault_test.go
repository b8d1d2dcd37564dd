package main

import (
	"testing"
	"time"
)

// NPM is restarted while all is right.
func TestFaultNPMRestarts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(5)
		w.startNPM()
		g := w.guard()
		g.crowd(5)
		w.start()
		pass(time.Minute)
		w.npm.Stop()
		pass(2 * time.Minute)
		w.npm.Restart(1500 * time.Millisecond)
		g.holds("a restart")
	})
}
