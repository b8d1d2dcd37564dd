package reconcile

import (
	"maps"
	"slices"
	"time"

	"github.com/no502/no502/api"
)

// Who undoes for the third time what no502 did within contestWindow is left alone
// for a while; then no502 tries once, and the next while is longer. What stood for
// contestCalm is forgotten.
const (
	contestRounds = 3
	contestWindow = 10 * time.Minute
	contestCalm   = time.Hour
)

var contestPauses = api.Backoff{First: 10 * time.Minute, Last: 4 * time.Hour}

// contests are what no502 did lately, by thing, and how often somebody undid it.
type contests struct {
	of map[string]*contest
	// held is what is left alone. It is never changed, but replaced: snapshots
	// have it.
	held map[api.Subject]api.Contest
}

type contest struct {
	last string           // the value that no502 gave it last
	by   map[string]*bout // what became of each value that no502 gave it
}

type bout struct {
	times  int         // that no502 did it
	lately []time.Time // when it did, but for where nobody had undone it
	pauses int
	at     time.Time // when it was last done, or found undone
}

// did counts a change that was made: what is done again was undone.
func (c *contests) did(a api.Action, now time.Time) {
	switch a.Op {
	case api.OpAttach, api.OpCreateNetwork:
		c.wrote(a.Subject(), true, now)
	case api.OpCreate:
		c.wrote(api.MadeSubject(a.Owner()), true, now)
	case api.OpDelete:
		delete(c.of, api.MadeSubject(a.Owner()).Thing) // nobody else undid that
		c.row(a, now)
	case api.OpPatch:
		c.row(a, now)
		if len(a.To) == 0 {
			c.wrote(api.NoteSubject(a.Ownership, a.Host), true, now)
		}
	}
}

// row counts what was written into a row. Where it said what no502 wrote last it
// is the service that changed its mind.
func (c *contests) row(a api.Action, now time.Time) {
	for _, d := range api.Differences(a.From, a.To) {
		s, was := d.Subject(a.Owner(), a.Host)
		of := c.of[s.Thing]
		c.wrote(s, of != nil && of.last != was, now)
	}
}

func (c *contests) wrote(s api.Subject, undone bool, now time.Time) {
	of := c.of[s.Thing]
	if of == nil {
		of = &contest{by: map[string]*bout{}}
		c.of[s.Thing] = of
	}
	of.last = s.Value
	b := of.by[s.Value]
	switch {
	case b == nil || b.calm(now):
		b = &bout{}
		of.by[s.Value] = b
	case !undone:
		b.at = now
		return
	}
	b.times++
	b.at = now
	b.lately = slices.DeleteFunc(append(b.lately, now), func(at time.Time) bool { return now.Sub(at) >= contestWindow })
	if b.pauses == 0 && len(b.lately) < contestRounds {
		return
	}
	b.pauses++
	if c.held = maps.Clone(c.held); c.held == nil {
		c.held = map[api.Subject]api.Contest{}
	}
	c.held[s] = api.Contest{Times: b.times, Until: now.Add(contestPauses.After(b.pauses))}
}

func (b *bout) calm(now time.Time) bool { return now.Sub(b.at) > contestCalm }

// found notes what is undone again, and left alone.
func (c *contests) found(left []api.Subject, now time.Time) {
	for _, s := range left {
		if of := c.of[s.Thing]; of != nil && of.by[s.Value] != nil {
			of.by[s.Value].at = now
		}
	}
}

// forget drops what has been calm for long.
func (c *contests) forget(now time.Time) {
	var over []api.Subject
	for thing, of := range c.of {
		for value, b := range of.by {
			if b.calm(now) {
				delete(of.by, value)
				over = append(over, api.Subject{Thing: thing, Value: value})
			}
		}
		if len(of.by) == 0 {
			delete(c.of, thing)
		}
	}
	if slices.ContainsFunc(over, func(s api.Subject) bool { _, held := c.held[s]; return held }) {
		c.held = maps.Clone(c.held)
		for _, s := range over {
			delete(c.held, s)
		}
	}
}

// left remembers what a plan leaves alone.
func (m *memory) left(p api.Plan, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range p.Verdicts {
		m.contests.found(v.Contested, now)
	}
}
