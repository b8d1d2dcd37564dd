package api

import (
	"slices"
	"strings"
)

// NPM is what one Nginx Proxy Manager holds, indexed by everything by which a
// container can find the hosts that may mean it. Not safe for use while it is
// being changed.
type NPM struct {
	hosts     map[int]*ProxyHost
	byDomain  index[string, int]
	byForward index[string, int] // by BareHost
	byPort    index[uint16, int] // hosts that forward to an address or localhost
	byBackend index[Identity, int]
}

// NewNPM returns an NPM that holds these hosts.
func NewNPM(hosts []*ProxyHost) *NPM {
	n := &NPM{
		hosts:     make(map[int]*ProxyHost, len(hosts)),
		byDomain:  make(index[string, int], len(hosts)),
		byForward: make(index[string, int], len(hosts)),
		byPort:    index[uint16, int]{},
		byBackend: index[Identity, int]{},
	}
	for _, h := range hosts {
		n.SetHost(h)
	}
	return n
}

// Host by NPM's id; nil if there is none.
func (n *NPM) Host(id int) *ProxyHost { return n.hosts[id] }

// Hosts returns all proxy hosts, by id.
func (n *NPM) Hosts() []*ProxyHost {
	all := make([]*ProxyHost, 0, len(n.hosts))
	for _, h := range n.hosts {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b *ProxyHost) int { return a.ID - b.ID })
	return all
}

// ByDomain finds the hosts that serve a domain: none or one, NPM sees to it.
func (n *NPM) ByDomain(domain string) []int { return n.byDomain[strings.ToLower(domain)] }

// ByForward finds the hosts with this forward host, however it is written.
func (n *NPM) ByForward(host string) []int { return n.byForward[BareHost(host)] }

// ByMachinePort finds the hosts that forward to this port of an address or of
// localhost: perhaps a published port of this machine.
func (n *NPM) ByMachinePort(port uint16) []int { return n.byPort[port] }

// ByBackend finds the hosts whose last repair meant this backend.
func (n *NPM) ByBackend(id Identity) []int { return n.byBackend[id] }

// SetHost adds a host or replaces what was known of it.
func (n *NPM) SetHost(h *ProxyHost) {
	n.RemoveHost(h.ID)
	n.hosts[h.ID] = h
	for _, d := range h.Domains {
		n.byDomain.add(strings.ToLower(d), h.ID)
	}
	bare := BareHost(h.Forward.Host)
	n.byForward.add(bare, h.ID)
	if _, addr := parseAddr(bare); addr || IsMachineName(bare) {
		n.byPort.add(h.Forward.Port, h.ID)
	}
	if h.Ownership != nil {
		n.byBackend.add(h.Ownership.Backend, h.ID)
	}
}

// RemoveHost forgets a host.
func (n *NPM) RemoveHost(id int) {
	old := n.hosts[id]
	if old == nil {
		return
	}
	delete(n.hosts, id)
	for _, d := range old.Domains {
		n.byDomain.remove(strings.ToLower(d), id)
	}
	n.byForward.remove(BareHost(old.Forward.Host), id)
	n.byPort.remove(old.Forward.Port, id)
	if old.Ownership != nil {
		n.byBackend.remove(old.Ownership.Backend, id)
	}
}
