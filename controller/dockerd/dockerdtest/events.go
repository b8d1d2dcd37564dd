package dockerdtest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	eventtypes "github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	timetypes "github.com/docker/docker/api/types/time"
)

// ringSize is how many events the Engine keeps for since.
const ringSize = 256

// eventLog keeps the last events and tells them to its subscribers.
type eventLog struct {
	mu      sync.Mutex
	ring    []eventtypes.Message
	clients map[*subscriber]struct{}
	last    int64 // TimeNano of the newest: times only ever grow
	muted   bool
	now     func() time.Time
}

// subscriber is one open event stream. Its queue is unbounded; a real Engine drops what a client does not
// take within 100 ms.
type subscriber struct {
	mu    sync.Mutex
	queue []eventtypes.Message
	wake  chan struct{}
	cut   chan struct{}
}

func (l *eventLog) mute(m bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.muted = m
}

func (l *eventLog) log(m eventtypes.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.muted {
		return
	}
	t := max(l.now().UnixNano(), l.last+1)
	l.last = t
	m.Scope, m.TimeNano, m.Time = "local", t, t/int64(time.Second)
	if len(l.ring) == ringSize {
		l.ring = slices.Delete(l.ring, 0, 1)
	}
	l.ring = append(l.ring, m)
	for s := range l.clients {
		s.push(m)
	}
}

func (l *eventLog) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring = nil
}

func (s *subscriber) push(m eventtypes.Message) {
	s.mu.Lock()
	s.queue = append(s.queue, m)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *subscriber) take() []eventtypes.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queue
	s.queue = nil
	return q
}

// subscribe opens a stream that begins with the kept events from since to until; a zero time is no limit, and
// with neither nothing is replayed.
func (l *eventLog) subscribe(since, until time.Time) *subscriber {
	s := &subscriber{wake: make(chan struct{}, 1), cut: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !since.IsZero() || !until.IsZero() {
		for _, m := range l.ring {
			if (since.IsZero() || m.TimeNano >= since.UnixNano()) && (until.IsZero() || m.TimeNano <= until.UnixNano()) {
				s.push(m)
			}
		}
	}
	l.clients[s] = struct{}{}
	return s
}

func (l *eventLog) unsubscribe(s *subscriber) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.clients, s)
}

// CutEvents breaks every open event stream, as a proxy's timeout or a restart of the Engine does.
func (e *Engine) CutEvents() {
	e.events.mu.Lock()
	defer e.events.mu.Unlock()
	for s := range e.events.clients {
		close(s.cut)
	}
	e.events.clients = map[*subscriber]struct{}{}
}

// EventStreams counts the open event streams, so that a test can wait for a subscription.
func (e *Engine) EventStreams() int {
	e.events.mu.Lock()
	defer e.events.mu.Unlock()
	return len(e.events.clients)
}

func (e *Engine) getEvents(w http.ResponseWriter, r *http.Request) error {
	since, err := parseTime(r.FormValue("since"))
	if err != nil {
		return err
	}
	until, err := parseTime(r.FormValue("until"))
	if err != nil {
		return err
	}
	f, err := filters.FromJSON(r.FormValue("filters"))
	if err != nil {
		return err
	}
	s := e.events.subscribe(since, until)
	defer e.events.unsubscribe(s)
	var end <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		end = t.C
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	flush(w)
	enc := json.NewEncoder(w)
	write := func() error {
		for _, m := range s.take() {
			if !includes(f, m) {
				continue
			}
			if err := enc.Encode(m); err != nil {
				return err
			}
		}
		flush(w)
		return nil
	}
	for {
		if err := write(); err != nil {
			return nil // the client has gone
		}
		select {
		case <-s.wake:
		case <-end:
			_ = write()
			return nil
		case <-s.cut:
			panic(http.ErrAbortHandler)
		case <-r.Context().Done():
			return nil
		case <-e.ctx.Done():
			panic(http.ErrAbortHandler)
		}
	}
}

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	sec, nsec, err := timetypes.ParseTimestamps(s, -1)
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(sec, nsec), nil
}

// includes applies an event filter as the Engine does.
func includes(f filters.Args, m eventtypes.Message) bool {
	attrs := m.Actor.Attributes
	fuzzy := func(t eventtypes.Type) bool {
		return f.FuzzyMatch(string(t), m.Actor.ID) || f.FuzzyMatch(string(t), attrs["name"])
	}
	return matchAction(f, string(m.Action)) &&
		f.ExactMatch("type", string(m.Type)) &&
		(!f.Contains("scope") || f.ExactMatch("scope", m.Scope)) &&
		fuzzy(eventtypes.ContainerEventType) && fuzzy(eventtypes.NetworkEventType) &&
		(f.ExactMatch("image", m.Actor.ID) || f.ExactMatch("image", attrs["image"]) || f.ExactMatch("image", stripTag(attrs["image"]))) &&
		(!f.Contains("label") || f.MatchKVList("label", attrs))
}

func matchAction(f filters.Args, action string) bool {
	for _, v := range f.Get("event") {
		if v == "health_status" || v == "exec_create" || v == "exec_start" {
			return f.FuzzyMatch("event", action)
		}
	}
	return f.ExactMatch("event", action)
}

func stripTag(ref string) string {
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		return ref[:i]
	}
	return ref
}
