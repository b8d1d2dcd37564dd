package npm

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/npm/npmtest"
)

// newHosts are a host of each kind, as no502 makes it, and a change of it.
var newHosts = []struct {
	kind         api.Kind
	fields, then api.Fields
	keep         string // what a save without change sends
	conf         string // what nginx has after the change
}{
	{
		api.KindHost,
		web.Fields().With(api.Fields{api.FieldDomains: []string{"a.test", "b.test"}, api.FieldCertificate: 0,
			api.FieldLocations: []api.Location(nil), api.FieldWebsockets: true}),
		api.Fields{api.FieldPort: 81, api.FieldLocations: []api.Location{{Path: "/x", Scheme: "http", Host: "$loc_up", Port: 80,
			Advanced: `set $loc_up "x";`}}},
		`{"forward_port":81}`, "$loc_up",
	},
	{
		api.KindRedirection,
		api.Fields{api.FieldDomains: []string{"old.test"}, api.FieldScheme: "auto", api.FieldRedirectCode: 301,
			api.FieldRedirectTo: "new.test", api.FieldKeepPath: true},
		api.Fields{api.FieldRedirectTo: "newer.test", api.FieldRedirectCode: 302},
		`{"forward_http_code":302}`, "newer.test",
	},
	{
		api.KindStream,
		api.Fields{api.FieldIncoming: 5432, api.FieldStreamHost: "10.0.0.7", api.FieldStreamPort: 5432, api.FieldTCP: true, api.FieldUDP: false},
		api.Fields{api.FieldStreamHost: "10.0.0.8"},
		`{"incoming_port":5432}`, "10.0.0.8",
	},
	{
		api.KindDeadHost,
		api.Fields{api.FieldDomains: []string{"gone.test"}},
		api.Fields{api.FieldDomains: []string{"gone.test", "later.test"}},
		`{"domain_names":["gone.test","later.test"]}`, "later.test",
	},
}

func declared(service string, to api.Fields) api.Ownership {
	return api.Ownership{Instance: "test", Origin: api.OriginDeclared, Service: api.Identity(service), Wrote: to}
}

// A host of each kind is made, changed, saved, switched off and on, and
// removed, with few requests, and nobody is told of what no502 did itself.
func TestLifecycle(t *testing.T) {
	for _, n := range newHosts {
		t.Run(string(n.kind), func(t *testing.T) {
			bubble(t, func(t *testing.T, v string) {
				s := newNPM(t, 1, version(v))
				b := newBed(t, s.API())
				b.run()
				synctest.Wait()
				b.heard()
				b.calls()
				own := declared("shop/web", n.fields)
				key, err := b.Create(t.Context(), n.kind, n.fields, own)
				if err != nil {
					t.Fatal(err)
				}
				list, row := kinds[n.kind].path, hostPath(key)
				eq(t, "create", b.calls(), []string{"GET " + list + " 304", "POST " + list + " 201", "GET " + row + " 200"})
				eq(t, "made", len(n.fields.Differing(b.seen(key).Fields())), 0)
				eq(t, "online", *b.seen(key).Online, true)
				eq(t, "owner", b.seen(key).Owner(), api.Owner{Kind: n.kind, Service: "shop/web"})

				own.Wrote = n.fields.With(n.then)
				if err := b.Patch(t.Context(), key, n.then.Of(n.fields), n.then, &own); err != nil {
					t.Fatal(err)
				}
				eq(t, "patch", b.calls(), b.patched(key))
				eq(t, "changed", len(n.then.Differing(b.seen(key).Fields())), 0)
				if conf, _ := s.Conf(kinds[n.kind].dir + "/" + key.ID + ".conf"); !strings.Contains(conf, n.conf) {
					t.Errorf("nginx does not have %s:\n%s", n.conf, conf)
				}

				if err := b.Resave(t.Context(), key); err != nil {
					t.Fatal(err)
				}
				eq(t, "saved unchanged", lastWrite(s), n.keep)
				b.calls()

				b.switchOffAndOn(key, own)
				for range 2 { // twice is once
					if err := b.Delete(t.Context(), key); err != nil {
						t.Fatal(err)
					}
				}
				eq(t, "delete", b.calls(), []string{"GET " + row + " 200", "DELETE " + row + " 200", "GET " + row + " 404"})
				eq(t, "gone", b.seen(key) == nil, true)
				after(2 * time.Minute)
				eq(t, "notified", b.heard(), "")
			})
		})
	}
}

// patched are the requests of a patch. Of a 404 host NPM configures nginx with
// what the row said before, so it takes a second one.
func (b *bed) patched(key api.Key) []string {
	read, write := "GET "+hostPath(key)+" 200", "PUT "+hostPath(key)+" 200"
	if key.Kind == api.KindDeadHost {
		return []string{read, write, write, read}
	}
	return []string{read, write}
}

func (b *bed) switchOffAndOn(key api.Key, own api.Ownership) {
	b.t.Helper()
	t, row, fields := b.t, hostPath(key), b.seen(key).Fields()
	off := own
	off.Disabled = api.DisabledStopped
	for range 2 { // twice is once: NPM's dead hosts crash at the second
		if err := b.Disable(t.Context(), key, &off); err != nil {
			t.Fatal(err)
		}
	}
	note, apply, why := []string{"PUT " + row + " 200"}, []string{"PUT " + row + " 200"}, api.DisabledStopped
	if key.Kind == api.KindDeadHost { // of which the meta cannot be written, and which has no access list
		note, apply, why = nil, nil, ""
	}
	read := "GET " + row + " 200"
	eq(t, "disable", b.calls(), slices.Concat([]string{read}, note, []string{"POST " + row + "/disable 200", read}, note, []string{read}))
	eq(t, "disabled", b.seen(key).Enabled, false)
	eq(t, "why", b.seen(key).Ownership.Disabled, why)
	eq(t, "is about to", b.seen(key).Ownership.Disabling, false)
	for range 2 {
		if err := b.Enable(t.Context(), key, fields, fields, &own); err != nil {
			t.Fatal(err)
		}
	}
	// Without the last write its access list would not count.
	eq(t, "enable", b.calls(), slices.Concat([]string{read, "POST " + row + "/enable 200", read}, apply, []string{read}))
	eq(t, "enabled", b.seen(key).Enabled, true)
	eq(t, "why", b.seen(key).Ownership.Disabled, "")
}

func (b *bed) seen(key api.Key) *api.Host {
	var h *api.Host
	b.View(func(n *api.NPM) { h = n.Get(key) })
	return h
}

func lastWrite(s *npmtest.Server) (body string) {
	for _, c := range s.Calls() {
		if c.Method == http.MethodPut {
			body = strings.TrimSpace(c.Body)
		}
	}
	return body
}

// NPM changes its row before it tests nginx's configuration: after an error the
// row tells what became of the request.
func TestLifecycleUnclear(t *testing.T) {
	for _, n := range newHosts {
		t.Run(string(n.kind), func(t *testing.T) {
			bubble(t, func(t *testing.T, v string) {
				lost := true
				s := newNPM(t, 1, version(v), fault(func(r *http.Request) *npmtest.Fault {
					if r.Method == http.MethodGet || strings.HasSuffix(r.URL.Path, "/tokens") || !lost {
						return nil
					}
					return &npmtest.Fault{After: true, Status: 500, Body: internal}
				}))
				b := newBed(t, s.API())
				own := declared("shop/web", n.fields)
				var outcome *OutcomeError
				key, err := b.Create(t.Context(), n.kind, n.fields, own)
				if !errors.As(err, &outcome) || !outcome.Kept || b.seen(key) == nil || !b.isUnsure(key) {
					t.Fatalf("made %v, %v", key, err)
				}
				if again, err := b.Create(t.Context(), n.kind, n.fields, own); !errors.Is(err, api.ErrStale) {
					t.Fatalf("made %v once more, %v", again, err)
				}
				off := own
				off.Disabled = api.DisabledStopped
				if err := b.Disable(t.Context(), key, &off); err != nil || b.seen(key).Enabled {
					t.Errorf("disable: %v", err)
				}
				if err := b.Enable(t.Context(), key, nil, nil, &own); !errors.As(err, &outcome) || !outcome.Kept ||
					!b.seen(key).Enabled || !b.isUnsure(key) {
					t.Errorf("enable: %v", err)
				}
				if err := b.Delete(t.Context(), key); err != nil || b.seen(key) != nil {
					t.Errorf("delete: %v", err)
				}
				lost = false
				if err := b.Disable(t.Context(), keyOf(n.kind, 99), nil); !errors.Is(err, ErrGone) {
					t.Errorf("a host that is not there: %v", err)
				}
			})
		})
	}
}

// What NPM did not do is not taken for done.
func TestLifecycleFails(t *testing.T) {
	for status, body := range map[int]string{500: internal, 400: `{"error":{"code":400,"message":"no"}}`} {
		bubble(t, func(t *testing.T, v string) {
			well := true
			s := newNPM(t, 0, version(v), fault(func(r *http.Request) *npmtest.Fault {
				if well || r.Method == http.MethodGet {
					return nil
				}
				return &npmtest.Fault{Status: status, Body: body}
			}))
			b := newBed(t, s.API())
			for _, n := range newHosts {
				well = true
				own := declared("x", nil)
				key, err := b.Create(t.Context(), n.kind, n.fields, own)
				if err != nil {
					t.Fatal(err)
				}
				fails := func(what string, err error) {
					t.Helper()
					var outcome *OutcomeError
					if err == nil || errors.As(err, &outcome) != (status == 500) || outcome != nil && (!outcome.Known || outcome.Kept) {
						t.Errorf("%s %s: %v", what, n.kind, err)
					}
				}
				well = false
				fails("delete", b.Delete(t.Context(), key))
				fails("disable", b.Disable(t.Context(), key, &own))
				fails("disable", b.Disable(t.Context(), key, nil))
				well = true
				if err := b.Disable(t.Context(), key, &own); err != nil {
					t.Fatal(err)
				}
				well = false
				fails("enable", b.Enable(t.Context(), key, nil, nil, &own))
				fails("enable", b.Enable(t.Context(), key, nil, n.then, &own))
				eq(t, "enabled", b.seen(key).Enabled, false)
			}
		})
	}
}

// A host that was enabled without an answer to what must follow is written
// again, or its access list would not count.
func TestEnableIsSeenThrough(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		refuse := 0 // the how manieth PUT from now
		s := newNPM(t, 1, version(v), fault(func(r *http.Request) *npmtest.Fault {
			if r.Method != http.MethodPut {
				return nil
			}
			if refuse--; refuse == 0 {
				return &npmtest.Fault{Status: 400, Body: `{"error":{"code":400,"message":"no"}}`}
			}
			return nil
		}))
		b := newBed(t, s.API())
		b.run()
		synctest.Wait()
		if err := b.Disable(t.Context(), api.HostKey(1), nil); err != nil {
			t.Fatal(err)
		}
		refuse = 2 // the first is before it is enabled
		if err := b.Enable(t.Context(), api.HostKey(1), was(1).Fields(), web.Fields(), nil); err == nil {
			t.Fatal("no error")
		}
		b.calls()
		after(2 * time.Second)
		eq(t, "saved again", count(b.calls(), "PUT /nginx/proxy-hosts/1 200"), 1)
		eq(t, "unsure", b.isUnsure(api.HostKey(1)), false)
	})
}

// What keeps visitors out is written before a host is switched on.
func TestEnableProtectsFirst(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		b := newBed(t, s.API())
		key := api.HostKey(1)
		if err := b.Disable(t.Context(), key, nil); err != nil {
			t.Fatal(err)
		}
		b.calls()
		from, to := api.Fields{api.FieldCache: false}, api.Fields{api.FieldCache: true}
		if err := b.Enable(t.Context(), key, from, to, nil); err != nil {
			t.Fatal(err)
		}
		row := hostPath(key)
		eq(t, "enable", b.calls(), []string{
			"GET " + row + " 200", "PUT " + row + " 200", "POST " + row + "/enable 200", "GET " + row + " 200", "PUT " + row + " 200",
		})
	})
}

// NPM takes the number of an access list that it does not have, and lets
// everybody in: none is written that is not there at that moment.
func TestAccessListIsThere(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		b := newBed(t, s.API())
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		from, to := api.Fields{api.FieldAccessList: 0}, api.Fields{api.FieldAccessList: 5}
		if err := b.Patch(t.Context(), api.HostKey(1), from, to, nil); !errors.Is(err, api.ErrStale) {
			t.Errorf("patch: %v", err)
		}
		fields := was(1).Fields().With(api.Fields{api.FieldDomains: []string{"new.test"}, api.FieldAccessList: 5})
		if _, err := b.Create(t.Context(), api.KindHost, fields, declared("x", fields)); !errors.Is(err, api.ErrStale) {
			t.Errorf("create: %v", err)
		}
		eq(t, "writes", count(b.calls(), "PUT /nginx/proxy-hosts/1 200")+count(b.calls(), "POST /nginx/proxy-hosts 201"), 0)
	})
}

// A host that NPM did not switch off is not noted as if it had.
func TestDisableNotDone(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v), fault(func(r *http.Request) *npmtest.Fault {
			if strings.HasSuffix(r.URL.Path, "/disable") {
				return &npmtest.Fault{Status: 500, Body: internal}
			}
			return nil
		}))
		b := newBed(t, s.API())
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		own := declared("x", nil)
		own.Disabled = api.DisabledStopped
		if err := b.Disable(t.Context(), api.HostKey(1), &own); err == nil {
			t.Error("no error")
		}
		if h := b.seen(api.HostKey(1)); !h.Enabled || h.Ownership != nil {
			t.Errorf("noted: %+v", h.Ownership)
		}
	})
}

// Of a 404 host NPM answers before it is switched off, and crashes if that is
// asked for twice.
func TestDisableDeadHostTakesItsTime(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 0, version(v))
		b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/disable") {
				s.API().ServeHTTP(w, r)
				return
			}
			late := r.Clone(t.Context())
			time.AfterFunc(700*time.Millisecond, func() { s.API().ServeHTTP(httptest.NewRecorder(), late) })
			_, _ = w.Write([]byte("{}"))
		}))
		n := newHosts[3]
		key, err := b.Create(t.Context(), n.kind, n.fields, declared("x", nil))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := b.Disable(t.Context(), key, nil); err != nil {
				t.Error(err)
			}
		}
		eq(t, "disabled", b.seen(key).Enabled, false)
		eq(t, "asked", count(b.calls(), "POST /nginx/dead-hosts/1/disable"), 1)
	})
}

// A host that is switched on is what it shall be by then, and nginx has it so.
func TestEnableWithChanges(t *testing.T) {
	for _, n := range newHosts {
		t.Run(string(n.kind), func(t *testing.T) {
			bubble(t, func(t *testing.T, v string) {
				s := newNPM(t, 0, version(v))
				b := newBed(t, s.API())
				own := declared("x", nil)
				key, err := b.Create(t.Context(), n.kind, n.fields, own)
				if err != nil {
					t.Fatal(err)
				}
				if err := b.Disable(t.Context(), key, &own); err != nil {
					t.Fatal(err)
				}
				if err := b.Enable(t.Context(), key, n.then, n.then, &own); !errors.Is(err, api.ErrStale) || b.seen(key).Enabled {
					t.Errorf("from what it is not: %v", err)
				}
				if err := b.Enable(t.Context(), key, n.then.Of(n.fields), n.then, &own); err != nil {
					t.Fatal(err)
				}
				h := b.seen(key)
				eq(t, "as wanted", []any{h.Enabled, *h.Online, len(n.then.Differing(h.Fields()))}, []any{true, true, 0})
				if conf, _ := s.Conf(kinds[n.kind].dir + "/" + key.ID + ".conf"); !strings.Contains(conf, n.conf) {
					t.Errorf("nginx does not have %s:\n%s", n.conf, conf)
				}
			})
		})
	}
}

// What somebody else changed meanwhile is not lost because no502 was the one to
// read it.
func TestLifecycleTellsOfEdits(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 2, version(v))
		b := newBed(t, s.API())
		b.run()
		synctest.Wait()
		b.heard()
		other := newBed(t, s.API())
		if err := other.forward(t.Context(), 1, was(1), web); err != nil {
			t.Fatal(err)
		}
		if err := b.Disable(t.Context(), api.HostKey(1), b.host(1).Ownership); err != nil {
			t.Fatal(err)
		}
		eq(t, "notified", b.heard(), "proxy-host/1")
	})
}

func TestKeysThatAreNoHosts(t *testing.T) {
	b := newBed(t, nil)
	for _, key := range []api.Key{{}, api.SystemKey(), api.ContainerKey("1"), {Kind: api.KindHost}, {Kind: api.KindHost, ID: "../users/1"}} {
		for what, err := range map[string]error{
			"patch":   b.Patch(t.Context(), key, nil, nil, nil),
			"resave":  b.Resave(t.Context(), key),
			"enable":  b.Enable(t.Context(), key, nil, nil, nil),
			"disable": b.Disable(t.Context(), key, nil),
			"delete":  b.Delete(t.Context(), key),
		} {
			if err == nil {
				t.Errorf("%s %v: no error", what, key)
			}
		}
	}
	if _, err := b.Create(t.Context(), api.KindContainer, nil, api.Ownership{}); err == nil {
		t.Error("created a container")
	}
	eq(t, "calls", fmt.Sprint(b.calls()), "[]")
}
