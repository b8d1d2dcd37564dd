package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/no502/no502/api"
)

// system plans what no502 itself stands on: the proxy network, with NPM on it,
// and no502 on every network that NPM is on, so that it sees what NPM sees.
func (b *builder) system() {
	v := api.Verdict{Key: api.SystemKey(), Name: "no502", Enabled: true, OptedIn: true}
	v.Findings = slices.Clone(b.t.Findings)
	if npm := b.t.NPM; npm != nil {
		v.Backend = npm.Identity()
		if f := down(npm); f != nil {
			v.Findings = append(v.Findings, *f)
		}
		b.standBy(&v)
		b.stranded(&v)
		b.proxyNetwork(&v)
		if self := b.s.Engine.Container(b.s.Self); self != nil && !b.isProxy(self) {
			b.attachSelf(&v, self)
		}
	}
	b.refused(&v)
	b.plan.Verdicts = append(b.plan.Verdicts, v)
}

func (b *builder) proxyNetwork(v *api.Verdict) {
	owner, proxy := b.t.NetOwner, b.t.Proxy
	because := api.NotOnProxyNetwork
	if proxy.ID == "" {
		because = api.NoProxyNetwork
		f := api.Finding{
			Code:    api.NoProxyNetwork,
			Message: fmt.Sprintf("there is no network %s for NPM to share with its backends", proxy.Name),
			Fix:     "no502 makes it and attaches NPM",
		}
		if !b.attaches(proxy) {
			f.Fix = byHand(proxy, owner)
		}
		v.Findings = append(v.Findings, f)
		var subnet api.Subnet
		if len(proxy.Subnets) > 0 {
			subnet = proxy.Subnets[0]
		}
		create := api.Action{Op: api.OpCreateNetwork, Network: proxy.Name, Subnet: subnet, Because: []api.Code{because}}
		if f := b.undone(create); f != nil {
			v.Findings = append(v.Findings, *f)
			return
		}
		b.act(create)
	}
	if _, on := owner.Attachment(proxy.ID); !on || proxy.ID == "" {
		b.attachStanding(v, owner, proxy, because)
	}
	if b.t.Nameless {
		v.Findings = append(v.Findings, api.Finding{
			Code:    api.NPMNeedsRestart,
			Message: fmt.Sprintf("NPM's container %s was made for the default bridge: nginx resolves container names only if NPM was started after it joined %s", owner.Name, proxy.Name),
			Fix:     fmt.Sprintf("once, if names do not resolve: docker restart %s; for good: give it the network %s in its compose file", owner.Name, proxy.Name),
		})
	}
}

// attachStanding attaches what no502 itself stands on: NPM, or no502.
func (b *builder) attachStanding(v *api.Verdict, c *api.Container, n api.Network, because api.Code) {
	namesake := b.namesake(n, c)
	switch {
	case namesake != nil:
		v.Findings = append(v.Findings, *namesake)
		return
	case c.NetworkMode == "none":
		v.Findings = append(v.Findings, *noNetwork(c))
		return
	case because == api.NotOnProxyNetwork:
		f := api.Finding{
			Code:    because,
			Message: fmt.Sprintf("the container %s is not on the network %s", c.Name, n.Name),
			Fix:     "no502 attaches it",
		}
		if !b.attaches(n) {
			f.Fix = byHand(n, c)
		}
		v.Findings = append(v.Findings, f)
	}
	if f := b.attach(n, c, []api.Code{because}); f != nil {
		v.Findings = append(v.Findings, *f)
	}
}

// attachSelf: from every network that NPM is on no502 sees what NPM sees.
func (b *builder) attachSelf(v *api.Verdict, self *api.Container) {
	if !self.OwnNetwork() {
		return
	}
	on := b.t.Networks()
	if b.t.Proxy.ID == "" {
		on = append(on, &b.t.Proxy)
	}
	for _, n := range on {
		switch {
		case n.ID == "":
			b.attachStanding(v, self, *n, api.NoProxyNetwork)
		case missing(self, n):
			b.attachStanding(v, self, *n, api.NotOnProxyNetwork)
		}
	}
}

// missing: a container is not on a network, and could be put there.
func missing(c *api.Container, n *api.Network) bool {
	_, on := c.Attachment(n.ID)
	return !on && c.OwnNetwork() && (n.Driver == "bridge" || n.Driver == "overlay")
}

// freeSubnet is the first of 16 private /20s that no Docker network overlaps
// and no host forwards to: room for 2,048 services with an address of their own
// in the upper half, and as many addresses for the Engine to hand out in the
// lower.
func (b *builder) freeSubnet() []api.Subnet {
	networks := b.s.Engine.Networks()
	for i := range 16 {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(224 + i), 0, 0}), 20)
		if overlaps(networks, prefix) || b.forwardedTo(prefix) {
			continue
		}
		return []api.Subnet{{
			Prefix:  prefix,
			Gateway: prefix.Addr().Next(),
			Range:   netip.PrefixFrom(prefix.Addr(), prefix.Bits()+1),
		}}
	}
	return nil // the Engine chooses; addresses are then not kept
}

func overlaps(networks []*api.Network, prefix netip.Prefix) bool {
	for _, n := range networks {
		for _, s := range n.Subnets {
			if s.Prefix.Overlaps(prefix) {
				return true
			}
		}
	}
	return false
}

// forwardedTo: another machine has an address there, as NPM knows.
func (b *builder) forwardedTo(prefix netip.Prefix) bool {
	if b.s.NPM == nil {
		return false
	}
	return slices.ContainsFunc(b.s.NPM.Hosts(), func(h *api.Host) bool {
		addr, ok := api.HostAddr(h.Forward.Host)
		return ok && prefix.Contains(addr)
	})
}
