package reconcile

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/no502/no502/api"
)

// nginxRemembers is how long nginx keeps a name's address (measured: NPM sets
// `resolver … valid=10s`).
const nginxRemembers = 10 * time.Second

// memory is what the Reconciler has to remember between two looks at a key:
// which hosts meant which backend, which were right, which addresses nginx may
// still hold, and what came of its own writes. It is lost at a restart without
// harm: by the time no502 is up again nginx has forgotten most, and what is
// rejected or undone again is found out again.
type memory struct {
	mu       sync.Mutex
	backends map[string]api.Identity           // by container ID
	seen     map[string]*api.Container         // as they were when last looked at
	hosts    map[api.Identity]map[api.Key]bool // that meant a backend, or may have
	meant    map[api.Key][]api.Identity        // likewise, of every host that was judged
	proven   map[int]api.Proven                // by proxy host
	resolved map[int]resolved                  // by proxy host
	serves   map[api.Key][]string              // what each host served
	idle     map[api.Key]api.IdleSince         // hosts whose service is away
	expects  map[api.Key]bool                  // what waits for a certificate or an access list
	rejected map[api.Key]api.Rejected          // by nginx or NPM; see api.Action.Rejection
	loaded   map[api.Key]loaded                // the static names of each host
	reloaded time.Time                         // nginx, by the last write
	proving  map[api.Key]api.Proving           // the last write to each host
	last     api.Lease                         // who wrote last in this instance's name
	deleted  []time.Time                       // since the last resync
	contests contests
	moves    moves
	// landslide: too many hosts would be deleted at once. When one was kept for
	// that, it is held until none is to be deleted any more.
	landslide, held bool
	// topology is its fingerprint when the system was last looked at; nil before.
	topology *string
}

// resolved is what nginx made of a host's forward host.
type resolved struct {
	addrs []netip.Addr
	gone  time.Time // when one of them was no longer right; zero: right still
}

func newMemory() memory {
	return memory{
		backends: map[string]api.Identity{},
		seen:     map[string]*api.Container{},
		hosts:    map[api.Identity]map[api.Key]bool{},
		meant:    map[api.Key][]api.Identity{},
		proven:   map[int]api.Proven{},
		resolved: map[int]resolved{},
		serves:   map[api.Key][]string{},
		idle:     map[api.Key]api.IdleSince{},
		expects:  map[api.Key]bool{},
		rejected: map[api.Key]api.Rejected{},
		loaded:   map[api.Key]loaded{},
		proving:  map[api.Key]api.Proving{},
		contests: contests{of: map[string]*contest{}},
		moves:    moves{},
	}
}

// observe adds to a snapshot what was right of a host, and what nginx may still
// hold for it, and remembers what a container is.
func (m *memory) observe(s *api.Snapshot, key api.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if since, ok := m.idle[key]; ok {
		s.Idle = map[api.Key]api.IdleSince{key: since}
	}
	m.recallLoaded(s, key)
	if pr, ok := m.proving[key]; ok {
		s.Proving = map[api.Key]api.Proving{key: pr}
	}
	s.Landslide, s.Contested = m.landslide, m.contests.held
	if was, lately := m.moves.of(key, s.Now); lately {
		s.Moved = map[api.Key]api.Moved{key: was}
	}
	if was, ok := m.rejected[key]; ok {
		s.Rejected = map[api.Key]api.Rejected{key: was}
	}
	if key.Kind == api.KindContainer {
		s.Rejected = maps.Clone(m.rejected) // of what its labels are to make
		if c := s.Engine.Container(key.ID); c != nil {
			m.backends[key.ID] = c.Identity()
		}
		return
	}
	id, ok := key.HostID()
	if !ok {
		return
	}
	if p, ok := m.proven[id]; ok {
		s.Proven = map[int]api.Proven{id: p}
	}
	was, ok := m.resolved[id]
	if !ok {
		return
	}
	old, ok := stale(s, was.addrs, m.meant[key])
	switch {
	case !ok:
		was.gone = time.Time{}
	case was.gone.IsZero():
		was.gone = s.Now
	case s.Now.Sub(was.gone) >= nginxRemembers:
		delete(m.resolved, id)
		return
	}
	m.resolved[id] = was
	if ok {
		s.Cached = map[int]netip.Addr{id: old}
	}
}

// stale finds an address that no running replica of the backend has now.
func stale(s *api.Snapshot, addrs []netip.Addr, backend []api.Identity) (netip.Addr, bool) {
	for _, addr := range addrs {
		if !slices.ContainsFunc(s.Engine.At(addr), func(c *api.Container) bool {
			return c.Up() && slices.Contains(backend, c.Identity())
		}) {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// judged remembers a host's backend, and once the host is right that it is, and
// the addresses that nginx resolves its forward host to. It reports whether the
// host was never judged before.
func (m *memory) judged(key api.Key, p api.Plan, now time.Time) (first bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id, isProxyHost := key.HostID()
	_, known := m.meant[key]
	m.unlink(key)
	if len(p.Verdicts) == 0 {
		delete(m.idle, key)
		delete(m.rejected, key)
		delete(m.loaded, key)
		delete(m.proving, key)
		if isProxyHost {
			delete(m.resolved, id)
			delete(m.proven, id)
		}
		return false
	}
	v := p.Verdicts[0]
	m.link(key, meanings(v))
	if v.Idle.Why == "" {
		delete(m.idle, key)
	} else if m.idle[key].Idle != v.Idle {
		m.idle[key] = api.IdleSince{Idle: v.Idle, Since: now}
	}
	m.held = m.held || slices.ContainsFunc(v.Findings, func(f api.Finding) bool { return f.Code == api.DeleteLimit })
	if v.InSync.Status != api.True || !isProxyHost {
		return !known
	}
	if v.Ready.Status == api.True {
		m.proven[id] = api.Proven{Backend: v.Backend, Endpoint: v.Forward}
	}
	if _, have := m.resolved[id]; !have && len(v.Addresses) > 0 {
		m.resolved[id] = resolved{addrs: v.Addresses}
	}
	return !known
}

// meanings are the backends that a host means, or of which it may mean any: if
// one of those goes, it is clear what is meant.
func meanings(v api.Verdict) (ids []api.Identity) {
	if v.Backend != "" {
		ids = append(ids, v.Backend)
	}
	ids = append(ids, v.Others...)
	for _, f := range v.Findings {
		if f.Code != api.Ambiguous {
			continue
		}
		for _, one := range f.Candidates {
			ids = append(ids, api.Identity(one))
		}
	}
	return ids
}

// done remembers a change: a write makes nginx resolve the host's name anew.
func (m *memory) done(a api.Action, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.contests.did(a, now)
	m.moves.did(a, now)
	if a.Op == api.OpDelete && slices.Contains(a.Because, api.HostIdle) { // and not to be made anew
		delete(m.idle, a.Host) // it is not counted twice
		m.deleted = append(m.deleted, now)
	}
	delete(m.rejected, a.Rejection())
	if a.Host.IsHost() {
		m.reloaded = now
		delete(m.loaded, a.Host)
	}
	m.toProve(a, now)
	if _, looked := m.serves[a.Host]; !looked { // who waits for what it lets go is to be told
		for _, d := range a.From.Strings(api.FieldDomains) {
			m.serves[a.Host] = append(m.serves[a.Host], strings.ToLower(d))
		}
	}
	if id, ok := a.Host.HostID(); ok {
		delete(m.resolved, id)
	}
}

// watchDeletes notices when more hosts than the limit wait for their deletion,
// with those that were deleted lately.
func (m *memory) watchDeletes(limit int, lately time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deleted = slices.DeleteFunc(m.deleted, func(at time.Time) bool { return at.Before(lately) })
	waiting := 0
	for _, is := range m.idle {
		if is.Delete {
			waiting++
		}
	}
	m.held = m.held && waiting > 0
	m.landslide = m.held || waiting > 0 && waiting+len(m.deleted) > limit
}

// released are the names that a host served when it was last looked at, and no
// longer does.
func (m *memory) released(key api.Key, now []string) (names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range m.serves[key] {
		if !slices.Contains(now, name) {
			names = append(names, name)
		}
	}
	if len(now) == 0 {
		delete(m.serves, key)
	} else {
		m.serves[key] = now
	}
	return names
}

func (m *memory) link(key api.Key, ids []api.Identity) {
	m.meant[key] = ids
	for _, id := range ids {
		if m.hosts[id] == nil {
			m.hosts[id] = map[api.Key]bool{}
		}
		m.hosts[id][key] = true
	}
}

func (m *memory) unlink(key api.Key) {
	for _, id := range m.meant[key] {
		delete(m.hosts[id], key)
		if len(m.hosts[id]) == 0 {
			delete(m.hosts, id)
		}
	}
	delete(m.meant, key)
}

// see remembers a container as it is, and returns it as it was when it was last
// looked at; nil where it is not there, or was not.
func (m *memory) see(id string, now *api.Container) (was *api.Container) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was = m.seen[id]
	if m.seen[id] = now; now == nil {
		delete(m.seen, id)
	}
	return was
}

// hostsOf are the hosts that meant the backend a container is or was.
func (m *memory) hostsOf(container string, c *api.Container) ([]api.Key, api.Identity) {
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
	return keys, id
}

// gone are the keys of what was there and is no more, and whose end nobody saw.
// What is there is remembered, so that its end tells something.
func (m *memory) gone(s *api.Snapshot) (keys []api.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.backends {
		if s.Engine.Container(id) == nil {
			keys = append(keys, api.ContainerKey(id))
		}
	}
	for _, c := range s.Engine.Containers() {
		m.backends[c.ID] = c.Identity()
	}
	if s.NPM == nil {
		return keys
	}
	for key := range m.meant {
		if s.NPM.Get(key) == nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// expect remembers whether a key waits for a certificate or an access list, and
// reports whether any does.
func (m *memory) expect(key api.Key, p api.Plan) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.expects, key)
	for _, v := range p.Verdicts {
		for _, f := range v.Findings {
			switch f.Code {
			case api.AccessListMissing, api.CertificateMissing, api.CertificateNeeded:
				m.expects[key] = true
			}
		}
	}
	return len(m.expects) > 0
}

// topologyChanged reports whether the topology is another than when the system
// was last looked at.
func (m *memory) topologyChanged(fingerprint string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.topology != nil && *m.topology != fingerprint
}

func (m *memory) setTopology(fingerprint string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.topology = &fingerprint
}

// prune forgets what was long ago.
func (m *memory) prune(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.contests.forget(now)
	m.moves.forget(now)
	m.forgetRejected(now)
}
