package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/no502/no502/controller/npm/npmtest"
)

// otherLists are what NPM holds beside its proxy hosts.
var otherLists = []string{
	"npm GET /nginx/redirection-hosts", "npm GET /nginx/streams", "npm GET /nginx/dead-hosts",
	"npm GET /nginx/certificates", "npm GET /nginx/access-lists",
}

// However many hosts there are: where all is right, starting costs a constant
// number of requests to NPM, one inspection per labelled container, and no change.
func TestStartWhenAllIsRight(t *testing.T) {
	for _, n := range []int{1, 100, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.crowd(n)
				w.startNPM()
				pass(2 * time.Second) // no event from before is in the second of the subscription
				w.asked()
				w.start()
				pass(10 * time.Second)
				got := w.asked()
				all := map[string]int{
					"npm GET /": 1, logins: 1, npmLists: 1,
					streams: 1, lists: 1, netLists: 1, inspects: n, "docker HEAD /_ping": 1,
				}
				for _, other := range otherLists {
					all[other] = 1
				}
				want(t, "start", got, all)
				for k, times := range got {
					if _, expected := all[k]; !expected {
						t.Errorf("%s was asked %d times", k, times)
					}
				}
				if status, body := w.get("/readyz"); status != 200 {
					t.Errorf("/readyz: %d %s", status, body)
				}
				if found := with(w.log.take(), `"proxy host is right"`); len(found) != n {
					t.Errorf("%d hosts were said to be right, want %d", len(found), n)
				}
			})
		})
	}
}

// Where nothing happens, nothing is written, NPM is asked once per poll whether
// anything changed, and everything is looked at again every five minutes.
func TestIdle(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const n = 100
		w.crowd(n)
		w.settle()
		w.failNPM(func(r *http.Request) *npmtest.Fault {
			if r.Header.Get("If-None-Match") == "" {
				t.Errorf("%s %s is not conditional: NPM sends the whole list", r.Method, r.URL.Path)
			}
			return nil
		})
		pass(10 * time.Minute)
		got := w.asked()
		want(t, "ten minutes", got, map[string]int{
			// A resync lists as well, and the next poll is due a whole pause after that.
			npmLists: 40 + 2, logins: 0, npmGets: 0, npmPuts: 0,
			lists: 2, netLists: 2, inspects: 2 * n, connects: 0, streams: 0,
		})
		for _, other := range otherLists {
			if n := got[other]; n < 10 || n > 12 { // they change seldom: once a minute, and at a resync
				t.Errorf("%s was asked %d times in ten minutes", other, n)
			}
		}
		if said := w.log.take(); len(said) > 0 {
			t.Errorf("logged while nothing happened: %q", said)
		}
	})
}
