package reconcile

import (
	"net/netip"
	"slices"
	"time"

	"github.com/no502/no502/api"
)

// loaded is where the names of a host lead that nginx looks up when it loads, and
// when that changed last: since then nginx must have loaded again.
type loaded struct {
	addrs   []netip.Addr
	changed time.Time
}

// recallLoaded adds to a snapshot what nginx made of a host's static names. Any
// write to NPM makes nginx load again.
func (m *memory) recallLoaded(s *api.Snapshot, key api.Key) {
	if l, ok := m.loaded[key]; ok {
		s.Loaded = map[api.Key]api.Loaded{key: {Addrs: l.addrs, Stale: l.changed.After(m.reloaded)}}
	}
}

// notice remembers where a host's static names lead by now. What is missing is
// away, and nginx keeps what it had.
func (m *memory) notice(p api.Plan, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range p.Verdicts {
		if len(v.Static) == 0 {
			continue
		}
		l, known := m.loaded[v.Key]
		if known && slices.Equal(l.addrs, v.Static) {
			continue
		}
		if known {
			l.changed = now
		}
		l.addrs = v.Static
		m.loaded[v.Key] = l
	}
}
