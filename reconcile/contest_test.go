package reconcile

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/api"
)

// shown makes NPM say something of host 1, as if somebody had written that.
func (b *bed) shown(port uint16) {
	b.forward(1, api.Endpoint{Scheme: "http", Host: "web", Port: port})
}

// puts counts the writes to host 1 that come of somebody's doing something n
// times, one every so often.
func (b *bed) puts(n int, every time.Duration, do func(i int)) (writes int) {
	b.t.Helper()
	time.Sleep(freshFor)
	for i := range n {
		do(i)
		_, did := b.reconcile(host1)
		writes += len(did) / 2 // each is asked for, and done
		time.Sleep(every)
	}
	return writes
}

// Who changes a host back is outlasted: with pauses of 10 minutes, and twice as
// long each time, up to four hours.
func TestContested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, api.ModeRepair)
		theirs := func(int) { b.shown(9) }
		if n := b.puts(20, 30*time.Second, theirs); n != 3 {
			t.Errorf("%d writes in the first ten minutes", n)
		}
		b.reconcile(host1)
		last := b.said[len(b.said)-1]
		if f := last.Findings[len(last.Findings)-1]; f.Code != api.Contested || last.InSync.Reason != api.Contested {
			t.Errorf("found %+v", last)
		}
		if n := b.puts(24*60, time.Minute, theirs); n != 9 { // after 10, 30, 70, 150, 310, 550 … minutes
			t.Errorf("%d writes in the day that follows", n)
		}
	})
}

// What the service itself does is no contest: it moves to and fro.
func TestMovesAreNoContest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, api.ModeRepair)
		ports := []uint16{8080, 9090}
		b.open[9090] = b.open[8080]
		writes := b.puts(20, 20*time.Second, func(i int) {
			b.alter(web, func(c *api.Container) {
				c.Labels = map[string]string{"no502.enable": "true", "no502.port": fmt.Sprint(ports[i%2])}
				c.State.StartedAt = time.Now()
			})
		})
		if writes != 19 { // the first is right as it is
			t.Errorf("written %d times for 19 moves", writes)
		}
	})
}

// Whoever edits a host now and then, be it always in the same way, is no other
// tool: each edit is put right.
func TestEditsNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, api.ModeRepair)
		if n := b.puts(50, 6*time.Minute, func(int) { b.shown(9) }); n != 50 {
			t.Errorf("of 50 edits %d were put right", n)
		}
	})
}

// Two mistakes in turn are as one.
func TestContestedInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, api.ModeRepair)
		if n := b.puts(20, 20*time.Second, func(i int) { b.shown(uint16(9 + i%2)) }); n != 3 {
			t.Errorf("%d writes", n)
		}
	})
}

// Nothing is remembered for ever.
func TestContestsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, api.ModeRepair)
		b.puts(10, 10*time.Second, func(int) { b.shown(9) })
		b.shown(8080)
		b.reconcile(api.SystemKey())
		if c := b.memory.contests; len(c.of) != 1 || len(c.held) != 1 {
			t.Errorf("remembered are %d and %d", len(c.of), len(c.held))
		}
		time.Sleep(61 * time.Minute)
		b.reconcile(api.SystemKey())
		if c := b.memory.contests; len(c.of)+len(c.held) != 0 {
			t.Errorf("an hour later %d and %d are remembered", len(c.of), len(c.held))
		}
	})
}
