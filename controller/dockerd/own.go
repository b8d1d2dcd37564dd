package dockerd

import (
	"sync"
	"time"
)

// ownEventWithin is how long after an attach its own event may still come. A
// container that is not running connects, and says so, when it starts.
const ownEventWithin = 10 * time.Second

// endpoint is a container's place on a network, by their IDs.
type endpoint struct{ network, container string }

// ownEvents are the connect events that no502 causes itself, and of which it
// knows the result: each is swallowed once. The zero value is ready.
type ownEvents struct {
	mu       sync.Mutex
	expected map[endpoint]*ownEvent
}

type ownEvent struct {
	seen  bool      // it came before the Engine's answer did
	until time.Time // zero: the Engine has not answered yet
}

// expect announces an event.
func (o *ownEvents) expect(at endpoint) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for other, event := range o.expected {
		if !event.until.IsZero() && time.Now().After(event.until) {
			delete(o.expected, other)
		}
	}
	if o.expected == nil {
		o.expected = map[endpoint]*ownEvent{}
	}
	o.expected[at] = &ownEvent{}
}

// made says that the change was made: its event may come for a while.
func (o *ownEvents) made(at endpoint) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch event := o.expected[at]; {
	case event == nil:
	case event.seen:
		delete(o.expected, at)
	default:
		event.until = time.Now().Add(ownEventWithin)
	}
}

// failed says that nothing is known of the change, and reports whether an
// event was swallowed for it.
func (o *ownEvents) failed(at endpoint) (seen bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	event := o.expected[at]
	delete(o.expected, at)
	return event != nil && event.seen
}

// swallow reports whether a connect event is one that was expected.
func (o *ownEvents) swallow(at endpoint) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	event := o.expected[at]
	switch {
	case event == nil:
		return false
	case event.until.IsZero():
		first := !event.seen
		event.seen = true
		return first
	}
	delete(o.expected, at)
	return time.Now().Before(event.until)
}

// forget expects no event any more: somebody else changed the endpoint.
func (o *ownEvents) forget(at endpoint) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if event := o.expected[at]; event != nil && !event.until.IsZero() {
		delete(o.expected, at)
	}
}
