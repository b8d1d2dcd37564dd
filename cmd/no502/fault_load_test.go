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

// A hundred services are created at once, and NPM takes a second for each write.
// A host that fails meanwhile is mended next, and each new one costs one write.
func TestFaultUrgentFirst(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const n = 100
		w.crowd(1)
		w.startNPM()
		g := w.guard()
		w.start()
		pass(time.Minute)
		w.asked()
		w.failNPM(func(r *http.Request) *npmtest.Fault {
			if changes(r) {
				return &npmtest.Fault{Delay: time.Second}
			}
			return nil
		})
		for i := range n {
			name := fmt.Sprintf("svc%d", i)
			w.up(shop(name))
			g.expects(name+".example.com", "shop-"+name+"-1")
		}
		pass(10*time.Second + 500*time.Millisecond)
		before := len(w.changed())
		w.must(w.people.Rename(t.Context(), "app1", "renamed"))
		g.expects("app1.example.com", "renamed")
		pass(3 * time.Second)
		wrote := w.changed()[before:]
		if len(wrote) == 0 || !strings.HasPrefix(wrote[min(1, len(wrote)-1)], "PUT /nginx/proxy-hosts/1 ") {
			t.Errorf("a host failed, and then was written %v", wrote)
		}
		w.wantForward(1, "http://renamed:8080")
		pass(2 * time.Minute)
		w.wantWrites("all", map[string]int{"POST proxy-hosts": n, "PUT proxy-hosts/{id}": 1})
		g.holds("many new ones")
	})
}

// changed are the requests that changed something in NPM, in the order in which
// they were done.
func (w *world) changed() (all []string) {
	for _, c := range w.npm.Calls() {
		if c.Method != http.MethodGet && strings.HasPrefix(c.Path, "/nginx/") {
			all = append(all, c.Method+" "+c.Path+" "+c.Body)
		}
	}
	return all
}

// A container crashes once a second for a minute. With another address each time,
// since another one takes the free one, that is worth two writes: nginx looks the
// name up itself; a stream is not written either before its service stays. In the
// end visitors get it as soon as it does.
func TestFaultCrashLoop(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startNPM()
		w.app("web", "proxy", func(c *stage.Container) {
			c.Labels = map[string]string{"no502.enable": "true", "no502.tcp.stream": "5433", "no502.tcp.port": "8080"}
		})
		w.host(1, "web", 8080)
		g := w.guard()
		g.expects("app1.example.com", "web")
		w.start()
		pass(time.Minute)
		w.asked()
		moves, was := 0, w.address("web", "proxy")
		for i := range 60 {
			w.must(w.docker.Exit("web", 1))
			pass(500 * time.Millisecond)
			if i%2 == 0 {
				w.app("other", "proxy", func(c *stage.Container) { c.Labels = nil })
			} else {
				w.must(w.people.Remove(t.Context(), "other"))
			}
			w.must(w.people.Start(t.Context(), "web"))
			pass(500 * time.Millisecond)
			if is := w.address("web", "proxy"); is != was {
				moves, was = moves+1, is
			}
		}
		if moves < 50 {
			t.Fatalf("it had another address only %d times", moves)
		}
		pass(2 * time.Second)
		w.wantAnswer("as soon as it stays", "app1.example.com", "web")
		for _, s := range w.rows("streams") {
			if s["incoming_port"] == 5433.0 && s["forwarding_host"] != was {
				t.Errorf("the stream leads to %v, want %s", s["forwarding_host"], was)
			}
		}
		got := w.writes()
		if t.Logf("60 restarts: %v", got); got["PUT proxy-hosts/{id}"] > 2 || got["PUT streams/{id}"] > 2 {
			t.Errorf("wrote %v", got)
		}
		g.holds("a crash loop")
	})
}
