package dockerd

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/no502/no502/api"
)

// Waiting for an Engine that does not answer.
const (
	firstWait = 250 * time.Millisecond
	lastWait  = 15 * time.Second
	// healthyAfter is how long events must have been followed for the next
	// break to be waited out from the shortest time again.
	healthyAfter = 30 * time.Second
	// brief is how long a break of the event stream may last for what was seen
	// before to count as seen without a break: a proxy ended an idle stream.
	brief = 5 * time.Second
)

// Run keeps the cache true until ctx ends, and then returns nil. It calls
// notify with the key of what changed, and with the system's when everything
// was listed anew or a network changed; notify must not block.
func (e *Engine) Run(ctx context.Context, notify func(api.Key)) error {
	wait := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstWait),
		backoff.WithMaxInterval(lastWait),
		backoff.WithMaxElapsedTime(0))
	outage := outage{log: e.log.WithValues("host", e.Host())}
	var lost time.Time
	for {
		var since time.Time
		err := e.follow(ctx, notify, func() {
			since = time.Now()
			if since.Sub(lost) > brief {
				e.cache.followedSince(since)
			}
			e.followed.Store(true)
			outage.over()
		})
		e.followed.Store(false)
		if !since.IsZero() {
			lost = time.Now()
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case since.IsZero():
			outage.goesOn(err)
		default:
			// Proxies end idle streams: no outage unless it cannot be had again.
			e.log.V(1).Info("the Docker Engine's event stream ended", "reason", err.Error())
			if time.Since(since) >= healthyAfter {
				wait.Reset()
			}
		}
		if !sleep(ctx, wait.NextBackOff()) {
			return nil
		}
	}
}

// follow lists everything and follows the events until their stream breaks.
func (e *Engine) follow(ctx context.Context, notify func(api.Key), synced func()) error {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	e.agenda.clear() // what is due from before is in the coming list
	stream, err := e.subscribe(ctx)
	if err != nil {
		return err
	}
	broken := make(chan error, 1)
	running.Go(func() {
		broken <- e.read(ctx, stream, notify)
		cancel()
	})
	if err := e.Refresh(ctx); err != nil {
		if ctx.Err() != nil {
			return <-broken
		}
		return err
	}
	synced()
	notify(api.SystemKey())
	for range inspections {
		running.Go(func() { e.work(ctx, notify) })
	}
	return <-broken
}

// work does what is on the agenda until ctx ends.
func (e *Engine) work(ctx context.Context, notify func(api.Key)) {
	for {
		t, asked, ok := e.agenda.next(ctx)
		if !ok {
			return
		}
		if e.lookAgain(ctx, t, asked) {
			e.agenda.succeeded(t)
			if t.kind == containerTask {
				notify(api.ContainerKey(t.id))
			} else {
				notify(api.SystemKey())
			}
		}
		e.agenda.done(t)
	}
}

// lookAgain observes what an event named, unless that was done since.
func (e *Engine) lookAgain(ctx context.Context, t task, asked uint64) bool {
	if e.cache.since(t.id, asked) {
		return true
	}
	inspect := e.inspectInto
	if t.kind == networkTask {
		inspect = e.inspectNetworkInto
	}
	kept, err := inspect(ctx, t.id)
	switch {
	case ctx.Err() != nil:
		return false
	case err != nil:
		e.failed(t, err)
		return false
	case !kept:
		e.agenda.add(t, 0, always)
		return false
	}
	return true
}

// failed puts a task off, and says so the first time; where there was no answer
// the second time, since by then the end of the events has told more.
func (e *Engine) failed(t task, err error) {
	says := 1
	if errors.Is(err, api.ErrUnanswered) {
		says = 2
	}
	if e.agenda.retry(t) == says {
		e.log.Error(err, "cannot look at a part of the Docker Engine, trying again", string(t.kind), t.id)
	}
}

// sleep reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
