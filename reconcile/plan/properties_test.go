package plan_test

import (
	"math/rand"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
	"github.com/no502/no502/reconcile/plan"
)

var equateAddrs = cmpopts.EquateComparable(api.Target{}, api.Subnet{}, api.Action{}.Address)

// TestConvergence follows random worlds until nothing is left to do, and looks
// at every step on the way.
func TestConvergence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := randomWorld(t)
		before := map[int]string{}
		for _, h := range w.hosts {
			before[h.ID] = w.served(h)
		}
		original := slices.Clone(w.hosts)
		patches := map[int]int{}
		for round := 0; ; round++ {
			p := plan.Build(w.snapshot(), w.policy)
			w.checkPlan(t, p)
			if p.Wants.Empty() && len(p.Actions) == 0 {
				break
			}
			if round == 20 {
				t.Fatalf("after 20 rounds there is still something to do: %v %v", p.Actions, p.Wants)
			}
			w.observe(p.Wants)
			for _, a := range p.Actions {
				if a.Op == api.OpPatch {
					patches[a.Host]++
				}
				if err := w.apply(a); err != nil {
					t.Fatalf("%s: %v", a, err)
				}
			}
		}
		for id, n := range patches {
			if n > 1 {
				t.Errorf("%d patches of host %d", n, id)
			}
		}
		for i, h := range original {
			w.checkServed(t, h, w.hosts[i], before[h.ID])
		}
	})
}

// checkServed: a host that worked works on, and leads to the same backend,
// unless a label or an earlier repair says that another one is meant.
func (w *world) checkServed(t *rapid.T, was, is *api.ProxyHost, before string) {
	after := w.served(is)
	if before == "" || strings.Contains(before, "+") || before == after || was.Ownership != nil && was.Ownership.Wrote == was.Forward {
		return
	}
	for _, c := range w.containers {
		in := intent.Of(c.Labels, w.policy.Prefix)
		if slices.ContainsFunc(was.Domains, func(d string) bool { return slices.Contains(in.Domains, d) }) {
			return
		}
		if string(c.Identity()) == before && (in.Port != 0 || in.Scheme != "") {
			return
		}
	}
	t.Errorf("%s led to %q by %s, and leads to %q by %s", was.Domain(), before, was.Forward, after, is.Forward)
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,252}$`)

// checkPlan holds for every plan.
func (w *world) checkPlan(t *rapid.T, p api.Plan) {
	found := map[api.Code]bool{}
	verdicts := map[api.Key]api.Verdict{}
	for _, v := range p.Verdicts {
		verdicts[v.Key] = v
		for _, f := range v.Findings {
			found[f.Code] = true
			if f.Message == "" || f.Fix == "" {
				t.Errorf("%s: %s says %q, %q", v.Name, f.Code, f.Message, f.Fix)
			}
		}
	}
	for _, a := range p.Actions {
		if len(a.Because) == 0 {
			t.Errorf("%s: without a cause", a)
		}
		for _, code := range a.Because {
			if !found[code] {
				t.Errorf("%s: because of %s, which is no finding", a, code)
			}
		}
		switch a.Op {
		case api.OpAttach:
			if !w.mayAttach(w.byID(a.Container), p) {
				t.Errorf("%s: not opted in", a)
			}
			if !slices.ContainsFunc(a.Aliases, func(s string) bool { return !hostName.MatchString(s) }) {
				continue
			}
			t.Errorf("%s: aliases %q", a, a.Aliases)
		case api.OpPatch, api.OpResave:
			v := verdicts[a.Key()]
			if !v.OptedIn || !w.mayWrite(a.Host, v) {
				t.Errorf("%s: not opted in", a)
			}
			if a.Op == api.OpPatch && (a.From == a.To || !hostName.MatchString(a.To.Host) || a.To.Port == 0) {
				t.Errorf("%s", a)
			}
			if a.Op == api.OpResave && a.From != a.To {
				t.Errorf("%s", a)
			}
		}
	}
}

func (w *world) mayWrite(host int, v api.Verdict) bool {
	i := slices.IndexFunc(w.hosts, func(h *api.ProxyHost) bool { return h.ID == host })
	h := w.hosts[i]
	if !h.Enabled || h.Mark() == api.MarkOff || h.Mark() == api.MarkObserve {
		return false
	}
	ok := h.Mark() == api.MarkOn
	for _, c := range w.containers {
		if c.Identity() == v.Backend && !c.OneOff() {
			in := intent.Of(c.Labels, w.policy.Prefix)
			if in.Denied {
				return false
			}
			ok = ok || in.Enabled || w.policy.Scope == api.ScopeAll
		}
	}
	return ok
}

// mayAttach: its labels or the scope opt it in, or a host that is marked "on";
// or somebody who is opted in uses its network. NPM and no502 itself always.
func (w *world) mayAttach(c *api.Container, p api.Plan) bool {
	if c.ID == w.self || c == w.net(w.container("npm")) {
		return true
	}
	for _, user := range w.containers {
		in := intent.Of(user.Labels, w.policy.Prefix)
		if w.net(user) != c || in.Denied || intent.Of(c.Labels, w.policy.Prefix).Denied {
			continue
		}
		if in.Enabled || w.policy.Scope == api.ScopeAll {
			return true
		}
		if slices.ContainsFunc(p.Verdicts, func(v api.Verdict) bool {
			id, ok := v.Key.HostID()
			return ok && v.Backend == user.Identity() && w.mayWrite(id, v)
		}) {
			return true
		}
	}
	return false
}

// TestInputOrder: the same world in another order gives the same plan.
func TestInputOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := randomWorld(t)
		random := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		for range 3 {
			p := plan.Build(w.snapshot(), w.policy)
			other := *w
			other.containers, other.networks, other.hosts = slices.Clone(w.containers), slices.Clone(w.networks), slices.Clone(w.hosts)
			random.Shuffle(len(other.containers), func(i, j int) {
				other.containers[i], other.containers[j] = other.containers[j], other.containers[i]
			})
			random.Shuffle(len(other.networks), func(i, j int) {
				other.networks[i], other.networks[j] = other.networks[j], other.networks[i]
			})
			random.Shuffle(len(other.hosts), func(i, j int) { other.hosts[i], other.hosts[j] = other.hosts[j], other.hosts[i] })
			if diff := cmp.Diff(p, plan.Build(other.snapshot(), w.policy), equateAddrs); diff != "" {
				t.Fatal(diff)
			}
			w.observe(p.Wants)
		}
	})
}

// TestKeyByKey: one key at a time is told the same as all together. Only the
// address of two whose hashes collide depends on who comes first.
func TestKeyByKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := randomWorld(t)
		for range 3 {
			s := w.snapshot()
			p := plan.Build(s, w.policy)
			for _, v := range p.Verdicts {
				one := plan.For(s, w.policy, v.Key)
				if diff := cmp.Diff([]api.Verdict{v}, one.Verdicts, equateAddrs); diff != "" {
					t.Fatal(v.Key, diff)
				}
				for _, a := range one.Actions {
					if !slices.ContainsFunc(p.Actions, func(b api.Action) bool { return b.Key() == a.Key() && b.Op == a.Op && b.To == a.To }) {
						t.Fatalf("%s alone plans %s", v.Key, a)
					}
				}
				for _, target := range one.Wants.Probes {
					if !slices.Contains(p.Wants.Probes, target) {
						t.Fatalf("%s alone wants %v", v.Key, target)
					}
				}
			}
			for _, a := range p.Actions {
				if !slices.ContainsFunc(plan.For(s, w.policy, a.Key()).Actions, func(b api.Action) bool { return b.Key() == a.Key() && b.Op == a.Op }) && a.Op != api.OpAttach {
					// (A container may be attached for a host's sake.)
					t.Fatalf("%s alone does not plan %s", a.Key(), a)
				}
			}
			w.observe(p.Wants)
		}
	})
}

// TestRelated: whoever watches a container finds the hosts that mean it.
func TestRelated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := randomWorld(t)
		s := w.snapshot()
		for _, v := range plan.Build(s, w.policy).Verdicts {
			id, isHost := v.Key.HostID()
			if !isHost || v.Backend == "" || v.Backend.OnMachine() {
				continue
			}
			if !slices.ContainsFunc(s.Engine.Replicas(v.Backend), func(c *api.Container) bool {
				return slices.Contains(plan.Related(s, c), id)
			}) {
				t.Errorf("%s means %s by %s (%s), and is not related to it", v.Name, v.Backend, v.Forward, v.Resolved.Message)
			}
		}
	})
}
