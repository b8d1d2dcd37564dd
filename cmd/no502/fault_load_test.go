package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
	"github.com/no502/no502/controller/dockerd/stage"
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

// A container crashes once a second for a minute. With another address each time,
// since another one takes the free one, that is worth two writes: nginx looks the
// name up itself; a stream is not written either before its service stays. In the
// end visitors get it as soon as it does.
func TestFaultCrashLoop(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startNPM()
		w.app("web", "proxy", func(c *stage.Container) {
			c.Labels = map[string]string{"no502.enable": "true", "no502.tcp.stream": "5433", "no502.tcp.port": "8080"}
		})
		w.host(1, "web", 8080)
		g := w.guard()
		g.expects("app1.example.com", "web")
		w.start()
		pass(time.Minute)
		w.asked()
		moves, was := 0, w.address("web", "proxy")
		for i := range 60 {
			w.must(w.docker.Exit("web", 1))
			pass(500 * time.Millisecond)
			if i%2 == 0 {
				w.app("other", "proxy", func(c *stage.Container) { c.Labels = nil })
			} else {
				w.must(w.people.Remove(t.Context(), "other"))
			}
			w.must(w.people.Start(t.Context(), "web"))
			pass(500 * time.Millisecond)
			if is := w.address("web", "proxy"); is != was {
				moves, was = moves+1, is
			}
		}
		if moves < 50 {
			t.Fatalf("it had another address only %d times", moves)
		}
		pass(2 * time.Second)
		w.wantAnswer("as soon as it stays", "app1.example.com", "web")
		for _, s := range w.rows("streams") {
			if s["incoming_port"] == 5433.0 && s["forwarding_host"] != was {
				t.Errorf("the stream leads to %v, want %s", s["forwarding_host"], was)
			}
		}
		got := w.writes()
		if t.Logf("60 restarts: %v", got); got["PUT proxy-hosts/{id}"] > 2 || got["PUT streams/{id}"] > 2 {
			t.Errorf("wrote %v", got)
		}
		g.holds("a crash loop")
	})
}

// 200 containers are started within two seconds: each is attached once, each host
// written once, and all are served.
func TestFaultManyStart(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const n = 200
		w.startNPM()
		g := w.guard()
		w.start()
		for i := 1; i <= n; i++ {
			w.host(i, "localhost", 13000+i)
			g.expects(fmt.Sprintf("app%d.example.com", i), fmt.Sprintf("svc%d", i))
		}
		w.must(w.people.Network(t.Context(), "svc_default", "10.1.0.0/16", nil))
		pass(time.Minute)
		w.asked()
		for i := 1; i <= n; i++ {
			name := fmt.Sprintf("svc%d", i)
			w.app(name, "svc_default", func(c *stage.Container) { c.Publish = []string{fmt.Sprintf("%d:8080", 13000+i)} })
			<-time.After(10 * time.Millisecond)
		}
		pass(5 * time.Second)
		got := w.asked()
		want(t, "200 starts", got, map[string]int{npmPuts: n, connects: n, lists: 0, logins: 0})
		if got[inspects] > 3*n { // made, attached, started
			t.Errorf("%d inspections", got[inspects])
		}
		g.holds("200 starts")
	})
}

// A thousand events a second for a minute, of ten containers: whose health goes up
// and down, and which are paused and go on. Each is inspected five times a second
// at most, and NPM is not written to.
func TestFaultEventStorm(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const containers, seconds = 10, 60
		for i := 1; i <= containers; i++ {
			name := fmt.Sprintf("app%d", i)
			w.add(name, dockerdtest.App{Labels: enabled, Networks: []string{"proxy"}, Expose: []string{"8080"}, Health: true})
			l, err := w.docker.Box(name).Listen("tcp", ":8080")
			w.must(err)
			go w.backends.Serve(l) //nolint:errcheck // ends with the world
			w.host(i, name, 8080)
		}
		w.startNPM()
		g := w.guard()
		g.crowd(containers)
		w.start()
		pass(time.Minute)
		w.asked()
		for i := range seconds * 1000 {
			name := fmt.Sprintf("app%d", i%containers+1)
			switch i / containers % 4 {
			case 0:
				w.must(w.docker.SetHealth(name, "unhealthy"))
			case 1:
				w.must(w.docker.SetHealth(name, "healthy"))
			case 2:
				w.must(w.people.Pause(t.Context(), name))
			default:
				w.must(w.people.Unpause(t.Context(), name))
			}
			<-time.After(time.Millisecond)
		}
		pass(time.Second)
		got := w.asked()
		t.Logf("60,000 events: %v", got)
		if most := containers * (5*seconds + 10); got[inspects] > most {
			t.Errorf("%d inspections, want %d at most", got[inspects], most)
		}
		want(t, "a storm", got, map[string]int{npmPuts: 0, connects: 0, lists: 0, streams: 0})
		if n := len(w.log.take()); n > containers*6*seconds {
			t.Errorf("%d lines", n)
		}
		g.holds("a storm")
	})
}
