package resolve

import (
	"net/netip"
	"slices"

	"github.com/no502/no502/api"
)

// Entry is where no502 reaches a port of NPM's: its address on a network that
// no502 is on too; outside Docker any; and for who shares no network with it, the
// port that it publishes. Invalid where there is no way.
func (t Topology) Entry(s *api.Snapshot, port uint16) netip.AddrPort {
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
			return netip.AddrPortFrom(a.IPv4, port)
		}
	}
	if self == nil {
		return netip.AddrPort{}
	}
	for _, p := range t.NetOwner.Published {
		if p.Port.Number != port || p.Port.Protocol != "tcp" || p.HostIP.IsLoopback() {
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

// Front is the Entry to the port of NPM's to which a port of the machine leads:
// some images listen on others than 80 and 443. Where it leads to none, NPM has
// that port itself.
func (t Topology) Front(s *api.Snapshot, port uint16) netip.AddrPort {
	if t.NPM == nil {
		return netip.AddrPort{}
	}
	inside := port
	for _, p := range t.NetOwner.Ports() {
		if p.HostPort == port && p.Port.Protocol == "tcp" {
			inside = p.Port.Number
		}
	}
	return t.Entry(s, inside)
}

// Has reports whether an address is of NPM's container, and not one of the machine
// at which others publish ports as well.
func (t Topology) Has(addr netip.Addr) bool {
	return t.NetOwner != nil && slices.ContainsFunc(t.NetOwner.Attachments, func(a api.Attachment) bool { return a.Has(addr) })
}

// reaches: from the machine itself every network can be reached.
func reaches(self *api.Container, network string) bool {
	if self == nil || self.NetworkMode == "host" {
		return true
	}
	_, on := self.Attachment(network)
	return on
}
