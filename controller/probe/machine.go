package probe

import (
	"context"
	"net/netip"
	"time"

	"github.com/no502/no502/api"
)

const (
	// addrFor: addresses of a machine change, but seldom.
	addrFor = 5 * time.Minute
	// unprovableFor: there was nothing yet to prove it with.
	unprovableFor = time.Minute
)

// isMachine reports whether addr is one of the local addresses, or leads to
// this very process. ok is false when ctx ended before that was known.
func (p *Prober) isMachine(ctx context.Context, local map[netip.Addr]bool, addr netip.Addr) (is bool, good time.Duration, ok bool) {
	if addr.IsLoopback() || local[addr.Unmap()] {
		return true, addrFor, true
	}
	port := p.opts.PublishedPort()
	if port == 0 || p.opts.Nonce == "" {
		return false, unprovableFor, true
	}
	is = p.answersAt(ctx, netip.AddrPortFrom(addr, port))
	p.opts.Log.V(1).Info("Looked for this machine", "address", addr.String(), "found", is)
	return is, addrFor, ctx.Err() == nil
}

// answersAt reports whether this process's status server answers there.
func (p *Prober) answersAt(ctx context.Context, at netip.AddrPort) bool {
	free, ok := p.slot(ctx)
	defer free()
	if !ok {
		return false
	}
	conn, err := p.connect(ctx, at.String(), plainLimit)
	if err != nil {
		return false
	}
	reply, err := p.get(ctx, conn, at.String(), "/healthz")
	return err == nil && reply.header.Get(api.NonceHeader) == p.opts.Nonce
}

// localAddrs are the machine's addresses; nil where they are not known.
func (p *Prober) localAddrs() map[netip.Addr]bool {
	return p.procAddrs(p.machinePid())
}

// machinePid is the process whose view of the network is the machine's.
func (p *Prober) machinePid() string {
	if p.opts.Proc == "/proc" {
		return "self"
	}
	return "1" // init, as seen from the machine's own PID namespace
}
