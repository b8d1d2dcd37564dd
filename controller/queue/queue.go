// Package queue is the work queue that decides when a key is reconciled:
// client-go's, so that a key waits at most once and is never worked on twice
// at a time, with pauses between retries by cenkalti/backoff.
package queue

import (
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"k8s.io/client-go/util/workqueue"

	"github.com/no502/no502/api"
)

// The pauses between retries of one key: the first is short, since most
// waiting is for an app that is just starting. What fails is left alone for
// longer and longer; what is only waited for is looked at again soon.
const (
	firstPause  = 250 * time.Millisecond
	lastPause   = 5 * time.Minute
	longestWait = 10 * time.Second
)

// Queue of keys.
type Queue struct {
	workqueue.TypedRateLimitingInterface[api.Key]
	limiter *limiter
}

// New returns an empty Queue.
func New() Queue {
	l := &limiter{backoffs: map[api.Key]*retries{}}
	return Queue{workqueue.NewTypedRateLimitingQueue[api.Key](l), l}
}

// AddWaiting adds a key after a pause that grows like that of AddRateLimited,
// but not beyond longestWait.
func (q Queue) AddWaiting(key api.Key) {
	q.AddAfter(key, min(q.limiter.When(key), longestWait))
}

// limiter gives each key an exponential backoff of its own.
type limiter struct {
	mu       sync.Mutex // backoff.BackOff is not safe for concurrent use
	backoffs map[api.Key]*retries
}

type retries struct {
	backoff backoff.BackOff
	n       int
}

var _ workqueue.TypedRateLimiter[api.Key] = (*limiter)(nil)

// When returns the pause before the next try.
func (l *limiter) When(key api.Key) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.backoffs[key]
	if r == nil {
		r = &retries{backoff: backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(firstPause),
			backoff.WithMultiplier(2),
			backoff.WithMaxInterval(lastPause),
			backoff.WithMaxElapsedTime(0), // the default gives up after 15 minutes
		)}
		l.backoffs[key] = r
	}
	r.n++
	return r.backoff.NextBackOff()
}

// Forget ends a key's retries.
func (l *limiter) Forget(key api.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.backoffs, key)
}

// NumRequeues returns how often a key was retried.
func (l *limiter) NumRequeues(key api.Key) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.backoffs[key]; r != nil {
		return r.n
	}
	return 0
}
