package probe

import (
	"context"
	"slices"
	"sync"
	"time"
)

// answers remembers what was found, for how long, and who is asking. Its lock
// is its owner's.
type answers[K comparable, V any] struct {
	mu      *sync.RWMutex
	known   map[K]V
	until   map[K]time.Time // of known; absent: for good
	soonest time.Time       // no entry of until is earlier; zero without any
	asking  map[K]chan struct{}
}

func (a *answers[K, V]) init(mu *sync.RWMutex) {
	a.mu = mu
	a.known = map[K]V{}
	a.until = map[K]time.Time{}
	a.asking = map[K]chan struct{}{}
}

// unknown returns the keys without an answer, each once.
func (a *answers[K, V]) unknown(keys []K) []K {
	now := time.Now()
	a.mu.RLock()
	defer a.mu.RUnlock()
	seen := make(map[K]bool, len(keys))
	return slices.DeleteFunc(slices.Clone(keys), func(k K) bool {
		again := seen[k]
		seen[k] = true
		return again || a.has(k, now)
	})
}

// has needs the lock.
func (a *answers[K, V]) has(k K, now time.Time) bool {
	until, expires := a.until[k]
	_, ok := a.known[k]
	return ok && (!expires || now.Before(until))
}

// ask lets find answer, unless somebody else is at it: then it waits. find
// returns for how long the answer is good (0: for good) and whether there is
// one; without one, the next who waits finds out.
func (a *answers[K, V]) ask(ctx context.Context, k K, find func() (V, time.Duration, bool)) {
	for ctx.Err() == nil {
		a.mu.Lock()
		if a.has(k, time.Now()) {
			a.mu.Unlock()
			return
		}
		other := a.asking[k]
		if other == nil {
			a.asking[k] = make(chan struct{})
			a.mu.Unlock()
			a.answer(k, find)
			return
		}
		a.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
		}
	}
}

func (a *answers[K, V]) answer(k K, find func() (V, time.Duration, bool)) {
	v, good, ok := find()
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.asking[k])
	delete(a.asking, k)
	if !ok {
		return
	}
	a.known[k] = v
	delete(a.until, k)
	if good > 0 {
		a.expireAt(k, time.Now().Add(good))
	}
}

// renew lets the answers that are about to expire be good from now on.
func (a *answers[K, V]) renew(keys []K, good time.Duration) {
	at := time.Now().Add(good)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range keys {
		if until, ok := a.until[k]; ok && until.Before(at) {
			a.expireAt(k, at)
		}
	}
}

// The rest needs the lock.

func (a *answers[K, V]) expireAt(k K, at time.Time) {
	a.until[k] = at
	if a.soonest.IsZero() || at.Before(a.soonest) {
		a.soonest = at
	}
}

func (a *answers[K, V]) due(now time.Time) bool {
	return !a.soonest.IsZero() && !now.Before(a.soonest)
}

func (a *answers[K, V]) expire(now time.Time) {
	if !a.due(now) {
		return
	}
	a.soonest = time.Time{}
	for k, at := range a.until {
		if now.Before(at) {
			a.expireAt(k, at)
		} else {
			a.forget(k)
		}
	}
}

func (a *answers[K, V]) forget(k K) {
	delete(a.known, k)
	delete(a.until, k)
}
