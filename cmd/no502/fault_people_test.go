package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
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
