package npm

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/npm/npmtest"
)

// A first sync takes the same few requests whatever the number of hosts, and
// nothing is written.
func TestRunSyncCalls(t *testing.T) {
	for _, n := range []int{1, 100, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bubble(t, func(t *testing.T, v string) {
				s := newNPM(t, n, version(v))
				b := newBed(t, s.API())
				if b.View(func(*api.NPM) { t.Error("called before the first list") }) {
					t.Error("synced before the first list")
				}
				b.run()
				synctest.Wait()
				eq(t, "calls", b.calls(), append([]string{"GET / 200", "POST /tokens 200"}, polls("200", true)...))
				eq(t, "notified", b.heard(), "system")
				got := 0
				eq(t, "synced", b.View(func(npm *api.NPM) { got = len(npm.Hosts()) }), true)
				eq(t, "hosts", got, n)
				eq(t, "state", b.State(), State{URL: "http://npm:81", Version: v, Connected: true})

				for range 3 {
					after(15 * time.Second)
					eq(t, "a poll with nothing changed", b.calls(), polls("304", false))
				}
				after(15 * time.Second)
				eq(t, "once a minute", b.calls(), polls("304", true))
				eq(t, "notified", b.heard(), "")
			})
		})
	}
}

func TestRunNoticesChanges(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 2, version(v))
		b := newBed(t, s.API())
		admin := newBed(t, s.API()) // a person at the same NPM
		b.run()
		synctest.Wait()
		b.heard()

		if err := admin.forward(t.Context(), 2, was(2), api.Endpoint{Scheme: "http", Host: "web", Port: 80}); err != nil {
			t.Fatal(err)
		}
		s.AddHost(npmtest.ProxyHost{DomainNames: []string{"new.example.com"}, ForwardHost: "x", ForwardPort: 1})
		after(15 * time.Second)
		eq(t, "notified", b.heard(), "proxy-host/2 proxy-host/3")
		eq(t, "forward", b.host(2).Forward.String(), "http://web:80")

		for i := range manyChanged + 1 {
			s.AddHost(npmtest.ProxyHost{DomainNames: []string{fmt.Sprintf("many%d.example.com", i)}, ForwardHost: "x", ForwardPort: 1})
		}
		after(15 * time.Second)
		eq(t, "many at once", b.heard(), "system")
	})
}

// What a person's save leaves as it was is no change, though modified_on moves.
func TestRunIgnoresSaveWithoutChange(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		b, admin := newBed(t, s.API()), newBed(t, s.API())
		b.run()
		after(time.Second)
		b.heard()
		if err := admin.Resave(t.Context(), api.HostKey(1)); err != nil {
			t.Fatal(err)
		}
		b.calls()
		after(15 * time.Second)
		eq(t, "calls", b.calls(), []string{"GET /nginx/proxy-hosts 200"})
		eq(t, "notified", b.heard(), "")
	})
}

func TestRunWaitsForNPM(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		var stage atomic.Int32 // 0 refused, 1 starting, 2 up
		b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch stage.Load() {
			case 0:
				panic(http.ErrAbortHandler)
			case 1:
				w.WriteHeader(http.StatusBadGateway)
			default:
				s.API().ServeHTTP(w, r)
			}
		}))
		b.SetURL("", true)
		b.run()
		after(time.Hour)
		eq(t, "without an address", b.logged("waiting for NPM"), 1)
		eq(t, "problem", b.State().Problem, "NPM's address is not known yet.")
		b.SetURL("http://npm:81/api/", true)
		after(time.Minute)
		if p := b.State().Problem; !strings.Contains(p, "GET / of NPM at http://npm:81:") {
			t.Errorf("problem: %s", p)
		}
		stage.Store(1)
		after(time.Minute)
		if p := b.State().Problem; !strings.Contains(p, "502 Bad Gateway") {
			t.Errorf("problem: %s", p)
		}
		stage.Store(2)
		after(20 * time.Second)
		eq(t, "connected", b.State().Connected, true)
		eq(t, "waits logged", b.logged("waiting for NPM"), 2) // for an address, for an answer
		eq(t, "ends logged", b.logged("connected to NPM"), 1)

		stage.Store(0)
		after(time.Minute)
		eq(t, "connected", b.State().Connected, false)
		eq(t, "synced all the same", b.View(func(*api.NPM) {}), true)
		stage.Store(2)
		after(time.Minute)
		eq(t, "waits logged", b.logged("waiting for NPM"), 3)
		eq(t, "ends logged", b.logged("connected to NPM"), 2)
	})
}

// A request without an answer makes Run look at once. Until it knows better NPM
// is not to be asked, and after an outage everything is worth a look.
func TestRunLooksWhenNothingIsAnswered(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		var bad atomic.Pointer[npmtest.Fault]
		s := newNPM(t, 1, version(v), fault(func(r *http.Request) *npmtest.Fault {
			if f := bad.Load(); f != nil && (f.Status != http.StatusInternalServerError || r.Method != http.MethodGet) {
				return f
			}
			return nil
		}))
		b := newBed(t, s.API())
		eq(t, "waits before the first look", b.Waits(), true)
		b.run()
		after(time.Second)
		eq(t, "waits", b.Waits(), false)
		for _, f := range []npmtest.Fault{{Drop: true}, {Status: 502, Body: "<html>"}} {
			b.heard()
			bad.Store(&f)
			if err := b.Resave(t.Context(), api.HostKey(1)); err == nil {
				t.Error("no error")
			}
			eq(t, "waits", b.Waits(), true)
			after(100 * time.Millisecond)
			eq(t, "connected", b.State().Connected, false)
			eq(t, "notified", b.heard(), "")
			bad.Store(nil)
			after(time.Second)
			eq(t, "waits", b.Waits(), false)
			eq(t, "notified", b.heard(), "system")
		}
		// Only the write fails: NPM is there.
		bad.Store(&npmtest.Fault{Status: 500, Body: internal})
		b.calls()
		if err := b.Resave(t.Context(), api.HostKey(1)); err == nil {
			t.Error("no error")
		}
		after(100 * time.Millisecond)
		eq(t, "waits", b.Waits(), false)
		eq(t, "looks", count(b.calls(), "GET /nginx/proxy-hosts 304"), 1)
		eq(t, "notified", b.heard(), "")
		eq(t, "connected", b.State().Connected, true)
	})
}

// A restart of NPM takes a second or two; so does noticing its end.
func TestRunBackoffIsShortAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newNPM(t, 1)
		var down atomic.Bool
		b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if down.Load() {
				panic(http.ErrAbortHandler)
			}
			s.API().ServeHTTP(w, r)
		}))
		b.run()
		synctest.Wait()
		down.Store(true)
		after(15 * time.Second) // the poll fails
		time.Sleep(1500 * time.Millisecond)
		down.Store(false)
		after(1500 * time.Millisecond)
		eq(t, "connected", b.State().Connected, true)
	})
}

func TestRunNotSetUp(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 0, version(v), func(o *npmtest.Options) { o.AdminEmail = "" })
		b := newBed(t, s.API())
		b.run()
		after(time.Hour)
		eq(t, "problem", b.State().Problem, sentence(ErrNotSetUp))
		eq(t, "logins", count(b.calls(), "POST /tokens"), 0)
		eq(t, "logged", b.logged("waiting for NPM"), 1)
	})
}

func TestSetURLEndsRequestsToTheOldAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newNPM(t, 1)
		b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Host == "gone:81" {
				<-r.Context().Done() // vanished with its container
				return
			}
			s.API().ServeHTTP(w, r)
		}))
		b.SetURL("gone:81", true)
		b.run()
		synctest.Wait()
		b.SetURL("http://npm:81", true)
		synctest.Wait()
		eq(t, "connected", b.State().Connected, true)
	})
}

// Nothing but a complete list changes what is known.
func TestRefreshBrokenLists(t *testing.T) {
	const rowJSON = `{"id":7,"domain_names":["a.b"],"forward_scheme":"http","forward_host":"x","forward_port":1,"enabled":true,"meta":{}}`
	for name, answer := range map[string]string{
		"truncated row":     `[` + rowJSON + `,{"id":8,"dom`,
		"truncated array":   `[` + rowJSON,
		"truncated comma":   `[` + rowJSON + `,`,
		"empty":             ``,
		"no array":          `{"id":7}`,
		"null":              `null`,
		"a row without id":  `[` + rowJSON + `,{"domain_names":["c.d"]}]`,
		"a row of no shape": `[` + rowJSON + `,7]`,
		"more than a list":  `[` + rowJSON + `][]`,
		"HTML":              `<html>hello</html>`,
		"cut by the server": "",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newNPM(t, 2)
				var broken atomic.Bool
				b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if !broken.Load() || !strings.HasSuffix(r.URL.Path, kinds[api.KindHost].path) {
						s.API().ServeHTTP(w, r)
						return
					}
					w.Header().Set("ETag", `W/"broken"`)
					if name == "cut by the server" {
						w.Header().Set("Content-Length", "1000")
						answer = "["
					}
					_, _ = w.Write([]byte(answer))
				}))
				if err := b.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				broken.Store(true)
				err := b.Refresh(t.Context())
				if err == nil {
					t.Fatal("no error")
				}
				if !strings.Contains(err.Error(), "GET /nginx/proxy-hosts of NPM at http://npm:81: ") {
					t.Errorf("error: %v", err)
				}
				if b.host(1) == nil || b.host(2) == nil || b.host(7) != nil {
					t.Error("the cache changed")
				}
				broken.Store(false)
				s.AddHost(npmtest.ProxyHost{DomainNames: []string{"new.example.com"}, ForwardHost: "x", ForwardPort: 1})
				if err := b.Refresh(t.Context()); err != nil || b.host(3) == nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

// An empty list that is complete is believed.
func TestRefreshEmptyList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newNPM(t, 2)
		var empty atomic.Bool
		b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if empty.Load() && strings.HasSuffix(r.URL.Path, kinds[api.KindHost].path) {
				_, _ = w.Write([]byte("[]"))
				return
			}
			s.API().ServeHTTP(w, r)
		}))
		b.run()
		synctest.Wait()
		b.heard()
		empty.Store(true)
		after(15 * time.Second)
		eq(t, "notified", b.heard(), "proxy-host/1 proxy-host/2")
		eq(t, "gone", b.host(1) == nil, true)
	})
}

func TestRefreshWithoutAddress(t *testing.T) {
	b := newBed(t, http.NotFoundHandler())
	b.SetURL("", true)
	if err := b.Refresh(t.Context()); !errors.Is(err, ErrNoURL) {
		t.Errorf("error: %v", err)
	}
}

func TestNormalise(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "",
		"http://172.20.0.2:81":        "http://172.20.0.2:81/api",
		"http://172.20.0.2:81/":       "http://172.20.0.2:81/api",
		"http://172.20.0.2:81/api":    "http://172.20.0.2:81/api",
		"http://172.20.0.2:81/api/":   "http://172.20.0.2:81/api",
		"npm:81":                      "http://npm:81/api",
		"https://u:p@npm.lan/x?y=1#z": "https://npm.lan/x/api",
		"http://[2001:db8::1]:81":     "http://[2001:db8::1]:81/api",
	} {
		eq(t, in, normalise(in), want)
	}
}
