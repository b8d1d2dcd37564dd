package npm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/npm/npmtest"
)

var web = api.Endpoint{Scheme: "https", Host: "shop-web-1", Port: 8443}

func TestPatch(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 3, version(v))
		b := newBed(t, s.API())
		b.run()
		synctest.Wait()
		b.heard()
		b.calls()
		others := s.Snapshot()

		if err := b.forward(t.Context(), 2, was(2), web); err != nil {
			t.Fatal(err)
		}
		eq(t, "calls", b.calls(), []string{"GET /nginx/proxy-hosts/2 200", "PUT /nginx/proxy-hosts/2 200"})
		h := b.host(2)
		eq(t, "cached", h.Forward, web)
		eq(t, "online", *h.Online, true)
		eq(t, "ownership", *h.Ownership, *repaired(was(2), web))
		for name, row := range s.Snapshot() {
			if name != "proxy_host/2" && string(row) != string(others[name]) {
				t.Errorf("%s changed: %s", name, row)
			}
		}
		var sent map[string]json.RawMessage
		for _, c := range s.Calls() {
			if c.Method == http.MethodPut {
				_ = json.Unmarshal([]byte(c.Body), &sent)
			}
		}
		eq(t, "fields sent", len(sent), 4) // scheme, host, port, meta
		after(15 * time.Second)
		eq(t, "notified of our own write", b.heard(), "")
		eq(t, "then", b.calls(), []string{"GET /nginx/proxy-hosts 200"})
		after(15 * time.Second)
		eq(t, "then", b.calls(), []string{"GET /nginx/proxy-hosts 304"})
	})
}

// Only what differs is sent; the meta of others comes back as it was, and what
// the user had is noted once.
func TestPatchFieldsAndMeta(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		b := newBed(t, s.API())
		before := metaOf(t, s)
		second, third := was(1), was(1)
		second.Port, third.Port = 80, 81
		for _, step := range []struct{ from, to api.Endpoint }{{was(1), second}, {second, third}} {
			if err := b.forward(t.Context(), 1, step.from, step.to); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range s.Calls() {
			if c.Method != http.MethodPut {
				continue
			}
			var sent map[string]json.RawMessage
			if err := json.Unmarshal([]byte(c.Body), &sent); err != nil || len(sent) != 2 || sent["forward_port"] == nil {
				t.Errorf("sent: %s", c.Body)
			}
			meta := metaKeys(sent["meta"])
			if meta[metaOnline] != nil || meta[metaErr] != nil {
				t.Errorf("sent NPM's own meta: %s", sent["meta"])
			}
		}
		now := metaOf(t, s)
		var ours api.Ownership
		if err := json.Unmarshal(now[metaOurs], &ours); err != nil {
			t.Fatal(err)
		}
		eq(t, "was", ours.Was.Endpoint(), second)
		eq(t, "wrote", ours.Wrote.Endpoint(), third)
		delete(now, metaOurs)
		eq(t, "the rest of meta", fmt.Sprintf("%s", now), fmt.Sprintf("%s", before))
	})
}

func metaOf(t *testing.T, s *npmtest.Server) map[string]json.RawMessage {
	t.Helper()
	var r row
	if err := json.Unmarshal(s.Snapshot()["proxy_host/1"], &r); err != nil {
		t.Fatal(err)
	}
	return metaKeys(r.Meta)
}

// Where nothing differs nothing is written; what a host remembers may be
// written alone, and be taken away.
func TestPatchMeta(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		b := newBed(t, s.API())
		before := metaOf(t, s)
		own := repaired(was(1), web)
		for _, own := range []*api.Ownership{nil, own, own, nil, nil} {
			if err := b.Patch(t.Context(), api.HostKey(1), was(1).Fields(), was(1).Fields(), own); err != nil {
				t.Fatal(err)
			}
		}
		var bodies []string
		for _, c := range s.Calls() {
			if c.Method == http.MethodPut {
				bodies = append(bodies, c.Body)
			}
		}
		eq(t, "writes", len(bodies), 2)
		for _, body := range bodies {
			var sent map[string]json.RawMessage
			if err := json.Unmarshal([]byte(body), &sent); err != nil || len(sent) != 1 || sent["meta"] == nil {
				t.Errorf("sent: %s", body)
			}
		}
		if !strings.Contains(bodies[0], `"was":{"forward_host":"192.168.1.20"`) || strings.Contains(bodies[1], metaOurs) {
			t.Errorf("sent: %s", bodies)
		}
		eq(t, "meta", fmt.Sprintf("%s", metaOf(t, s)), fmt.Sprintf("%s", before))
	})
}

// What changed since the plan was made is not overwritten, but known and told.
func TestPatchStale(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 3, version(v))
		b, admin := newBed(t, s.API()), newBed(t, s.API())
		b.run()
		synctest.Wait()
		b.heard()
		b.calls()
		theirs := api.Endpoint{Scheme: "http", Host: "other", Port: 80}
		if err := admin.forward(t.Context(), 1, was(1), theirs); err != nil {
			t.Fatal(err)
		}
		admin.do(t, http.MethodPost, hostPath(api.HostKey(2))+"/disable")
		admin.do(t, http.MethodDelete, hostPath(api.HostKey(3)))

		for id, want := range map[int]error{1: api.ErrStale, 2: ErrDisabled, 3: ErrGone} {
			err := b.forward(t.Context(), id, was(id), web)
			if !errors.Is(err, want) || !errors.Is(err, api.ErrStale) {
				t.Errorf("host %d: %v, want %v", id, err, want)
			}
			eq(t, "notified", b.heard(), api.HostKey(id).String())
		}
		eq(t, "cached", b.host(1).Forward, theirs)
		eq(t, "disabled", b.host(2).Enabled, false)
		eq(t, "gone", b.host(3) == nil, true)
		eq(t, "writes", count(b.calls(), "PUT"), 0)
	})
}

// do is a request of a person in NPM's pages.
func (b *bed) do(t *testing.T, method, path string) {
	t.Helper()
	err := b.authorized(t.Context(), request{method: method, path: path, timeout: time.Minute},
		func(_ http.Header, body io.Reader) error { _, err := io.Copy(io.Discard, body); return err })
	if err != nil {
		t.Fatal(err)
	}
}

// A host that is deleted between the reading and the writing.
func TestPatchDeletedUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newNPM(t, 1, fault(func(r *http.Request) *npmtest.Fault {
			if r.Method != http.MethodPut {
				return nil
			}
			return &npmtest.Fault{Status: 404, Body: `{"error":{"code":404,"message":"Not Found - 1"}}`}
		}))
		b := newBed(t, s.API())
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		err := b.forward(t.Context(), 1, was(1), web)
		eq(t, "gone", errors.Is(err, ErrGone), true)
		eq(t, "cached", b.host(1) == nil, true)
	})
}

// rejecting is an NPM whose nginx does not accept host 1 with one forward host
// ("*": with any), times times.
func rejecting(h http.Handler, host string, times int32) http.Handler {
	var left, bad atomic.Int32
	left.Store(times)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		if r.Method == http.MethodPut {
			bad.Store(0)
			if (host == "*" || strings.Contains(string(body), `"`+host+`"`)) && left.Add(-1) >= 0 {
				bad.Store(1)
			}
		}
		if bad.Load() == 1 && strings.Contains(r.URL.Path, kinds[api.KindHost].path) {
			body = []byte(strings.NewReplacer(`"nginx_online":true`, `"nginx_online":false`, `"nginx_err":null`,
				`"nginx_err":"[emerg] 1#1: no good in /data/nginx/proxy_host/1.conf:7\nnginx: test failed\n"`).Replace(string(body)))
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body)
	})
}

func TestPatchRejected(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		b := newBed(t, rejecting(s.API(), web.Host, 1))
		b.run()
		synctest.Wait()
		b.calls()
		before := metaOf(t, s)
		err := b.forward(t.Context(), 1, was(1), web)
		var rejected *RejectedError
		if !errors.As(err, &rejected) || !rejected.Restored || !strings.Contains(rejected.NginxErr, "no good") {
			t.Fatalf("error: %v", err)
		}
		eq(t, "error", err.Error(), "nginx rejects proxy host 1: "+
			"[emerg] 1#1: no good in /data/nginx/proxy_host/1.conf:7 (restored)")
		eq(t, "calls", b.calls(), []string{"GET /nginx/proxy-hosts/1 200", "PUT /nginx/proxy-hosts/1 200", "PUT /nginx/proxy-hosts/1 200"})
		eq(t, "forward", b.host(1).Forward, was(1))
		eq(t, "meta", fmt.Sprintf("%s", metaOf(t, s)), fmt.Sprintf("%s", before))
		after(time.Hour)
		eq(t, "writes", count(b.calls(), "PUT"), 0)
	})
}

// What NPM shows as null is put back as an empty list, which it accepts.
func TestPatchRejectedLocations(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		b := newBed(t, rejecting(s.API(), "/new", 1))
		before := s.Snapshot()["proxy_host/1"]
		to := api.Fields{api.FieldLocations: []api.Location{{Path: "/new", Scheme: "http", Host: "10.0.0.7", Port: 80}}, api.FieldAdvanced: ""}
		err := b.Patch(t.Context(), api.HostKey(1), api.Fields{api.FieldLocations: []api.Location{}, api.FieldAdvanced: "# theirs <&>"}, to, nil)
		var rejected *RejectedError
		if !errors.As(err, &rejected) || !rejected.Restored {
			t.Fatalf("error: %v", err)
		}
		was, _, _ := decodeRow(api.KindHost, before)
		now, _, _ := decodeRow(api.KindHost, s.Snapshot()["proxy_host/1"])
		eq(t, "restored", len(to.Of(was.Fields()).Differing(now.Fields())), 0)
	})
}

// NPM sorts domains, so their order is no difference.
func TestPatchDomainsInAnyOrder(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		b := newBed(t, s.API())
		domains := func(all ...string) api.Fields { return api.Fields{api.FieldDomains: all} }
		for _, step := range []struct{ from, to api.Fields }{
			{domains("app1.example.com"), domains("z.test", "a.test")},
			{domains("z.test", "a.test"), domains("a.test", "z.test")},
			{nil, domains("z.test", "a.test")},
		} {
			if err := b.Patch(t.Context(), api.HostKey(1), step.from, step.to, nil); err != nil {
				t.Fatal(err)
			}
		}
		eq(t, "writes", count(b.calls(), "PUT"), 1)
	})
}

// Where even the restoring is rejected, as by another's broken file, the host
// is saved again until nginx has it.
func TestPatchRejectedAndNotRestored(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		b := newBed(t, rejecting(s.API(), "*", 6)) // the write, three restorings, two later ones
		b.run()
		synctest.Wait()
		b.heard()
		b.calls()
		err := b.forward(t.Context(), 1, was(1), web)
		var rejected *RejectedError
		if !errors.As(err, &rejected) || rejected.Restored || rejected.Err == nil {
			t.Fatalf("error: %v", err)
		}
		eq(t, "writes", count(b.calls(), "PUT"), 1+restoreTries)
		eq(t, "forward", b.host(1).Forward, was(1))
		eq(t, "offline", offline(b.host(1)), true)
		after(time.Minute)
		eq(t, "online", *b.host(1).Online, true)
		eq(t, "notified", b.heard(), "proxy-host/1")
		b.calls()
		after(time.Hour)
		eq(t, "writes", count(b.calls(), "PUT"), 0)
	})
}

// What was offline before is not ours to restore.
func TestPatchOfflineBefore(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 0, version(v))
		s.AddHost(npmtest.ProxyHost{DomainNames: []string{"a.b"}, ForwardHost: "192.168.1.20", ForwardPort: 8001,
			AdvancedConfig: "}", Meta: map[string]any{"nginx_online": false, "nginx_err": "bad"}})
		b := newBed(t, s.API())
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		// npmtest answers 500 while its tree is broken: take the file away, as NPM did.
		s.RemoveConf("proxy_host/1.conf")
		if err := b.forward(t.Context(), 1, was(1), web); err != nil {
			t.Error(err)
		}
		eq(t, "forward", b.host(1).Forward, web)
		eq(t, "offline", offline(b.host(1)), true)
		var rejected *RejectedError
		if err := b.Resave(t.Context(), api.HostKey(1)); !errors.As(err, &rejected) {
			t.Errorf("saved again: %v", err)
		}
		eq(t, "ours to mend", b.isUnsure(api.HostKey(1)), false)
	})
}

func TestResave(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		b := newBed(t, s.API())
		b.run()
		synctest.Wait()
		b.heard()
		b.calls()
		if err := b.Resave(t.Context(), api.HostKey(1)); err != nil {
			t.Fatal(err)
		}
		eq(t, "calls", b.calls(), []string{"GET /nginx/proxy-hosts/1 200", "PUT /nginx/proxy-hosts/1 200"})
		last := s.Calls()[len(s.Calls())-1]
		eq(t, "sent", strings.TrimSpace(last.Body), `{"forward_port":8001}`)
		after(15 * time.Second)
		eq(t, "notified", b.heard(), "")
	})
}

// Writes wait for each other, and give up when their caller does.
func TestWritesOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at, most atomic.Int32
		s := newNPM(t, 8)
		b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			most.Store(max(most.Load(), at.Add(1)))
			time.Sleep(100 * time.Millisecond)
			s.API().ServeHTTP(w, r)
			at.Add(-1)
		}))
		errs := make(chan error)
		for i := range 8 {
			go func() { errs <- b.forward(t.Context(), i+1, was(i+1), web) }()
		}
		for range 8 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		eq(t, "at once", most.Load(), 1)
	})
}
