package queue

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/no502/no502/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inBubble runs a test with a Queue in fake time.
func inBubble(t *testing.T, test func(t *testing.T, q Queue)) {
	synctest.Test(t, func(t *testing.T) {
		q := New()
		defer q.ShutDown()
		test(t, q)
	})
}

// Each pause is twice the one before, from 0.25 s to 5 min, give or take a half.
func TestPausesGrow(t *testing.T) {
	inBubble(t, func(t *testing.T, q Queue) {
		key := api.HostKey(1)
		wanted := firstPause
		spread := map[time.Duration]bool{}
		for try := 1; try <= 40; try++ {
			began := time.Now()
			q.AddRateLimited(key)
			if q.NumRequeues(key) != try {
				t.Errorf("try %d: counted as %d", try, q.NumRequeues(key))
			}
			if got, _ := q.Get(); got != key {
				t.Fatalf("got %v", got)
			}
			q.Done(key)
			took := time.Since(began)
			if took < wanted/2 || took > wanted*3/2+time.Millisecond {
				t.Errorf("try %d: a pause of %v, want about %v", try, took, wanted)
			}
			spread[took*100/wanted] = true
			wanted = min(2*wanted, lastPause)
		}
		if wanted != lastPause || len(spread) < 10 {
			t.Errorf("pauses are not spread: %v", spread)
		}
	})
}

// What is only waited for is never left alone for long.
func TestWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T, q Queue) {
		key := api.HostKey(1)
		for try := range 20 {
			began := time.Now()
			q.AddWaiting(key)
			got, _ := q.Get()
			q.Done(got)
			if took := time.Since(began); took > longestWait || try > 10 && took != longestWait {
				t.Errorf("try %d: a pause of %v", try, took)
			}
		}
	})
}

// News about a key, and success, begin the pauses anew; other keys' go on.
func TestForget(t *testing.T) {
	inBubble(t, func(t *testing.T, q Queue) {
		one, two := api.HostKey(1), api.HostKey(2)
		for range 10 {
			for _, key := range []api.Key{one, two} {
				q.AddRateLimited(key)
				got, _ := q.Get()
				q.Done(got)
			}
		}
		q.Forget(one)
		if q.NumRequeues(one) != 0 || q.NumRequeues(two) != 10 {
			t.Errorf("retries: %d and %d, want 0 and 10", q.NumRequeues(one), q.NumRequeues(two))
		}
		began := time.Now()
		q.AddRateLimited(two)
		q.AddRateLimited(one)
		if got, _ := q.Get(); got != one || time.Since(began) > 2*firstPause {
			t.Errorf("%v comes first, after %v", got, time.Since(began))
		}
		q.Done(one)
		if got, _ := q.Get(); got != two || time.Since(began) < lastPause/4 {
			t.Errorf("%v comes next, after %v", got, time.Since(began))
		}
		q.Done(two)
	})
}

func TestFirstInFirstOut(t *testing.T) {
	inBubble(t, func(t *testing.T, q Queue) {
		var want, got []api.Key
		for id := range 100 {
			key := api.HostKey(id * 7919 % 101)
			want = append(want, key)
			q.Add(key)
			q.Add(want[0]) // waits already: no second time
		}
		for range want {
			key, _ := q.Get()
			got = append(got, key)
			q.Done(key)
		}
		if !slices.Equal(got, want) || q.Len() != 0 {
			t.Errorf("got %v and %d more, want %v", got, q.Len(), want)
		}
	})
}

// A key that is named while somebody works on it is worked on once more, after
// that, and never by two at a time.
func TestNeverTwiceAtATime(t *testing.T) {
	inBubble(t, func(t *testing.T, q Queue) {
		keys := []api.Key{api.HostKey(1), api.HostKey(2), api.SystemKey()}
		var mu sync.Mutex
		busy, worked := map[api.Key]int{}, map[api.Key]int{}
		var workers sync.WaitGroup
		for range 8 {
			workers.Go(func() {
				for {
					key, shutdown := q.Get()
					if shutdown {
						return
					}
					mu.Lock()
					if busy[key]++; busy[key] > 1 {
						t.Errorf("%v is worked on by %d", key, busy[key])
					}
					worked[key]++
					mu.Unlock()
					time.Sleep(time.Second)
					mu.Lock()
					busy[key]--
					mu.Unlock()
					q.Done(key)
				}
			})
		}
		for range 50 { // in the first half second
			for _, key := range keys {
				q.Add(key)
			}
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		q.ShutDown()
		workers.Wait()
		for _, key := range keys {
			if worked[key] != 2 {
				t.Errorf("%v was worked on %d times, want 2: what was named meanwhile is one more", key, worked[key])
			}
		}
	})
}

// Keys that failed, waited and came to an end leave nothing, and a key waits once,
// however often it is named.
func TestQueueIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, q Queue) {
		for id := range 10_000 {
			key := api.HostKey(id)
			q.AddRateLimited(key)
			q.AddWaiting(key)
			for range 10 {
				q.Add(key)
			}
		}
		if q.Len() != 10_000 {
			t.Errorf("%d keys wait", q.Len())
		}
		time.Sleep(lastPause)
		for q.Len() > 0 {
			key, _ := q.Get()
			q.Forget(key)
			q.Done(key)
		}
		if n := len(q.limiter.backoffs); n > 0 {
			t.Errorf("of %d keys that came to an end something is kept", n)
		}
	})
}
