package reconcile

import (
	"errors"
	"maps"
	"time"

	"github.com/no502/no502/api"
)

// The pauses before a change is tried again that was not accepted.
var (
	rejectedPauses = api.Backoff{First: time.Minute, Last: 4 * time.Hour}
	hiddenPauses   = api.Backoff{First: time.Minute, Last: 10 * time.Minute} // such a try costs no host anything
)

// reject remembers a change that nginx or NPM did not accept.
func (m *memory) reject(a api.Action, err error, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was, pauses := m.rejected[a.Rejection()], rejectedPauses
	if change := a.Exactly(); was.Change != change {
		was = api.Rejected{Change: change}
	}
	if was.Hidden = errors.Is(err, api.ErrHidden); was.Hidden {
		pauses = hiddenPauses
	}
	was.Times++
	was.Reason, was.Until = err.Error(), now.Add(pauses.After(was.Times))
	m.rejected[a.Rejection()] = was
}

// forgetRejected drops what nobody tried again when it might be: what was to be
// made is not wanted any more. The caller holds mu.
func (m *memory) forgetRejected(now time.Time) {
	maps.DeleteFunc(m.rejected, func(_ api.Key, was api.Rejected) bool {
		return now.Sub(was.Until) > rejectedPauses.Last
	})
}
