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
		b.proxyNetwork(&v)
		if self := b.s.Engine.Container(b.s.Self); self != nil && self.ID != npm.ID {
			b.attachSelf(self)
		}
	}
	b.plan.Verdicts = append(b.plan.Verdicts, v)
}

func (b *builder) proxyNetwork(v *api.Verdict) {
	npm, proxy := b.t.NPM, b.t.Proxy
	because := []api.Code{api.NoProxyNetwork}
	if proxy.ID == "" {
		v.Findings = append(v.Findings, api.Finding{
			Code:    api.NoProxyNetwork,
			Message: fmt.Sprintf("there is no network %s for NPM to share with its backends", proxy.Name),
			Fix:     "no502 makes it and attaches NPM",
		})
		var subnet api.Subnet
		if len(proxy.Subnets) > 0 {
			subnet = proxy.Subnets[0]
		}
		b.act(api.Action{Op: api.OpCreateNetwork, Network: proxy.Name, Subnet: subnet, Because: because})
	}
	if _, on := npm.Attachment(proxy.ID); !on || proxy.ID == "" {
		b.attach(npm, because)
	}
	if userDefined := slices.ContainsFunc(npm.Attachments, func(a api.Attachment) bool {
		n := b.s.Engine.Network(a.NetworkID)
		return n != nil && n.UserDefined()
	}); !userDefined || npm.NetworkMode == "bridge" || npm.NetworkMode == "default" {
		v.Findings = append(v.Findings, api.Finding{
			Code:    api.NPMNeedsRestart,
			Message: fmt.Sprintf("NPM's container %s was started on the default bridge, so nginx may not resolve container names until it is restarted once", npm.Name),
			Fix:     "docker restart " + npm.Name,
		})
	}
}

func (b *builder) attachSelf(self *api.Container) {
	if self.NetworkMode == "host" || self.NetworkMode == "none" {
		return
	}
	on := b.t.Networks()
	if b.t.Proxy.ID == "" {
		on = append(on, &b.t.Proxy)
	}
	for _, n := range on {
		if _, is := self.Attachment(n.ID); (!is || n.ID == "") && (n.ID == "" || n.Driver == "bridge" || n.Driver == "overlay") {
			b.attachTo(*n, self, []api.Code{api.NotOnProxyNetwork})
		}
	}
}

// freeSubnet is the first of 16 private /20s that no Docker network overlaps:
// room for 2,048 services with an address of their own in the upper half, and
// as many addresses for the Engine to hand out in the lower.
func (b *builder) freeSubnet() []api.Subnet {
	for i := range 16 {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(224 + i), 0, 0}), 20)
		if b.overlaps(prefix) {
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

func (b *builder) overlaps(prefix netip.Prefix) bool {
	for _, n := range b.s.Engine.Networks() {
		for _, s := range n.Subnets {
			if s.Prefix.Overlaps(prefix) {
				return true
			}
		}
	}
	return false
}
