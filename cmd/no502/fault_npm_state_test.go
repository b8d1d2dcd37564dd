package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/controller/npm/npmtest"
)

// A broken file among nginx's, of whatever origin, makes every write fail while
// NPM's rows change: no502 tries ever more seldom, and once it is gone nginx has
// what the rows say.
func TestFaultBrokenFile(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		j := w.work()
		w.npm.WriteConf("proxy_host/999.conf", "server { nonsense on; }\n")
		j.comesUp()
		pass(time.Hour)
		said := w.log.take()
		t.Logf("%v\n%s", w.writes(), strings.Join(said, ""))
		w.npm.RemoveConf("proxy_host/999.conf")
		pass(7 * time.Minute)
		j.wantDone("a broken file")
		j.g.holds("a broken file")
	})
}

// Somebody's own words make nginx refuse an opted-in host, whose forward settings
// are wrong as well: what no502 has to write it writes once, and the host is
// right when they mend theirs.
func TestFaultNginxOffline(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		j := w.work()
		j.comesUp()
		w.edit(2, map[string]any{"advanced_config": "nonsense on;", "forward_host": "APP2"})
		pass(time.Hour)
		said := w.log.take()
		t.Logf("%v\n%s", w.writes(), strings.Join(said, ""))
		w.wantForward(2, "http://app2:8080")
		w.edit(2, map[string]any{"advanced_config": "# sense"})
		pass(time.Minute)
		j.wantDone("offline")
		j.g.holds("offline")
	})
}

// no502's user sees its own hosts only, and a domain that it is to serve belongs
// to one that it does not see: that is said, with what to do, and not tried
// again and again.
func TestFaultDomainOfAHiddenHost(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const email = "small@example.com"
		var user struct{ ID int }
		w.person(http.MethodPost, "/users", map[string]any{
			"name": "small", "nickname": "small", "email": email, "roles": []string{}, "is_disabled": false,
			"auth": map[string]any{"type": "password", "secret": testPassword},
		}, &user)
		w.settings.npmEmail = email
		w.startNPM()
		g := w.guard()
		w.npm.AddHost(npmtest.ProxyHost{ID: 50, DomainNames: []string{"web.example.com"}, ForwardHost: "192.0.2.9", ForwardPort: 80})
		w.start()
		w.up(shop("web"), shop("free"))
		g.expects("free.example.com", "shop-free-1")
		pass(time.Hour)
		said := w.log.take()
		if n := len(with(said, "web.example.com is already in use by a host that user small@example.com does not see", "Item Visibility: All Items")); n != 1 {
			t.Errorf("it was said %d times, in\n%s", n, strings.Join(said, ""))
		}
		if n := len(with(said, `"level":"error"`)); n > 0 {
			t.Errorf("%d errors in\n%s", n, strings.Join(said, ""))
		}
		if n := w.writes()["POST proxy-hosts"]; n > 12 { // one of them is the other host's
			t.Errorf("%d tries in an hour", n-1)
		}
		w.person(http.MethodDelete, "/nginx/proxy-hosts/50", nil, nil)
		pass(11 * time.Minute)
		g.expects("web.example.com", "shop-web-1")
		g.holds("a hidden host")
	})
}
