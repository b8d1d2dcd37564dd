package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/plan"
	"github.com/no502/no502/reconcile/resolve"
)

// apply makes a plan's changes, in order. What fails does not keep the others
// back, but for the network that they need. Where Docker is changed, the
// rest waits for that plan too: more can be seen then.
func (r *Reconciler) apply(ctx context.Context, key api.Key, actions []api.Action) error {
	if slices.ContainsFunc(actions, func(a api.Action) bool { return inDocker(a.Op) }) {
		r.attaching.Lock()
		defer r.attaching.Unlock()
		actions = r.planDocker(key) // anew, with the right to choose addresses
	}
	var failed []error
	for _, a := range actions {
		if err := r.do(ctx, a); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", a, err))
			if a.Op == api.OpCreateNetwork {
				break
			}
		}
	}
	return errors.Join(failed...)
}

func (r *Reconciler) do(ctx context.Context, a api.Action) (err error) {
	switch a.Op {
	case api.OpCreateNetwork:
		err = r.createNetwork(ctx, a)
	case api.OpAttach:
		err = r.Engine.Attach(ctx, a.Container, a.Network, a.Address, a.Aliases)
	case api.OpPatch:
		err = r.NPM.Patch(ctx, a.Host, a.From, a.To, a.Backend)
	case api.OpResave:
		err = r.NPM.Resave(ctx, a.Host)
	}
	if err != nil {
		return err
	}
	r.Recorder.Done(a)
	if a.Op == api.OpPatch || a.Op == api.OpResave {
		r.memory.saved(a.Host)
	}
	return nil
}

// createNetwork makes the network with its planned subnet; with one of the
// Engine's choice, in which addresses cannot be kept, where the machine has
// another use for that.
func (r *Reconciler) createNetwork(ctx context.Context, a api.Action) error {
	labels := map[string]string{
		r.Policy.Prefix + ".managed":          "true",
		r.Policy.Prefix + "." + api.RoleLabel: api.RoleProxy,
	}
	err := r.Engine.CreateNetwork(ctx, a.Network, a.Subnet, labels)
	if errors.Is(err, api.ErrSubnetTaken) {
		err = r.Engine.CreateNetwork(ctx, a.Network, api.Subnet{}, labels)
	}
	return err
}

// result says what follows from a plan that has been applied.
func (r *Reconciler) result(key api.Key, p api.Plan) Result {
	var res Result
	for _, v := range p.Verdicts {
		res.Retry = res.Retry || v.OptedIn && waits(v)
	}
	res.Retry = res.Retry || !p.Wants.Empty()
	switch key.Kind {
	case api.KindContainer:
		res.Then = r.touched(key.ID)
	case api.KindSystem:
		r.FindNPM()
		r.prune()
		res.Then = r.ifTopologyChanged()
	case api.KindHost:
		if r.memory.judged(key, p) {
			res.Then = r.claiming(key)
		}
		if len(p.Verdicts) == 0 {
			r.Recorder.Forget(key)
		}
	}
	return res
}

// ifTopologyChanged are all keys if NPM is on other networks than when this was
// last asked: what it reaches may be another container each.
func (r *Reconciler) ifTopologyChanged() (keys []api.Key) {
	var fingerprint string
	r.snapshot(func(s *api.Snapshot) { fingerprint = resolve.Locate(s, r.Policy).Fingerprint() })
	if r.memory.topologyChanged(fingerprint) {
		keys = r.Keys()[1:] // without the system's own
	}
	r.memory.setTopology(fingerprint)
	return keys
}

// waits: only looking again can tell when a port opens. Everything else makes
// an event.
func waits(v api.Verdict) bool {
	for _, f := range v.Findings {
		switch f.Code {
		case api.PortNotListening, api.PortUnanswered, api.LoopbackOnly:
			return true
		}
	}
	return false
}

// touched are the keys that a container's change may concern: the hosts that
// may mean it now, those that meant it when last looked at, those that say what
// it was called, and the system's if it is part of that.
func (r *Reconciler) touched(container string) []api.Key {
	var keys []api.Key
	r.snapshot(func(s *api.Snapshot) {
		c := s.Engine.Container(container)
		var was api.Identity
		keys, was = r.memory.hostsOf(container, c)
		t := resolve.Locate(s, r.Policy)
		if r.memory.topologyChanged(t.Fingerprint()) || container == s.Self || t.NPM != nil && (container == t.NPM.ID || container == t.NetOwner.ID) {
			keys = append(keys, api.SystemKey())
		}
		var related []int
		if c != nil {
			related = plan.Related(s, c)
		} else {
			r.Recorder.Forget(api.ContainerKey(container))
			related = calledSo(s, was)
		}
		for _, id := range related {
			keys = append(keys, api.HostKey(id))
		}
	})
	return keys
}

// calledSo are the hosts that say what a backend was called before, or where it
// was: others may have been called so too, and now are alone.
func calledSo(s *api.Snapshot, was api.Identity) (hosts []int) {
	if s.NPM == nil {
		return nil
	}
	for _, what := range s.Engine.FormerlyOf(was) {
		hosts = append(hosts, s.NPM.ByForward(what)...)
	}
	return hosts
}

// claiming are the containers that claim a host's domains: they may have waited
// for it to be made.
func (r *Reconciler) claiming(key api.Key) (keys []api.Key) {
	r.snapshot(func(s *api.Snapshot) {
		id, _ := key.HostID()
		if s.NPM == nil || s.NPM.Host(id) == nil {
			return
		}
		for _, d := range s.NPM.Host(id).Domains {
			for _, c := range s.Engine.Claiming(d) {
				keys = append(keys, api.ContainerKey(c.ID))
			}
		}
	})
	return keys
}

// prune forgets what ports answered of containers that were started again or
// are gone. It is done with the system, which every resync looks at.
func (r *Reconciler) prune() {
	r.Engine.View(func(e *api.Engine) {
		r.Prober.Prune(func(t api.Target) bool {
			c := e.Container(t.Container)
			if c == nil {
				return false
			}
			owner := resolve.NetOwner(e, c)
			if owner == nil {
				owner = c
			}
			return t.StartedAt == resolve.Started(c, owner).UnixNano()
		})
	})
}

// PublishedPort is the machine's port that leads to no502's own status port;
// 0 where it is not published.
func (r *Reconciler) PublishedPort(port uint16) (published uint16) {
	r.Engine.View(func(e *api.Engine) {
		c := e.Container(self(e, r.SelfHints))
		if c == nil {
			return
		}
		for _, p := range c.Published {
			if p.Port.Number == port && p.Port.Protocol == "tcp" {
				published = p.HostPort
			}
		}
	})
	return published
}
