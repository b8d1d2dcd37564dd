package api

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// NPM is what one Nginx Proxy Manager holds, indexed by everything by which a
// container can find the hosts that may mean it. Not safe for use while it is
// being changed.
type NPM struct {
	hosts     map[int]*Host // proxy hosts
	others    map[Key]*Host // redirection hosts, streams, dead hosts
	byDomain  index[string, Key]
	byService index[Identity, Key]
	byForward index[string, int] // by BareHost
	byPort    index[uint16, int] // hosts that forward to an address or localhost
	byBackend index[Identity, int]
	hidden    map[Kind]bool

	// Certificates and AccessLists are nil while they are not known: no502's
	// user may lack the permission.
	Certificates []Certificate
	AccessLists  []AccessList
	Version      string // "2.15.1"; empty while it is not known
	// Stranded: NPM's back end answers, but its nginx does not run, so that
	// every host is down. It does not start while a literal name of a custom
	// location or a stream cannot be resolved.
	Stranded bool
}

// Certificate is one that NPM holds.
type Certificate struct {
	ID       int
	Name     string // as NPM's UI shows it
	Provider string // "letsencrypt", or "other" for one that was uploaded
	Domains  []string
	Expires  time.Time // of one that is still being asked for: the past
}

// Covers reports whether a certificate is for a domain, and whether by that very
// name: a wildcard stands for one level, and not for the domain itself.
func (c *Certificate) Covers(domain string) (covered, exact bool) {
	domain = strings.ToLower(domain) // NPM keeps what somebody typed
	_, parent, _ := strings.Cut(domain, ".")
	for _, name := range c.Domains {
		name = strings.ToLower(name)
		if name == domain {
			return true, true
		}
		below, wild := strings.CutPrefix(name, "*.")
		covered = covered || wild && parent == below && below != "" && !strings.HasPrefix(domain, "*")
	}
	return covered, false
}

// Issued reports whether Let's Encrypt gave it for all these domains, and it has
// not expired at a time.
func (c *Certificate) Issued(domains []string, at time.Time) bool {
	return c.Provider == "letsencrypt" && c.Expires.After(at) && !slices.ContainsFunc(domains, func(d string) bool {
		covered, _ := c.Covers(d)
		return !covered
	})
}

// CertificatePending is for how long after its date of expiry a certificate may
// be one that is being asked for: NPM dates it at its beginning, in a time zone
// that it does not say.
const CertificatePending = 24 * time.Hour

// AccessList is one of NPM's access lists.
type AccessList struct {
	ID   int
	Name string
}

// NewNPM returns an NPM that holds these hosts, and no certificates or access
// lists.
func NewNPM(hosts []*Host) *NPM {
	n := &NPM{
		hosts:     make(map[int]*Host, len(hosts)),
		others:    map[Key]*Host{},
		byDomain:  make(index[string, Key], len(hosts)),
		byService: index[Identity, Key]{},
		byForward: make(index[string, int], len(hosts)),
		byPort:    index[uint16, int]{},
		byBackend: index[Identity, int]{},
		hidden:    map[Kind]bool{},
	}
	for _, h := range hosts {
		n.SetHost(h)
	}
	return n
}

// Host is the proxy host with NPM's id; nil if there is none.
func (n *NPM) Host(id int) *Host { return n.hosts[id] }

// Get is the host of a key, of any kind; nil if there is none.
func (n *NPM) Get(key Key) *Host {
	if id, ok := key.HostID(); ok {
		return n.hosts[id]
	}
	return n.others[key]
}

// Hosts returns all proxy hosts, by id.
func (n *NPM) Hosts() []*Host {
	all := make([]*Host, 0, len(n.hosts))
	for _, h := range n.hosts {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b *Host) int { return a.ID - b.ID })
	return all
}

// All returns the hosts of every kind: proxy hosts first, then by kind and id.
func (n *NPM) All() []*Host {
	all := n.Hosts()
	first := len(all)
	for _, h := range n.others {
		all = append(all, h)
	}
	slices.SortFunc(all[first:], func(a, b *Host) int {
		return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), a.ID-b.ID)
	})
	return all
}

// OfKind returns the hosts of a kind, by id.
func (n *NPM) OfKind(kind Kind) []*Host {
	return slices.DeleteFunc(n.All(), func(h *Host) bool { return h.Key().Kind != kind })
}

// Hide says that the hosts of a kind are not known: no502's user may not list
// them. The kinds are known unless it is said.
func (n *NPM) Hide(kind Kind, hidden bool) { n.hidden[kind] = hidden }

// Knows reports whether the hosts of a kind are known.
func (n *NPM) Knows(kind Kind) bool { return !n.hidden[kind] }

// Serving finds the host of any kind that serves a domain or a stream's port;
// nil if none does. Of several streams on one port, which NPM allows, it is the
// oldest.
func (n *NPM) Serving(name string) (first *Host) {
	for _, key := range n.byDomain[strings.ToLower(name)] {
		if h := n.Get(key); first == nil || cmp.Or(strings.Compare(string(h.Key().Kind), string(first.Key().Kind)), h.ID-first.ID) < 0 {
			first = h
		}
	}
	return first
}

// DeclaredBy finds the hosts that a service's labels declared, as they
// remember it, in order of their keys.
func (n *NPM) DeclaredBy(service Identity) []*Host {
	var found []*Host
	for _, key := range n.byService[service] {
		found = append(found, n.Get(key))
	}
	slices.SortFunc(found, func(a, b *Host) int {
		return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), a.ID-b.ID)
	})
	return found
}

// ByForward finds the proxy hosts with this forward host, however it is written.
func (n *NPM) ByForward(host string) []int { return n.byForward[BareHost(host)] }

// ByMachinePort finds the proxy hosts that forward to this port of an address
// or of localhost: perhaps a published port of this machine.
func (n *NPM) ByMachinePort(port uint16) []int { return n.byPort[port] }

// ByBackend finds the proxy hosts whose last repair meant this backend.
func (n *NPM) ByBackend(id Identity) []int { return n.byBackend[id] }

// SetHost adds a host or replaces what was known of it.
func (n *NPM) SetHost(h *Host) {
	key := h.Key()
	n.Remove(key)
	for _, name := range h.Serves() {
		n.byDomain.add(name, key)
	}
	if o := h.Owner(); o.Service != "" {
		n.byService.add(o.Service, key)
	}
	if key.Kind != KindHost {
		n.others[key] = h
		return
	}
	n.hosts[h.ID] = h
	bare := BareHost(h.Forward.Host)
	n.byForward.add(bare, h.ID)
	if _, addr := parseAddr(bare); addr || IsMachineName(bare) {
		n.byPort.add(h.Forward.Port, h.ID)
	}
	if h.Ownership != nil {
		n.byBackend.add(h.Ownership.Backend, h.ID)
	}
}

// Remove forgets a host.
func (n *NPM) Remove(key Key) {
	old := n.Get(key)
	if old == nil {
		return
	}
	for _, name := range old.Serves() {
		n.byDomain.remove(name, key)
	}
	if o := old.Owner(); o.Service != "" {
		n.byService.remove(o.Service, key)
	}
	if key.Kind != KindHost {
		delete(n.others, key)
		return
	}
	delete(n.hosts, old.ID)
	n.byForward.remove(BareHost(old.Forward.Host), old.ID)
	n.byPort.remove(old.Forward.Port, old.ID)
	if old.Ownership != nil {
		n.byBackend.remove(old.Ownership.Backend, old.ID)
	}
}
