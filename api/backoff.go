package api

import "time"

// Backoff is how long to wait between tries: First, then twice as long each
// time, and Last at the most.
type Backoff struct{ First, Last time.Duration }

// After is the pause after so many tries in vain. It takes any number: some are
// read from where anybody may write.
func (b Backoff) After(tries int) time.Duration {
	pause := b.First
	for i := 1; i < tries && pause < b.Last; i++ {
		pause *= 2
	}
	return min(pause, b.Last)
}
