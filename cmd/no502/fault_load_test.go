package main

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
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
// name up itself; a stream, and a host that names it in a custom location, are not
// written either before the service stays. In the end visitors get it as soon as it
// does.
func TestFaultCrashLoop(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startNPM()
		w.app("web", "proxy", func(c *stage.Container) {
			c.Labels = map[string]string{"no502.enable": "true", "no502.tcp.stream": "5433", "no502.tcp.port": "8080"}
		})
		w.host(1, "web", 8080)
		w.app("shop", "proxy")
		w.withLocation(2, "shop.example.com", "shop", "web")
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
		w.wantUnder("as soon as it stays", "shop.example.com", "/api", "web")
		for _, s := range w.rows("streams") {
			if s["incoming_port"] == 5433.0 && s["forwarding_host"] != was {
				t.Errorf("the stream leads to %v, want %s", s["forwarding_host"], was)
			}
		}
		got := w.writes()
		if t.Logf("60 restarts: %v", got); got["PUT proxy-hosts/{id}"] > 4 || got["PUT streams/{id}"] > 2 {
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
		// Made, attached, started; and once more where one was under way when the
		// container was attached, since it may not have seen that.
		if got[inspects] > 4*n {
			t.Errorf("%d inspections", got[inspects])
		}
		g.holds("200 starts")
	})
}

// A thousand events a second, for a minute with `make soak`, of ten containers,
// whose health goes up and down, and which are paused and go on. Each is inspected
// five times a second at most, and NPM is not written to.
func TestFaultEventStorm(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const containers = 10
		seconds := long(15, 60)
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
		for i := range 1000 * seconds {
			name := fmt.Sprintf("app%d", i%containers+1)
			switch i / containers % 20 {
			case 0:
				w.must(w.people.Pause(t.Context(), name))
			case 1:
				w.must(w.people.Unpause(t.Context(), name))
			default:
				w.must(w.docker.SetHealth(name, []string{"unhealthy", "healthy"}[i/containers%2]))
			}
			<-time.After(time.Millisecond)
		}
		pass(time.Second)
		got := w.asked()
		t.Logf("%d events: %d inspections", 1000*seconds, got[inspects])
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

// long is how much of something is tried: much of it only by `make soak`.
func long(usually, soak int) int {
	if os.Getenv("NO502_SOAK") != "" {
		return soak
	}
	return usually
}

// 1,000 hosts, and 10,000 with `make soak`: at the start each container is
// inspected once, an event costs the inspection of its container, and what no502
// holds of a host and its container is bounded.
func TestFaultManyHosts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const perHost = 16 << 10
		n := long(1000, 10_000)
		w.crowd(n)
		w.startNPM()
		w.asked()
		before := heap()
		w.start()
		pass(time.Minute)
		right := len(with(w.log.take(), `"proxy host is right"`))
		got := w.asked()
		if right != n {
			t.Errorf("%d hosts are right", right)
		}
		want(t, "start", got, map[string]int{inspects: n, lists: 1, npmPuts: 0, connects: 0, npmGets: 0})
		w.log.all.Reset()
		grown := heap() - before
		if t.Logf("%d MiB for %d hosts", grown>>20, n); grown > int64(n)*perHost {
			t.Errorf("%d KiB for each host and its container", grown/int64(n)>>10)
		}
		w.must(w.docker.SetHealth("app1", "unhealthy"))
		pass(5 * time.Second)
		want(t, "an event", w.asked(), map[string]int{inspects: 1, lists: 0, npmPuts: 0})
		if found := with(w.log.take(), "app1.example.com", "BackendUnhealthy"); len(found) != 1 {
			t.Errorf("found %q", found)
		}
		pass(w.settings.resync + time.Minute) // all is read anew
		want(t, "a resync", w.asked(), map[string]int{inspects: n, lists: 1, npmPuts: 0})
		if again := heap() - before; again > grown+grown/10 {
			t.Errorf("%d MiB after a resync", again>>20)
		}
	})
}

// heap is what is in use of it, in bytes.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools kept
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Containers that come and go (10,000 with `make soak`) leave nothing behind: no
// verdict, and no memory.
func TestFaultShortLivedContainers(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(1)
		w.startNPM()
		g := w.guard()
		g.crowd(1)
		w.start()
		live := func(n int) int64 {
			for i := range n {
				name := fmt.Sprintf("job%d", i)
				w.app(name, "proxy")
				<-time.After(20 * time.Millisecond)
				w.must(w.people.Remove(t.Context(), name))
			}
			pass(2 * w.settings.resync)
			w.asked()
			w.log.take()
			w.log.all.Reset()
			return heap()
		}
		before := live(100)
		n := long(1000, 10_000)
		grown := live(n) - before
		if t.Logf("%d KiB more after %d containers", grown>>10, n); grown > 4<<20 { // of which is the memory of 10,000 former names
			t.Errorf("%d KiB more after %d containers", grown>>10, n)
		}
		if verdicts := w.verdicts(); strings.Contains(verdicts, "job") {
			t.Errorf("there are verdicts of what is gone: %s", verdicts)
		}
		g.holds("short-lived containers")
	})
}
