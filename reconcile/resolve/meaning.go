// Package resolve finds out what a proxy host means: which backend its forward
// host and port stand for, by which rule, and what is wrong with the words.
package resolve

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
)

// Rule is the reason for believing that a host means a backend.
type Rule string

// The rules, in the order in which they are tried. Present meaning comes
// before memory: what somebody typed into NPM today outweighs what no502 wrote
// there last month.
const (
	ByLabel   Rule = "a container's labels claim the domain"
	ByRepair  Rule = "no502 wrote this endpoint for that backend"
	ByName    Rule = "the forward host names it"
	ByAddress Rule = "the forward host is its address"
	ByMachine Rule = "it publishes that port of this machine"
	ByMemory  Rule = "the forward host was its name or address before"
	NoRule    Rule = ""
)

// Meaning is what a proxy host's forward host and port stand for.
type Meaning struct {
	Backend    api.Identity
	Containers []*api.Container // the backend's replicas, by name
	Rule       Rule
	// Machine: the host was addressed as this machine, so that its port is
	// (if anything) a published one.
	Machine bool
	// NPMItself: the host leads to NPM's own ports, inside its container.
	NPMItself bool
	// Candidates are several backends of which one may be meant.
	Candidates []string
	// Asks whether an address is this machine's.
	Asks netip.Addr
}

// Known reports whether exactly one backend is meant.
func (m Meaning) Known() bool { return len(m.Containers) > 0 }

// Mean finds the backend that a proxy host means.
func Mean(s *api.Snapshot, p api.Policy, t Topology, h *api.ProxyHost) Meaning {
	r := resolver{s: s, p: p, t: t, host: trimHost(h.Forward.Host), port: h.Forward.Port}
	r.addr, _ = netip.ParseAddr(r.host)
	r.addr = r.addr.Unmap()
	o := h.Ownership
	m := Meaning{Machine: r.isMachine() || o != nil && o.Backend.OnMachine() && o.Wrote == h.Forward}
	if r.npmItself() {
		m.NPMItself = true
		return m
	}
	for _, rule := range []struct {
		rule Rule
		find func(*api.ProxyHost) []*api.Container
	}{
		{ByLabel, r.byLabel}, {ByRepair, r.byRepair}, {ByName, r.byName},
		{ByAddress, r.byAddress}, {ByMachine, r.byMachine}, {ByMemory, r.byMemory},
	} {
		backends := group(rule.find(h))
		if len(backends) == 1 {
			m.Rule, m.Containers = rule.rule, backends[0]
			m.Backend = m.Containers[0].Identity()
			m.Machine = m.Machine || rule.rule == ByMachine
			return m
		}
		if len(backends) > 1 {
			for _, b := range backends {
				m.Candidates = append(m.Candidates, string(b[0].Identity()))
			}
			return m
		}
	}
	m.Asks = r.asks
	return m
}

func trimHost(host string) string {
	return strings.TrimSuffix(strings.Trim(strings.TrimSpace(host), "[]"), ".")
}

type resolver struct {
	s    *api.Snapshot
	p    api.Policy
	t    Topology
	host string
	addr netip.Addr // valid when host is one
	port uint16
	asks netip.Addr
}

// npmItself: inside NPM's container a loopback address is NPM, and people do
// publish its admin page that way.
func (r *resolver) npmItself() bool {
	return r.addr.IsValid() && r.addr.IsLoopback() && (r.port == 80 || r.port == 81 || r.port == 443)
}

func (r *resolver) byLabel(h *api.ProxyHost) []*api.Container {
	for _, d := range h.Domains {
		if found := r.s.Engine.Claiming(d); len(found) > 0 {
			return found
		}
	}
	return nil
}

func (r *resolver) byRepair(h *api.ProxyHost) []*api.Container {
	if o := h.Ownership; o != nil && o.Wrote == h.Forward && o.Instance == r.p.Instance {
		return r.s.Engine.Replicas(o.Backend)
	}
	return nil
}

// byName: a name that NPM can resolve today means what NPM reaches by it; a
// container's own name comes before what others are merely called.
func (r *resolver) byName(*api.ProxyHost) []*api.Container {
	if r.addr.IsValid() || r.host == "" {
		return nil
	}
	found := r.s.Engine.Named(r.host)
	if name, network, ok := r.qualified(); len(found) == 0 && ok {
		found = slices.DeleteFunc(r.s.Engine.Named(name), func(c *api.Container) bool {
			_, on := c.Attachment(network.ID)
			return !on
		})
	}
	if len(group(found)) < 2 {
		return found
	}
	reached := slices.DeleteFunc(slices.Clone(found), func(c *api.Container) bool { return !r.t.Answers(c, r.host) })
	if len(group(reached)) == 1 {
		return reached
	}
	for _, c := range found {
		if strings.EqualFold(c.Name, r.host) {
			return []*api.Container{c}
		}
	}
	return found
}

// qualified splits "name.network", which Docker's DNS also knows.
func (r *resolver) qualified() (string, *api.Network, bool) {
	for i := strings.LastIndexByte(r.host, '.'); i > 0; i = strings.LastIndexByte(r.host[:i], '.') {
		if n := r.s.Engine.NetworkByName(r.host[i+1:]); n != nil {
			return r.host[:i], n, true
		}
	}
	return "", nil, false
}

func (r *resolver) byAddress(*api.ProxyHost) []*api.Container {
	if !r.addr.IsValid() {
		return nil
	}
	return running(r.s.Engine.At(r.addr))
}

// byMachine: only on proof that the address is this machine's. A private
// address may well be another machine's, whatever is published here.
func (r *resolver) byMachine(*api.ProxyHost) []*api.Container {
	found := r.s.Engine.Publishing(r.port)
	if len(found) == 0 {
		return nil
	}
	if !r.isMachine() {
		if _, asked := r.s.Machine[r.addr]; r.addr.IsValid() && !asked {
			r.asks = r.addr
		}
		return nil
	}
	if len(group(found)) < 2 {
		return found
	}
	if up := running(found); len(up) > 0 {
		found = up // it holds the port; a stopped one does not
	}
	if exact := slices.DeleteFunc(slices.Clone(found), func(c *api.Container) bool { return !r.boundTo(c) }); len(exact) > 0 {
		return exact
	}
	return found
}

// boundTo: one port can be published on several of the machine's addresses,
// by several containers.
func (r *resolver) boundTo(c *api.Container) bool {
	for _, p := range c.Published {
		if p.HostPort != r.port || p.Port.Protocol != "tcp" {
			continue
		}
		if p.HostIP == r.addr || !p.HostIP.IsValid() || p.HostIP.IsUnspecified() || (!r.addr.IsValid() && p.HostIP.IsLoopback()) {
			return true
		}
	}
	return false
}

func (r *resolver) byMemory(h *api.ProxyHost) []*api.Container {
	if id, ok := r.s.Engine.Former(r.host); ok {
		if found := r.s.Engine.Replicas(id); len(found) > 0 {
			return found
		}
	}
	if o := h.Ownership; o != nil && o.Instance == r.p.Instance {
		return r.s.Engine.Replicas(o.Backend)
	}
	return nil
}

func (r *resolver) isMachine() bool {
	if api.IsMachineName(r.host) {
		return true
	}
	if !r.addr.IsValid() {
		return false
	}
	return r.addr.IsLoopback() || r.s.Engine.IsGateway(r.addr) ||
		slices.Contains(r.p.MachineAddrs, r.addr) || r.s.Machine[r.addr]
}

func running(cs []*api.Container) []*api.Container {
	return slices.DeleteFunc(slices.Clone(cs), func(c *api.Container) bool { return !c.Up() })
}

// group sorts containers into backends: by identity, replicas by name.
func group(cs []*api.Container) [][]*api.Container {
	var backends [][]*api.Container
next:
	for _, c := range cs {
		if c.OneOff() {
			continue
		}
		for i, b := range backends {
			if b[0].Identity() == c.Identity() {
				backends[i] = append(b, c)
				continue next
			}
		}
		backends = append(backends, []*api.Container{c})
	}
	for _, b := range backends {
		slices.SortFunc(b, func(a, b *api.Container) int { return strings.Compare(a.Name, b.Name) })
	}
	slices.SortFunc(backends, func(a, b []*api.Container) int {
		return strings.Compare(string(a[0].Identity()), string(b[0].Identity()))
	})
	return backends
}

// Enabled tells what the labels of a backend's replicas ask; a denial by any
// of them counts.
func Enabled(cs []*api.Container, p api.Policy) (enabled, denied bool) {
	for _, c := range cs {
		in := intent.Of(c.Labels, p.Prefix)
		enabled = enabled || in.Enabled
		denied = denied || in.Denied
	}
	return (enabled || p.Scope == api.ScopeAll) && !denied, denied
}
