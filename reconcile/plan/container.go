package plan

import (
	"fmt"
	"slices"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
	"github.com/no502/no502/reconcile/resolve"
)

// container plans one container: what its labels say, and that NPM reaches it.
func (b *builder) container(c *api.Container) {
	in := intent.Of(c.Labels, b.p.Prefix)
	v := api.Verdict{
		Key: api.ContainerKey(c.ID), Name: c.Name, Enabled: c.Up(), Backend: c.Identity(),
		OptedIn:  (in.Enabled || b.p.Scope == api.ScopeAll) && !in.Denied && !c.OneOff(),
		Findings: in.Findings,
	}
	if v.OptedIn && !b.isProxy(c) && c.ID != b.s.Self && (in.Enabled || b.meant(c)) {
		if f := b.reachOwner(c, true); f != nil {
			v.Findings = append(v.Findings, *f)
		}
		v.Findings = append(v.Findings, b.missingHosts(c, in)...)
	}
	b.plan.Verdicts = append(b.plan.Verdicts, v)
}

// isProxy: NPM's container, or the one whose network it uses.
func (b *builder) isProxy(c *api.Container) bool {
	return b.t.NPM != nil && (c.ID == b.t.NPM.ID || c.ID == b.t.NetOwner.ID)
}

// meant: with scope "all" only containers that a host means are attached, not
// the whole machine.
func (b *builder) meant(c *api.Container) bool {
	if b.t.NPM == nil {
		return false
	}
	return slices.ContainsFunc(Related(b.s, c), func(id int) bool {
		h := b.s.NPM.Host(id)
		if !h.Enabled || h.Mark() == api.MarkOff || h.Mark() == api.MarkObserve {
			return false
		}
		return slices.Contains(resolve.Resolve(b.s, b.p, b.t, h).Containers, c)
	})
}

func (b *builder) missingHosts(c *api.Container, in intent.Intent) []api.Finding {
	if b.s.NPM == nil {
		return nil
	}
	var fs []api.Finding
	for _, d := range in.Domains {
		if len(b.s.NPM.ByDomain(d)) == 0 {
			fs = append(fs, api.Finding{
				Code:    api.HostMissing,
				Message: fmt.Sprintf("the container %s claims %s, but NPM has no proxy host for it", c.Name, d),
				Fix:     "add a proxy host for " + d + " in NPM that forwards to " + c.Name,
			})
		}
	}
	return fs
}

// Related are the proxy hosts that may mean this container, by everything that
// a forward host may say of it.
func Related(s *api.Snapshot, c *api.Container) []int {
	if s.NPM == nil {
		return nil
	}
	seen := map[int]bool{}
	var ids []int
	add := func(more []int) {
		for _, id := range more {
			if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	}
	for name := range c.Names() {
		add(s.NPM.ByForward(name))
		for _, a := range c.Attachments {
			add(s.NPM.ByForward(name + "." + a.Network))
		}
	}
	add(s.NPM.ByForward(c.ID))
	for addr := range c.Addrs() {
		add(s.NPM.ByForward(addr.String()))
	}
	for _, p := range c.Ports() {
		add(s.NPM.ByMachinePort(p.HostPort))
	}
	if c.NetworkMode == "host" {
		for _, p := range c.Exposed {
			add(s.NPM.ByMachinePort(p.Number))
		}
	}
	for _, d := range c.Claims {
		add(s.NPM.ByDomain(d))
	}
	for _, what := range s.Engine.FormerlyOf(c.Identity()) {
		add(s.NPM.ByForward(what))
	}
	add(s.NPM.ByBackend(c.Identity()))
	if alias := c.SharedAlias(); alias != "" {
		add(s.NPM.ByForward(alias))
	}
	return ids
}
