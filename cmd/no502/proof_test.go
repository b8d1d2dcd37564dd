package main

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/controller/npm/npmtest"
	"github.com/no502/no502/controller/report"
)

// served is what no502 says about whether visitors of a host get its backend.
func (w *world) served(domain string) report.ConditionView {
	w.t.Helper()
	var views []report.View
	w.must(json.Unmarshal([]byte(w.verdicts()), &views))
	for _, v := range views {
		if v.Name == domain && v.Kind == "proxy-host" {
			return v.Conditions["Served"]
		}
	}
	w.t.Errorf("nothing is said about %s", domain)
	return report.ConditionView{}
}

func (w *world) wantServedIs(when, domain, status, message string) {
	w.t.Helper()
	if got := w.served(domain); string(got.Status) != status || !strings.Contains(got.Message, message) {
		w.t.Errorf("%s: Served is %s: %q, want %s: %q\n%s", when, got.Status, got.Message, status, message, lastLines(w.log.everything(), 10))
	}
}

// visits counts what no502 asks of a backend by way of NPM and directly.
type visits struct{ through, direct atomic.Int32 }

// backend lets a container answer, and what it answers may depend on whether
// NPM asks or no502 itself.
func (w *world) backend(name string, answer func(fromNPM bool, rw http.ResponseWriter)) *visits {
	w.t.Helper()
	w.add(name, dockerdtest.App{Labels: enabled, Networks: []string{"proxy"}, Expose: []string{"8080"}})
	l, err := w.docker.Box(name).Listen("tcp", ":8080")
	w.must(err)
	npm, v := w.address("npm", "proxy"), &visits{}
	server := &http.Server{ErrorLog: quiet, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		if r.UserAgent() == "no502-probe" && r.Host != "" && net.ParseIP(strings.Split(r.Host, ":")[0]) == nil {
			if from == npm {
				v.through.Add(1)
			} else {
				v.direct.Add(1)
			}
		}
		answer(from == npm, rw)
	})}
	go server.Serve(l) //nolint:errcheck // ends with the world
	w.closers = append(w.closers, func() { server.Close() })
	return v
}

// After a repair no502 asks NPM for the host as a visitor does, and the backend
// for the same; not again while all is well.
func TestProofOfARepair(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		seen := w.backend("shop", func(_ bool, rw http.ResponseWriter) { _, _ = rw.Write([]byte("the shop")) })
		w.host(1, "SHOP", 8080)
		w.backend("plain", func(_ bool, rw http.ResponseWriter) { _, _ = rw.Write([]byte("plain")) })
		w.host(2, "plain", 8080)
		w.startNPM()
		w.start()
		pass(time.Hour)
		w.wantServedIs("repaired", "app1.example.com", "True", "NPM answers 200")
		w.wantServedIs("nothing was to be done", "app2.example.com", "Unknown", "")
		if through, direct := seen.through.Load(), seen.direct.Load(); through != 1 || direct != 1 {
			t.Errorf("it asked %d times by way of NPM and %d times directly", through, direct)
		}
	})
}

// What the backend itself answers is no fault of NPM's, be it an error; nor is
// what the host's own settings make of it.
func TestProofKnowsWhoseErrorItIs(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.backend("down", func(_ bool, rw http.ResponseWriter) { rw.WriteHeader(http.StatusBadGateway) })
		w.host(1, "DOWN", 8080)
		w.backend("lost", func(_ bool, rw http.ResponseWriter) { rw.WriteHeader(http.StatusNotFound) })
		w.host(2, "LOST", 8080)
		w.backend("moved", func(_ bool, rw http.ResponseWriter) { rw.Header().Set("Location", "/login"); rw.WriteHeader(302) })
		w.host(3, "MOVED", 8080)
		w.backend("refused", func(_ bool, rw http.ResponseWriter) { _, _ = rw.Write([]byte("welcome")) })
		w.npm.AddHost(npmtest.ProxyHost{ID: 4, DomainNames: []string{"app4.example.com"}, ForwardHost: "REFUSED", ForwardPort: 8080,
			AdvancedConfig: "location / { return 403; }"})
		w.startNPM()
		w.start()
		pass(time.Hour)
		for domain, says := range map[string]string{
			"app1.example.com": "502", "app2.example.com": "404", "app3.example.com": "302", "app4.example.com": "403",
		} {
			w.wantServedIs("its own answer", domain, "True", "NPM answers "+says)
		}
		w.wantSaid(0, "StillFails")
	})
}

// The backend is fine, and turns NPM away. When that is over, all is right.
func TestProofFails(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var turnsAway atomic.Bool
		turnsAway.Store(true)
		seen := w.backend("shop", func(fromNPM bool, rw http.ResponseWriter) {
			if fromNPM && turnsAway.Load() {
				panic(http.ErrAbortHandler)
			}
			_, _ = rw.Write([]byte("the shop"))
		})
		w.host(1, "SHOP", 8080)
		w.startNPM()
		w.start()
		pass(5 * time.Second)
		w.wantServedIs("nginx may yet load", "app1.example.com", "Unknown", "")
		pass(time.Minute)
		w.wantServedIs("turned away", "app1.example.com", "False", "which answers no502 with 200, but visitors of app1.example.com get 502")
		w.wantSaid(1, `"finding":"StillFails"`)
		was := seen.through.Load()
		pass(time.Hour)
		if asked := seen.through.Load() - was; asked == 0 || asked > 13 {
			t.Errorf("it was asked %d times in an hour", asked)
		}
		want(t, "for a fault that no write mends", w.asked(), map[string]int{npmPuts: 1})
		turnsAway.Store(false)
		pass(6 * time.Minute)
		w.wantServedIs("over", "app1.example.com", "True", "200")
	})
}

// Somebody deletes a host's file by hand while nginx loads it. NPM shows it as
// saved: no502 saves it once more, which makes it anew.
func TestProofFindsAHostThatIsNotServed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.backend("shop", func(_ bool, rw http.ResponseWriter) { _, _ = rw.Write([]byte("the shop")) })
		w.host(1, "SHOP", 8080)
		w.startNPM()
		w.start()
		pass(100 * time.Millisecond)
		w.npm.RemoveConf("proxy_host/1.conf")
		pass(5 * time.Second)
		if status, _ := w.visit("app1.example.com"); status != http.StatusNotFound {
			t.Fatalf("a visitor gets %d", status)
		}
		w.wantSaid(0, "NotServed")
		pass(30 * time.Second)
		w.wantSaid(1, `"finding":"NotServed"`)
		w.wantServedIs("saved again", "app1.example.com", "True", "200")
		if status, body := w.visit("app1.example.com"); status != http.StatusOK || body != "the shop" {
			t.Errorf("a visitor gets %d %s", status, body)
		}
		want(t, "a repair, and once more", w.asked(), map[string]int{npmPuts: 2})
	}, func(o *npmtest.Options) { o.ReloadDelay = 200 * time.Millisecond })
}

// A stream on port 80 passes nginx's test and cannot be bound: from then on NPM
// shows everything as saved, and nothing is. That is named, since no write helps.
func TestProofNamesTheStuckReload(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startNPM()
		w.person(http.MethodPost, "/nginx/streams", map[string]any{
			"incoming_port": 80, "forwarding_host": "192.0.2.8", "forwarding_port": 80, "tcp_forwarding": true, "udp_forwarding": false}, nil)
		w.start()
		w.people.Network(t.Context(), "shop_default", "", nil) //nolint:errcheck // seen below
		w.app("shop", "shop_default", func(c *stage.Container) { c.Labels = map[string]string{"no502.host": "shop.example.com"} })
		pass(2 * time.Minute)
		w.wantServedIs("stuck", "shop.example.com", "False", "the stream on port 80 takes a port of NPM's own")
		w.wantSaid(1, `"finding":"ReloadStuck"`)
		if got := w.writes(); got["PUT proxy-hosts/{id}"] > 1 {
			t.Errorf("wrote %v", got)
		}
		w.person(http.MethodDelete, "/nginx/streams/1", nil, nil)
		pass(6 * time.Minute)
		w.wantServedIs("deleted", "shop.example.com", "True", "200")
	})
}
