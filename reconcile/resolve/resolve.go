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
)

// Resolution is what a proxy host's forward host and port stand for.
type Resolution struct {
	Backend    api.Identity
	Containers []*api.Container // the backend's replicas, by name
	Rule       Rule
	// Machine: the host was addressed as this machine, so that its port is
	// (if anything) a published one.
	Machine bool
	// NPMItself: the host leads to NPM's own ports, inside its container.
	NPMItself bool
	// Doubtful: the forward host may have been typed when another backend had
	// that name or address. Nothing more is guessed on top of it.
	Doubtful bool
	// Was: the forward host was the backend's name or address before.
	Was bool
	// Candidates are several backends of which one may be meant.
	Candidates []string
	// Asks whether an address is this machine's.
	Asks netip.Addr
	// Said are the labels of the route that is about the host, declared or not.
	Said intent.Route
	// NoUpstream is the name of a service to which the labels lead, and which
	// is not there, or not opted in.
	NoUpstream string
}

// Known reports whether exactly one backend is meant.
func (m Resolution) Known() bool { return len(m.Containers) > 0 }

// Resolve finds the backend that a proxy host means.
func Resolve(s *api.Snapshot, p api.Policy, t Topology, h *api.Host) Resolution {
	return For(s, p, t, h, DeclaredBy(s, p, h))
}

// For is Resolve where it is known what labels declare about the host.
func For(s *api.Snapshot, p api.Policy, t Topology, h *api.Host, claim *Claim) Resolution {
	r := resolver{s: s, p: p, t: t, host: api.BareHost(h.Forward.Host), port: h.Forward.Port}
	r.addr, _ = api.HostAddr(r.host)
	o := h.Ownership
	r.m.Machine = r.isMachine() || o != nil && o.Backend.OnMachine() && o.Wrote.Endpoint() == h.Forward
	if r.take(ByLabel, r.byLabel(h, claim)) || r.m.NoUpstream != "" {
		return r.m
	}
	if r.npmItself() {
		r.m.NPMItself = true
		return r.m
	}
	_ = r.take(ByRepair, r.byRepair(h)) || r.take(ByName, r.byName()) || r.take(ByAddress, r.byAddress()) ||
		r.take(ByMachine, r.byMachine()) || r.take(ByMemory, r.byMemory(h)) || r.ask()
	r.said()
	return r.m
}

type resolver struct {
	s    *api.Snapshot
	p    api.Policy
	t    Topology
	host string
	addr netip.Addr // valid when host is one
	port uint16

	m    Resolution
	also api.Identity // had the name or address before the one that was found
	asks netip.Addr
}

// take settles the meaning, if a rule found anything: one backend is meant,
// several are candidates.
func (r *resolver) take(rule Rule, found []*api.Container) bool {
	backends := group(found)
	if len(backends) == 0 {
		return false
	}
	r.m.Rule = rule
	if len(backends) == 1 && r.also == "" {
		r.m.Containers = backends[0]
		r.m.Backend = r.m.Containers[0].Identity()
		switch rule {
		case ByName, ByAddress:
			r.m.Machine = false
		case ByMachine:
			r.m.Machine = true
		}
		return true
	}
	for _, b := range backends {
		r.m.Candidates = append(r.m.Candidates, string(b[0].Identity()))
	}
	if also := string(r.also); also != "" && !slices.Contains(r.m.Candidates, also) {
		r.m.Candidates = append(r.m.Candidates, also)
		slices.Sort(r.m.Candidates)
	}
	return true
}

func (r *resolver) ask() bool {
	r.m.Asks = r.asks
	return r.asks.IsValid()
}

// before: another backend had this name or address earlier, as far as is known.
func (r *resolver) before(found []*api.Container) (api.Identity, bool) {
	was, ok := r.s.Engine.Former(r.host)
	return was, ok && len(found) > 0 && found[0].Identity() != was
}

// npmItself: inside NPM's container a loopback address is NPM, and people do
// publish its admin page that way. Other ports are NPM's where containers use
// its network. No use is known of 80 and 443, so a container that publishes
// them is meant there.
func (r *resolver) npmItself() bool {
	if r.host != "localhost" && !r.addr.IsLoopback() {
		return false
	}
	if r.t.NPM != nil && (r.t.NetOwner != r.t.NPM || len(r.s.Engine.Joining(r.t.NetOwner.ID)) > 0) {
		return true
	}
	switch r.port {
	case 81:
		return true
	case 80, 443:
		return !slices.ContainsFunc(r.s.Engine.Publishing(r.port), func(c *api.Container) bool { return c.Up() && c != r.t.NetOwner })
	}
	return false
}

// byLabel: what labels declare about the host; else who claims one of its
// domains, though the claim is about another host.
func (r *resolver) byLabel(h *api.Host, claim *Claim) []*api.Container {
	// What another service's labels declared means that one.
	for i := 0; claim == nil && i < len(h.Domains) && !ownedBy(h, r.p); i++ {
		if c, ok := Claimant(r.s, r.p, strings.ToLower(h.Domains[i])); ok && c.Kind == api.KindHost {
			claim = pointer(c)
		}
	}
	if claim == nil {
		return nil
	}
	r.m.Said = claim.Route
	found := Upstream(r.s.Engine, r.p, claim.Lead, claim.Route.Upstream)
	if len(found) == 0 {
		r.m.Rule, r.m.NoUpstream = ByLabel, claim.Route.Upstream
	}
	return found
}

// ownedBy: labels declared the host to this instance.
func ownedBy(h *api.Host, p api.Policy) bool {
	return h.Owner().Service != "" && h.OwnedBy(p.Instance) != nil
}

// said: where labels do not name the host, those of the unnamed route are about
// whatever means the container.
func (r *resolver) said() {
	if r.m.Known() {
		r.m.Said, _ = intent.Of(r.m.Containers[0], r.p).Route("")
	}
}

func (r *resolver) byRepair(h *api.Host) []*api.Container {
	if o := h.OwnedBy(r.p.Instance); o != nil && o.Wrote.Endpoint() == h.Forward {
		return r.s.Engine.Replicas(o.Backend)
	}
	return nil
}

// byName: a name that NPM can resolve today means what NPM reaches by it; a
// container's own name comes before what others are merely called.
func (r *resolver) byName() []*api.Container {
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
	reached := slices.DeleteFunc(slices.Clone(found), func(c *api.Container) bool { return !r.t.Answers(c, r.host) })
	if api.IsMachineName(r.host) {
		return reached // of a container only where NPM's DNS says so
	}
	for _, c := range found {
		if strings.EqualFold(c.Name, r.host) && len(group(reached)) != 1 {
			return []*api.Container{c}
		}
	}
	was, changed := r.before(found)
	if len(group(reached)) == 1 {
		r.m.Doubtful = changed && !strings.EqualFold(reached[0].Name, r.host)
		return reached
	}
	switch {
	case len(reached) > 0 && len(group(reached)) == 0:
		r.also = reached[0].Identity() // a one-off: NPM gets it nevertheless
	case changed && len(group(found)) == 1:
		r.also = was
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

// byAddress: who has the address now, unless somebody else is known to have
// had it before: then it was perhaps typed for that one.
func (r *resolver) byAddress() []*api.Container {
	if !r.addr.IsValid() {
		return nil
	}
	found := r.s.Engine.At(r.addr)
	if now := slices.DeleteFunc(slices.Clone(found), func(c *api.Container) bool { return !has(c, r.addr) }); len(now) > 0 {
		found = now // the others only asked for it
	}
	if shared := slices.DeleteFunc(slices.Clone(found), func(c *api.Container) bool { return !r.t.Reaches(c, r.addr) }); len(shared) > 0 {
		found = shared
	}
	if slices.ContainsFunc(found, func(c *api.Container) bool { return pinned(c, r.addr) }) {
		return found
	}
	r.m.Doubtful = len(found) > 0
	if was, changed := r.before(found); changed {
		r.also = was
	}
	return found
}

func (r *resolver) byMemory(h *api.Host) []*api.Container {
	if id, ok := r.s.Engine.Former(r.host); ok {
		if found := r.s.Engine.Replicas(id); len(found) > 0 {
			r.m.Was = true
			return found
		}
	}
	// Where a person wrote another host since, that one is meant, if it can be
	// anything at all.
	o := h.OwnedBy(r.p.Instance)
	if o == nil {
		return nil
	}
	if r.m.Was = api.BareHost(o.Wrote.Text(api.FieldHost)) == r.host; !r.m.Was && !r.nowhere(h) {
		return nil
	}
	return r.s.Engine.Replicas(o.Backend)
}

// nowhere: a forward host that leads from NPM's container to nothing, now that
// no container is meant by it. A name with a dot, or an address, may be another
// machine's; and where the host is marked, localhost is a process on this one.
func (r *resolver) nowhere(h *api.Host) bool {
	if api.IsMachineName(r.host) || r.addr.IsLoopback() {
		return h.Mark() != api.MarkOn
	}
	return !r.addr.IsValid() && !strings.Contains(r.host, ".")
}

func has(c *api.Container, addr netip.Addr) bool {
	return slices.ContainsFunc(c.Attachments, func(a api.Attachment) bool { return a.Has(addr) })
}

func pinned(c *api.Container, addr netip.Addr) bool {
	return slices.ContainsFunc(c.Attachments, func(a api.Attachment) bool { return a.Pinned == addr })
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
	enabled = p.Scope == api.ScopeAll && len(cs) > 0
	for _, c := range cs {
		in := intent.Of(c, p)
		enabled = enabled || in.Enabled
		denied = denied || in.Denied
	}
	return enabled && !denied, denied
}
