package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
	"github.com/no502/no502/controller/dockerd/stage"
)

// replace makes a container of the same name anew: another ID and host name,
// and another address, since somebody else has taken the old one meanwhile.
func (w *world) replace(c stage.Container) (id string) {
	w.t.Helper()
	before := w.address(c.Name, "proxy")
	w.must(w.people.Remove(w.t.Context(), c.Name))
	w.add("squatter-of-"+c.Name, dockerdtest.App{Networks: []string{"proxy"}})
	id, err := w.people.Run(w.t.Context(), c)
	w.must(err)
	if now := w.address(c.Name, "proxy"); now == before {
		w.t.Fatalf("%s has its old address %s again", c.Name, now)
	}
	return id
}

// owned are the hosts that no502 remembers something of, with what it remembers.
func (w *world) owned() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	for name, raw := range w.npm.Snapshot() {
		var row struct {
			Meta struct{ No502 json.RawMessage } `json:"meta"`
		}
		if w.must(json.Unmarshal(raw, &row)); len(row.Meta.No502) > 0 {
			all[name] = string(row.Meta.No502)
		}
	}
	return all
}

// ownedScene is a world with hosts that no502 made, took over and repaired, and
// some that are right.
func (w *world) ownedScene() *guard {
	w.t.Helper()
	w.crowd(3)
	w.host(20, "localhost", 13020)
	w.app("mended", "proxy", func(c *stage.Container) { c.Publish = []string{"13020:8080"} })
	w.startNPM()
	g := w.guard()
	g.crowd(3)
	g.expects("app20.example.com", "mended")
	w.up(shop("made"), shop("ends", "no502.on-remove", "delete", "no502.grace", "30s"))
	g.expects("made.example.com", "shop-made-1")
	g.expects("ends.example.com", "shop-ends-1")
	w.start()
	pass(2 * time.Minute)
	if n := len(w.owned()); n != 3 {
		w.t.Fatalf("no502 remembers %d hosts: %v", n, w.owned())
	}
	g.check("before the fault")
	w.asked()
	w.log.take()
	return g
}

// wantUntouched fails if what no502 remembers changed, or anything was written.
func (w *world) wantUntouched(what string, owned map[string]string) {
	w.t.Helper()
	if wrote := w.writes(); len(wrote) > 0 {
		w.t.Errorf("%s: wrote %v", what, wrote)
	}
	now := w.owned()
	for name, was := range owned {
		if now[name] != was {
			w.t.Errorf("%s: of %s it remembered %s, and now %s", what, name, was, now[name])
		}
	}
	if len(now) != len(owned) {
		w.t.Errorf("%s: it remembers %d hosts, and did %d", what, len(now), len(owned))
	}
}

// no502's own container is recreated: another ID, host name and address. What it
// remembers is in NPM, so its hosts are still its own, and stay as they are.
func TestFaultRecreatedUnderAnotherID(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		g := w.ownedScene()
		owned := w.owned()
		w.stop()
		again := stage.Container{Name: "no502", Image: appImage, Cmd: []string{"demo", "backend", "9999/http"}, Network: "proxy"}
		for range 3 {
			w.place.selfHints = []string{w.replace(again)}
			w.start()
			pass(20 * time.Minute)
			w.wantReady("")
			w.stop()
			w.must(w.people.Rename(t.Context(), "squatter-of-no502", "squatter-"+w.place.selfHints[0][:12]))
		}
		w.wantUntouched("three new lives", owned)
		w.start()
		w.down(shop("ends")) // it is still its own to delete
		pass(5 * time.Minute)
		if now := w.owned(); len(now) != 2 {
			t.Errorf("after one service went it remembers %v", now)
		}
		delete(g.serves, "ends.example.com")
		g.holds("its own recreate")
	})
}

// NPM's container is recreated under the running no502: another ID and another
// address, the same data. It is found again, and nothing is written for that.
func TestFaultNPMRecreatedUnderAnotherID(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const image = "jc21/nginx-proxy-manager:2"
		w.docker.Register(image, func(ctx context.Context, _ *dockerdtest.Box) int { <-ctx.Done(); return 0 })
		g := w.ownedScene()
		owned := w.owned()
		for range 3 {
			w.npm.Stop()
			w.replace(stage.Container{Name: "npm", Image: image, Network: "proxy"})
			pass(time.Minute)
			w.npm.Restart(1500 * time.Millisecond)
			pass(20 * time.Minute)
			w.wantReady("")
			w.must(w.people.Rename(t.Context(), "squatter-of-npm", "squatter-at-"+strings.ReplaceAll(w.address("npm", "proxy"), ".", "-")))
		}
		w.wantUntouched("three recreates of NPM", owned)
		g.holds("NPM's recreate")
	})
}
