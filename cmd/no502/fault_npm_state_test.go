package main

import (
	"net/http"
	"net/http/httptest"
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
		if n := len(with(w.log.take(), `"level":"error"`)); n == 0 || n > 2 { // of the host to make and the one to repair
			t.Errorf("that NPM writes nothing was said %d times", n)
		}
		wrote := w.writes()
		if n := wrote["PUT proxy-hosts/{id}"]; wrote["POST proxy-hosts"] != 1 || n == 0 || n > 60 {
			t.Errorf("wrote %v in an hour", wrote)
		}
		w.npm.RemoveConf("proxy_host/999.conf")
		pass(7 * time.Minute) // the longest pause
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
		// nginx's words hold a number of its own each time; what it said to them may
		// go unseen, if no502 writes at the same moment.
		if n := len(with(w.log.take(), "NginxRejected")); n < 1 || n > 2 {
			t.Errorf("it was said %d times", n)
		}
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

// A host that no502 switched off comes back with labels that claim one domain
// more, of a host that its user does not see.
func TestFaultBackWithADomainOfAHiddenHost(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const email = "small@example.com"
		var user struct{ ID int }
		w.person(http.MethodPost, "/users", map[string]any{
			"name": "small", "nickname": "small", "email": email, "roles": []string{}, "is_disabled": false,
			"auth": map[string]any{"type": "password", "secret": testPassword},
		}, &user)
		w.settings.npmEmail = email
		w.startNPM()
		w.npm.AddHost(npmtest.ProxyHost{ID: 50, DomainNames: []string{"other.example.com"}, ForwardHost: "192.0.2.9", ForwardPort: 80})
		w.start()
		web := shop("web", "no502.on-stop", "disable", "no502.grace", "1m")
		w.up(web)
		pass(time.Minute)
		w.halt(web)
		pass(10 * time.Minute)
		w.log.take()
		w.writes()
		web.labels["no502.host"] = "web.example.com, other.example.com"
		w.recreate(web)
		pass(time.Hour)
		said := w.log.take()
		if n := len(with(said, "other.example.com is already in use by a host that user small@example.com does not see", "Item Visibility: All Items")); n != 1 {
			t.Errorf("it was said %d times, in\n%s", n, strings.Join(said, ""))
		}
		got := w.writes()
		if n := got["PUT proxy-hosts/{id}"]; n > 12 {
			t.Errorf("%d tries in an hour: %v", n, got)
		}
		w.person(http.MethodDelete, "/nginx/proxy-hosts/50", nil, nil)
		pass(11 * time.Minute)
		w.wantAnswer("the domain is free", "other.example.com", "shop-web-1")
	})
}

// firstUser is made by whoever opens the page of a new NPM first.
func (w *world) firstUser() {
	w.t.Helper()
	body := `{"name":"a","nickname":"a","email":"` + testEmail + `","roles":["admin"],"is_disabled":false,"auth":{"type":"password","secret":"` + testPassword + `"}}`
	r := httptest.NewRequest(http.MethodPost, "/api/users?person", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	got := httptest.NewRecorder()
	if w.npm.API().ServeHTTP(got, r); got.Code != http.StatusCreated {
		w.t.Errorf("the first user: %d %s", got.Code, got.Body)
	}
}

// NPM is recreated with an empty volume: what labels declare comes back by itself
// once it is set up, and what people made there is gone. A number means another
// host now.
func TestFaultEmptyVolume(t *testing.T) {
	for _, setUp := range []bool{true, false} {
		inBubble(t, func(t *testing.T, w *world) {
			w.crowd(3)
			web := shop("web", "no502.grace", "5s", "no502.on-remove", "delete")
			w.up(web, shop("api"))
			w.settle()
			w.wantAnswer("before", "web.example.com", "shop-web-1")

			// A write of host 1 without an answer is to be made good, but of this NPM's.
			w.failNPM(func(r *http.Request) *npmtest.Fault {
				if r.Method == http.MethodPut {
					return &npmtest.Fault{Drop: true, After: true}
				}
				return nil
			})
			w.edit(1, map[string]any{"forward_host": "APP1"})
			pass(w.settings.poll + time.Second)
			w.failNPM(nil)
			w.npm.Close()
			w.log.take()
			pass(time.Minute)
			o := npmtest.Options{Network: w.docker.Box("npm"), Fault: w.faultOfNPM}
			if setUp {
				o.AdminEmail, o.AdminPassword = testEmail, testPassword
			}
			w.npm = npmtest.New(o)
			w.closers = append(w.closers, w.npm.Close)
			w.token = ""
			// Theirs has the number of the host that no502 still owes a write.
			w.npm.AddHost(npmtest.ProxyHost{ID: 1, DomainNames: []string{"theirs.example.com"}, ForwardHost: "192.0.2.7", ForwardPort: 80})
			theirs := w.npm.Snapshot()["proxy_host/1"]
			w.startNPM()
			pass(time.Minute)
			if !setUp {
				w.wantReady("NPM is not set up yet: open its admin page and make the first user")
				w.firstUser()
				pass(20 * time.Second)
			}
			w.wantReady("")
			said := w.log.take()
			if waits := map[bool]int{true: 0, false: 1}[setUp]; len(with(said, "could not reconcile")) > 0 || len(with(said, `"for":"its first user"`)) != waits {
				t.Errorf("said %s", strings.Join(said, ""))
			}
			for what := range w.writes() {
				if strings.HasPrefix(what, http.MethodDelete) || strings.HasPrefix(what, http.MethodPut) {
					t.Errorf("%s, of hosts that it did not have", what)
				}
			}
			domains := map[string]int{}
			for _, r := range w.rows("proxy-hosts") {
				domains[r.domains()[0]] = r.id()
			}
			if len(domains) != 3 || domains["web.example.com"] == 0 || domains["api.example.com"] == 0 {
				t.Errorf("NPM has %v", domains)
			}
			g := w.guard()
			g.bystanders["proxy_host/1"] = theirs
			g.expects("web.example.com", "shop-web-1")
			g.expects("api.example.com", "shop-api-1")
			g.holds("an empty volume")
		})
	}
}
