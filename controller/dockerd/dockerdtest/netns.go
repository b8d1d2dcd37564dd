package dockerdtest

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

// firstEphemeral is where Linux begins with ports for those who ask for none.
const firstEphemeral = 32768

// netns is a network namespace: a container's, the host's, or that of another machine on the host's network.
type netns struct {
	e         *Engine
	container *container // whose endpoints are its interfaces; nil for the host and for machines
	machine   netip.Addr // another machine's address

	neighbours map[netip.Addr]time.Time // when it last reached an address on a bridge; e.mu guards it

	mu        sync.Mutex
	listeners []*listener
	procs     []*process // of a machine
	lastPort  uint16
}

// fate is what becomes of a connection attempt.
type fate int

const (
	delivered   fate = iota
	refused          // nothing listens there
	unreachable      // nobody has the address: ARP fails after 3 seconds
	lost             // nobody has the address any more, and the ARP cache does not know it yet
	noRoute          // no interface leads there
	dropped          // a firewall swallows it
)

// route is where an attempt ends up.
type route struct {
	fate   fate
	to     *netns
	source netip.Addr     // the address that the dialling side has
	seen   netip.Addr     // the address that the listening side sees; differs from source behind NAT
	dst    netip.AddrPort // where the listening side gets it, after NAT
}

// live says whether the namespace still has its container's interfaces: a container that joined another's
// namespace keeps a dead one when the other restarts.
func (n *netns) live() bool { return n.container != nil && n.container.ns == n }

// has says whether an address is one of the namespace's own. e.mu is held.
func (n *netns) has(a netip.Addr) bool {
	switch {
	case a.IsLoopback():
		return true
	case n == n.e.host:
		return n.e.isHostAddr(a)
	case n.container == nil:
		return a == n.machine
	case !n.live():
		return false
	}
	for _, ep := range n.container.endpoints {
		if ep.active && ep.addr == a {
			return true
		}
	}
	return false
}

func (e *Engine) isHostAddr(a netip.Addr) bool {
	for _, p := range e.opts.HostAddresses {
		if p.Addr() == a {
			return true
		}
	}
	for _, n := range e.networks {
		if n.bridge() && n.gateway == a {
			return true
		}
	}
	return false
}

// route finds the way from n to dst as the kernel and Docker's iptables rules would. e.mu is held.
func (n *netns) route(dst netip.AddrPort) route {
	a := dst.Addr()
	if a.IsUnspecified() { // Linux takes 0.0.0.0 for the own machine
		a = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		dst = netip.AddrPortFrom(a, dst.Port())
	}
	switch {
	case a.IsLoopback() || (n.has(a) && n != n.e.host):
		source := a
		if n == n.e.host {
			return n.e.toHost(n, source, dst)
		}
		return route{to: n, source: source, seen: source, dst: dst}
	case n == n.e.host:
		return n.e.fromHost(dst)
	case n.container == nil:
		return n.e.fromMachine(n, dst)
	case !n.live():
		return route{fate: noRoute}
	}
	return n.e.fromContainer(n, dst)
}

func (e *Engine) fromHost(dst netip.AddrPort) route {
	a := dst.Addr()
	if e.isHostAddr(a) {
		return e.toHost(e.host, a, dst)
	}
	for _, nw := range e.networks {
		if nw.bridge() && nw.subnet.Contains(a) {
			return nw.deliver(e.host, nw.gateway, dst)
		}
	}
	return e.outside(e.lan(), dst)
}

func (e *Engine) fromMachine(n *netns, dst netip.AddrPort) route {
	if slices.ContainsFunc(e.opts.HostAddresses, func(p netip.Prefix) bool { return p.Addr() == dst.Addr() }) {
		return e.toHost(n, n.machine, dst)
	}
	return e.outside(n.machine, dst)
}

func (e *Engine) fromContainer(n *netns, dst netip.AddrPort) route {
	a := dst.Addr()
	var out *endpoint
	for _, ep := range n.container.sorted() {
		if !ep.active || !ep.addr.IsValid() {
			continue
		}
		if ep.network.subnet.Contains(a) {
			if a == ep.network.gateway {
				return e.containerToHost(n, ep, dst)
			}
			return ep.network.deliver(n, ep.addr, dst)
		}
		if out == nil || out.network.internal && !ep.network.internal ||
			out.network.internal == ep.network.internal && ep.settings.GwPriority > out.settings.GwPriority {
			out = ep
		}
	}
	switch {
	case out == nil:
		return route{fate: noRoute}
	case e.isHostAddr(a):
		return e.containerToHost(n, out, dst)
	case out.network.internal:
		return route{fate: dropped}
	}
	for _, nw := range e.networks {
		if nw.bridge() && nw.subnet.Contains(a) {
			return route{fate: dropped} // DOCKER-ISOLATION: bridges do not reach each other
		}
	}
	r := e.outside(out.addr, dst)
	r.seen = e.lan() // masquerade
	return r
}

// rememberedFor is how long the kernel trusts an ARP entry that was just confirmed.
const rememberedFor = 30 * time.Second

// deliver finds who has the address on a bridge.
func (nw *network) deliver(from *netns, source netip.Addr, dst netip.AddrPort) route {
	if ep := nw.byAddr[dst.Addr()]; ep != nil && ep.container.ns != nil {
		if from.neighbours == nil {
			from.neighbours = map[netip.Addr]time.Time{}
		}
		from.neighbours[dst.Addr()] = now()
		return route{to: ep.container.ns, source: source, seen: source, dst: dst}
	}
	if last, known := from.neighbours[dst.Addr()]; known {
		delete(from.neighbours, dst.Addr()) // the attempt now made finds out
		if now().Sub(last) < rememberedFor {
			return route{fate: lost}
		}
	}
	return route{fate: unreachable}
}

// containerToHost is the way from a container's endpoint to one of the host's own addresses.
func (e *Engine) containerToHost(n *netns, ep *endpoint, dst netip.AddrPort) route {
	if ep.network.internal && e.isPublished(dst.Addr(), dst.Port()) {
		return route{fate: dropped} // measured: translated before it is filtered, it would leave the network
	}
	return e.toHost(n, ep.addr, dst)
}

// toHost is the way to one of the host's own addresses: published ports come before the host's processes.
func (e *Engine) toHost(from *netns, source netip.Addr, dst netip.AddrPort) route {
	for _, b := range e.published {
		if b.proto != "tcp" || b.hostPort != dst.Port() || (!b.hostIP.IsUnspecified() && b.hostIP != dst.Addr()) {
			continue
		}
		seen := b.endpoint.network.gateway
		if from.container == nil && from != e.host {
			seen = source // only traffic from outside keeps its source address
		}
		target := netip.AddrPortFrom(b.endpoint.addr, b.port)
		return route{to: b.endpoint.container.ns, source: source, seen: seen, dst: target}
	}
	return route{to: e.host, source: source, seen: source, dst: dst}
}

// outside is the way to the host's own network and beyond it.
func (e *Engine) outside(source netip.Addr, dst netip.AddrPort) route {
	if m := e.machines[dst.Addr()]; m != nil {
		return route{to: m, source: source, seen: source, dst: dst}
	}
	for _, p := range e.opts.HostAddresses {
		if p.Contains(dst.Addr()) {
			return route{fate: unreachable}
		}
	}
	return route{fate: dropped}
}

// lan is the host's address towards the outside.
func (e *Engine) lan() netip.Addr {
	if len(e.opts.HostAddresses) == 0 {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return e.opts.HostAddresses[0].Addr()
}

// lookup finds the listener for an address.
func (n *netns) lookup(dst netip.AddrPort) *listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.listeners {
		if l.port == dst.Port() && (l.ip.IsUnspecified() || l.ip == dst.Addr()) {
			return l
		}
	}
	return nil
}

// bind adds a listener; port 0 means any.
func (n *netns) bind(l *listener) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.port == 0 {
		l.port = n.ephemeral()
	}
	for _, other := range n.listeners {
		if other.port == l.port && (other.ip == l.ip || other.ip.IsUnspecified() || l.ip.IsUnspecified()) {
			return syscall.EADDRINUSE
		}
	}
	n.listeners = append(n.listeners, l)
	return nil
}

func (n *netns) unbind(l *listener) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i := slices.Index(n.listeners, l); i >= 0 {
		n.listeners = slices.Delete(n.listeners, i, i+1)
	}
}

// ephemeral picks a port; n.mu is held.
func (n *netns) ephemeral() uint16 {
	if n.lastPort < firstEphemeral || n.lastPort == 65535 {
		n.lastPort = firstEphemeral
	}
	n.lastPort++
	return n.lastPort
}

func (n *netns) ephemeralAddr(a netip.Addr) *net.TCPAddr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, n.ephemeral()))
}

// endAll ends a machine's processes.
func (n *netns) endAll() {
	n.mu.Lock()
	procs := n.procs
	n.procs = nil
	n.mu.Unlock()
	for _, p := range procs {
		p.end()
	}
}
