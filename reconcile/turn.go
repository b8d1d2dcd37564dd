package reconcile

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/no502/no502/api"
)

// urgency is how long a change may wait: the least waits least.
type urgency int

const (
	failing  urgency = iota // visitors get an error or another's pages, or get in where they should not
	missing                 // a new host
	cosmetic                // the host works
	ending                  // the host's time is over
	slow                    // Let's Encrypt: NPM writes nothing else meanwhile
)

func urgencyOf(a api.Action) urgency {
	switch a.Op {
	case api.OpResave, api.OpEnable:
		return failing
	case api.OpCreate:
		return missing
	case api.OpCertificate:
		return slow
	}
	_, moves := a.To[api.FieldHost]
	_, streams := a.To[api.FieldStreamHost]
	_, guards := a.To[api.FieldAccessList]
	switch {
	case a.Op == api.OpDisable && !slices.Contains(a.Because, api.HostIdle):
		return failing // it is in the way of others, or open to whom it should not be
	case a.Op == api.OpDelete && len(a.To) == 0, a.Op == api.OpDisable:
		return ending
	case moves, streams, guards:
		return failing
	}
	return cosmetic
}

// turn goes to one at a time: of those who wait to the most urgent, and of equals
// to who came first. The zero value is ready.
type turn struct {
	mu      sync.Mutex
	taken   bool
	waiting []*waiter // by urgency, then in the order in which they came
}

type waiter struct {
	urgency urgency
	told    chan error // nil: it has the turn
}

// room is how many may wait. The least urgent of more comes again later, so that
// some workers are always free to find out what is urgent.
const room = 64

// Workers is how many keys are worked on at a time: beside those that wait to
// write, which costs next to nothing.
const Workers = room + 8

// errFull: whoever waits for the turn is more urgent, or came first.
var errFull = errors.New("many other changes come first")

// take waits for the turn. An error says that it was not given: the context
// ended, or errFull.
func (t *turn) take(ctx context.Context, u urgency) error {
	w := t.join(u)
	if w == nil {
		return nil
	}
	select {
	case err := <-w.told:
		return err
	case <-ctx.Done():
	}
	t.leave(w)
	return ctx.Err()
}

// join makes somebody wait; nil: the turn is theirs at once.
func (t *turn) join(u urgency) *waiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.taken {
		t.taken = true
		return nil
	}
	w := &waiter{u, make(chan error, 1)}
	at := slices.IndexFunc(t.waiting, func(other *waiter) bool { return other.urgency > u })
	if at < 0 {
		at = len(t.waiting)
	}
	t.waiting = slices.Insert(t.waiting, at, w)
	if last := len(t.waiting) - 1; last >= room {
		t.waiting[last].told <- errFull
		t.waiting = slices.Delete(t.waiting, last, last+1)
	}
	return w
}

// leave ends a wait, and passes the turn on if it was given meanwhile.
func (t *turn) leave(w *waiter) {
	t.mu.Lock()
	i := slices.Index(t.waiting, w)
	if i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	t.mu.Unlock()
	if i < 0 && <-w.told == nil {
		t.give()
	}
}

// give passes the turn on.
func (t *turn) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		t.taken = false
		return
	}
	t.waiting[0].told <- nil
	t.waiting = slices.Delete(t.waiting, 0, 1)
}
