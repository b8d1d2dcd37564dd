package plan

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
	"strings"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
	"github.com/no502/no502/reconcile/resolve"
)

// attach plans to attach a container to a network, or says that somebody keeps
// undoing that.
func (b *builder) attach(n api.Network, c *api.Container, because []api.Code) *api.Finding {
	if !b.attaches(n) {
		return nil
	}
	a := api.Action{
		Op: api.OpAttach, Network: n.Name, Container: c.ID, Name: c.Name, Because: because,
		Address: b.stableAddress(n, c),
	}
	if alias := c.SharedAlias(); alias != "" && !c.OneOff() {
		a.Aliases = []string{alias}
	}
	if n.ID == "" {
		if f := b.undone(api.Action{Op: api.OpCreateNetwork, Network: n.Name}); f != nil {
			return f
		}
	}
	if f := b.undone(a); f != nil {
		return f
	}
	b.act(a)
	return nil
}

// reachOwner is reach for whose network a container uses.
func (b *builder) reachOwner(c *api.Container, act bool) *api.Finding {
	owner := resolve.NetOwner(b.s.Engine, c)
	if owner == nil {
		return &api.Finding{
			Code:    api.CannotAttach,
			Message: fmt.Sprintf("the container %s uses the network of a container that no longer exists", c.Name),
			Fix:     "recreate it: docker compose up -d --force-recreate",
		}
	}
	if owner != c && b.t.NPM != nil && !b.isProxy(owner) && !b.t.Shares(owner) && intent.Of(owner, b.p).Denied {
		return &api.Finding{
			Code:    api.CannotAttach,
			Message: fmt.Sprintf("the container %s uses the network of %s, which is opted out", c.Name, owner.Name),
			Fix:     fmt.Sprintf("remove the label %s.enable: \"false\" from %s, or attach it: docker network connect %s %s", b.p.Prefix, owner.Name, b.t.Proxy.Name, owner.Name),
		}
	}
	return b.reach(owner, act)
}

// reach plans the attachment of an opted-in container where it shares no
// network with NPM, and says what stands in the way where it cannot be.
func (b *builder) reach(c *api.Container, act bool) *api.Finding {
	if b.t.NPM == nil || b.isProxy(c) || b.t.Shares(c) {
		return nil
	}
	switch c.NetworkMode {
	case "host":
		return nil // reached through the machine's gateway address
	case "none":
		return noNetwork(c)
	}
	if b.opensEgress(c) {
		return &api.Finding{
			Code: api.EgressWouldOpen,
			Message: fmt.Sprintf("the container %s has only internal networks; attached to %s it could reach the outside",
				c.Name, b.t.Proxy.Name),
			Fix: fmt.Sprintf("allow it with the label %s.egress: \"true\", or give NPM and the service an internal network in common", b.p.Prefix),
		}
	}
	if f := b.namesake(b.t.Proxy, c); f != nil {
		return f
	}
	f := &api.Finding{
		Code:    api.NotOnProxyNetwork,
		Message: fmt.Sprintf("the container %s shares no network with NPM", c.Name),
		Fix:     "no502 attaches it to " + b.t.Proxy.Name,
	}
	switch {
	case !act, !b.attaches(b.t.Proxy):
		f.Fix = byHand(b.t.Proxy, c)
	case c.State.Status == api.Removing || c.State.Status == api.Dead:
		f.Fix = "recreate the container"
	default:
		if undone := b.attach(b.t.Proxy, c, []api.Code{api.NotOnProxyNetwork}); undone != nil {
			return undone
		}
	}
	return f
}

func noNetwork(c *api.Container) *api.Finding {
	return &api.Finding{
		Code:    api.CannotAttach,
		Message: fmt.Sprintf("the container %s has no network (network_mode: none), and Docker does not attach such a one", c.Name),
		Fix:     "remove network_mode: none from the service",
	}
}

// renameOne cures two containers that answer to one name.
const renameOne = "give one of them another name (container_name, or the alias)"

// namesake: NPM already reaches another backend's container by the name that
// this one would have on a network.
func (b *builder) namesake(n api.Network, c *api.Container) *api.Finding {
	for _, other := range b.s.Engine.Named(c.Name) {
		if other.Identity() == c.Identity() || !b.t.Answers(other, c.Name) {
			continue
		}
		return &api.Finding{
			Code: api.CannotAttach,
			Message: fmt.Sprintf("the container %s is kept off the network %s: NPM reaches %s by the name %s, and each would get the other's requests",
				c.Name, n.Name, other.Name, c.Name),
			Fix: renameOne,
		}
	}
	return nil
}

// opensEgress: a container whose networks are all internal would gain a way
// out. So may one of whose networks nothing is known (yet). A network that
// no502 makes is internal itself.
func (b *builder) opensEgress(c *api.Container) bool {
	if b.t.Proxy.ID == "" || b.t.Proxy.Internal || len(c.Attachments) == 0 {
		return false
	}
	for _, a := range c.Attachments {
		if n := b.s.Engine.Network(a.NetworkID); n != nil && !n.Internal {
			return false
		}
	}
	return !intent.Of(c, b.p).Egress
}

// stableAddress is the address that this replica gets at every recreate: by
// the hash of its identity outside the range from which the Engine hands out
// addresses, the next free one where two collide. Invalid where the network
// does not let an address be chosen, and where others than this Engine have
// addresses on it: machines of the LAN, containers of another Engine.
func (b *builder) stableAddress(n api.Network, c *api.Container) netip.Addr {
	if n.ID != "" && n.Driver != "bridge" {
		return netip.Addr{}
	}
	for _, s := range n.Subnets {
		if !s.Prefix.Addr().Is4() || !s.Range.IsValid() || s.Range.Bits() <= s.Prefix.Bits() {
			continue
		}
		return b.firstFree(n.ID, s, c)
	}
	return netip.Addr{}
}

// heir is the replica with which a container may share an address: with its
// predecessor, until it is started itself. Compose makes it, named
// "<ID>_<name>", before it stops that one. Whatever else bears the labels of a
// container that runs is a copy, which could not start at its address.
func (b *builder) heir(c *api.Container) string {
	if holdsAddress(c) {
		return ""
	}
	for _, other := range b.s.Engine.Replicas(c.Identity()) {
		if other != c && holdsAddress(other) && other.Replica() == c.Replica() && !strings.HasSuffix(c.Name, "_"+other.Name) {
			return ""
		}
	}
	return c.Replica()
}

func holdsAddress(c *api.Container) bool {
	switch c.State.Status {
	case api.Running, api.Paused, api.Restarting:
		return true
	}
	return false
}

func (b *builder) firstFree(network string, s api.Subnet, c *api.Container) netip.Addr {
	first := s.Prefix.Masked().Addr().As4()
	base, size := binary.BigEndian.Uint32(first[:]), uint32(1)<<(32-s.Prefix.Bits())
	low := s.Range.Masked().Addr().As4()
	from, span := binary.BigEndian.Uint32(low[:])-base, uint32(1)<<(32-s.Range.Bits())
	room := size - span
	hash := fnv.New32a()
	hash.Write([]byte(c.Replica())) // never fails
	start := hash.Sum32() % room
	heir := b.heir(c)
	for i := range room {
		offset := (start + i) % room
		if offset >= from {
			offset += span // step over the Engine's own range
		}
		if offset == 0 || offset == size-1 {
			continue // the network's own address, and broadcast
		}
		var raw [4]byte
		binary.BigEndian.PutUint32(raw[:], base+offset)
		addr := netip.AddrFrom4(raw)
		by, reserved := b.reserved[addr]
		if addr == s.Gateway || reserved && by != c.ID || b.s.Engine.AddressTaken(network, addr, heir) {
			continue
		}
		if b.reserved == nil {
			b.reserved = map[netip.Addr]string{}
		}
		b.reserved[addr] = c.ID
		return addr
	}
	return netip.Addr{}
}
