package main

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/no502/no502/controller/npm/npmtest"
)

// NPM makes a host, and the answer is lost: it is not made twice.
func TestDeclaredAnswerLost(t *testing.T) {
	for what, fault := range map[string]npmtest.Fault{
		"dropped":           {After: true, Drop: true},
		"an error":          {After: true, Status: 500, Body: `{"error":{"code":500,"message":"Internal Error"}}`},
		"refused":           {Status: 500, Body: `{"error":{"code":500,"message":"Internal Error"}}`},
		"a proxy before it": {After: true, Status: 504, Body: "<html>"},
	} {
		inBubble(t, func(t *testing.T, w *world) {
			w.settle()
			var lost atomic.Int32
			w.failNPM(func(r *http.Request) *npmtest.Fault {
				if r.Method == http.MethodPost && r.URL.Path != "/tokens" && lost.Add(1) <= 4 {
					return &fault
				}
				return nil
			})
			w.up(shop("web", "no502.redirect-from", "www.example.com", "no502.parked", "old.example.com", "no502.tcp.stream", "25565"))
			pass(10 * time.Minute)
			w.wantAnswer(what, "web.example.com", "shop-web-1")
			for _, kind := range modelKinds {
				if rows := w.rows(kind); len(rows) != 1 {
					t.Errorf("%s: %d %s", what, len(rows), kind)
				}
			}
			t.Logf("%s: %v", what, w.writes())
			pass(longTime)
			w.wantWrites(what, nothing)
		})
	}
}

// NPM is slow, and a host's end was decided: by the time that it is its turn the
// service is back, and nothing ends.
func TestDeclaredBackBeforeTheTurn(t *testing.T) {
	for _, end := range []string{"disable", "delete"} {
		inBubble(t, func(t *testing.T, w *world) {
			w.settle()
			web := shop("web", "no502.on-stop", end, "no502.on-remove", end, "no502.grace", "5s")
			w.up(web)
			for i := range 4 {
				w.up(shop(fmt.Sprint("svc", i), "no502.cache", "true"))
			}
			pass(time.Minute)
			w.writes()
			w.failNPM(func(r *http.Request) *npmtest.Fault {
				if r.Method == http.MethodPut {
					return &npmtest.Fault{Delay: 10 * time.Second}
				}
				return nil
			})
			for _, r := range w.rows("proxy-hosts") {
				if r["caching_enabled"] == true {
					w.edit(r.id(), map[string]any{"caching_enabled": false})
				}
			}
			pass(w.settings.poll) // they are being put right, one after the other
			w.halt(web)
			pass(15 * time.Second)
			w.resume(web)
			pass(longTime)
			w.wantNoEnd(end)
			w.wantAnswer(end, "web.example.com", "shop-web-1")
		})
	}
}

// Let's Encrypt gave a certificate, and soon after that another domain is
// declared: for that it is asked at once.
func TestDeclaredLetsEncryptAgain(t *testing.T) {
	var asked atomic.Int32
	inBubble(t, func(t *testing.T, w *world) {
		w.settle()
		web := shop("web", "no502.certificate", "letsencrypt", "no502.force-ssl", "true")
		w.up(web)
		pass(5 * time.Minute)
		if host := w.only("proxy-hosts"); asked.Load() != 1 || host["certificate_id"] != 1.0 || host["ssl_forced"] != true {
			t.Fatalf("asked %d times, the host is %v", asked.Load(), host)
		}
		t.Logf("granted: %v", w.writes())
		web.labels["no502.host"] += " www.example.com"
		w.recreate(web)
		pass(5 * time.Minute)
		if host := w.only("proxy-hosts"); asked.Load() != 2 || host["certificate_id"] != 2.0 || host["ssl_forced"] != true {
			t.Errorf("asked %d times, the host is %v", asked.Load(), host)
		}
		t.Logf("again: %v", w.writes())
		pass(longTime)
		w.wantWrites("later", nothing)
	}, func(o *npmtest.Options) {
		o.LetsEncrypt = func(npmtest.LetsEncryptRequest) error { asked.Add(1); return nil }
	})
}
