package main

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

// What becomes of a host when its service stops, or goes away, once the grace is
// over; and that it comes back.
func TestDeclaredEnds(t *testing.T) {
	for _, test := range []struct {
		label, value string
		stop, remove map[string]int
		lost         bool // made anew when it comes back
	}{
		{"no502.on-stop", "keep", nothing, oneOff, false},
		{"no502.on-stop", "disable", oneOff, oneOff, false},
		{"no502.on-stop", "delete", oneGone, oneGone, true},
		{"no502.on-remove", "keep", nothing, nothing, false},
		{"no502.on-remove", "delete", nothing, oneGone, true},
	} {
		if test.label == "no502.on-stop" && test.value == "delete" {
			test.remove = oneOff // that is on-remove's to say
		}
		inBubble(t, func(t *testing.T, w *world) {
			said := test.label + "=" + test.value
			w.settle()
			web := shop("web", test.label, test.value, "no502.grace", "5m")
			w.up(web)
			pass(time.Minute)
			w.wantWrites(said, onePost)

			// A restart and a recreate inside the grace are nothing.
			w.halt(web)
			pass(4 * time.Minute)
			w.resume(web)
			pass(10 * time.Minute)
			w.wantNoEnd(said + ": restart")
			w.down(web)
			pass(4 * time.Minute)
			w.up(web)
			pass(10 * time.Minute)
			w.wantNoEnd(said + ": recreate")

			w.halt(web)
			pass(4*time.Minute + 50*time.Second)
			w.wantNoEnd(said + ": just stopped")
			pass(longTime)
			w.wantEnd(said+": stopped", test.stop)
			w.resume(web)
			pass(time.Minute)
			w.wantAnswer(said+": started", "web.example.com", "shop-web-1")
			w.writes()

			w.down(web)
			pass(4*time.Minute + 50*time.Second)
			w.wantNoEnd(said + ": just removed")
			pass(longTime)
			w.wantEnd(said+": removed", test.remove)
			w.up(web)
			pass(time.Minute)
			w.wantAnswer(said+": back", "web.example.com", "shop-web-1")
			w.writes()
			pass(longTime)
			w.wantWrites(said+": a while later", nothing)
		})
	}
}

// ends are no502's writes that switch hosts off or delete them, since the last
// time.
func (w *world) ends() map[string]int {
	got := w.writes()
	maps.DeleteFunc(got, func(what string, _ int) bool {
		return !strings.HasPrefix(what, "DELETE") && !strings.HasSuffix(what, "/disable")
	})
	return got
}

func (w *world) wantEnd(what string, want map[string]int) {
	w.t.Helper()
	if got := w.ends(); !maps.Equal(got, want) {
		w.t.Errorf("%s: %v, want %v\n%s", what, got, want, strings.Join(w.log.take(), ""))
	}
	w.log.take()
}

// wantNoEnd fails if anything was switched off or deleted.
func (w *world) wantNoEnd(what string) {
	w.t.Helper()
	w.wantEnd(what, nothing)
}

// Labels that no longer declare a host are as a service that is gone.
func TestDeclaredLabelsRemoved(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settle()
		web := shop("web", "no502.admin.host", "admin.example.com", "no502.admin.on-remove", "delete")
		w.up(web)
		pass(time.Minute)
		w.wantWrites("up", map[string]int{"POST proxy-hosts": 2})
		delete(web.labels, "no502.admin.host")
		delete(web.labels, "no502.admin.on-remove")
		w.recreate(web)
		pass(20 * time.Second)
		w.wantNoEnd("within the grace")
		pass(longTime)
		w.wantEnd("one route less", oneGone)
		w.wantAnswer("one route less", "web.example.com", "shop-web-1")
		web.labels = map[string]string{"no502.enable": "false"}
		w.recreate(web)
		pass(longTime)
		w.wantNoEnd("never touch it")
	})
}

// More hosts are to be deleted than the operator allows: none is, which is said
// once for each, until a person has seen to it.
func TestDeclaredLandslide(t *testing.T) {
	for what, see := range map[string]func(w *world, all []*service){
		"the limit is raised": func(w *world, _ []*service) {
			w.stop()
			w.settings.maxDeletes = 10
			w.start()
		},
		"deleted by hand": func(w *world, all []*service) {
			for _, r := range w.rows("proxy-hosts") {
				w.person("DELETE", fmt.Sprintf("/nginx/proxy-hosts/%d", r.id()), nil, nil)
			}
		},
		"back again": func(w *world, all []*service) { w.up(all...) },
	} {
		inBubble(t, func(t *testing.T, w *world) {
			w.settle()
			var all []*service
			for i := range 6 {
				all = append(all, shop(fmt.Sprintf("svc%d", i), "no502.on-remove", "delete"))
			}
			w.up(all...)
			pass(time.Minute)
			w.wantWrites("up", map[string]int{"POST proxy-hosts": 6})
			w.down(all...)
			pass(time.Hour)
			if n := len(with(w.log.text, `"finding":"DeleteLimit"`)); n != 6 {
				t.Errorf("that there are too many was said %d times", n)
			}
			w.wantWrites("six are gone", nothing)
			w.stop()
			w.start()
			pass(longTime)
			w.wantWrites("after a restart", nothing)
			see(w, all)
			pass(longTime)
			switch got, rows := w.ends(), w.rows("proxy-hosts"); what {
			case "the limit is raised":
				if got["DELETE proxy-hosts/{id}"] != 6 || len(rows) != 0 {
					t.Errorf("%s: wrote %v, and there are %d hosts", what, got, len(rows))
				}
			case "deleted by hand":
				if len(got) > 0 || len(rows) > 0 {
					t.Errorf("%s: wrote %v, and there are %d hosts", what, got, len(rows))
				}
			case "back again":
				if len(got) > 0 || len(rows) != 6 {
					t.Errorf("%s: wrote %v, and there are %d hosts", what, got, len(rows))
				}
				w.down(all[0]) // one alone goes, now that it is no landslide
				pass(time.Hour)
				w.wantEnd("one alone", oneGone)
			}
		})
	}
}
