package dockerd

import (
	"mime"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/no502/no502/api"
)

// transport notes the Engine's clock and tells a proxy's refusal from the
// Engine's own, which is always JSON.
type transport struct {
	base  *http.Transport
	date  atomic.Pointer[time.Time]
	ahead atomic.Int64 // a time.Duration
	// streams: the last request for events was granted. The client hands over its
	// failure a moment after its channels.
	streams atomic.Bool
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := t.base.RoundTrip(req)
	if strings.HasSuffix(req.URL.Path, "/events") {
		t.streams.Store(err == nil && resp.StatusCode == http.StatusOK)
	}
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		t.date.Store(&date)
		t.ahead.Store(int64(ahead(date, began, time.Now())))
	}
	// A refused HEAD /_ping is the client's to handle: it tries GET.
	if req.Method != http.MethodHead && refused(resp) {
		_ = resp.Body.Close()
		return nil, &api.RefusedError{Method: req.Method, Path: req.URL.Path, Status: resp.StatusCode}
	}
	return resp, nil
}

func refused(resp *http.Response) bool {
	if resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusMethodNotAllowed {
		return false
	}
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err != nil || kind != "application/json"
}

// now is the Engine's clock as its last answer gave it, in whole seconds and
// rounded down; false if no answer had a date.
func (t *transport) now() (time.Time, bool) {
	if date := t.date.Load(); date != nil {
		return *date, true
	}
	return time.Time{}, false
}

// ahead is how far a clock is ahead that gave a date, in whole seconds, between
// two times of ours. What the exchange itself took is no difference.
func ahead(date, began, ended time.Time) time.Duration {
	switch {
	case date.After(ended):
		return date.Sub(ended)
	case date.Before(began.Add(-time.Second)):
		return date.Sub(began)
	}
	return 0
}

func (t *transport) closeIdle() {
	if t.base != nil {
		t.base.CloseIdleConnections()
	}
}
