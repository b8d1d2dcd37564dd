package report

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/api"
)

// board is a Board, and what it logs.
type board struct {
	*Board
	t     *testing.T
	lines []string
}

func newBoard(t *testing.T, verbosity int) *board {
	b := &board{t: t}
	log := funcr.New(func(_, args string) { b.lines = append(b.lines, args) }, funcr.Options{Verbosity: verbosity})
	b.Board = NewBoard(log, NewJournal(log))
	return b
}

// wantLogged compares the log since the last call: one text per line.
func (b *board) wantLogged(texts ...string) {
	b.t.Helper()
	if len(b.lines) != len(texts) {
		b.t.Errorf("logged %q, want %d lines", b.lines, len(texts))
	}
	for i, line := range b.lines {
		if i < len(texts) && !strings.Contains(line, texts[i]) {
			b.t.Errorf("logged %s, want %q in it", line, texts[i])
		}
	}
	b.lines = nil
}

func verdict(id int, status api.ConditionStatus, findings ...api.Finding) api.Verdict {
	v := api.Verdict{
		Key: api.HostKey(id), Name: "app.example.com", Enabled: true, OptedIn: true, Backend: "shop/app",
		Forward: api.Endpoint{Scheme: "http", Host: "app", Port: 8080}, Findings: findings,
	}
	v.Resolved.Status, v.Ready.Status, v.InSync.Status, v.Served.Status = api.True, status, api.True, api.Unknown
	return v
}

var closed = api.Finding{Code: api.PortNotListening, Message: "nothing accepts connections on 8080", Fix: "no502 waits for it"}

// Each change is one line, and what was said before is not said again.
func TestOneLinePerChange(t *testing.T) {
	b := newBoard(t, 0)
	b.Verdict(verdict(1, api.False, closed))
	b.wantLogged(`"found" "about"="app.example.com" "finding"="PortNotListening"`)
	for range 3 {
		b.Verdict(verdict(1, api.False, closed))
	}
	b.wantLogged()
	other := closed
	other.Message = "nothing accepts connections on 9090"
	b.Verdict(verdict(1, api.False, other))
	b.wantLogged("9090")
	b.Verdict(verdict(1, api.True))
	b.wantLogged(`"proxy host is right" "host"="app.example.com" "forward"="http://app:8080"`)
	b.Verdict(verdict(1, api.True))
	b.wantLogged()
	b.Verdict(verdict(1, api.False, closed)) // it comes back: that is news
	b.wantLogged("PortNotListening")
	b.Forget(api.HostKey(1))
	b.Verdict(verdict(1, api.True)) // deleted, and made again
	b.wantLogged("is right")
	b.Done(api.Action{Op: api.OpPatch, Domain: "app.example.com", Because: []api.Code{api.SchemeMismatch},
		To: api.Endpoint{Scheme: "http", Host: "app", Port: 1}.Fields(), From: api.Endpoint{Scheme: "https", Host: "app", Port: 1}.Fields()})
	b.wantLogged(`"done" "action"="app.example.com: forward to http://app:1 instead of https://app:1" "because"="SchemeMismatch"`)
}

// What nobody opted in, or what no longer is since its container is gone, is
// reported as well, once.
func TestNotOptedIn(t *testing.T) {
	b := newBoard(t, 0)
	v := verdict(1, api.False, closed)
	v.OptedIn = false
	b.Verdict(v)
	b.Verdict(v)
	if len(b.lines) != 1 {
		t.Errorf("logged %q", b.lines)
	}
}

// A host that nginx refuses is not right, whatever it forwards to.
func TestRefused(t *testing.T) {
	b := newBoard(t, 0)
	b.Verdict(verdict(1, api.True, api.Finding{Code: api.NginxRejected, Message: "unknown directive"}))
	if len(b.lines) != 1 || !strings.Contains(b.lines[0], "unknown directive") {
		t.Errorf("logged %q", b.lines)
	}
}

// Since is when a condition last changed, whatever was looked at meanwhile.
func TestSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, 0)
		at := func(v api.Verdict) (ready, inSync time.Duration) {
			b.Verdict(v)
			got := b.Verdicts()[0]
			return time.Since(got.Ready.Since), time.Since(got.InSync.Since)
		}
		if ready, inSync := at(verdict(1, api.True)); ready != 0 || inSync != 0 {
			t.Errorf("at first: %v, %v", ready, inSync)
		}
		time.Sleep(time.Minute)
		if ready, inSync := at(verdict(1, api.False, closed)); ready != 0 || inSync != time.Minute {
			t.Errorf("changed: %v, %v", ready, inSync)
		}
		time.Sleep(time.Minute)
		if ready, inSync := at(verdict(1, api.False, closed)); ready != time.Minute || inSync != 2*time.Minute {
			t.Errorf("unchanged: %v, %v", ready, inSync)
		}
	})
}

// get asks a Board's handler.
func get(b *board, ready Readiness, method, path string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	request := httptest.NewRequest(method, path, nil)
	at := context.WithValue(request.Context(), http.LocalAddrContextKey, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("[::ffff:172.20.0.9]:8502")))
	admits := func(local netip.Addr) bool { return local == netip.MustParseAddr("172.20.0.9") }
	b.Handler("the nonce", ready, admits).ServeHTTP(answer, request.WithContext(at))
	return answer
}

func TestStatusPort(t *testing.T) {
	b := newBoard(t, 0)
	yes := func() (bool, string) { return true, "" }
	no := func() (bool, string) { return false, `NPM refuses "x"` }
	for _, c := range []struct {
		ready        Readiness
		method, path string
		status       int
		body         string
	}{
		{no, "GET", "/healthz", 200, `{"alive":true}`},
		{yes, "GET", "/readyz", 200, `{"ready":true}`},
		{no, "GET", "/readyz", 503, `{"ready":false,"waits_for":"NPM refuses \"x\""}`},
		{yes, "GET", "/api/v1/verdicts", 200, `[]`},
		{yes, "GET", "/", 404, "404 page not found"},
		{yes, "POST", "/api/v1/verdicts", 405, "Method Not Allowed"},
		{yes, "DELETE", "/readyz", 405, "Method Not Allowed"},
	} {
		got := get(b, c.ready, c.method, c.path)
		if got.Code != c.status || strings.TrimSpace(got.Body.String()) != c.body {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, got.Code, got.Body, c.status, c.body)
		}
		if c.status == 200 && (got.Header().Get("Content-Type") != "application/json" || got.Header().Get("X-Content-Type-Options") != "nosniff") {
			t.Errorf("%s %s: header %v", c.method, c.path, got.Header())
		}
		if nonce := got.Header().Get(api.NonceHeader); (nonce == "the nonce") != (c.path == "/healthz") {
			t.Errorf("%s %s: nonce %q", c.method, c.path, nonce)
		}
	}
}

// The JSON that programs read: its names are a promise.
func TestVerdictsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, 0)
		v := verdict(1, api.False, closed)
		v.Ready.Reason, v.Ready.Message = closed.Code, closed.Message
		v.Endpoint = api.Endpoint{Scheme: "http", Host: "app", Port: 9090}
		b.Verdict(v)
		b.Verdict(api.Verdict{Key: api.SystemKey(), Name: "no502", Enabled: true, OptedIn: true})
		b.Verdict(api.Verdict{Key: api.ContainerKey("b"), Name: "b", Findings: []api.Finding{{Code: api.UnknownLabel, Message: "m", Candidates: []string{"no502.host"}}}})
		b.Verdict(api.Verdict{Key: api.ContainerKey("z"), Name: "a"})
		var got any
		if err := json.Unmarshal(get(b, nil, http.MethodGet, "/api/v1/verdicts").Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		var want any
		if err := json.Unmarshal([]byte(`[
			{"kind":"container","name":"a","opted_in":false,"enabled":false},
			{"kind":"container","name":"b","opted_in":false,"enabled":false,
				"findings":[{"code":"UnknownLabel","message":"m","candidates":["no502.host"]}]},
			{"kind":"proxy-host","name":"app.example.com","opted_in":true,"enabled":true,"backend":"shop/app",
				"forward":{"scheme":"http","host":"app","port":8080},"endpoint":{"scheme":"http","host":"app","port":9090},
				"findings":[{"code":"PortNotListening","message":"nothing accepts connections on 8080","fix":"no502 waits for it"}],
				"conditions":{
					"Resolved":{"status":"True","since":"2000-01-01T00:00:00Z"},
					"Ready":{"status":"False","reason":"PortNotListening","message":"nothing accepts connections on 8080","since":"2000-01-01T00:00:00Z"},
					"InSync":{"status":"True","since":"2000-01-01T00:00:00Z"},
					"Served":{"status":"Unknown","since":"2000-01-01T00:00:00Z"}}},
			{"kind":"system","name":"no502","opted_in":true,"enabled":true}
		]`), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}
