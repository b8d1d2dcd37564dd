package dockerdtest

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Call is one request that the Engine received.
type Call struct {
	Method string
	// Path is without the version prefix: "/containers/json".
	Path  string
	Query url.Values
	// Version is the version prefix without its v: "1.41"; empty if there was none.
	Version string
}

// maxCalls bounds the calls that are kept; the oldest are dropped.
const maxCalls = 100_000

// Calls lists the requests received since the start or the last ResetCalls, oldest first.
func (e *Engine) Calls() []Call {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.calls)
}

// ResetCalls forgets the requests received so far.
func (e *Engine) ResetCalls() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = nil
}

func (e *Engine) record(c Call) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.calls) >= maxCalls {
		e.calls = slices.Delete(e.calls, 0, maxCalls/10)
	}
	e.calls = append(e.calls, c)
}

// Fault is what befalls one request.
type Fault struct {
	// Delay passes before anything else happens.
	Delay time.Duration
	// Status and Message are the answer given instead of the real one. Status 0 and no Drop: no other answer,
	// only the delay.
	Status  int
	Message string
	// Drop breaks the connection instead of answering.
	Drop bool
	// After lets the request take effect first. It is not for streams (events, followed logs, wait).
	After bool
}

// SetFault makes hook decide, for every request from now on, what befalls it; the request's path is
// without the version prefix. A nil answer leaves the request alone; a nil hook leaves all alone.
func (e *Engine) SetFault(hook func(*http.Request) *Fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault = hook
}

// strike applies a fault and says whether the request is done with.
func (e *Engine) strike(f *Fault, w http.ResponseWriter, r *http.Request) (done bool) {
	if f.Delay > 0 {
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
		case <-e.ctx.Done():
		}
	}
	if f.Status == 0 && !f.Drop {
		return false
	}
	if f.After {
		e.mux.ServeHTTP(&blackHole{header: http.Header{}}, r)
	}
	if f.Drop {
		panic(http.ErrAbortHandler) // net/http's way to break the connection without a word
	}
	_, _ = io.Copy(io.Discard, r.Body)
	writeError(w, &apiError{status: f.Status, msg: f.Message})
	return true
}

// blackHole swallows an answer.
type blackHole struct{ header http.Header }

func (b *blackHole) Header() http.Header         { return b.header }
func (b *blackHole) Write(p []byte) (int, error) { return len(p), nil }
func (b *blackHole) WriteHeader(int)             {}
