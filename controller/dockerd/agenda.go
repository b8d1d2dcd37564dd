package dockerd

import (
	"context"
	"maps"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/no502/no502/api"
)

// task is one thing to be looked at again.
type task struct {
	kind kind
	id   string
}

type kind string

const (
	containerTask kind = "container"
	networkTask   kind = "network"
)

// always is an asked number that no observation answers beforehand.
const always = math.MaxUint64

// retries are the pauses of a task that fails, while everything else works.
var retries = api.Backoff{First: time.Second, Last: time.Minute}

// How often one thing is looked at: as often as events ask for that while they
// are few, and steadily in a storm of them. A container's whole life, from its
// making to its end, makes less than a dozen.
const (
	atOnce    = 10
	perSecond = 5
)

// agenda is what events have named and nobody has looked at yet: each thing
// once, and never by two at a time. The zero value is ready.
type agenda struct {
	mu      sync.Mutex
	due     map[task]due
	busy    map[task]bool
	failed  map[task]int           // how often in a row
	pace    map[task]*rate.Limiter // of what was looked at often lately
	changed chan struct{}
}

type due struct {
	at    time.Time
	asked uint64 // the cache's number when it was put here
}

// add puts a task on the agenda; the earlier of two times counts.
func (a *agenda) add(t task, delay time.Duration, asked uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := time.Now().Add(delay)
	if have, ok := a.due[t]; ok {
		if have.at.Before(at) {
			at = have.at
		}
		asked = max(asked, have.asked)
	}
	if a.due == nil {
		a.due = map[task]due{}
	}
	a.due[t] = due{at: at, asked: asked}
	a.wake()
}

// drop takes a task off.
func (a *agenda) drop(t task) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.due, t)
	delete(a.failed, t)
	delete(a.pace, t)
}

// clear takes everything off.
func (a *agenda) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due, a.failed, a.pace = nil, nil, nil
}

// next waits for the first task that is due and takes it; false when ctx
// ends. Until done is called nobody else gets it.
func (a *agenda) next(ctx context.Context) (task, uint64, bool) {
	for {
		t, asked, wait, changed := a.take()
		switch {
		case ctx.Err() != nil:
			if wait == 0 {
				a.done(t)
			}
			return task{}, 0, false
		case wait == 0:
			return t, asked, true
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// take returns a task that is due, else how long until one is.
func (a *agenda) take() (first task, asked uint64, wait time.Duration, changed <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.changed == nil {
		a.changed = make(chan struct{})
	}
	for {
		var at time.Time
		for t, d := range a.due {
			if !a.busy[t] && (at.IsZero() || d.at.Before(at)) {
				first, asked, at = t, d.asked, d.at
			}
		}
		if at.IsZero() {
			return task{}, 0, time.Hour, a.changed
		}
		if wait = time.Until(at); wait > 0 {
			return task{}, 0, wait, a.changed
		}
		pause := a.paced(first)
		if pause == 0 {
			break
		}
		a.due[first] = due{at: time.Now().Add(pause), asked: asked}
	}
	if a.busy == nil {
		a.busy = map[task]bool{}
	}
	delete(a.due, first)
	a.busy[first] = true
	return first, asked, 0, a.changed
}

// paced counts a look at something, or says how long it has to wait. The lock is
// held.
func (a *agenda) paced(t task) (wait time.Duration) {
	l := a.pace[t]
	if l == nil {
		l = rate.NewLimiter(perSecond, atOnce)
		if a.pace == nil {
			a.pace = map[task]*rate.Limiter{}
		}
		a.pace[t] = l
	}
	look := l.Reserve()
	if wait = look.Delay(); wait > 0 {
		look.Cancel()
	}
	return wait
}

// calm forgets what was not looked at lately.
func (a *agenda) calm() {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.pace, func(_ task, l *rate.Limiter) bool { return l.Tokens() >= atOnce })
}

// done ends a task that next gave.
func (a *agenda) done(t task) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.busy, t)
	a.wake()
}

// retry puts a failed task back, each time for longer, and returns how often it
// has failed by now.
func (a *agenda) retry(t task) (times int) {
	a.mu.Lock()
	if a.failed == nil {
		a.failed = map[task]int{}
	}
	a.failed[t]++
	times = a.failed[t]
	a.mu.Unlock()
	a.add(t, retries.After(times), always)
	return times
}

// succeeded forgets a task's failures.
func (a *agenda) succeeded(t task) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.failed, t)
}

// wake tells whoever waits. The lock is held.
func (a *agenda) wake() {
	if a.changed != nil {
		close(a.changed)
		a.changed = nil
	}
}
