package report

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/no502/no502/api"
)

// Readiness says whether no502 can do its work, and if not what it waits for.
type Readiness func() (ready bool, waitsFor string)

// Admission says whether a connection that arrived at this address of no502's
// may see more than that the process lives.
type Admission func(local netip.Addr) bool

// Handler serves the status port: /healthz (the process lives) to everybody, and
// to those who are admitted /readyz (it can do its work), /api/v1/verdicts and
// /api/v1/history. It shows no secrets and changes nothing.
func (b *Board) Handler(nonce string, ready Readiness, admits Admission) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(api.NonceHeader, nonce)
		answer(w, http.StatusOK, map[string]any{"alive": true})
	})
	mux.Handle("/", admitted(admits, b.pages(ready)))
	return bodiless(mux)
}

func (b *Board) pages(ready Readiness) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		ok, waitsFor := ready()
		if !ok {
			answer(w, http.StatusServiceUnavailable, map[string]any{"ready": false, "waits_for": waitsFor})
			return
		}
		answer(w, http.StatusOK, map[string]any{"ready": true})
	})
	mux.HandleFunc("GET /api/v1/verdicts", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, Views(b.Verdicts()))
	})
	mux.HandleFunc("GET /api/v1/history", func(w http.ResponseWriter, r *http.Request) {
		f, err := filterOf(r.URL.Query())
		if err != nil {
			answer(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
			return
		}
		answer(w, http.StatusOK, b.journal.Entries(f))
	})
	return mux
}

// admitted refuses who is not admitted, by the address at which the connection
// arrived: which network it came from, nobody can make up.
func admitted(admits Admission, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if at == nil || !admits(addrOf(at)) {
			http.Error(w, "no502 answers this only to its own container and on networks that it shares with NPM; "+
				"to have it answered wherever it listens, set NO502_LISTEN, for example to :8502", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func addrOf(at net.Addr) netip.Addr {
	addr, _ := netip.ParseAddrPort(at.String()) // the zero address is nobody's
	return addr.Addr().Unmap().WithZone("")
}

// bodiless refuses requests with a body, unread: nothing here takes one.
func bodiless(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			w.Header().Set("Connection", "close")
			http.Error(w, "no request to no502 has a body", http.StatusRequestEntityTooLarge)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(Plain(w)).Encode(body) // the client went away: nobody to tell
}

// View is a verdict as people and programs read it.
type View struct {
	Kind       api.Kind                 `json:"kind"`
	Name       string                   `json:"name"`
	OptedIn    bool                     `json:"opted_in"`
	Enabled    bool                     `json:"enabled"`
	Backend    api.Identity             `json:"backend,omitempty"`
	Forward    *api.Endpoint            `json:"forward,omitempty"`
	Endpoint   *api.Endpoint            `json:"endpoint,omitempty"`
	Findings   []api.Finding            `json:"findings,omitempty"`
	Conditions map[string]ConditionView `json:"conditions,omitempty"`
}

// ConditionView is a condition as people and programs read it.
type ConditionView struct {
	Status  api.ConditionStatus `json:"status"`
	Reason  api.Code            `json:"reason,omitempty"`
	Message string              `json:"message,omitempty"`
	Since   string              `json:"since,omitempty"` // RFC 3339
}

// Views turns verdicts into what is shown.
func Views(verdicts []api.Verdict) []View {
	views := make([]View, len(verdicts))
	for i, v := range verdicts {
		views[i] = View{
			Kind: v.Key.Kind, Name: v.Name, OptedIn: v.OptedIn, Enabled: v.Enabled,
			Backend: v.Backend, Findings: v.Findings,
		}
		if !v.Key.IsHost() {
			continue
		}
		if v.Key.Kind == api.KindHost {
			views[i].Forward = &v.Forward
		}
		if v.Endpoint != (api.Endpoint{}) {
			views[i].Endpoint = &v.Endpoint
		}
		views[i].Conditions = map[string]ConditionView{
			"Resolved": view(v.Resolved), "Ready": view(v.Ready), "InSync": view(v.InSync), "Served": view(v.Served),
		}
	}
	return views
}

func view(c api.Condition) ConditionView {
	cv := ConditionView{Status: c.Status, Reason: c.Reason, Message: c.Message}
	if !c.Since.IsZero() {
		cv.Since = c.Since.UTC().Format(time.RFC3339)
	}
	return cv
}
