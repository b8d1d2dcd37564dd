package api_test

import (
	"math"
	"testing"
	"time"

	"github.com/no502/no502/api"
)

func TestPausesGrowUpToTheLast(t *testing.T) {
	b := api.Backoff{First: time.Second, Last: time.Minute}
	for tries, want := range map[int]time.Duration{
		math.MinInt: time.Second, 0: time.Second, 1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second,
		7: time.Minute, 64: time.Minute, math.MaxInt: time.Minute,
	} {
		if got := b.After(tries); got != want {
			t.Errorf("after %d tries %v, want %v", tries, got, want)
		}
	}
}
