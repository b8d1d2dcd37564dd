package resolve

import (
	"net/netip"
	"slices"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
)

// byMachine: only on proof that the address is this machine's. A private
// address may well be another machine's, whatever is published here.
func (r *resolver) byMachine() []*api.Container {
	found := r.s.Engine.Publishing(r.port)
	if len(found) == 0 {
		if found = r.hostMode(); len(found) == 0 {
			return nil
		}
		r.m.Doubtful = true
	}
	if !r.isMachine() {
		if _, asked := r.s.Machine[r.addr]; r.addr.IsValid() && !asked {
			r.asks = r.addr
		}
		return nil
	}
	if up := running(found); len(up) > 0 {
		found = up // it holds the port; a stopped one does not
	}
	for _, at := range []func(netip.Addr) bool{r.holds, r.mayHold, r.eitherFamily} {
		if bound := slices.DeleteFunc(slices.Clone(found), func(c *api.Container) bool { return !r.boundTo(c, at) }); len(bound) > 0 {
			return bound
		}
	}
	return nil
}

// hostMode: what uses the machine's own network publishes nothing; what its
// image exposes need not be what listens. Where a label says another port, or
// two expose the same one, that is no answer.
func (r *resolver) hostMode() []*api.Container {
	found := slices.DeleteFunc(running(r.s.Engine.ListeningOnMachine(r.port)), func(c *api.Container) bool {
		said, _ := intent.Of(c, r.p).Route("")
		return said.Port != 0 && said.Port != r.port
	})
	if len(group(found)) != 1 {
		return nil
	}
	return found
}

// boundTo: one port can be published on several of the machine's addresses,
// by several containers.
func (r *resolver) boundTo(c *api.Container, at func(netip.Addr) bool) bool {
	if c.NetworkMode == "host" {
		return true
	}
	return slices.ContainsFunc(c.Ports(), func(p api.Published) bool {
		return p.HostPort == r.port && p.Port.Protocol == "tcp" && at(p.HostIP)
	})
}

// holds: what is published there is reached, on the machine, by the forward
// host. The Engine gives a port that it chose another number for IPv6.
func (r *resolver) holds(at netip.Addr) bool {
	switch {
	case !at.IsValid():
		return true
	case at.IsUnspecified():
		return r.sameFamily(at)
	}
	return at == r.addr || !r.addr.IsValid() && at.IsLoopback()
}

// sameFamily: a name means IPv4 here.
func (r *resolver) sameFamily(at netip.Addr) bool {
	return at.Is6() == (r.addr.IsValid() && r.addr.Is6())
}

// mayHold: published on loopback only is a common reason why the machine's
// address leads nowhere, and a loopback address is a common mistake for any of
// the machine's. Of two addresses given on purpose one is not the other.
func (r *resolver) mayHold(at netip.Addr) bool { return r.sameFamily(at) && r.eitherFamily(at) }

// eitherFamily is mayHold where nothing is published for the family that is meant.
func (r *resolver) eitherFamily(at netip.Addr) bool {
	return at.IsLoopback() || at.IsUnspecified() || !r.addr.IsValid() || r.addr.IsLoopback() || r.s.Engine.IsGateway(r.addr)
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
