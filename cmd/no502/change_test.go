package main

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/stage"
)

// One container changes among a thousand: what is asked is about it alone.
func TestOneContainerChanges(t *testing.T) {
	const n = 1000
	inBubble(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.crowd(n - 1)
		w.must(w.people.Network(ctx, "web_default", "", nil))
		w.app("web", "web_default")
		w.host(n, "web", 8080)
		w.settle()

		for _, change := range []struct {
			what   string
			do     func()
			bursts int // groups of events
			attach int
		}{
			{"restart", func() {
				w.must(w.people.Stop(ctx, "web"))
				w.must(w.people.Start(ctx, "web"))
			}, 2, 0},
			{"stop", func() { w.must(w.people.Stop(ctx, "web")) }, 1, 0},
			{"start", func() { w.must(w.people.Start(ctx, "web")) }, 1, 0},
			{"recreate", func() {
				w.must(w.people.Remove(ctx, "web"))
				pass(time.Second) // groups that overlap could not be counted
				_, err := w.people.Create(ctx, anApp("web", "web_default"))
				w.must(err)
				pass(time.Second)
				w.must(w.people.Start(ctx, "web"))
			}, 3, 1}, // remove, create, start
			{"health change", func() { w.must(w.docker.SetHealth("app1", "unhealthy")) }, 1, 0},
			{"disconnect by a person", func() { w.must(w.people.Disconnect(ctx, "proxy", "web")) }, 1, 1},
		} {
			w.asked()
			change.do()
			pass(12 * time.Second)
			got := w.asked()
			// An attachment whose address the Engine chose is looked at once.
			want(t, change.what, got, map[string]int{lists: 0, netLists: 0, connects: change.attach, logins: 0})
			if most := change.bursts + change.attach; got[inspects] > most {
				t.Errorf("%s: %d inspections for %d bursts of events", change.what, got[inspects], most)
			}
			if got[npmPuts] > 1 || got[npmGets] > 1 || got[npmLists] > 1 { // a poll is due meanwhile
				t.Errorf("%s: asked NPM for %v", change.what, got)
			}
			if status, body := w.visit(fmt.Sprintf("app%d.example.com", n)); change.what != "stop" && status != 200 {
				t.Errorf("%s: a visitor gets %d %s", change.what, status, body)
			}
		}
	})
}

// Somebody breaks a host in NPM's pages: it is mended at the next poll.
func TestEditInNPM(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(3)
		w.settle()
		for _, garbage := range []map[string]any{
			{"forward_port": 9999},
			{"forward_scheme": "https"},
			{"forward_host": "APP2", "forward_port": 8081},
		} {
			w.edit(2, garbage)
			pass(w.settings.poll + time.Second)
			w.wantForward(2, "http://app2:8080")
			got := w.asked()
			want(t, fmt.Sprint(garbage), got, map[string]int{npmPuts: 1, inspects: 0, lists: 0})
		}
		w.wantForward(1, "http://app1:8080")
		w.wantForward(3, "http://app3:8080")
	})
}

// On a network whose addresses the Engine chooses, a new address makes nginx
// wrong for up to ten seconds: the host is saved again, once.
func TestAddressChanges(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.app("web", "proxy")
		w.host(1, "web", 8080)
		w.settle()
		if status, body := w.visit("app1.example.com"); status != 200 {
			t.Fatalf("before: %d %s", status, body)
		}
		old := w.address("web", "proxy")
		w.must(w.people.Remove(ctx, "web"))
		w.app("squatter", "proxy", func(c *stage.Container) { c.Labels = nil }) // takes the address
		w.app("web", "proxy")
		if now := w.address("web", "proxy"); now == old {
			t.Fatalf("the address stayed %s, which tests nothing", now)
		}
		pass(2 * time.Second)
		if status, body := w.visit("app1.example.com"); status != 200 || body[:3] != "web" {
			t.Errorf("2 s later a visitor gets %d %s", status, body)
		}
		pass(time.Minute)
		want(t, "recreate", w.asked(), map[string]int{npmPuts: 1})
	})
}

// On a network of no502's own making a service keeps its address, so that NPM
// need not be told of anything.
func TestAddressKept(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.settings.network = "no502" // it is not there yet
		w.must(w.people.Network(ctx, "web_default", "", nil))
		w.app("web", "web_default")
		w.host(1, "web", 8080)
		w.settle()
		address := w.address("web", "no502")
		wantRight := func(when string) {
			t.Helper()
			if now := w.address("web", "no502"); now != address {
				t.Errorf("%s: the address is %s, was %s", when, now, address)
			}
			if status, body := w.visit("app1.example.com"); status != 200 {
				t.Errorf("%s: a visitor gets %d %s", when, status, body)
			}
			want(t, when, w.asked(), map[string]int{npmPuts: 0, lists: 0})
		}
		pass(time.Second)
		wantRight("start")
		for range 3 {
			w.must(w.people.Remove(ctx, "web"))
			w.app("web", "web_default")
			pass(5 * time.Second)
			wantRight("recreate")
		}
		for range 60 { // it crashes once a second, and is started again
			w.must(w.docker.Exit("web", 1))
			pass(500 * time.Millisecond)
			w.must(w.people.Start(ctx, "web"))
			pass(500 * time.Millisecond)
		}
		pass(5 * time.Second)
		wantRight("crash loop")
	})
}

// New services whose addresses would be the same get different ones, however
// many are made at the same time.
func TestAddressesNeverCollide(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.settings.network = "no502"
		w.must(w.people.Network(ctx, "web_default", "", nil))
		w.settle()
		names := collide(12)
		for i, name := range names {
			w.host(i+1, name, 8080)
		}
		done := make(chan struct{})
		for _, name := range names {
			go func() {
				w.app(name, "web_default")
				done <- struct{}{}
			}()
		}
		for range names {
			<-done
		}
		pass(30 * time.Second)
		owner := map[string]string{}
		engines := netip.MustParsePrefix("10.224.0.0/21") // the lower half
		for i, name := range names {
			addr := w.address(name, "no502")
			if other := owner[addr]; other != "" || addr == "" {
				t.Errorf("%s has the address %q of %q", name, addr, other)
			}
			owner[addr] = name
			if at, err := netip.ParseAddr(addr); err != nil || engines.Contains(at) {
				t.Errorf("%s has %s, of those that the Engine hands out, not one of its own", name, addr)
			}
			if status, body := w.visit(fmt.Sprintf("app%d.example.com", i+1)); status != http.StatusOK {
				t.Errorf("%s: a visitor gets %d %s", name, status, body)
			}
		}
		// Wherever the Engine refused an address it was not known to be taken.
		if got := w.asked(); got[connects] != len(names) {
			t.Errorf("%d attachments were asked for, want %d", got[connects], len(names))
		}
	})
}

// collide returns n names that hash to the same place among 2,048 addresses.
func collide(n int) (names []string) {
	for i := 0; len(names) < n; i++ {
		if name := fmt.Sprintf("svc%d", i); fnv32(name)%2048 == 7 {
			names = append(names, name)
		}
	}
	return names
}

func fnv32(s string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(s)) // never fails
	return h.Sum32()
}
