package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/controller/npm/npmtest"
)

// Differences of the Engine's and NPM's clock from no502's, as they are after a
// clock was set, a machine slept, or one began in the year 2000.
var clockJumps = []time.Duration{
	-10 * 365 * 24 * time.Hour, -24*time.Hour + 5*time.Second, -time.Hour, -30 * time.Second, time.Second,
	30 * time.Second, time.Hour, 30 * 24 * time.Hour, 10 * 365 * 24 * time.Hour,
}

// The clocks jump, before no502 starts or while it runs: nothing is written for
// that, nobody is ended before their grace is over, those who are due are, and
// NPM is not asked for a login again and again.
func TestFaultClockJumps(t *testing.T) {
	for _, jump := range clockJumps {
		for _, running := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v,running=%v", jump, running), func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) { testClockJump(t, w, jump, running) })
			})
		}
	}
}

func testClockJump(t *testing.T, w *world, jump time.Duration, running bool) {
	if !running {
		w.ahead.Store(int64(jump))
	}
	stops := shop("stops", "no502.on-stop", "disable", "no502.grace", "30s")
	g := w.ownedScene()
	w.up(stops)
	g.expects("stops.example.com", "shop-stops-1")
	pass(2 * time.Minute)
	w.asked()
	w.ahead.Store(int64(jump))
	w.token = "" // the person's too may have expired
	for range 6 {
		w.edit(1, map[string]any{"forward_host": "APP1"})
		pass(10 * time.Minute)
	}
	asked := w.asked()
	if asked[logins] > 1 || asked["npm GET /tokens"] > 2 {
		t.Errorf("in an hour it logged in %d times, and renewed its token %d times", asked[logins], asked["npm GET /tokens"])
	}
	if wrote := asked[npmPuts]; wrote != 6 { // a mend for each edit
		t.Errorf("in an hour it wrote %d times", wrote)
	}

	owned := w.owned()

	// Nobody who is back within the grace is ended, recreated or stopped.
	ends := shop("ends", "no502.on-remove", "delete", "no502.grace", "30s")
	w.down(ends)
	w.halt(stops)
	pass(25 * time.Second)
	w.up(ends)
	w.resume(stops)
	pass(5 * time.Minute)
	w.wantUntouched("recreated in time", owned)
	g.check("recreated in time")

	// And who stays away is.
	w.down(ends)
	w.halt(stops)
	pass(28 * time.Second)
	w.wantUntouched("within the grace", owned)
	pass(time.Minute)
	now := w.owned()
	if len(now) != len(owned)-1 {
		t.Errorf("after the grace it remembers %d hosts, and %d before", len(now), len(owned))
	}
	if status, body := w.visit("stops.example.com"); status != http.StatusNotFound && !strings.Contains(body, "Congratulations") {
		t.Errorf("after the grace a visitor gets %d %s", status, body)
	}
	delete(g.serves, "ends.example.com")
	w.resume(stops)
	g.holds("a jump of the clocks")
}

// A container that was made, and not started, is about to be for some seconds, in
// which its host is not written; not for the years by which a clock is wrong, or was.
func TestFaultClockJumpsAfterCreate(t *testing.T) {
	for _, jump := range clockJumps {
		for _, at := range []string{"before it is made", "after that"} {
			inBubble(t, func(t *testing.T, w *world) {
				w.host(1, "localhost", 13001)
				w.settle()
				if at == "before it is made" {
					w.ahead.Store(int64(jump))
				}
				c := anApp("made", "proxy")
				c.Labels = map[string]string{"no502.host": "app1.example.com", "no502.cache": "true"}
				_, err := w.people.Create(t.Context(), c)
				w.must(err)
				w.ahead.Store(int64(jump))
				w.app("another", "proxy") // so that no502 hears of the Engine's clock
				pass(time.Minute)
				if w.row("1")["caching_enabled"] != true {
					t.Errorf("%v, %s: a minute later its host is not taken over", jump, at)
				}
			})
		}
	}
}

// Who claims the domain of a service that goes away waits whether that one is
// recreated, be the Engine's clock right or wrong.
func TestFaultClockIsWrongForAnHeir(t *testing.T) {
	for _, ahead := range clockJumps {
		inBubble(t, func(t *testing.T, w *world) {
			w.ahead.Store(int64(ahead))
			w.settle()
			old, heir := shop("old"), shop("heir")
			heir.labels["no502.host"] = "old.example.com"
			w.up(old)
			pass(time.Minute)
			w.up(heir)
			pass(time.Minute)
			w.down(old)
			pass(20 * time.Second)
			w.wantForward(1, "http://shop-old-1:8080")
			pass(time.Minute)
			w.wantForward(1, "http://shop-heir-1:8080")
		})
	}
}

// The port opens 10 s after the start: meanwhile another one that is open is not
// taken for it, be the Engine's clock right or wrong.
func TestFaultClockIsWrongAtStart(t *testing.T) {
	for _, ahead := range clockJumps {
		inBubble(t, func(t *testing.T, w *world) {
			w.ahead.Store(int64(ahead))
			w.host(1, "late", 8080)
			w.settle()
			w.app("late", "proxy", func(c *stage.Container) {
				c.Cmd, c.Expose = []string{"demo", "backend", "9090/http"}, []string{"9090"}
			})
			pass(10 * time.Second)
			l, err := w.docker.Box("late").Listen("tcp", ":8080")
			w.must(err)
			go w.backends.Serve(l) //nolint:errcheck // ends with the world
			pass(10 * time.Minute)
			w.wantForward(1, "http://late:8080")
			if puts := w.asked()[npmPuts]; puts > 0 {
				t.Errorf("%v: wrote %d times", ahead, puts)
			}
		})
	}
}

// A service that moves a second time must have stayed for some seconds, by
// whichever clock, before its stream follows it.
func TestFaultClockIsWrongForAMove(t *testing.T) {
	for _, jump := range clockJumps {
		for _, at := range []string{"from the start", "after the move"} {
			inBubble(t, func(t *testing.T, w *world) {
				if at == "from the start" {
					w.ahead.Store(int64(jump))
				}
				w.settle()
				w.app("db", "proxy", func(c *stage.Container) {
					c.Labels = map[string]string{"no502.enable": "true", "no502.tcp.stream": "5433", "no502.tcp.port": "8080"}
				})
				pass(time.Minute)
				for i := range 2 {
					w.must(w.people.Stop(t.Context(), "db"))
					w.app(fmt.Sprint("thief", i), "proxy")
					w.must(w.people.Start(t.Context(), "db"))
					if i == 0 {
						pass(10 * time.Second)
					}
				}
				w.ahead.Store(int64(jump))
				w.app("another", "proxy") // so that no502 hears of the Engine's clock
				pass(10 * time.Second)
				if to := w.only("streams")["forwarding_host"]; to != w.address("db", "proxy") {
					t.Errorf("%v %s: it leads to %v, want %s", jump, at, to, w.address("db", "proxy"))
				}
			})
		}
	}
}

// Let's Encrypt's certificate is not valid by no502's clock: it is said, and not
// asked for again and again, of which Let's Encrypt gives a few a week.
func TestFaultClockBeyondCertificates(t *testing.T) {
	var asked atomic.Int32
	inBubble(t, func(t *testing.T, w *world) {
		w.ahead.Store(int64(-365 * 24 * time.Hour))
		w.settle()
		w.up(shop("web", "no502.certificate", "letsencrypt"))
		pass(24 * time.Hour)
		if n := asked.Load(); n != 4 { // after 2, 6 and 14 hours again
			t.Errorf("asked %d times in a day", n)
		}
		said := w.log.take()
		if n := len(with(said, `"level":"error"`, "that is not valid by this machine's clock, which says 2000-01-0")); n != 4 {
			t.Errorf("said %d times:\n%s", n, strings.Join(said, ""))
		}
	}, func(o *npmtest.Options) {
		o.LetsEncrypt = func(npmtest.LetsEncryptRequest) error {
			if asked.Add(1) > 20 {
				return errors.New("too many certificates already issued")
			}
			return nil
		}
	})
}

// A refusal that a clock noted which was 90 years ahead counts from when no502
// began to watch: it is asked again.
func TestFaultClockNotedTheFuture(t *testing.T) {
	var asked atomic.Int32
	inBubble(t, func(t *testing.T, w *world) {
		w.settle()
		w.up(shop("web", "no502.certificate", "letsencrypt"))
		pass(time.Minute)
		var row struct {
			ID   int
			Meta map[string]map[string]any
		}
		host, err := json.Marshal(w.only("proxy-hosts"))
		w.must(err)
		_ = json.Unmarshal(host, &row) // what is no object is left out
		ours := row.Meta["no502"]
		ours["letsencrypt"].(map[string]any)["last"] = "2090-01-01T00:00:00Z"
		w.edit(row.ID, map[string]any{"meta": map[string]any{"no502": ours}})
		pass(90 * time.Minute)
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times before two hours were over", n)
		}
		pass(time.Hour)
		if n := asked.Load(); n != 2 {
			t.Errorf("asked %d times after two hours", n)
		}
	}, func(o *npmtest.Options) {
		o.LetsEncrypt = func(npmtest.LetsEncryptRequest) error { asked.Add(1); return errors.New("not today") }
	})
}
