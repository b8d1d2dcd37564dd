package plan_test

import (
	"math/rand"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
	"github.com/no502/no502/reconcile/plan"
	"github.com/no502/no502/reconcile/resolve"
)

var equateAddrs = cmpopts.EquateComparable(api.Target{}, api.Subnet{}, api.Action{}.Address)

// TestConvergence follows random worlds until nothing is left to do, and looks
// at every step on the way.
func TestConvergence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := randomWorld(t)
		before := map[api.Key]string{}
		for _, h := range w.hosts {
			before[h.Key()] = w.served(h)
		}
		original := slices.Clone(w.hosts)
		w.settle(t)
		for _, h := range original {
			if is := w.host(h.Key()); is != nil && h.Key().Kind == api.KindHost {
				w.checkServed(t, h, is, before[h.Key()])
			}
		}
	})
}

// TestEvents lets things happen to random worlds.
func TestEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := randomWorld(t)
		for range 4 {
			w.settle(t)
			w.randomEvent(t)
		}
		w.settle(t)
		w.now = w.now.Add(time.Hour)
		w.settle(t)
	})
}

// settle plans and applies until nothing is left to do.
func (w *world) settle(t *rapid.T) {
	patches := map[api.Key]int{}
	for round := 0; ; round++ {
		p := plan.Build(w.snapshot(), w.policy)
		w.checkPlan(t, p)
		w.remember(p)
		if p.Wants.Empty() && len(p.Actions) == 0 {
			break
		}
		if round == 20 {
			t.Fatalf("after 20 rounds there is still something to do: %v %v", p.Actions, p.Wants)
		}
		w.observe(p.Wants)
		for _, a := range p.Actions {
			switch a.Op {
			case api.OpPatch, api.OpEnable, api.OpDisable:
				patches[a.Host]++
			case api.OpCertificate:
				patches[a.Host] = 0
			}
			if err := w.apply(a); err != nil {
				t.Fatalf("%s: %v", a, err)
			}
		}
	}
	for key, n := range patches {
		if n > 2 {
			t.Errorf("%d writes to %s", n, key)
		}
	}
	owners := map[api.Owner]api.Key{}
	for _, h := range w.hosts {
		o := h.Owner()
		if o.Service == "" || h.Ownership.Instance != "test" {
			continue
		}
		if other, twice := owners[o]; twice {
			t.Errorf("%v has %s and %s", o, other, h.Key())
		}
		owners[o] = h.Key()
	}
}

func (w *world) host(key api.Key) *api.Host {
	for _, h := range w.hosts {
		if h.Key() == key {
			return h
		}
	}
	return nil
}

// checkServed: a host that worked works on, and leads to the same backend,
// unless a label or an earlier repair says that another one is meant.
func (w *world) checkServed(t *rapid.T, was, is *api.Host, before string) {
	after := w.served(is)
	if before == "" || strings.Contains(before, "+") || before == after || was.Ownership != nil && was.Ownership.Wrote.Endpoint() == was.Forward {
		return
	}
	for _, c := range w.containers {
		in := intent.Of(c, w.policy)
		if slices.ContainsFunc(was.Domains, func(d string) bool { return slices.Contains(resolve.Claimed(in), d) }) {
			return
		}
		if said, _ := in.Route(""); string(c.Identity()) == before && (said.Port != 0 || said.Scheme != "") {
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
		case api.OpCreate:
			w.checkFields(t, a, &api.Host{Kind: a.Host.Kind})
			for _, h := range w.hosts {
				if slices.ContainsFunc(h.Serves(), func(name string) bool { return slices.Contains(made(a).Serves(), name) }) && !slices.Contains(w.hidden, h.Key().Kind) {
					t.Errorf("%s: %s serves that already", a, h.Key())
				}
			}
		case api.OpPatch, api.OpEnable, api.OpResave:
			v := verdicts[a.Key()]
			if !v.OptedIn || !w.mayWrite(a.Host, v) {
				t.Errorf("%s: not opted in", a)
			}
			if a.Op == api.OpResave {
				if a.From.Endpoint() != a.To.Endpoint() {
					t.Errorf("%s", a)
				}
				continue
			}
			w.checkFields(t, a, w.host(a.Host))
		case api.OpDelete, api.OpDisable, api.OpCertificate:
			if o := w.host(a.Host).Ownership; o == nil || o.Instance != "test" || a.Op == api.OpDelete && o.Origin != api.OriginDeclared {
				t.Errorf("%s: not ours", a)
			}
		}
	}
}

// made is the host that an action makes.
func made(a api.Action) *api.Host {
	h := &api.Host{Kind: a.Host.Kind}
	setRow(h, a.To)
	return h
}

var (
	variable = regexp.MustCompile(`^\$no502_[a-z0-9_]+$`)
	snippet  = regexp.MustCompile(`^set \$no502_[a-z0-9_]+ "[A-Za-z0-9_.-]+";(\nrewrite \^[A-Za-z0-9._~/\\-]+\(\?:/\(\.\*\)\)\?\$ /\$1 break;)?$`)
)

// checkFields: what is written is what labels say, or no502 wrote before; and
// nothing that would be more than a name in nginx's configuration.
func (w *world) checkFields(t *rapid.T, a api.Action, h *api.Host) {
	row := h.Fields()
	for name, value := range a.To {
		if !w.mayClaim(name, h) {
			t.Errorf("%s: nobody claims %s", a, name)
		}
		ok := true
		switch name {
		case api.FieldHost:
			ok = hostName.MatchString(value.(string)) && a.To.Int(api.FieldPort) != 0
		case api.FieldStreamHost:
			addr, err := netip.ParseAddr(value.(string))
			ok = err == nil && addr.Is4()
		case api.FieldLocations:
			for _, l := range value.([]api.Location) {
				ok = ok && (slices.Contains(row.Locations(), l) || h.Ownership != nil && slices.Contains(h.Ownership.Was.Locations(), l) ||
					variable.MatchString(l.Host) && snippet.MatchString(l.Advanced) && strings.HasPrefix(l.Path, "/"))
			}
		}
		if !ok {
			t.Errorf("%s: %s is %#v", a, name, value)
		}
	}
}

// mayClaim: some labels claim this field of such a host, or it is released.
func (w *world) mayClaim(name string, h *api.Host) bool {
	switch name {
	case api.FieldDomains, api.FieldScheme, api.FieldHost, api.FieldPort, api.FieldRedirectTo, api.FieldRedirectCode, api.FieldKeepPath,
		api.FieldIncoming, api.FieldTCP, api.FieldUDP, api.FieldStreamHost, api.FieldStreamPort:
		return true
	case api.FieldForceSSL, api.FieldHTTP2, api.FieldHSTS, api.FieldHSTSSubs:
		if h.Fields().Bool(name) {
			return true // NPM drops it without a certificate
		}
	}
	if o := h.Ownership; o != nil {
		if _, wrote := o.Wrote[name]; wrote {
			return true
		}
	}
	return slices.ContainsFunc(w.containers, func(c *api.Container) bool {
		return slices.ContainsFunc(intent.Of(c, w.policy).Routes, func(r intent.Route) bool {
			_, claims := r.Claims[name]
			_, begins := r.Initial[name]
			return claims || begins && h.ID == 0 || name == api.FieldCertificate && (r.Certificate != "" || h.ID == 0) ||
				name == api.FieldAccessList && r.AccessList != "" || name == api.FieldLocations && len(r.Locations) > 0
		})
	})
}

func (w *world) mayWrite(host api.Key, v api.Verdict) bool {
	i := slices.IndexFunc(w.hosts, func(h *api.Host) bool { return h.Key() == host })
	h := w.hosts[i]
	if h.Mark() == api.MarkOff || h.Mark() == api.MarkObserve {
		return false
	}
	ok := h.Mark() == api.MarkOn && h.Enabled
	for _, c := range w.containers {
		if in := intent.Of(c, w.policy); !in.Denied && slices.ContainsFunc(h.Serves(), func(name string) bool { return slices.Contains(resolve.Claimed(in), name) }) {
			ok = true
		}
		if c.Identity() == h.Owner().Service && h.Ownership.Instance == "test" {
			ok = true
		}
		if c.Identity() == v.Backend && !c.OneOff() {
			in := intent.Of(c, w.policy)
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
		in := intent.Of(user, w.policy)
		if w.net(user) != c || in.Denied || intent.Of(c, w.policy).Denied {
			continue
		}
		if w.policy.Scope == api.ScopeAll || slices.ContainsFunc(w.containers, func(replica *api.Container) bool {
			return replica.Identity() == user.Identity() && intent.Of(replica, w.policy).Enabled // it is the service that is opted in
		}) {
			return true
		}
		if slices.ContainsFunc(p.Verdicts, func(v api.Verdict) bool {
			return v.Key.IsHost() && v.Backend == user.Identity() && w.mayWrite(v.Key, v)
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
					if !slices.ContainsFunc(p.Actions, func(b api.Action) bool { return b.Key() == a.Key() && b.Op == a.Op && b.String() == a.String() }) {
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
				if !slices.ContainsFunc(plan.For(s, w.policy, a.Key()).Actions, func(b api.Action) bool { return b.Key() == a.Key() && b.Op == a.Op }) && a.Op != api.OpAttach && a.Op != api.OpCreate {
					// (A container may be attached for a host's sake, and a host made for a container's.)
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
			if !v.Key.IsHost() || v.Backend == "" || v.Backend.OnMachine() {
				continue
			}
			if !slices.ContainsFunc(s.Engine.Replicas(v.Backend), func(c *api.Container) bool {
				return slices.Contains(plan.Related(s, c), v.Key)
			}) {
				t.Errorf("%s means %s by %s (%s), and is not related to it", v.Name, v.Backend, v.Forward, v.Resolved.Message)
			}
		}
	})
}
