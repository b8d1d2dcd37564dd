package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"go.uber.org/goleak"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a running controller with a Reconciler that a test scripts.
type bed struct {
	t       *testing.T
	sources map[string]*source
	keys    []api.Key
	stop    func() error

	mu   sync.Mutex
	do   func(ctx context.Context, key api.Key) (reconcile.Result, error)
	done []api.Key
	at   []time.Duration
	logs []string
	from time.Time
}

// source is one whose changes a test makes.
type source struct {
	notify func(api.Key)
	ready  chan struct{}
	fails  error // Run's
	mu     sync.Mutex
	state  state
}

// state is what a test changes while the controller runs, and looks at.
type state struct {
	refresh   error
	waits     bool
	refreshed int
}

// set changes the state, and returns it as it is then.
func (s *source) set(change func(*state)) state {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.state)
	return s.state
}

func (s *source) Run(ctx context.Context, notify func(api.Key)) error {
	s.notify = notify
	close(s.ready)
	if s.fails != nil {
		return s.fails
	}
	<-ctx.Done()
	return nil
}

func (s *source) Refresh(context.Context) error {
	return s.set(func(now *state) { now.refreshed++ }).refresh
}

func (s *source) Waits() bool { return s.set(func(*state) {}).waits }

func (b *bed) Keys() []api.Key { return b.keys }

func (b *bed) Reconcile(ctx context.Context, key api.Key) (reconcile.Result, error) {
	b.mu.Lock()
	b.done, b.at = append(b.done, key), append(b.at, time.Since(b.from))
	do := b.do
	b.mu.Unlock()
	if do == nil {
		return reconcile.Result{}, nil
	}
	return do(ctx, key)
}

// inBubble runs a test with a controller of so many workers, resynced each minute.
func inBubble(t *testing.T, workers int, test func(t *testing.T, b *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bed{
			t: t, from: time.Now(), keys: []api.Key{api.SystemKey(), api.ContainerKey("c"), api.HostKey(1)},
			sources: map[string]*source{"docker": {ready: make(chan struct{})}, "npm": {ready: make(chan struct{})}},
		}
		o := Options{
			Reconciler: b, Sources: map[string]Source{}, Resync: time.Minute, Workers: workers,
			Log: funcr.New(func(_, args string) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.logs = append(b.logs, args)
			}, funcr.Options{}),
		}
		for name, s := range b.sources {
			o.Sources[name] = s
		}
		ctx, cancel := context.WithCancel(context.Background())
		stopped := make(chan error, 1)
		go func() { stopped <- Run(ctx, o) }()
		b.stop = sync.OnceValue(func() error { cancel(); return <-stopped })
		synctest.Wait()
		test(t, b)
		if err := b.stop(); err != nil && !strings.Contains(err.Error(), "on purpose") {
			t.Errorf("Run returned %v", err)
		}
	})
}

func (b *bed) notify(key api.Key) {
	b.sources["docker"].notify(key)
	synctest.Wait()
}

// worked returns the keys since the last call, in order.
func (b *bed) worked() []api.Key {
	b.mu.Lock()
	defer b.mu.Unlock()
	done := b.done
	b.done, b.at = nil, nil
	return done
}

func (b *bed) wantWorked(keys ...api.Key) {
	b.t.Helper()
	if got := b.worked(); !slices.Equal(got, keys) {
		b.t.Errorf("worked on %v, want %v", got, keys)
	}
}

func (b *bed) logged() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	logs := b.logs
	b.logs = nil
	return logs
}

func (b *bed) answer(do func(ctx context.Context, key api.Key) (reconcile.Result, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.do = do
}

func TestNews(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bed) {
		b.wantWorked()
		b.notify(api.HostKey(7))
		b.wantWorked(api.HostKey(7))
		b.notify(api.SystemKey()) // anything may have changed: the system comes first
		b.wantWorked(api.SystemKey(), api.ContainerKey("c"), api.HostKey(1))
		if said := b.logged(); len(said) > 0 {
			t.Errorf("logged %q", said)
		}
	})
}

// What fails is tried again with growing pauses, and each try is one line.
func TestFailureIsRetried(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, b *bed) {
		key := api.HostKey(7)
		b.answer(func(_ context.Context, k api.Key) (reconcile.Result, error) {
			if k == key {
				return reconcile.Result{}, errors.New("NPM is away")
			}
			return reconcile.Result{}, nil
		})
		b.notify(key)
		<-time.After(10 * time.Second)
		synctest.Wait()
		tries := len(b.worked())
		if tries < 5 || tries > 8 { // 0, 0.25, 0.75, 1.75, 3.75, 7.75 s, give or take
			t.Errorf("%d tries in 10 s", tries)
		}
		said := b.logged()
		if len(said) != tries {
			t.Errorf("%d tries, %d lines: %q", tries, len(said), said)
		}
		for i, line := range said {
			for _, part := range []string{"could not reconcile, trying again later", "NPM is away", key.String(), fmt.Sprintf(`"try"=%d`, i+1)} {
				if !strings.Contains(line, part) {
					t.Errorf("line %d lacks %q: %s", i+1, part, line)
				}
			}
		}
		// News about the key: at once, and with short pauses again.
		b.notify(key)
		b.wantWorked(key)
		b.answer(nil)
		<-time.After(time.Second)
		b.wantWorked(key)
		<-time.After(40 * time.Second)
		b.wantWorked()
	})
}

// What an Engine that is away leaves unanswered is waited for by its source, which
// says so. Where the source does not wait, each further try is a line.
func TestUnanswered(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bed) {
		b.answer(func(context.Context, api.Key) (reconcile.Result, error) {
			return reconcile.Result{}, fmt.Errorf("attach: %w", api.ErrUnanswered)
		})
		b.sources["docker"].set(func(now *state) { now.waits = true })
		b.notify(api.HostKey(7))
		<-time.After(time.Hour)
		synctest.Wait()
		if said := b.logged(); len(said) > 0 {
			t.Errorf("logged %q", said)
		}
		b.sources["docker"].set(func(now *state) { now.waits = false })
		b.worked()
		b.notify(api.HostKey(7))
		<-time.After(10 * time.Second)
		synctest.Wait()
		if tries, said := len(b.worked()), b.logged(); tries < 3 || len(said) != tries-1 {
			t.Errorf("%d tries, logged %q", tries, said)
		}
	})
}

// A wait is no error: it is retried without a word.
func TestRetry(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bed) {
		key := api.HostKey(7)
		b.answer(func(context.Context, api.Key) (reconcile.Result, error) { return reconcile.Result{Retry: true}, nil })
		b.notify(key)
		<-time.After(3 * time.Second)
		if got := b.worked(); len(got) < 3 {
			t.Errorf("worked on %v", got)
		}
		if said := b.logged(); len(said) > 0 {
			t.Errorf("logged %q", said)
		}
	})
}

func TestThen(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bed) {
		b.answer(func(_ context.Context, key api.Key) (reconcile.Result, error) {
			if key.Kind == api.KindContainer {
				return reconcile.Result{Then: []api.Key{api.HostKey(1), api.HostKey(2)}}, nil
			}
			return reconcile.Result{}, nil
		})
		b.notify(api.ContainerKey("c"))
		b.wantWorked(api.ContainerKey("c"), api.HostKey(1), api.HostKey(2))
	})
}

// A source that cannot be read does not keep the other from being read, nor
// anything from being looked at; it is logged once. One that waits is not asked.
func TestResync(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bed) {
		docker, look := b.sources["docker"], func(*state) {}
		docker.set(func(s *state) { s.refresh = errors.New("cut off") })
		for range 3 {
			<-time.After(time.Minute)
			synctest.Wait()
			b.wantWorked(b.keys...)
		}
		if said := b.logged(); len(said) != 1 || !strings.Contains(said[0], "cut off") || !strings.Contains(said[0], `"source"="docker"`) {
			t.Errorf("logged %q, want it once", said)
		}
		if n := b.sources["npm"].set(look).refreshed; n != 3 {
			t.Errorf("NPM was read %d times", n)
		}
		docker.set(func(s *state) { s.refresh = nil })
		<-time.After(time.Minute)
		synctest.Wait()
		docker.set(func(s *state) { s.refresh = errors.New("again") })
		<-time.After(time.Minute)
		synctest.Wait()
		if said := b.logged(); len(said) != 1 || !strings.Contains(said[0], "again") {
			t.Errorf("logged %q: what was over and comes back is news", said)
		}
		before := docker.set(func(s *state) { s.waits = true }).refreshed
		<-time.After(time.Minute)
		synctest.Wait()
		if docker.set(look).refreshed != before {
			t.Error("read a source that waits")
		}
	})
}

// Run ends when its context does: work in progress hears of it and is waited
// for, and nothing more is begun.
func TestStop(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, b *bed) {
		finished := false
		b.answer(func(ctx context.Context, _ api.Key) (reconcile.Result, error) {
			<-ctx.Done()
			<-time.After(time.Second) // what must not be left half done
			finished = true
			return reconcile.Result{Retry: true}, ctx.Err()
		})
		b.notify(api.HostKey(7))
		b.worked()
		began := time.Now()
		if err := b.stop(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		if !finished || time.Since(began) > 2*time.Second {
			t.Errorf("finished: %v, after %v", finished, time.Since(began))
		}
		b.wantWorked()
		if said := b.logged(); len(said) > 0 {
			t.Errorf("logged %q", said)
		}
	})
}

// A source that cannot go on ends the whole.
func TestSourceFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{ready: make(chan struct{}), fails: errors.New("on purpose")}
		err := Run(t.Context(), Options{Reconciler: &bed{}, Sources: map[string]Source{"npm": s}, Resync: time.Minute, Workers: 1})
		if err == nil || err.Error() != "npm: on purpose" {
			t.Errorf("Run returned %v", err)
		}
	})
}
