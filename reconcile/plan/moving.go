package plan

import (
	"time"

	"github.com/no502/no502/api"
)

// stay is for how long a service that moves again and again must have stayed
// before its host is written for that: a container that crashes once a second
// would have NPM load once a second. nginx looks most names up itself within 10 s.
var stay = api.Backoff{First: 2 * time.Second, Last: time.Minute}

// clockStep is how exactly it is known how far the Engine's clock is ahead.
const clockStep = time.Second

// stays reports whether a service has stayed for long enough where it is. If not,
// the host is looked at again when it has.
func (j *judgement) stays(at []*api.Container) bool {
	was, moved := j.s.Moved[j.v.Key]
	if !moved {
		return true
	}
	since := was.Last
	for _, c := range at {
		started := c.State.StartedAt.Add(-j.s.Ahead)
		if started.After(since) && !started.After(j.s.Now.Add(clockStep)) { // else the clock was put back since
			since = started
		}
	}
	settled := since.Add(stay.After(was.Times))
	if j.s.Now.Before(settled) {
		j.due(settled)
		return false
	}
	return true
}
