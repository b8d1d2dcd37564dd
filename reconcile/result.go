package reconcile

import (
	"slices"
	"strings"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/plan"
	"github.com/no502/no502/reconcile/resolve"
)

// result says what follows from a plan that has been applied.
func (r *Reconciler) result(key api.Key, p api.Plan) Result {
	var res Result
	for _, v := range p.Verdicts {
		res.Retry = res.Retry || v.OptedIn && waits(v)
		if !v.Due.IsZero() {
			res.After = max(time.Until(v.Due), time.Millisecond)
		}
	}
	r.memory.left(p, time.Now())
	res.Retry = res.Retry || !p.Wants.Empty()
	r.NPM.Expect(r.memory.expect(key, p))
	switch key.Kind {
	case api.KindContainer:
		res.Then = r.touched(key.ID)
	case api.KindSystem:
		r.FindNPM()
		r.prune()
		res.Then = r.ifTopologyChanged()
	default:
		now := time.Now()
		first := r.memory.judged(key, p, now)
		r.memory.watchDeletes(r.Policy.MaxDeletes, now.Add(-r.Resync))
		res.Then = append(r.claiming(key, first), r.ifOthersWrite()...)
		if len(p.Verdicts) == 0 {
			r.Recorder.Forget(key)
		}
	}
	if key.Kind != api.KindSystem && r.refusals.told() {
		res.Then = append(res.Then, api.SystemKey())
	}
	return res
}

// ifTopologyChanged are all keys if NPM is on other networks than when this was
// last asked: what it reaches may be another container each.
func (r *Reconciler) ifTopologyChanged() (keys []api.Key) {
	var fingerprint string
	r.snapshot(func(s *api.Snapshot) { fingerprint = plan.Fingerprint(s, r.Policy) })
	if r.memory.topologyChanged(fingerprint) {
		keys = r.Keys()[1:] // without the system's own
	}
	r.memory.setTopology(fingerprint)
	return keys
}

// ifOthersWrite is the system's key where a host tells that another process of
// this name has begun to write.
func (r *Reconciler) ifOthersWrite() (keys []api.Key) {
	r.snapshot(func(s *api.Snapshot) {
		if r.memory.topologyChanged(plan.Fingerprint(s, r.Policy)) {
			keys = []api.Key{api.SystemKey()}
		}
	})
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
		if r.memory.topologyChanged(plan.Fingerprint(s, r.Policy)) || container == s.Self || t.NPM != nil && (container == t.NPM.ID || container == t.NetOwner.ID) {
			keys = append(keys, api.SystemKey())
		}
		if c != nil {
			keys = append(keys, plan.Related(s, c)...)
			was = c.Identity()
		} else {
			r.Recorder.Forget(api.ContainerKey(container))
			keys = append(keys, calledSo(s, was)...)
		}
		if before := r.memory.see(container, c); before != c || c == nil {
			keys = append(keys, others(s, container, was)...)
			keys = append(keys, rivals(s, before, c)...)
		}
	})
	return keys
}

// others are the containers to which a service's change may matter: the one
// whose labels now speak for it, and those whose labels lead to it.
func others(s *api.Snapshot, container string, service api.Identity) (keys []api.Key) {
	if lead := resolve.Lead(s.Engine, service); lead != nil && lead.ID != container {
		keys = append(keys, api.ContainerKey(lead.ID))
	}
	_, name, _ := strings.Cut(string(service), "/")
	for _, called := range []string{string(service), name} {
		for _, c := range s.Engine.Using(called) {
			if c.ID != container {
				keys = append(keys, api.ContainerKey(c.ID))
			}
			if s.NPM == nil {
				continue
			}
			for _, h := range s.NPM.DeclaredBy(c.Identity()) {
				keys = append(keys, h.Key())
			}
		}
	}
	return keys
}

// rivals are the containers that claim what another one no longer claims.
func rivals(s *api.Snapshot, was, is *api.Container) (keys []api.Key) {
	if was == nil {
		return nil
	}
	for _, name := range was.Claims {
		if is != nil && slices.Contains(is.Claims, name) {
			continue
		}
		for _, c := range s.Engine.Claiming(name) {
			keys = append(keys, api.ContainerKey(c.ID))
		}
	}
	return keys
}

// calledSo are the hosts that say what a backend was called before, or where it
// was (others may have been called so too, and now are alone), and those that
// its labels declared.
func calledSo(s *api.Snapshot, was api.Identity) (keys []api.Key) {
	if s.NPM == nil {
		return nil
	}
	for _, what := range s.Engine.FormerlyOf(was) {
		for _, id := range s.NPM.ByForward(what) {
			keys = append(keys, api.HostKey(id))
		}
		keys = append(keys, s.NPM.ByStatic(what)...)
	}
	for _, h := range s.NPM.DeclaredBy(was) {
		keys = append(keys, h.Key())
	}
	return keys
}

// claiming are the containers that claim what a host serves, where it was not
// known before, or what it no longer serves: they may have waited for that.
func (r *Reconciler) claiming(key api.Key, first bool) (keys []api.Key) {
	r.snapshot(func(s *api.Snapshot) {
		if s.NPM == nil {
			return
		}
		var serves []string
		if h := s.NPM.Get(key); h != nil {
			serves = h.Serves()
		}
		names := r.memory.released(key, serves)
		if first {
			names = append(names, serves...)
		}
		for _, name := range names {
			for _, c := range s.Engine.Claiming(name) {
				keys = append(keys, api.ContainerKey(c.ID))
			}
		}
	})
	return keys
}

// prune forgets what ports answered of containers that were started again or
// are gone, and what was long ago. It is done with the system, which every resync
// looks at.
func (r *Reconciler) prune() {
	r.memory.prune(time.Now())
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
