package plan

import (
	"fmt"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
)

// container plans one container: what its labels say, and that NPM reaches it.
func (b *builder) container(c *api.Container) {
	in := intent.Of(c.Labels, b.p.Prefix)
	v := api.Verdict{
		Key: api.ContainerKey(c.ID), Name: c.Name, Enabled: c.Up(), Backend: c.Identity(),
		OptedIn:  (in.Enabled || b.p.Scope == api.ScopeAll) && !in.Denied && !c.OneOff(),
		Findings: in.Findings,
	}
	isProxy := b.t.NPM != nil && c.ID == b.t.NPM.ID
	if v.OptedIn && !isProxy && c.ID != b.s.Self && (in.Enabled || b.meant(c)) {
		if owner := b.netOwner(c); owner != nil {
			if f := b.reach(owner, true); f != nil {
				v.Findings = append(v.Findings, *f)
			}
		}
		v.Findings = append(v.Findings, b.missingHosts(c, in)...)
	}
	b.plan.Verdicts = append(b.plan.Verdicts, v)
}

// meant: with scope "all" only containers that a host may mean are attached,
// not the whole machine.
func (b *builder) meant(c *api.Container) bool { return len(Related(b.s, c)) > 0 }

func (b *builder) missingHosts(c *api.Container, in intent.Intent) []api.Finding {
	var fs []api.Finding
	for _, d := range in.Domains {
		if len(b.s.NPM.ByDomain(d)) == 0 {
			fs = append(fs, api.Finding{
				Code:    api.HostMissing,
				Message: fmt.Sprintf("the container %s claims %s, but NPM has no proxy host for it", c.Name, d),
				Fix:     "add a proxy host for " + d + " in NPM; its forward settings do not matter",
			})
		}
	}
	return fs
}

// netOwner is whose network a container uses: its own, or with network_mode
// "container:X" (Compose: "service:x") X's. Nil when X is gone.
func (b *builder) netOwner(c *api.Container) *api.Container {
	const mode = "container:"
	for range 8 { // a chain is legal, a ring is not
		if len(c.NetworkMode) <= len(mode) || c.NetworkMode[:len(mode)] != mode {
			return c
		}
		name := c.NetworkMode[len(mode):]
		if c = b.s.Engine.Container(name); c == nil {
			named := b.s.Engine.Named(name)
			if len(named) != 1 {
				return nil
			}
			c = named[0]
		}
	}
	return nil
}

// Related are the proxy hosts that may mean this container, by everything that
// a forward host may say of it.
func Related(s *api.Snapshot, c *api.Container) []int {
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
	for _, p := range c.Published {
		add(s.NPM.ByMachinePort(p.HostPort))
	}
	for _, d := range c.Claims {
		add(s.NPM.ByDomain(d))
	}
	add(s.NPM.ByBackend(c.Identity()))
	if alias := c.SharedAlias(); alias != "" {
		add(s.NPM.ByForward(alias))
	}
	return ids
}
