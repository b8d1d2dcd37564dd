package npm

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/npm/npmtest"
)

// Whoever asks at the same time, a route of a service gets one host of a kind,
// and a port one stream, which NPM itself does not see to.
func TestCreateRaces(t *testing.T) {
	for _, n := range newHosts {
		for name, services := range map[string][]string{"one owner": {"shop/web", "shop/web"}, "two owners": {"shop/web", "blog/web"}} {
			t.Run(string(n.kind)+" "+name, func(t *testing.T) {
				bubble(t, func(t *testing.T, v string) {
					b := newBed(t, newNPM(t, 0, version(v)).API())
					errs := make(chan error)
					for _, service := range services {
						go func() {
							_, err := b.Create(t.Context(), n.kind, n.fields, declared(service, n.fields))
							errs <- err
						}()
					}
					first, second := <-errs, <-errs
					if (first == nil) == (second == nil) || !errors.Is(errors.Join(first, second), api.ErrStale) {
						t.Errorf("errors: %v, %v", first, second)
					}
					eq(t, "writes", count(b.calls(), "POST "+kinds[n.kind].path), 1)
					b.View(func(n *api.NPM) { eq(t, "hosts", len(n.All()), 1) })
				})
			})
		}
	}
}

// One route has one host, even for other domains; other routes and other
// no502s have their own.
func TestCreateOnePerRoute(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		b := newBed(t, newNPM(t, 0, version(v)).API())
		make := func(domain string, change func(*api.Ownership)) error {
			own := declared("shop/web", nil)
			change(&own)
			_, err := b.Create(t.Context(), api.KindHost, web.Fields().With(api.Fields{api.FieldDomains: []string{domain}}), own)
			return err
		}
		for domain, change := range map[string]func(*api.Ownership){
			"a.test": func(*api.Ownership) {},
			"b.test": func(o *api.Ownership) { o.Route = "admin" },
			"c.test": func(o *api.Ownership) { o.Service = "shop/db" },
			"d.test": func(o *api.Ownership) { o.Instance = "other" },
		} {
			if err := make(domain, change); err != nil {
				t.Errorf("%s: %v", domain, err)
			}
			if err := make("again-"+domain, change); !errors.Is(err, api.ErrStale) {
				t.Errorf("%s once more: %v", domain, err)
			}
		}
	})
}

// A domain that anything serves is not asked for; one that was given away since
// is found when NPM refuses it; one that no502 may not see stays NPM's refusal.
func TestCreateDomainInUse(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		refuse := false
		s := newNPM(t, 1, version(v), fault(func(r *http.Request) *npmtest.Fault {
			if r.Method != http.MethodPost || !refuse {
				return nil
			}
			return &npmtest.Fault{Status: 400, Body: `{"error":{"code":400,"message":"x.test is already in use"}}`}
		}))
		b, other := newBed(t, s.API()), newBed(t, s.API())
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.calls()
		create := func(domain string) error {
			_, err := b.Create(t.Context(), api.KindDeadHost, api.Fields{api.FieldDomains: []string{domain}}, declared("shop/web", nil))
			return err
		}
		if err := create("APP1.example.com"); !errors.Is(err, api.ErrStale) {
			t.Errorf("in use: %v", err)
		}
		eq(t, "calls", b.calls(), []string{"GET /nginx/dead-hosts 304"})

		n := newHosts[1]
		if _, err := other.Create(t.Context(), n.kind, n.fields, declared("blog/web", nil)); err != nil {
			t.Fatal(err)
		}
		b.run()
		synctest.Wait()
		b.heard()
		b.calls()
		s.AddHost(npmtest.ProxyHost{DomainNames: []string{"new.test2"}, ForwardHost: "x", ForwardPort: 1})
		if err := create("new.test2"); !errors.Is(err, api.ErrStale) {
			t.Errorf("in use meanwhile: %v", err)
		}
		eq(t, "calls", len(b.calls()), 2+len(lists()))
		eq(t, "notified", b.heard(), "proxy-host/2")

		refuse = true
		var refused *APIError
		if err := create("x.test"); errors.Is(err, api.ErrStale) || !errors.As(err, &refused) || !errors.Is(err, api.ErrHidden) {
			t.Errorf("in use by one that is hidden: %v", err)
		}
	})
}

// What NPM takes amiss is not sent.
func TestCreateBody(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 0, version(v))
		b := newBed(t, s.API())
		n := newHosts[0]
		if _, err := b.Create(t.Context(), n.kind, n.fields, declared("shop/web", n.fields)); err != nil {
			t.Fatal(err)
		}
		for _, c := range s.Calls() {
			if c.Method != http.MethodPost || c.Path != kinds[n.kind].path {
				continue
			}
			var sent map[string]json.RawMessage
			if err := json.Unmarshal([]byte(c.Body), &sent); err != nil || sent[api.FieldCertificate] != nil ||
				string(sent[api.FieldLocations]) != "[]" {
				t.Errorf("sent: %s", c.Body)
			}
		}
	})
}

// nowhere is a network on which no name is known.
type nowhere struct{ npmtest.Network }

func (nowhere) LookupHost(context.Context, string) ([]string, error) {
	return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
}

// A host that nginx does not take is there, and is saved again until it does.
func TestCreateRejected(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 0, version(v), func(o *npmtest.Options) { o.Network = nowhere{npmtest.SystemNetwork()} })
		b := newBed(t, s.API())
		b.run()
		synctest.Wait()
		fields := api.Fields{api.FieldIncoming: 5432, api.FieldStreamHost: "nowhere.invalid", api.FieldStreamPort: 1, api.FieldTCP: true}
		var rejected *RejectedError
		key, err := b.Create(t.Context(), api.KindStream, fields, declared("shop/db", fields))
		if !errors.As(err, &rejected) || key != keyOf(api.KindStream, 1) || !offline(b.seen(key)) {
			t.Fatalf("%v, %v", key, err)
		}
		b.calls()
		after(2 * time.Second)
		eq(t, "saved again", count(b.calls(), "PUT /nginx/streams/1 200"), 1)
		eq(t, "notified", b.heard(), "system") // of the first look
	})
}

// An answer that is lost is not taken for a host, nor for none.
func TestCreateWithoutClearAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		var lost, down atomic.Bool
		made := false
		s := newNPM(t, 0, version(v), fault(func(r *http.Request) *npmtest.Fault {
			if down.Load() || r.Method == http.MethodPost && lost.CompareAndSwap(true, false) {
				down.Store(made)
				return &npmtest.Fault{After: made, Drop: true}
			}
			return nil
		}))
		b := newBed(t, s.API())
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		create := func() (api.Key, *OutcomeError) {
			lost.Store(true)
			var outcome *OutcomeError
			key, err := b.Create(t.Context(), newHosts[2].kind, newHosts[2].fields, declared("shop/db", nil))
			if !errors.As(err, &outcome) {
				t.Fatalf("error: %v", err)
			}
			return key, outcome
		}
		key, outcome := create()
		eq(t, "not made", []any{key.ID, outcome.Known, outcome.Kept}, []any{"", true, false})
		if !strings.HasSuffix(outcome.Error(), "(nothing changed)") {
			t.Error(outcome)
		}
		made = true
		key, outcome = create()
		eq(t, "not known", []any{key.ID, outcome.Known}, []any{"", false})
		down.Store(false)
		if _, err := b.Create(t.Context(), newHosts[2].kind, newHosts[2].fields, declared("shop/db", nil)); !errors.Is(err, api.ErrStale) {
			t.Errorf("found: %v", err)
		}
	})
}
