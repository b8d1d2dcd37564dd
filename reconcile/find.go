package reconcile

import (
	"net/netip"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/resolve"
)

// adminPort is where NPM's API answers, inside its container.
const adminPort = 81

// FindNPM tells the NPM client where NPM is; nowhere while it does not run:
// another container may have its address by then, and would be given its
// password.
func (r *Reconciler) FindNPM() {
	url := r.NPMURL
	if url == "" {
		r.snapshot(func(s *api.Snapshot) {
			if at := npmAddr(s, resolve.Locate(s, r.Policy)); at.IsValid() {
				url = "http://" + at.String()
			}
		})
	}
	r.NPM.SetURL(url)
}

// npmAddr is NPM's address on a network that no502 is on too; outside Docker
// any; and for who shares no network with it, the port that it publishes.
func npmAddr(s *api.Snapshot, t resolve.Topology) netip.AddrPort {
	if t.NPM == nil {
		return netip.AddrPort{}
	}
	self := s.Engine.Container(s.Self)
	at := t.SharedWith(t.NetOwner)
	for i := range t.NetOwner.Attachments {
		at = append(at, &t.NetOwner.Attachments[i])
	}
	for _, a := range at {
		if a.IPv4.IsValid() && reaches(self, a.NetworkID) {
			return netip.AddrPortFrom(a.IPv4, adminPort)
		}
	}
	if self == nil {
		return netip.AddrPort{}
	}
	for _, p := range t.NetOwner.Published {
		if p.Port.Number != adminPort || p.Port.Protocol != "tcp" || p.HostIP.IsLoopback() {
			continue
		}
		for _, a := range self.Attachments {
			if a.Gateway.Is4() {
				return netip.AddrPortFrom(a.Gateway, p.HostPort)
			}
		}
	}
	return netip.AddrPort{}
}

// reaches: from the machine itself every network can be reached.
func reaches(self *api.Container, network string) bool {
	if self == nil || self.NetworkMode == "host" {
		return true
	}
	_, on := self.Attachment(network)
	return on
}

// SharedWithNPM reports whether this is an address of no502's own container, or
// of the one whose network it uses, on a network that NPM is on too.
func (r *Reconciler) SharedWithNPM(addr netip.Addr) (shared bool) {
	r.snapshot(func(s *api.Snapshot) {
		if self := s.Engine.Container(s.Self); self != nil {
			owner := resolve.NetOwner(s.Engine, self)
			shared = owner != nil && resolve.Locate(s, r.Policy).Reaches(owner, addr)
		}
	})
	return shared
}
