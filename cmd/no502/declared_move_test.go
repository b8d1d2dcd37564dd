package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// The only domain of one service is given to another, which has a host already.
// The first one's host has nothing else to serve, and goes after the grace; where
// its labels said that it is kept, that is said, and somebody has to see to it.
func TestDeclaredDomainMoves(t *testing.T) {
	for _, onRemove := range []string{"disable", "keep", "delete"} {
		for _, giverFirst := range []bool{true, false} {
			inBubble(t, func(t *testing.T, w *world) {
				when := fmt.Sprintf("on-remove %s, giver first %t", onRemove, giverFirst)
				w.settle()
				giver, taker := shop("giver", "no502.on-remove", onRemove), shop("taker")
				w.up(giver, taker)
				pass(time.Minute)
				w.wantWrites("up", map[string]int{"POST proxy-hosts": 2})
				giver.labels = map[string]string{"no502.enable": "true"}
				taker.labels["no502.host"] += ", giver.example.com"
				order := []*service{giver, taker}
				if !giverFirst {
					order = []*service{taker, giver}
				}
				for _, s := range order {
					w.recreate(s)
				}
				pass(longTime)
				if onRemove == "keep" {
					if n := len(with(w.log.text, `"finding":"DomainTaken"`)); n != 1 {
						t.Errorf("%s: that the domain is taken was said %d times", when, n)
					}
					w.person(http.MethodDelete, "/nginx/proxy-hosts/1", nil, nil)
					pass(time.Minute)
				}
				w.wantAnswer(when, "taker.example.com", "shop-taker-1")
				w.wantAnswer(when, "giver.example.com", "shop-taker-1")
				w.writes()
				pass(longTime)
				w.wantWrites(when+", later", nothing)
			})
		}
	}
}

// A service is renamed in its Compose file: the host goes on under its number.
func TestDeclaredServiceRenamed(t *testing.T) {
	for _, pause := range []time.Duration{0, time.Hour} {
		inBubble(t, func(t *testing.T, w *world) {
			w.settle()
			web := shop("web")
			w.up(web)
			pass(time.Minute)
			w.wantWrites("up", onePost)
			id := w.only("proxy-hosts").id()
			w.edit(id, map[string]any{"advanced_config": "# theirs"})
			w.down(web)
			pass(pause)
			site := shop("site", "no502.host", "web.example.com")
			w.up(site)
			pass(longTime)
			w.wantAnswer("renamed", "web.example.com", "shop-site-1")
			if host := w.only("proxy-hosts"); host.id() != id || host["advanced_config"] != "# theirs" {
				t.Errorf("%v later it is %v", pause, host)
			}
			w.writes()
			pass(longTime)
			w.wantWrites("later", nothing)
		})
	}
}
