package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
	"github.com/no502/no502/controller/npm/npmtest"
)

// Let's Encrypt is asked once. Where it refuses it is left alone for hours,
// whatever happens to no502; what it gives the host gets.
func TestDeclaredLetsEncrypt(t *testing.T) {
	var asked atomic.Int32
	var grants atomic.Bool
	inBubble(t, func(t *testing.T, w *world) {
		w.settle()
		w.up(shop("web", "no502.certificate", "letsencrypt", "no502.letsencrypt.email", "me@example.com", "no502.force-ssl", "true"))
		pass(time.Minute)
		t.Logf("refused: %v", w.writes())
		w.wantAnswer("refused", "web.example.com", "shop-web-1")
		for range 3 {
			w.stop()
			w.start()
			pass(30 * time.Minute)
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("Let's Encrypt was asked %d times in 90 minutes", n)
		}
		w.wantWrites("refused", nothing)
		w.stop()
		w.settings.poll, w.settings.resync = time.Hour, time.Hour // weeks are long
		w.start()
		pass(7 * 24 * time.Hour)
		if n := asked.Load(); n < 5 || n > 10 {
			t.Errorf("Let's Encrypt was asked %d times in a week", n)
		}
		w.writes()
		grants.Store(true)
		pass(2 * 24 * time.Hour)
		t.Logf("granted: %v", w.writes())
		host := w.only("proxy-hosts")
		if host["certificate_id"] != 1.0 && host["certificate_id"] == 0.0 || host["ssl_forced"] != true {
			t.Errorf("granted, the host is %v", host)
		}
		n := asked.Load()
		pass(7 * 24 * time.Hour)
		if again := asked.Load(); again != n {
			t.Errorf("it has one, and Let's Encrypt was asked %d times more", again-n)
		}
		w.wantWrites("granted", nothing)
	}, func(o *npmtest.Options) {
		o.LetsEncrypt = func(npmtest.LetsEncryptRequest) error {
			asked.Add(1)
			if !grants.Load() {
				return errors.New("too many certificates already issued for example.com")
			}
			return nil
		}
	})
}

// Somebody deletes a declared host in NPM: it is made again. Somebody switches it
// off: it stays off. Somebody edits it: what labels say is put back, the rest is
// theirs.
func TestDeclaredAndPeople(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settle()
		web := shop("web", "no502.cache", "true")
		w.up(web)
		pass(time.Minute)
		w.wantWrites("up", onePost)
		w.person(http.MethodDelete, fmt.Sprintf("/nginx/proxy-hosts/%d", w.only("proxy-hosts").id()), nil, nil)
		pass(w.settings.poll + 5*time.Second)
		w.wantWrites("deleted", onePost)
		w.wantAnswer("deleted", "web.example.com", "shop-web-1")

		id := w.only("proxy-hosts").id()
		w.edit(id, map[string]any{"caching_enabled": false, "advanced_config": "# theirs", "allow_websocket_upgrade": false})
		pass(longTime)
		w.wantWrites("edited", onePut)
		host := w.only("proxy-hosts")
		if host["caching_enabled"] != true || host["advanced_config"] != "# theirs" || host["allow_websocket_upgrade"] == true {
			t.Errorf("edited, it is %v", host)
		}

		w.person(http.MethodPost, fmt.Sprintf("/nginx/proxy-hosts/%d/disable", id), nil, nil)
		pass(longTime)
		w.recreate(web)
		pass(longTime)
		w.stop()
		w.start()
		pass(longTime)
		w.wantWrites("switched off", nothing)
		if w.only("proxy-hosts").enabled() {
			t.Error("somebody switched it off, and it is on")
		}
		w.person(http.MethodPost, fmt.Sprintf("/nginx/proxy-hosts/%d/enable", id), nil, nil)
		pass(longTime)
		w.wantAnswer("on again", "web.example.com", "shop-web-1")
	})
}

// second is another no502 on the same Engine and NPM; it is stopped by what is
// returned.
func (w *world) second(name, prefix string, like ...func(*settings, *place)) (said *lines, stop func()) {
	w.t.Helper()
	id := w.add("no502-"+name, dockerdtest.App{Networks: []string{"proxy"}})
	box := w.docker.Box("no502-" + name)
	other := &world{t: w.t, settings: w.settings, place: w.place}
	other.settings.instance, other.settings.labelPrefix = name, prefix
	other.place.dial, other.place.listen, other.place.selfHints = box.DialContext, box.Listen, []string{id}
	for _, change := range like {
		change(&other.settings, &other.place)
	}
	other.start()
	return &other.log, other.stop
}

// Two no502 share an NPM. Neither touches what the other has made, whether they
// read the same labels or each their own.
func TestDeclaredTwoInstances(t *testing.T) {
	for _, prefix := range []string{"no502", "other"} {
		inBubble(t, func(t *testing.T, w *world) {
			w.settle()
			said, stop := w.second("other", prefix)
			web := shop("web", "no502.on-remove", "delete")
			blog := shop("blog")
			blog.labels = map[string]string{prefix + ".host": "blog.example.com", prefix + ".on-remove": "delete"}
			w.up(web, blog)
			pass(time.Minute)
			if got := w.writes(); len(w.rows("proxy-hosts")) != 2 || len(got) != 1 || got["POST proxy-hosts"] > 4 { // NPM refuses the slower one's
				t.Errorf("up, prefix %s: wrote %v", prefix, got)
			}
			w.wantAnswer("up", "web.example.com", "shop-web-1")
			w.wantAnswer("up", "blog.example.com", "shop-blog-1")
			before := w.npm.Snapshot()
			pass(longTime)
			w.wantWrites("later", nothing)
			stop()
			pass(longTime)
			w.wantWrites("one is gone", nothing)
			for key, row := range w.npm.Snapshot() {
				if string(before[key]) != string(row) {
					t.Errorf("%s was %s, is %s", key, before[key], row)
				}
			}
			if all := w.log.everything() + said.everything(); prefix == "no502" && !strings.Contains(all, "OwnedByOther") {
				t.Errorf("the slower one did not say whose the hosts are: %s", all)
			}
			w.down(web, blog)
			pass(longTime)
			mine := 0
			for _, r := range w.rows("proxy-hosts") {
				if strings.Contains(fmt.Sprint(r["meta"]), "instance:other") {
					mine++
				}
			}
			if rows := w.rows("proxy-hosts"); len(rows) != mine {
				t.Errorf("left are %v", rows)
			}
		})
	}
}
