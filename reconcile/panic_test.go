package reconcile

import (
	"errors"
	"testing"

	"github.com/no502/no502/api"
)

// A fault of no502's own in the middle of a write keeps nobody else from writing,
// and the write is not told as done.
func TestPanicWhileWriting(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	b.forward(1, api.Endpoint{Scheme: "http", Host: "WEB", Port: 8080})
	b.patch = func(api.Key, api.Endpoint) error { panic("a fault") }
	func() {
		defer func() { _ = recover() }()
		_, _ = b.Reconcile(t.Context(), host1)
	}()
	if len(b.changes) != 1 || !errors.Is(b.changes[0].Err, api.ErrUnclear) {
		t.Errorf("told %v, want one change that is not clear", b.changes)
	}
	b.patch, b.did = nil, nil
	b.wantDone(host1, "patch 1 http://web:8080", "done: ForwardHostCase")
}
