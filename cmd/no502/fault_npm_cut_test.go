package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/no502/no502/controller/npm/npmtest"
)

// NPM ends when it has the row of a new host, and nginx nothing of it yet; no502
// goes on, or ends as well. The row says all that it is to say, and the host is
// served all the same soon after.
func TestFaultNPMEndsWhileAHostIsMade(t *testing.T) {
	for name, during := range map[string]func(w *world){
		"no502 goes on": func(*world) {},
		"no502 is started anew": func(w *world) {
			w.stop()
			w.start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.crowd(1)
				w.startNPM()
				g := w.guard()
				g.crowd(1)
				w.start()
				pass(time.Minute)
				cut := false
				w.failNPM(func(r *http.Request) *npmtest.Fault {
					if cut || r.Method != http.MethodPost || r.URL.Path != "/nginx/proxy-hosts" {
						return nil
					}
					cut = true
					return &npmtest.Fault{Cut: true}
				})
				w.up(shop("web"))
				pass(time.Second)
				during(w)
				pass(time.Minute)
				if !cut {
					t.Error("NPM did not end")
				}
				g.expects("web.example.com", "shop-web-1")
				g.holds(name)
				w.wantServedIs(name, "web.example.com", "True", "NPM answers 200")
			})
		})
	}
}
