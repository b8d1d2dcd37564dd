package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/controller/npm/npmtest"
)

// undo undoes what no502 does, every so often for some time, by a script of
// somebody else's: it looks whether there is something to undo.
func (w *world) undo(every, during time.Duration, undo func()) {
	w.t.Helper()
	for end := time.Now().Add(during); time.Now().Before(end); {
		undo()
		pass(every)
	}
}

// Another tool rewrites the same field for ever: it is put right three times,
// then ever more seldom, and the host is said to be contested. When the tool is
// stopped, the host is healed at the next try; and after a long calm somebody's
// change is put right at once again.
func TestFaultContestedForward(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(3)
		w.startNPM()
		g := w.guard()
		g.crowd(3)
		w.start()
		pass(time.Minute)
		w.asked()
		theirs := func() {
			if w.forward(1) != "http://app1:9" {
				w.edit(1, map[string]any{"forward_port": 9})
			}
		}
		w.undo(20*time.Second, 5*time.Minute, theirs)
		w.wantWrites("five minutes", map[string]int{"PUT proxy-hosts/{id}": 3})
		if status, body := w.get("/api/v1/verdicts"); status != http.StatusOK || !strings.Contains(body, `"Contested"`) {
			t.Errorf("the status port does not say so: %s", body)
		}
		w.undo(time.Minute, 24*time.Hour-5*time.Minute, theirs)
		n := w.writes()["PUT proxy-hosts/{id}"]
		t.Logf("a day of it: 3 + %d writes", n)
		if n < 5 || n > 10 { // after 10, 30, 70, 150, 310, 550 minutes, and every four hours
			t.Errorf("%d more writes in a day", n)
		}
		if said := with(w.log.take(), `"Contested"`); len(said) > n+1 {
			t.Errorf("it was said %d times", len(said))
		}
		pass(4 * time.Hour)
		w.wantForward(1, "http://app1:8080")
		w.wantWrites("they stopped", onePut)
		g.holds("a war over a host")
		w.token = "" // a day is over
		theirs()
		pass(30 * time.Second)
		w.wantForward(1, "http://app1:8080")
		w.wantWrites("long after", onePut)
	})
}

// Another tool rewrites a field that labels set, and strips NPM's meta of what
// no502 notes there. What else is wrong with the host is put right all the same.
func TestFaultContestedField(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startNPM()
		g := w.guard()
		w.start()
		w.up(shop("web", "no502.cache", "true"))
		g.expects("web.example.com", "shop-web-1")
		pass(time.Minute)
		id := w.hostOf("web.example.com").id()
		w.asked()
		theirs := func() {
			if w.hostOf("web.example.com")["caching_enabled"] == true {
				w.edit(id, map[string]any{"caching_enabled": false, "meta": map[string]any{}})
			}
		}
		w.undo(20*time.Second, 30*time.Minute, theirs)
		if n := w.writes()["PUT proxy-hosts/{id}"]; n < 4 || n > 8 { // three, one after ten minutes, one after twenty more, and the notes
			t.Errorf("%d writes in half an hour", n)
		}
		w.edit(id, map[string]any{"forward_port": 9}) // and somebody breaks it
		pass(30 * time.Second)
		w.wantAnswer("contested", "web.example.com", "shop-web-1")
		if host := w.hostOf("web.example.com"); host["caching_enabled"] != false {
			t.Errorf("what is contested is written with the rest: %v", host)
		}
		pass(5 * time.Hour)
		if host := w.hostOf("web.example.com"); host["caching_enabled"] != true || !strings.Contains(fmt.Sprint(host["meta"]), "shop/web") {
			t.Errorf("they stopped long ago, and it is %v", host)
		}
		g.holds("a war over a field")
	})
}

// Somebody deletes again and again what labels declare.
func TestFaultContestedHost(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startNPM()
		g := w.guard()
		w.start()
		w.up(shop("web"))
		g.expects("web.example.com", "shop-web-1")
		pass(time.Minute)
		w.wantWrites("made", onePost)
		w.undo(time.Minute, 10*time.Hour, func() {
			if host := w.hostOf("web.example.com"); host != nil {
				w.person(http.MethodDelete, fmt.Sprintf("/nginx/proxy-hosts/%d", host.id()), nil, nil)
			}
		})
		if n := w.writes()["POST proxy-hosts"]; n < 6 || n > 9 {
			t.Errorf("it was made %d times more in ten hours", n)
		}
		w.wantFound("Contested", "deleting the proxy host web.example.com")
		pass(4 * time.Hour)
		w.wantWrites("they stopped", onePost)
		g.holds("a war over a host's being there")
	})
}

// Somebody disconnects a container from the network again and again.
func TestFaultContestedAttachment(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.strangers(2)
		w.startNPM()
		g := w.guard()
		g.expects("app1.example.com", "svc1")
		g.expects("app2.example.com", "svc2")
		w.start()
		pass(time.Minute)
		w.asked()
		w.undo(time.Minute, 10*time.Hour, func() {
			if on, err := w.people.Networks(t.Context(), "svc1"); err == nil && slices.Contains(on, "proxy") {
				w.must(w.people.Disconnect(t.Context(), "proxy", "svc1"))
			}
		})
		got := w.asked()
		if got[connects] < 6 || got[connects] > 9 || got[npmPuts] > 0 {
			t.Errorf("in ten hours: %v", got)
		}
		w.wantFound("Contested", "disconnecting the container svc1 from the network proxy")
		pass(4 * time.Hour)
		want(t, "they stopped", w.asked(), map[string]int{connects: 1, npmPuts: 0})
		g.holds("a war over an attachment")
	})
}

// wantFound fails unless a finding of this code says so, or did.
func (w *world) wantFound(code, text string) {
	w.t.Helper()
	if len(with(w.log.take(), `"finding":"`+code+`"`, text)) == 0 {
		w.t.Errorf("nothing %s was said about %s", code, text)
	}
}

// hostOf is the proxy host of a domain; nil where there is none.
func (w *world) hostOf(domain string) row {
	w.t.Helper()
	rows := w.rows("proxy-hosts")
	if i := slices.IndexFunc(rows, func(r row) bool { return slices.Contains(r.domains(), domain) }); i >= 0 {
		return rows[i]
	}
	return nil
}

// Somebody removes the proxy network that no502 made, with all that are on it
// disconnected first, as Docker requires. It is made anew, everything is attached
// again, addresses are kept, and NPM is not written to.
func TestFaultNetworkRemoved(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settings.network = "no502"
		w.strangers(3)
		w.startNPM()
		g := w.guard()
		for i := 1; i <= 3; i++ {
			g.expects(fmt.Sprintf("app%d.example.com", i), fmt.Sprintf("svc%d", i))
		}
		w.start()
		pass(time.Minute)
		members := []string{"npm", "no502", "svc1", "svc2", "svc3"}
		before := map[string]string{}
		for _, name := range members {
			before[name] = w.address(name, "no502")
		}
		w.asked()
		for _, name := range members {
			w.must(w.people.Disconnect(t.Context(), "no502", name))
		}
		w.must(w.people.RemoveNetwork(t.Context(), "no502"))
		pass(10 * time.Second)
		for _, name := range members {
			if now := w.address(name, "no502"); now != before[name] {
				t.Errorf("%s had the address %s, and has %s", name, before[name], now)
			}
		}
		got := w.asked()
		t.Logf("%v", got)
		if made := got["docker POST /networks/create"]; made > 2 || got[npmPuts] > 3 {
			t.Errorf("removed: %v", got)
		}
		g.check("removed")
		g.holds("the network was removed")
	})
}

// A container takes the name of another one that was renamed, as in a blue-green
// deployment, and two swap their names: each host goes on meaning the container
// that it meant, at once, and is written once for each new name.
func TestFaultNamesChange(t *testing.T) {
	for what, test := range map[string]struct {
		renames [][2]string
		pause   time.Duration
		writes  int
	}{
		"taken":          {[][2]string{{"svc1", "old"}, {"svc2", "svc1"}}, 0, 2},
		"taken, slowly":  {[][2]string{{"svc1", "old"}, {"svc2", "svc1"}}, 5 * time.Second, 2},
		"swapped":        {[][2]string{{"svc1", "spare"}, {"svc2", "svc1"}, {"spare", "svc2"}}, 0, 3},
		"swapped slowly": {[][2]string{{"svc1", "spare"}, {"svc2", "svc1"}, {"spare", "svc2"}}, 5 * time.Second, 3},
		"to and fro":     {[][2]string{{"svc1", "spare"}, {"spare", "svc1"}, {"svc1", "spare"}, {"spare", "svc1"}}, time.Second, 4},
	} {
		inBubble(t, func(t *testing.T, w *world) {
			w.startNPM()
			g := w.guard()
			for i := 1; i <= 3; i++ {
				w.app(fmt.Sprintf("svc%d", i), "proxy")
				w.host(i, fmt.Sprintf("svc%d", i), 8080)
				g.expects(fmt.Sprintf("app%d.example.com", i), fmt.Sprintf("svc%d", i))
			}
			w.start()
			pass(time.Minute)
			w.asked()
			for _, r := range test.renames {
				w.must(w.people.Rename(t.Context(), r[0], r[1]))
				pass(test.pause)
				if test.pause > 0 {
					g.check(what + ": " + r[0] + " is now " + r[1])
				}
			}
			pass(time.Second)
			g.check(what)
			got := w.writes()
			t.Logf("%s: %v; 1: %s, 2: %s", what, got, w.forward(1), w.forward(2))
			if got["PUT proxy-hosts/{id}"] > test.writes {
				t.Errorf("%s: wrote %v", what, got)
			}
			g.holds(what)
		})
	}
}

// Somebody edits a host in NPM's pages at the very moment that no502 writes it:
// when it reads the row once more before that, and after it has. What they did
// stays, and is followed.
func TestFaultEditedWhileWritten(t *testing.T) {
	edit := func(w *world, fields map[string]any) { w.edit(1, fields) }
	for what, test := range map[string]struct {
		person  func(w *world)
		serves  string // whom visitors get in the end; empty: nobody
		forward string
		stays   string // in the row
	}{
		"another field": {func(w *world) { edit(w, map[string]any{"advanced_config": "# theirs", "caching_enabled": true}) },
			"app1", "http://app1:8080", `"caching_enabled":true`},
		"another service": {func(w *world) { edit(w, map[string]any{"forward_host": "APP2", "forward_port": 8080}) },
			"app2", "http://app2:8080", ""},
		"a domain": {func(w *world) {
			edit(w, map[string]any{"domain_names": []string{"app1.example.com", "more.example.com"}})
		},
			"app1", "http://app1:8080", `"more.example.com"`},
		"leave it alone": {func(w *world) { edit(w, map[string]any{"advanced_config": "# no502: off"}) },
			"", "", `"# no502: off"`},
		"switched off": {func(w *world) { w.person(http.MethodPost, "/nginx/proxy-hosts/1/disable", nil, nil) },
			"", "", `"enabled":false`},
		"deleted": {func(w *world) { w.person(http.MethodDelete, "/nginx/proxy-hosts/1", nil, nil) }, "", "", ""},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPut} {
			inBubble(t, func(t *testing.T, w *world) {
				at := what + ", at no502's " + method
				w.crowd(2)
				w.startNPM()
				g := w.guard()
				g.expects("app2.example.com", "app2")
				if test.serves != "" {
					g.expects("app1.example.com", test.serves)
				} else {
					g.mayGo("proxy_host/1")
				}
				w.start()
				pass(time.Minute)
				w.edit(1, map[string]any{"forward_port": 9})
				w.asked()
				met := false
				w.failNPM(func(r *http.Request) *npmtest.Fault {
					if !met && r.Method == method && r.URL.Path == "/nginx/proxy-hosts/1" {
						met = true
						test.person(w)
					}
					return nil
				})
				pass(time.Minute)
				w.failNPM(nil)
				if !met {
					t.Fatal("nothing was written")
				}
				if test.forward != "" {
					w.wantForward(1, test.forward)
				}
				if what == "leave it alone" && method == http.MethodGet {
					w.wantForward(1, "http://app1:9") // no502 read that before it wrote
				}
				if row := string(w.npm.Snapshot()["proxy_host/1"]); !strings.Contains(row, test.stays) || (row == "") != (what == "deleted") {
					t.Errorf("%s: the host is now %s", at, row)
				}
				if n := w.writes()["PUT proxy-hosts/{id}"]; n > 2 {
					t.Errorf("%s: %d writes", at, n)
				}
				if said := with(w.log.take(), `"level":"error"`); len(said) > 0 {
					t.Errorf("%s: %q", at, said)
				}
				g.holds(at)
			})
		}
	}
}

// What keeps visitors out is put back each time, however often somebody takes it
// away.
func TestFaultAccessListTakenAway(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startNPM()
		w.person(http.MethodPost, "/nginx/access-lists", map[string]any{"name": "family", "satisfy_any": true, "pass_auth": false,
			"items": []any{map[string]any{"username": "me", "password": "canary"}}, "clients": []any{}}, nil)
		g := w.guard()
		w.start()
		w.up(shop("web", "no502.access-list", "family"))
		pass(time.Minute)
		id := w.hostOf("web.example.com").id()
		w.asked()
		taken := 0
		w.undo(time.Minute, time.Hour, func() {
			if w.hostOf("web.example.com")["access_list_id"] != 0.0 {
				w.edit(id, map[string]any{"access_list_id": 0})
				taken++
			}
		})
		w.wantWrites("an hour", map[string]int{"PUT proxy-hosts/{id}": taken})
		if taken != 60 || w.hostOf("web.example.com")["access_list_id"] == 0.0 {
			t.Errorf("taken away %d times, and it is %v", taken, w.hostOf("web.example.com"))
		}
		g.holds("an access list")
	})
}

// Somebody removes the network again and again.
func TestFaultContestedNetwork(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settings.network = "no502"
		w.strangers(1)
		w.startNPM()
		g := w.guard()
		g.expects("app1.example.com", "svc1")
		w.start()
		pass(time.Minute)
		w.asked()
		w.undo(time.Minute, 3*time.Hour, func() {
			for _, name := range []string{"npm", "no502", "svc1"} {
				_ = w.people.Disconnect(t.Context(), "no502", name) // it may not be on it
			}
			_ = w.people.RemoveNetwork(t.Context(), "no502")
		})
		got := w.asked()
		if made := got["docker POST /networks/create"]; made < 5 || made > 8 {
			t.Errorf("it was made %d times in three hours", made)
		}
		if got[connects] > 3*8 || got[npmPuts] > 8 {
			t.Errorf("in three hours: %v", got)
		}
		w.wantFound("Contested", "removing the network no502")
		pass(4 * time.Hour)
		g.holds("a war over the network")
	})
}
