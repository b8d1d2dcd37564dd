package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
)

// careless are services whose hosts go as soon as they may.
func careless(n int) (all []*service) {
	for i := range n {
		all = append(all, shop(fmt.Sprintf("svc%d", i), "no502.on-stop", "delete", "no502.on-remove", "delete", "no502.grace", "5s",
			"no502.redirect-from", fmt.Sprintf("www%d.example.com", i), "no502.parked", fmt.Sprintf("old%d.example.com", i)))
	}
	return all
}

// A list of containers that is empty or fails says of none that it is gone. The
// limit on deletions is not what protects the hosts here.
func TestDeclaredSurvivesBrokenLists(t *testing.T) {
	answer := func(status int, body string) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) {
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(status)
			_, _ = io.WriteString(rw, body)
		}
	}
	for what, f := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"breaks off": half, "is no list": answer(200, `{"message":"starting"}`), "is null": answer(200, "null"),
		"fails": answer(500, `{"message":"locked"}`), "is empty by a fault": answer(200, "[]"),
	} {
		inBubble(t, func(t *testing.T, w *world) {
			var broken atomic.Bool
			w.front(func(rw http.ResponseWriter, r *http.Request, engine http.Handler) {
				if broken.Load() && strings.HasSuffix(r.URL.Path, "/containers/json") {
					f(rw, r, engine)
					return
				}
				engine.ServeHTTP(rw, r)
			})
			w.settings.maxDeletes = 1000
			w.settle()
			w.up(careless(3)...)
			pass(time.Minute)
			w.wantWrites("up", map[string]int{"POST proxy-hosts": 3, "POST redirection-hosts": 3, "POST dead-hosts": 3})
			broken.Store(true)
			pass(w.settings.resync + time.Minute) // a resync fails
			w.docker.CutEvents()                  // and then the first list of a new stream
			pass(w.settings.resync + time.Minute)
			w.wantWrites("a list that "+what, nothing)
			w.stop() // the first list of another process
			w.start()
			pass(time.Hour)
			w.wantWrites("started with a list that "+what, nothing)
			broken.Store(false)
			pass(time.Hour)
			w.wantWrites("after a list that "+what, nothing)
		})
	}
}

// The Engine is away for an hour, and back.
func TestDeclaredSurvivesEngineAway(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settings.maxDeletes = 1000
		var away atomic.Bool
		engine := w.place.engine
		w.place.engine = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if away.Load() {
				return nil, errors.New("connection refused")
			}
			return engine(ctx, network, addr)
		}
		w.settle()
		all := careless(3)
		w.up(all...)
		pass(time.Minute)
		w.writes()
		drop := func(*http.Request) *dockerdtest.Fault { return &dockerdtest.Fault{Drop: true} }
		for _, meanwhile := range []string{"nothing", "stopped and started", "stopped"} {
			away.Store(true)
			w.docker.CutEvents()
			pass(time.Hour)
			if meanwhile != "nothing" {
				w.halt(all...)
			}
			pass(time.Hour)
			if meanwhile == "stopped and started" {
				w.resume(all...)
			}
			w.wantNoEnd("the Engine is away, meanwhile " + meanwhile)
			away.Store(false)
			pass(3 * time.Second)
			if meanwhile == "stopped" {
				w.wantNoEnd("the Engine is just back") // the grace begins when no502 sees it
				w.resume(all...)
			}
			pass(time.Hour)
			w.wantNoEnd("the Engine is back, meanwhile " + meanwhile)
		}
		w.failDocker(drop)
		pass(time.Hour)
		w.failDocker(nil)
		pass(time.Hour)
		w.wantNoEnd("the Engine answers nothing for an hour")
	})
}

// The Engine restarts: all containers are stopped, and started again by it.
func TestDeclaredSurvivesEngineRestart(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settings.maxDeletes = 1000
		w.settle()
		all := careless(3)
		w.up(all...)
		pass(time.Minute)
		w.writes()
		w.halt(all...)
		w.docker.CutEvents()
		pass(3 * time.Second)
		w.resume(all...)
		pass(time.Hour)
		w.wantNoEnd("restarted")
	})
}

// no502 is stopped in the middle of whatever happens to the services, as when
// the machine goes down: neither that nor its start, with the services not there
// yet, removes anything.
func TestDeclaredSurvivesShutdown(t *testing.T) {
	for _, after := range []time.Duration{0, time.Millisecond, time.Second, 4900 * time.Millisecond} {
		inBubble(t, func(t *testing.T, w *world) {
			w.settings.maxDeletes = 1000
			w.settle()
			all := careless(4)
			w.up(all[:3]...)
			pass(time.Minute)
			w.writes()
			go w.up(all[3]) // one is just being made
			w.halt(all[0])
			w.down(all[1])
			pass(after)
			w.halt(all[2])
			w.stop()
			pass(time.Hour)
			w.wantNoEnd(fmt.Sprintf("stopped %v after", after))
			w.start()
			pass(4900 * time.Millisecond)
			w.resume(all[0], all[2])
			w.up(all[1])
			pass(time.Hour)
			w.wantNoEnd(fmt.Sprintf("stopped %v after, and started", after))
			if n := len(w.rows("proxy-hosts")); n != 4 {
				t.Errorf("there are %d hosts", n)
			}
		})
	}
}

// Labels that cannot be read, or are not read any more, remove nothing.
func TestDeclaredSurvivesUnreadableLabels(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settings.maxDeletes = 1000
		w.settle()
		web := careless(1)[0]
		w.up(web)
		pass(time.Minute)
		w.writes()
		right := web.labels
		for _, labels := range []map[string]string{
			{"no502.enable": "true", "no502.hots": "svc0.example.com"},
			{"no502.host": "svc0..example.com"},
			{"no502.host": "svc0.example.com", "no502.redirect-form": "www0.example.com"},
			{"no502.host": "svc0.example.com", "no502.on-remove": "destroy"},
			{"no502.enable": "perhaps"},
		} {
			web.labels = labels
			w.recreate(web)
			pass(time.Hour)
			w.wantNoEnd(fmt.Sprint(labels))
		}
		web.labels = right
		w.recreate(web)
		pass(time.Hour)
		w.wantNoEnd("mended")

		w.stop()
		w.settings.labelPrefix = "proxy"
		w.start()
		pass(time.Hour)
		w.wantNoEnd("another prefix")
		w.down(web)
		pass(time.Hour)
		w.wantNoEnd("another prefix, and the service is gone")
	})
}

// Started where n services have their hosts already, no502 writes nothing and
// asks a constant number of questions of NPM.
func TestDeclaredStart(t *testing.T) {
	for _, n := range []int{1, 50} {
		inBubble(t, func(t *testing.T, w *world) {
			w.settle()
			for i := range n {
				w.up(shop(fmt.Sprintf("svc%d", i)))
			}
			pass(2 * time.Minute)
			w.stop()
			pass(2 * time.Second)
			w.asked()
			w.start()
			pass(10 * time.Second)
			got := w.asked()
			t.Logf("start with %d: %v", n, got)
			all := map[string]int{
				"npm GET /": 1, logins: 1, npmLists: 1, "npm GET /nginx/redirection-hosts": 1, "npm GET /nginx/dead-hosts": 1,
				"npm GET /nginx/streams": 1, "npm GET /nginx/access-lists": 1, "npm GET /nginx/certificates": 1,
				streams: 1, lists: 1, netLists: 1, inspects: n, "docker HEAD /_ping": 1,
			}
			want(t, "start", got, all)
			for what, times := range got {
				if all[what] == 0 {
					t.Errorf("%s was asked %d times", what, times)
				}
			}
			pass(time.Hour)
			w.wantWrites("an hour", nothing)
		})
	}
}
