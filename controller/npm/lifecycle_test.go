package npm

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/npm/npmtest"
)

// A host is made, switched off and on, and removed; each is read again, since
// NPM's answer does not say what nginx made of it.
func TestLifecycle(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		b := newBed(t, s.API())
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.calls()
		h, err := b.Create(t.Context(), []string{"new.test"}, web, "shop/web")
		if err != nil {
			t.Fatal(err)
		}
		eq(t, "calls", b.calls(), []string{"POST /nginx/proxy-hosts 201", "GET /nginx/proxy-hosts/2 200"})
		eq(t, "forward", h.Forward, web)
		eq(t, "owner", *h.Ownership, api.Ownership{Instance: "test", Backend: "shop/web", Origin: api.OriginDeclared, Wrote: web})
		eq(t, "cached", b.host(2).Domain(), "new.test")

		for range 2 { // twice is once
			if err := b.Disable(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
			eq(t, "enabled", b.host(2).Enabled, false)
		}
		b.calls()
		for range 2 {
			if err := b.Enable(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
			eq(t, "enabled", b.host(2).Enabled, true)
		}
		eq(t, "calls", b.calls(), []string{
			"GET /nginx/proxy-hosts/2 200", "POST /nginx/proxy-hosts/2/enable 200", "GET /nginx/proxy-hosts/2 200",
			"PUT /nginx/proxy-hosts/2 200", // or its access list would not count
			"GET /nginx/proxy-hosts/2 200",
		})
		for range 2 {
			if err := b.Delete(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
			eq(t, "gone", b.host(2), nil)
		}
		if _, err := b.Create(t.Context(), []string{"evil.test"}, api.Endpoint{Scheme: "http", Host: `x"; return 200`, Port: 80}, "x"); !errors.Is(err, ErrInvalidForward) {
			t.Errorf("got %v", err)
		}
		if _, err := b.Create(t.Context(), []string{"app1.example.com"}, web, "x"); err == nil {
			t.Error("a domain that is in use was given out")
		}
	})
}

// NPM changes its row before it tests nginx's configuration: after an error the
// row tells what became of the request.
func TestLifecycleUnclear(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		lost := true
		s := newNPM(t, 1, version(v), fault(func(r *http.Request) *npmtest.Fault {
			if r.Method == http.MethodGet || strings.HasSuffix(r.URL.Path, "/tokens") || !lost {
				return nil
			}
			return &npmtest.Fault{After: true, Status: 500, Body: `{"error":{"code":500,"message":"Internal Error"}}`}
		}))
		b := newBed(t, s.API())
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		var outcome *OutcomeError
		h, err := b.Create(t.Context(), []string{"new.test"}, web, "shop/web")
		if !errors.As(err, &outcome) || !outcome.Kept || h == nil || h.Forward != web {
			t.Fatalf("made %+v, %v", h, err)
		}
		if err := b.Disable(t.Context(), h.ID); !errors.As(err, &outcome) || !outcome.Kept || b.host(h.ID).Enabled {
			t.Errorf("disable: %v", err)
		}
		if err := b.Enable(t.Context(), h.ID); !errors.As(err, &outcome) || !outcome.Kept || !b.host(h.ID).Enabled {
			t.Errorf("enable: %v", err)
		}
		if err := b.Delete(t.Context(), h.ID); err != nil || b.host(h.ID) != nil {
			t.Errorf("delete: %v", err)
		}
		lost = false
		if err := b.Disable(t.Context(), 99); !errors.Is(err, ErrGone) {
			t.Errorf("a host that is not there: %v", err)
		}
	})
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
		if err := other.Patch(t.Context(), 1, was(1), web, "shop/web"); err != nil {
			t.Fatal(err)
		}
		if err := b.Disable(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		eq(t, "notified", b.heard(), "proxy-host/1")
	})
}
