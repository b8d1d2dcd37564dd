package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

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
