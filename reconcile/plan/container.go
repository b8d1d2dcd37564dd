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
	in := intent.Of(c, b.p)
	v := api.Verdict{
		Key: api.ContainerKey(c.ID), Name: c.Name, Enabled: c.Up(), Backend: c.Identity(),
		OptedIn:  (in.Enabled || b.p.Scope == api.ScopeAll) && !in.Denied && !c.OneOff(),
		Findings: slices.Clip(in.Findings),
	}
	b.notPermitted(c, in, &v)
	if v.OptedIn && !b.isProxy(c) && c.ID != b.s.Self && (in.Enabled || b.meant(c)) {
		if f := b.reachOwner(c, true); f != nil {
			v.Findings = append(v.Findings, *f)
		}
	}
	if v.OptedIn && b.t.NPM != nil {
		b.missingHosts(c, &v)
	}
	b.plan.Verdicts = append(b.plan.Verdicts, v)
}

// notPermitted reports what labels ask for and may not have, but for names, of
// which the hosts tell.
func (b *builder) notPermitted(c *api.Container, in intent.Intent, v *api.Verdict) {
	if in.Role == api.RoleProxy && !b.isProxy(c) {
		v.Findings = append(v.Findings, api.Finding{
			Code:    api.NotPermitted,
			Message: fmt.Sprintf("the label %s.%s does not make %s NPM's container: it counts where none has NPM's image, and only one that publishes port 80 or 443", b.p.Prefix, api.RoleLabel, c.Name),
			Fix:     "if it is NPM's, set NO502_NPM_CONTAINER to its name; else take the label away",
		})
	}
	for _, r := range in.Routes {
		if resolve.SnippetRefused(b.p, r) {
			v.Findings = append(v.Findings, api.Finding{
				Code:    api.NotPermitted,
				Message: "the label " + r.Snippet + " is refused unless the operator sets NO502_ALLOW_SNIPPETS=true",
				Fix:     "ask the operator, or take the label away; until then no host is made without it",
			})
		}
	}
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
	return slices.ContainsFunc(Related(b.s, c), func(key api.Key) bool {
		h := b.s.NPM.Get(key)
		if key.Kind != api.KindHost || !h.Enabled || h.Mark() == api.MarkOff || h.Mark() == api.MarkObserve {
			return false
		}
		return slices.Contains(resolve.Resolve(b.s, b.p, b.t, h).Containers, c)
	})
}

// Related are the hosts that may mean this container, by everything that a
// forward host may say of it, and those that its labels declare.
func Related(s *api.Snapshot, c *api.Container) []api.Key {
	if s.NPM == nil {
		return nil
	}
	seen := map[api.Key]bool{}
	var keys []api.Key
	put := func(key api.Key) {
		if !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	add := func(ids []int) {
		for _, id := range ids {
			put(api.HostKey(id))
		}
	}
	for name := range c.Names() {
		add(s.NPM.ByForward(name))
		for _, key := range s.NPM.ByStatic(name) {
			put(key)
		}
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
	declared := func(by *api.Container) {
		for _, name := range by.Claims {
			if h := s.NPM.Serving(name); h != nil {
				put(h.Key())
			}
		}
		for _, h := range s.NPM.DeclaredBy(by.Identity()) {
			put(h.Key())
		}
	}
	declared(c)
	for _, called := range []string{string(c.Identity()), c.Service(), c.Name} {
		for _, user := range s.Engine.Using(called) {
			declared(user)
		}
	}
	for _, what := range s.Engine.FormerlyOf(c.Identity()) {
		add(s.NPM.ByForward(what))
	}
	add(s.NPM.ByBackend(c.Identity()))
	if alias := c.SharedAlias(); alias != "" {
		add(s.NPM.ByForward(alias))
	}
	return keys
}
