package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/controller/npm/npmtest"
)

// changes are the requests that change something, in the Engine and in NPM.
func changes(r *http.Request) bool {
	switch path := r.URL.Path; {
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		return false
	case strings.HasPrefix(path, "/nginx/"):
		return true
	default:
		return strings.HasPrefix(path, "/networks/")
	}
}

// reaper kills no502 at one of its requests that change something: from then on
// none of what it asks arrives.
type reaper struct {
	at    int           // which; 0: none
	after bool          // the request has its effect, and only the answer is lost
	dead  chan struct{} // told when it strikes

	mu   sync.Mutex
	n    int // requests so far that change something
	lost bool
}

// strike reports whether a request is lost, and whether after its effect.
func (r *reaper) strike(q *http.Request) (lost, after bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost || !changes(q) {
		return r.lost, false
	}
	if r.n++; r.n != r.at {
		return false, false
	}
	r.lost = true
	close(r.dead)
	return true, r.after
}

// buried: the next one's requests arrive.
func (r *reaper) buried() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = false
}

// toBeDone puts into the world what needs a change of every kind: the network is
// to be made and NPM, no502 and backends attached; two hosts are wrong; one is
// claimed by labels that somebody made by hand; labels declare a proxy host, a
// redirection, a 404 host and a stream; those of another one were edited; one is
// to be switched on, one off, and one deleted.
func (w *world) toBeDone(g *guard) {
	w.t.Helper()
	back := shop("back", "no502.on-stop", "disable")
	old, gone, edited := shop("leaving"), shop("gone", "no502.on-remove", "delete"), shop("edited")
	w.start()
	w.up(back, old, gone, edited)
	pass(time.Minute)
	w.halt(back)
	pass(time.Minute)
	if w.hostOf("back.example.com").enabled() {
		w.t.Fatal("a host that is to be switched on is on")
	}
	w.stop()

	w.settings.network = "no502"
	w.resume(back)
	w.down(old, gone)
	edited.labels["no502.cache"] = "true"
	w.recreate(edited)
	w.strangers(2)
	w.app("claimed", "svc1_default", func(c *stage.Container) {
		c.Labels = map[string]string{"no502.host": "app3.example.com", "no502.cache": "true"}
	})
	w.host(3, "localhost", 9)
	w.up(shop("web", "no502.redirect-from", "www.example.com", "no502.parked", "parked.example.com", "no502.tcp.stream", "25565"))
	for domain, container := range map[string]string{
		"app1.example.com": "svc1", "app2.example.com": "svc2", "app3.example.com": "claimed", "web.example.com": "shop-web-1",
		"back.example.com": "shop-back-1", "edited.example.com": "shop-edited-1",
	} {
		g.expects(domain, container)
	}
	w.asked()
}

var passing = regexp.MustCompile(`"(id|created_on|modified_on|by)":("[^"]*"|\d+|\{[^}]*\}),?`)

// state is what there is in the end, without what counts, dates and signs.
func (w *world) state() map[string]string {
	w.t.Helper()
	state := map[string]string{}
	for name, raw := range w.npm.Snapshot() {
		var r row
		w.must(json.Unmarshal(raw, &r))
		kind, _, _ := strings.Cut(name, "/")
		key := fmt.Sprint(kind, r["domain_names"], r["incoming_port"])
		if _, twice := state[key]; twice {
			w.t.Errorf("there are two of %s", key)
		}
		state[key] = passing.ReplaceAllString(string(raw), "")
	}
	return state
}

// no502 is killed at each of the requests with which it changes something, before
// that has its effect, and after it: whoever comes next ends where an undisturbed
// one does, with one request more at most.
func TestFaultKilledBetweenAnyTwoCalls(t *testing.T) {
	undisturbed := map[string]string{}
	total := killAt(t, 0, false, func(w *world) { undisturbed = w.state() })
	t.Logf("undisturbed there are %d requests that change something", total)
	if total < 15 {
		t.Fatal("that is not all that is to be done")
	}
	for at := 1; at <= total; at++ {
		for _, after := range []bool{false, true} {
			what := fmt.Sprintf("killed at request %d, after its effect: %v", at, after)
			n := killAt(t, at, after, func(w *world) {
				now := w.state()
				for key := range maps.Keys(undisturbed) {
					if now[key] != undisturbed[key] {
						w.t.Errorf("%s: %s is\n%s, and undisturbed\n%s", what, key, now[key], undisturbed[key])
					}
				}
				if len(now) != len(undisturbed) {
					w.t.Errorf("%s: there are %d hosts, undisturbed %d", what, len(now), len(undisturbed))
				}
			})
			if n > total+1 {
				t.Errorf("%s: %d requests that change something, undisturbed %d", what, n, total)
			}
			if t.Failed() {
				return
			}
		}
	}
}

// killAt runs no502, which is killed at a request, and another one after it, and
// counts the requests of both that change something.
func killAt(t *testing.T, at int, after bool, check func(w *world)) (requests int) {
	inBubble(t, func(t *testing.T, w *world) {
		what := fmt.Sprintf("killed at request %d, after its effect: %v", at, after)
		w.settings.poll, w.settings.resync = 2*time.Minute, 20*time.Minute // nobody else changes anything
		w.startNPM()
		g := w.guard()
		w.toBeDone(g)
		r := &reaper{at: at, after: after, dead: make(chan struct{})}
		w.failDocker(func(q *http.Request) *dockerdtest.Fault {
			if lost, after := r.strike(q); lost {
				return &dockerdtest.Fault{Drop: true, After: after}
			}
			return nil
		})
		w.failNPM(func(q *http.Request) *npmtest.Fault {
			if lost, after := r.strike(q); lost {
				return &npmtest.Fault{Drop: true, After: after}
			}
			return nil
		})
		w.start()
		select {
		case <-r.dead:
			w.stop()
			r.buried()
			w.start()
		case <-time.After(5 * time.Minute):
			if at > 0 {
				t.Errorf("%s: there are no more than %d", what, r.n)
			}
		}
		g.holds(what)
		check(w)
		requests = r.n
	})
	return requests
}
