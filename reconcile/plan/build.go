// Package plan decides what to do: Build and For are pure functions of a
// snapshot and a policy. They read no clock, make no request and log nothing;
// the same snapshot gives the same plan, in the same order.
package plan

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/resolve"
)

// Build plans everything.
func Build(s *api.Snapshot, p api.Policy) api.Plan {
	containers := s.Engine.Containers()
	var hosts []*api.Host
	if s.NPM != nil {
		hosts = s.NPM.All()
	}
	keys := make([]api.Key, 0, 1+len(containers)+len(hosts))
	keys = append(keys, api.SystemKey())
	for _, c := range containers {
		keys = append(keys, api.ContainerKey(c.ID))
	}
	for _, h := range hosts {
		keys = append(keys, h.Key())
	}
	return For(s, p, keys...)
}

// For plans some keys. Its cost does not depend on how much else there is.
func For(s *api.Snapshot, p api.Policy, keys ...api.Key) api.Plan {
	b := builder{s: s, p: p, t: resolve.Locate(s, p)}
	if b.t.NPM != nil && b.t.Proxy.ID == "" {
		b.t.Proxy.Internal = true
		b.t.Proxy.Subnets = b.freeSubnet()
	}
	b.plan.Verdicts = make([]api.Verdict, 0, len(keys))
	for _, key := range keys {
		switch key.Kind {
		case api.KindSystem:
			b.system()
		case api.KindContainer:
			if c := s.Engine.Container(key.ID); c != nil {
				b.container(c)
			}
		default:
			if s.NPM == nil {
				continue
			}
			if h := s.NPM.Get(key); h != nil {
				b.host(h)
			}
		}
		if len(b.left) > 0 {
			b.leave(&b.plan.Verdicts[len(b.plan.Verdicts)-1])
		}
	}
	return b.finish()
}

type builder struct {
	s *api.Snapshot
	p api.Policy
	t resolve.Topology

	plan    api.Plan
	planned map[once]int // index into plan.Actions
	// left is what somebody keeps undoing of what the key at hand needs.
	left []api.Subject
	// reserved are the addresses that this plan gives, and to which container.
	reserved map[netip.Addr]string
}

// once is what a plan does at most once.
type once struct {
	op   api.Op
	key  api.Key
	name string // of the network, or of a host that is not there yet
}

// act adds an action, or its causes to the same action planned before.
func (b *builder) act(a api.Action) {
	if b.mayNot(a.Op) {
		return
	}
	is := once{a.Op, a.Key(), a.Network + a.Domain}
	if i, ok := b.planned[is]; ok {
		have := &b.plan.Actions[i]
		for _, code := range a.Because {
			if !slices.Contains(have.Because, code) {
				have.Because = append(have.Because, code)
			}
		}
		return
	}
	if a.Ownership != nil {
		own := *a.Ownership
		own.By = b.signature()
		a.Ownership = &own
	}
	if b.planned == nil {
		b.planned = map[once]int{}
	}
	b.planned[is] = len(b.plan.Actions)
	b.plan.Actions = append(b.plan.Actions, a)
}

// due asks for another look at a key at a time, the first of several.
func due(v *api.Verdict, at time.Time) {
	if v.Due.IsZero() || at.Before(v.Due) {
		v.Due = at
	}
}

func (j *judgement) due(at time.Time) { due(&j.v, at) }

func (b *builder) finish() api.Plan {
	if b.holder() != nil {
		b.plan.Actions = slices.DeleteFunc(b.plan.Actions, func(a api.Action) bool { return !b.permits(a) })
	}
	if b.s.NPM != nil && b.s.NPM.Stranded {
		b.plan.Actions = slices.DeleteFunc(b.plan.Actions, func(a api.Action) bool { return !savesStranded(a) })
	}
	slices.SortStableFunc(b.plan.Actions, func(x, y api.Action) int {
		return cmp.Or(rank(x.Op)-rank(y.Op), cmp.Compare(x.Network, y.Network),
			cmp.Compare(x.Name, y.Name), cmp.Compare(x.Container, y.Container), cmp.Compare(x.Host.Kind, y.Host.Kind), id(x)-id(y), cmp.Compare(x.Domain, y.Domain))
	})
	for i := range b.plan.Actions {
		slices.Sort(b.plan.Actions[i].Because)
	}
	slices.SortFunc(b.plan.Wants.Probes, func(x, y api.Target) int {
		return cmp.Or(x.Addr.Compare(y.Addr), cmp.Compare(x.Container, y.Container))
	})
	b.plan.Wants.Probes = slices.Compact(b.plan.Wants.Probes)
	slices.SortFunc(b.plan.Wants.Addresses, netip.Addr.Compare)
	b.plan.Wants.Addresses = slices.Compact(b.plan.Wants.Addresses)
	return b.plan
}

// rank puts what is stood on first, then what makes room for the rest.
func rank(op api.Op) int {
	return slices.Index([]api.Op{
		api.OpCreateNetwork, api.OpAttach, api.OpDelete, api.OpDisable, api.OpPatch, api.OpCertificate,
		api.OpEnable, api.OpCreate, api.OpResave,
	}, op)
}

func id(a api.Action) int {
	n, _ := strconv.Atoi(a.Host.ID)
	return n
}
