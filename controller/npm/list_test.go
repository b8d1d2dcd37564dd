package npm

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/npm/npmtest"
)

// post makes something, as a person in NPM's pages does.
func (b *bed) post(path string, body any) {
	b.t.Helper()
	r := request{method: http.MethodPost, path: path, body: body, timeout: time.Minute}
	var answer any
	if err := b.authorized(b.t.Context(), r, into(&answer)); err != nil {
		b.t.Fatal(err)
	}
}

// What others do to hosts of any kind is noticed within a minute, and that
// certificates or access lists changed.
func TestRunNoticesOtherLists(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		b, admin := newBed(t, s.API()), newBed(t, s.API())
		b.run()
		synctest.Wait()
		b.heard()
		for _, n := range newHosts {
			if _, err := admin.Create(t.Context(), n.kind, n.fields, declared("x", nil)); err != nil {
				t.Fatal(err)
			}
		}
		after(15 * time.Second)
		eq(t, "notified at once", b.heard(), "proxy-host/2")
		after(45 * time.Second)
		eq(t, "notified", b.heard(), "redirection-host/1 stream/1 dead-host/1")
		b.View(func(n *api.NPM) {
			eq(t, "hosts", len(n.All()), 5)
			eq(t, "served", n.Serving("old.test").Key().String(), "redirection-host/1")
			eq(t, "declared", len(n.DeclaredBy("x")), 4)
			eq(t, "version", n.Version, v)
		})
		admin.do(t, http.MethodDelete, hostPath(keyOf(api.KindStream, 1)))
		after(time.Minute)
		eq(t, "notified", b.heard(), "stream/1")
		for _, path := range []string{accessListsPath, certificatesPath} {
			admin.post(path, map[string]any{accessListsPath: map[string]any{"name": "staff"},
				certificatesPath: map[string]any{"provider": "other", "nice_name": "mine"}}[path])
			after(time.Minute)
			eq(t, "notified of "+path, b.heard(), "system")
		}
		b.View(func(n *api.NPM) {
			eq(t, "access lists", n.AccessLists, []api.AccessList{{ID: 1, Name: "staff"}})
			eq(t, "certificates", []any{len(n.Certificates), n.Certificates[0].Name}, []any{1, "mine"})
		})
		after(time.Minute)
		eq(t, "no more", b.heard(), "")
	})
}

// failing answers the requests for some lists.
type failing struct {
	mu    sync.Mutex
	paths []string
	with  string // "hidden", or 500
}

func (f *failing) fault(r *http.Request) *npmtest.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !slices.Contains(f.paths, r.URL.Path):
		return nil
	case f.with == "hidden":
		return &npmtest.Fault{Status: 404, Body: fmt.Sprintf(`{"error":{"code":404,"message":"Not Found - %s"}}`, r.URL.Path)}
	}
	return &npmtest.Fault{Status: 500, Body: internal}
}

func (f *failing) set(with string, paths ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paths, f.with = paths, with
}

// What no502's user may not see is not known, which is not the same as none,
// and does not keep it from the rest, nor make it log in again and again.
func TestHiddenLists(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		var f failing
		s := newNPM(t, 1, version(v), fault(f.fault))
		b, admin := newBed(t, s.API()), newBed(t, s.API())
		for _, n := range newHosts {
			if _, err := admin.Create(t.Context(), n.kind, n.fields, declared("x", nil)); err != nil {
				t.Fatal(err)
			}
		}
		var hidden []string
		for _, l := range lists()[1:] {
			hidden = append(hidden, l.path)
		}
		state := func(known bool, hosts int) {
			t.Helper()
			b.View(func(n *api.NPM) {
				for _, k := range api.HostKinds() {
					eq(t, string(k), n.Knows(k), known || k == api.KindHost)
				}
				eq(t, "certificates", n.Certificates != nil, known)
				eq(t, "access lists", n.AccessLists != nil, known)
				eq(t, "hosts", len(n.All()), hosts)
			})
		}
		f.set("hidden", hidden...)
		b.run()
		after(time.Hour)
		state(false, 2)
		eq(t, "logins", count(b.calls(), "POST /tokens"), 1)
		eq(t, "connected", b.State().Connected, true)
		eq(t, "notified", b.heard(), "system")
		if err := b.RequestCertificate(t.Context(), []string{"a.test"}, "", ""); err == nil {
			t.Error("asked for a certificate that nobody would see")
		}

		f.set("")
		after(time.Minute)
		state(true, 5)
		eq(t, "notified", b.heard(), "system")
		f.set("hidden", hidden...)
		after(time.Minute)
		state(false, 2)
		eq(t, "notified", b.heard(), "system")
	})
}

// A look that lacks one list changes nothing of what is known.
func TestLookIsCompleteOrNothing(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		var f failing
		s := newNPM(t, 1, version(v), fault(f.fault))
		b := newBed(t, s.API())
		for _, l := range lists() {
			f.set("500", l.path)
			if err := b.Refresh(t.Context()); err == nil || b.View(func(*api.NPM) {}) {
				t.Errorf("without %s: %v", l.path, err)
			}
		}
		f.set("")
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, l := range lists() {
			id := s.AddHost(npmtest.ProxyHost{DomainNames: []string{fmt.Sprintf("new%d.test", i)}, ForwardHost: "x", ForwardPort: 1})
			f.set("500", l.path)
			if err := b.Refresh(t.Context()); err == nil || b.host(id) != nil {
				t.Errorf("without %s: %v", l.path, err)
			}
			f.set("")
			if err := b.Refresh(t.Context()); err != nil || b.host(id) == nil {
				t.Errorf("afterwards: %v", err)
			}
		}
	})
}

// Somebody undoes what was written before NPM is looked at again: its list is
// then what it was at the last look, and is read all the same.
func TestUndoneBetweenTwoLooks(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		b, admin := newBed(t, s.API()), newBed(t, s.API())
		for _, n := range newHosts {
			if err := b.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			made, err := b.Create(t.Context(), n.kind, n.fields, declared("x", nil))
			if err != nil {
				t.Fatal(err)
			}
			admin.do(t, http.MethodDelete, hostPath(made))
			if err := b.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.View(func(n *api.NPM) { eq(t, string(made.Kind)+" is still known", n.Get(made) != nil, false) })
		}
	})
}
