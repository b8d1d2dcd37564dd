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
		err = r.Engine.CreateNetwork(ctx, a.Network, a.Subnet, map[string]string{
			r.Policy.Prefix + ".managed":          "true",
			r.Policy.Prefix + "." + api.RoleLabel: api.RoleProxy,
		})
	case api.OpAttach:
		err = r.Engine.Attach(ctx, a.Container, r.networkID(a.Network), a.Address, a.Aliases)
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

func (r *Reconciler) networkID(name string) string {
	id := name // the Engine takes names as well
	r.Engine.View(func(e *api.Engine) {
		if n := e.NetworkByName(name); n != nil {
			id = n.ID
		}
	})
	return id
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
	case api.KindHost:
		r.memory.judged(key, p)
		if len(p.Verdicts) == 0 {
			r.Recorder.Forget(key)
		}
	}
	return res
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
// may mean it now, those that meant it when last looked at, and the system's
// if it is part of that.
func (r *Reconciler) touched(container string) []api.Key {
	var keys []api.Key
	r.snapshot(func(s *api.Snapshot) {
		c := s.Engine.Container(container)
		keys = r.memory.hostsOf(container, c)
		if c == nil {
			r.Recorder.Forget(api.ContainerKey(container))
			return
		}
		for _, id := range plan.Related(s, c) {
			keys = append(keys, api.HostKey(id))
		}
		npm := resolve.Locate(s, r.Policy).NPM
		if c.ID == s.Self || npm != nil && npm.ID == c.ID {
			keys = append(keys, api.SystemKey())
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
			started := c.State.StartedAt
			if owner := resolve.NetOwner(e, c); owner != nil && owner.State.StartedAt.After(started) {
				started = owner.State.StartedAt // as in the plan's targets
			}
			return t.StartedAt == started.UnixNano()
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
