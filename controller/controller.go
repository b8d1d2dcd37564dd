// Package controller is the loop: sources say which keys to look at, a queue
// decides when, the Reconciler does it.
package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/queue"
	"github.com/no502/no502/reconcile"
)

// Source is something that changes: the Docker Engine, NPM.
type Source interface {
	// Run keeps the source's cache true until ctx ends and names the keys
	// that changed; the system's key means that anything may have.
	Run(ctx context.Context, notify func(api.Key)) error
	// Refresh reads everything again: whole, or an error.
	Refresh(ctx context.Context) error
	// Waits reports that Run waits for the source. Run has said so, and reads
	// everything as soon as that is possible.
	Waits() bool
}

// Reconciler brings one key to its desired state.
type Reconciler interface {
	Reconcile(ctx context.Context, key api.Key) (reconcile.Result, error)
	// Keys are all keys worth looking at.
	Keys() []api.Key
}

// Options are what a Controller works with.
type Options struct {
	Reconciler Reconciler
	Sources    map[string]Source // by the name that the log shows
	// Resync is how often everything is read and looked at again.
	Resync  time.Duration
	Workers int
	Log     logr.Logger
}

// Run works until ctx ends. Work in progress is finished or cancelled before
// it returns; nothing is undone.
func Run(ctx context.Context, o Options) error {
	c := &controller{Options: o, queue: queue.New()}
	g, ctx := errgroup.WithContext(ctx)
	for name, source := range o.Sources {
		g.Go(func() error {
			if err := source.Run(ctx, c.notify); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	for range o.Workers {
		g.Go(func() error { c.work(ctx); return nil })
	}
	g.Go(func() error { c.resync(ctx); return nil })
	g.Go(func() error {
		<-ctx.Done()
		c.queue.ShutDown()
		return nil
	})
	return g.Wait()
}

type controller struct {
	Options
	queue queue.Queue
}

// notify takes a key from a source. News about a key end its pauses.
func (c *controller) notify(key api.Key) {
	if key.Kind == api.KindSystem {
		c.everything()
		return
	}
	c.queue.Forget(key)
	c.queue.Add(key)
}

func (c *controller) everything() {
	for _, key := range c.Reconciler.Keys() {
		c.queue.Add(key)
	}
}

func (c *controller) work(ctx context.Context) {
	for {
		key, shutdown := c.queue.Get()
		if shutdown {
			return
		}
		c.one(ctx, key)
		c.queue.Done(key)
	}
}

func (c *controller) one(ctx context.Context, key api.Key) {
	if ctx.Err() != nil {
		return
	}
	res, err := c.reconcile(ctx, key)
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return
	case err != nil:
		c.fail(key, err)
		c.queue.AddRateLimited(key)
	case res.Retry:
		c.queue.AddWaiting(key)
	default:
		c.queue.Forget(key)
	}
	if res.After > 0 {
		c.queue.AddAfter(key, res.After)
	}
	for _, k := range res.Then {
		c.queue.Add(k)
	}
}

// fail says that a key could not be worked on; of a panic, the first time, where.
func (c *controller) fail(key api.Key, err error) {
	try := c.queue.NumRequeues(key) + 1
	if c.waitedFor(err, try) {
		return
	}
	said := []any{"key", key.String(), "try", try}
	var fault *panicError
	if errors.As(err, &fault) && try == 1 {
		said = append(said, "stack", fault.stack)
	}
	c.Log.Error(err, "could not reconcile, trying again later", said...)
}

// waitedFor: there was no answer, and who is to give one says already that it is
// waited for, or will by the next try.
func (c *controller) waitedFor(err error, try int) bool {
	if !errors.Is(err, api.ErrUnanswered) {
		return false
	}
	for _, source := range c.Sources {
		if source.Waits() {
			return true
		}
	}
	return try == 1
}

// resync reads and looks at everything from time to time, in case something
// went unnoticed. A source that cannot be read changes nothing; it is logged
// once, however often it fails in a row.
func (c *controller) resync(ctx context.Context) {
	ticker := time.NewTicker(c.Resync)
	defer ticker.Stop()
	failing := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for name, source := range c.Sources {
			if source.Waits() {
				continue
			}
			err := source.Refresh(ctx)
			if err != nil && ctx.Err() == nil && !failing[name] {
				c.Log.Error(err, "could not read again, going on with what is known", "source", name)
			}
			failing[name] = err != nil
		}
		c.everything()
	}
}
