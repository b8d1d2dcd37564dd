package reconcile

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/api"
)

// Who takes over is the last writer to all who see it, though the clock of the one
// before is ahead.
func TestTakeOverFromAClockAhead(t *testing.T) {
	for _, ahead := range []time.Duration{0, time.Hour, 90 * 365 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, api.ModeRepair)
			b.Process = "mine"
			other := &api.Holder{Process: "other", Container: "elsewhere", Engine: "another", At: time.Now().Add(ahead)}
			b.forward(2, api.Endpoint{Scheme: "http", Host: "web", Port: 8080})
			h := *b.npm.Host(2)
			h.Ownership = &api.Ownership{Instance: "no502", Origin: api.OriginRepaired, By: other}
			b.npm.SetHost(&h)
			b.forward(1, api.Endpoint{Scheme: "http", Host: "WEB", Port: 8080})
			b.wantDone(host1)
			time.Sleep(2 * time.Minute)
			b.wantDone(host1, "patch 1 http://web:8080", "done: ForwardHostCase")
			if last := b.npm.LastWriter("no502"); last.Process != "mine" {
				t.Errorf("%v: %s is taken for the last writer", ahead, last.Process)
			}
		})
	}
}
