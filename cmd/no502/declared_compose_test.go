package main

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// `docker compose up` of a service that declares a host: it is there at once,
// made by one request, and then nothing is left to do.
func TestDeclaredIsMadeOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settle()
		web := shop("web")
		w.up(web)
		pass(5 * time.Second)
		w.wantAnswer("up", "web.example.com", "shop-web-1")
		got := w.asked()
		t.Logf("a creation: %v", got)
		want(t, "a creation", got, map[string]int{
			"npm POST /nginx/proxy-hosts": 1, npmPuts: 0, connects: 1, lists: 0, logins: 0,
		})
		pass(longTime)
		w.wantWrites("later", nothing)
		if host := w.only("proxy-hosts"); host["block_exploits"] != true || host["allow_websocket_upgrade"] != true || !host.enabled() {
			t.Errorf("it began as %v", host)
		}
	})
}

// One service declares hosts of every kind.
func TestDeclaredKinds(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settle()
		web := shop("web", "no502.redirect-from", "www.example.com", "no502.parked", "old.example.com, older.example.com",
			"no502.tcp.stream", "25565", "no502.tcp.port", "8080", "no502.admin.host", "admin.example.com")
		w.up(web)
		pass(10 * time.Second)
		w.wantWrites("up", map[string]int{
			"POST proxy-hosts": 2, "POST redirection-hosts": 1, "POST dead-hosts": 1, "POST streams": 1,
		})
		pass(longTime)
		w.wantWrites("later", nothing)
		w.down(web)
		pass(longTime)
		w.wantEnd("away", map[string]int{
			"POST proxy-hosts/{id}/disable": 2, "POST redirection-hosts/{id}/disable": 1,
			"POST streams/{id}/disable": 1, "DELETE dead-hosts/{id}": 1,
		})
		w.up(web)
		pass(time.Minute)
		for _, kind := range []string{"proxy-hosts", "redirection-hosts", "dead-hosts", "streams"} {
			for _, r := range w.rows(kind) {
				if !r.enabled() {
					t.Errorf("back again, but off: %s %v", kind, r)
				}
			}
		}
		w.wantAnswer("back", "admin.example.com", "shop-web-1")
		t.Logf("back again: %v", w.writes())
		pass(longTime)
		w.wantWrites("later", nothing)
	})
}

// Labels are edited: the host that is there is edited, and stays the same one.
func TestDeclaredLabelsEdited(t *testing.T) {
	for _, network := range []string{"proxy", "no502"} {
		t.Run(network, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.settings.network = network // on its own, addresses are kept
				w.settle()
				web := shop("web")
				w.up(web)
				pass(time.Minute)
				w.wantWrites("up", onePost)
				id := w.only("proxy-hosts").id()
				for _, label := range []string{
					"no502.cache=true", "no502.websockets=false", "no502.host=a.example.com web.example.com",
					"no502.location.api.path=/api", "no502.block-exploits=false",
				} {
					what, value, _ := strings.Cut(label, "=")
					web.labels[what] = value
					w.recreate(web)
					pass(time.Minute)
					w.wantWrites(what, onePut)
					if now := w.only("proxy-hosts"); now.id() != id || !now.enabled() {
						t.Errorf("%s: now it is %v", what, now)
					}
					w.wantAnswer(what, "web.example.com", "shop-web-1")
				}
				w.log.take()
				web.labels = map[string]string{"no502.host": "new.example.com"}
				w.recreate(web)
				pass(time.Minute)
				w.wantWrites("another domain", onePut)
				host := w.only("proxy-hosts")
				if host.id() != id || strings.Join(host.domains(), " ") != "new.example.com" || host["caching_enabled"] == true {
					t.Errorf("moved to another domain, it is %v", host)
				}
				w.wantAnswer("another domain", "new.example.com", "shop-web-1")
				w.recreate(web) // as after a pull: nothing about its labels changes
				pass(time.Minute)
				if got := w.writes(); network == "no502" && len(got) > 0 || got["PUT proxy-hosts/{id}"] != len(got) || len(got) > 1 {
					t.Errorf("another image: wrote %v", got)
				}
				w.wantAnswer("another image", "new.example.com", "shop-web-1")
			})
		})
	}
}

// Three replicas share the one host, and all answer.
func TestDeclaredScales(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settle()
		web := shop("web")
		w.up(web)
		pass(time.Minute)
		w.wantWrites("up", onePost)
		id := w.only("proxy-hosts").id()
		w.scale(web, 3)
		pass(time.Minute)
		w.wantWrites("three", onePut)
		answers := map[string]bool{}
		for range 30 {
			status, body := w.visit("web.example.com")
			if status != http.StatusOK {
				t.Errorf("a visitor gets %d %s", status, body)
			}
			answers[strings.Fields(body)[0]] = true
		}
		if len(answers) != 3 {
			t.Errorf("%v answer", answers)
		}
		pass(longTime)
		w.wantWrites("a while", nothing)
		w.scale(web, 1)
		pass(time.Minute)
		got := w.writes()
		t.Logf("back to one: %v", got)
		if len(got) > 1 || got["PUT proxy-hosts/{id}"] > 2 {
			t.Errorf("back to one: wrote %v", got)
		}
		for range 3 {
			w.wantAnswer("back to one", "web.example.com", "shop-web-1")
		}
		if now := w.only("proxy-hosts"); now.id() != id {
			t.Errorf("another host: %v", now)
		}
		pass(longTime)
		w.wantWrites("another while", nothing)
	})
}

// A container is renamed: of a Compose service, whose identity stays, and a bare
// one, whose name is all that it is known by.
func TestDeclaredRename(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settle()
		web := shop("web")
		w.up(web)
		pass(time.Minute)
		w.wantWrites("up", onePost)
		w.must(w.people.Rename(t.Context(), "shop-web-1", "renamed"))
		pass(time.Minute)
		w.wantWrites("renamed", onePut)
		w.wantAnswer("renamed", "web.example.com", "shop-web-1")
		pass(longTime)
		w.wantWrites("later", nothing)
		w.must(w.people.Rename(t.Context(), "renamed", "shop-web-1"))
		pass(longTime)
		w.wantWrites("and back", onePut)
		if host := w.only("proxy-hosts"); !host.enabled() {
			t.Errorf("%v", host)
		}
	})
}

func TestDeclaredBareRename(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settle()
		c := anApp("blog", "proxy")
		c.Labels = map[string]string{"no502.host": "blog.example.com"}
		_, err := w.people.Run(t.Context(), c)
		w.must(err)
		pass(time.Minute)
		w.wantWrites("run", onePost)
		w.must(w.people.Rename(t.Context(), "blog", "journal"))
		pass(longTime)
		w.wantWrites("renamed", onePut)
		w.wantAnswer("renamed", "blog.example.com", "blog")
		if host := w.only("proxy-hosts"); host["forward_host"] != "journal" || !host.enabled() {
			t.Errorf("%v", host)
		}
	})
}

// Twenty services come up at once: each host is made once, and NPM is never
// asked for two changes at a time.
func TestDeclaredBurst(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const n, slow = 20, 200 * time.Millisecond
		w.settle()
		began := make(chan time.Time, 10*n)
		w.failNPM(slowly(slow, began))
		for _, name := range collide(n) {
			w.up(shop(name))
		}
		pass(time.Minute)
		w.failNPM(nil)
		got := w.asked()
		t.Logf("%d services: %v", n, got)
		want(t, "a burst", got, map[string]int{"npm POST /nginx/proxy-hosts": n, npmPuts: 0, connects: n, lists: 0})
		close(began)
		last := time.Time{}
		for at := range began {
			if at.Sub(last) < slow {
				t.Errorf("a write began %v after another", at.Sub(last))
			}
			last = at
		}
		for _, name := range collide(n) {
			w.wantAnswer("a burst", name+".example.com", "shop-"+name+"-1")
		}
		pass(longTime)
		w.wantWrites("later", nothing)
	})
}
