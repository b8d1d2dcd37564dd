package reconcile

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/no502/no502/api"
)

// nginxRemembers is how long nginx keeps a name's address (measured: NPM sets
// `resolver … valid=10s`).
const nginxRemembers = 10 * time.Second

// memory is what the Reconciler has to remember between two looks at a key:
// which hosts meant which backend, and which addresses nginx may still hold.
// It is lost at a restart without harm: by the time no502 is up again, nginx
// has forgotten as well.
type memory struct {
	mu         sync.Mutex
	backends   map[string]api.Identity           // by container ID
	hosts      map[api.Identity]map[api.Key]bool // that meant a backend
	backendsOf map[api.Key]api.Identity
	resolved   map[int]resolved // by proxy host
}

// resolved is what nginx made of a host's forward host.
type resolved struct {
	addrs []netip.Addr
	gone  time.Time // when one of them was no longer right; zero: right still
}

func newMemory() memory {
	return memory{
		backends:   map[string]api.Identity{},
		hosts:      map[api.Identity]map[api.Key]bool{},
		backendsOf: map[api.Key]api.Identity{},
		resolved:   map[int]resolved{},
	}
}

// observe adds to a snapshot what nginx may still hold for a host, and
// remembers what a container is.
func (m *memory) observe(s *api.Snapshot, key api.Key, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if key.Kind == api.KindContainer {
		if c := s.Engine.Container(key.ID); c != nil {
			m.backends[key.ID] = c.Identity()
		}
		return
	}
	id, ok := key.HostID()
	if !ok {
		return
	}
	was, ok := m.resolved[id]
	if !ok {
		return
	}
	stale, ok := m.stale(s, was.addrs, m.backendsOf[key])
	switch {
	case !ok:
		was.gone = time.Time{}
	case was.gone.IsZero():
		was.gone = now
	case now.Sub(was.gone) >= nginxRemembers:
		delete(m.resolved, id)
		return
	}
	m.resolved[id] = was
	if ok {
		s.Cached = map[int]netip.Addr{id: stale}
	}
}

// stale finds an address that no running replica of the backend has now.
func (m *memory) stale(s *api.Snapshot, addrs []netip.Addr, backend api.Identity) (netip.Addr, bool) {
	for _, addr := range addrs {
		if !slices.ContainsFunc(s.Engine.At(addr), func(c *api.Container) bool {
			return c.Up() && c.Identity() == backend
		}) {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// judged remembers a host's backend, and once the host is right the addresses
// that nginx resolves its forward host to.
func (m *memory) judged(key api.Key, p api.Plan) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id, _ := key.HostID()
	if len(p.Verdicts) == 0 {
		m.unlink(key)
		delete(m.resolved, id)
		return
	}
	v := p.Verdicts[0]
	if v.Backend != m.backendsOf[key] {
		m.unlink(key)
	}
	if v.Backend != "" {
		if m.hosts[v.Backend] == nil {
			m.hosts[v.Backend] = map[api.Key]bool{}
		}
		m.hosts[v.Backend][key] = true
		m.backendsOf[key] = v.Backend
	}
	if _, have := m.resolved[id]; !have && v.InSync.Status == api.True && len(v.Addresses) > 0 {
		m.resolved[id] = resolved{addrs: v.Addresses}
	}
}

// saved: a write makes nginx resolve the host's name anew.
func (m *memory) saved(host int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.resolved, host)
}

func (m *memory) unlink(key api.Key) {
	id := m.backendsOf[key]
	delete(m.hosts[id], key)
	if len(m.hosts[id]) == 0 {
		delete(m.hosts, id)
	}
	delete(m.backendsOf, key)
}

// hostsOf are the hosts that meant the backend a container is or was.
func (m *memory) hostsOf(container string, c *api.Container) []api.Key {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := m.backends[container]
	if c != nil {
		id = c.Identity()
	} else {
		delete(m.backends, container)
	}
	keys := make([]api.Key, 0, len(m.hosts[id]))
	for key := range m.hosts[id] {
		keys = append(keys, key)
	}
	return keys
}
