package reconcile

import (
	"time"

	"github.com/no502/no502/api"
)

// lease finds out who wrote to NPM last in this instance's name, and since when
// that is known here.
func (m *memory) lease(n *api.NPM, instance string, now time.Time) api.Lease {
	last := n.LastWriter(instance)
	m.mu.Lock()
	defer m.mu.Unlock()
	if was := m.last.Holder; last == nil || was == nil || *was != *last {
		m.last = api.Lease{Holder: last, Seen: now}
	}
	return m.last
}
