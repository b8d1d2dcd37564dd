package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/plan"
	"github.com/no502/no502/reconcile/resolve"
)

// apply makes a plan's changes, in order. What fails does not keep the others
// back, but for the network that they need. Where Docker is changed, the
// rest waits for that plan too: more can be seen then. held reports that some
// wait, for an NPM that does not answer or behind more urgent ones.
func (r *Reconciler) apply(ctx context.Context, key api.Key, actions []api.Action) (held bool, err error) {
	if slices.ContainsFunc(actions, func(a api.Action) bool { return inDocker(a.Op) }) {
		if err := r.attaching.take(ctx, failing); errors.Is(err, errFull) {
			return true, nil
		} else if err != nil {
			return false, err
		}
		defer r.attaching.give()
		actions = r.planDocker(key) // anew, with the right to choose addresses
	}
	var failed []error
	for _, a := range actions {
		err := r.do(ctx, key, a)
		if errors.Is(err, errAway) || errors.Is(err, errFull) {
			held = true
			continue
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", a, err))
			if a.Op == api.OpCreateNetwork {
				break
			}
		}
	}
	return held, errors.Join(failed...)
}

// errAway: NPM does not answer, as its client has said.
var errAway = errors.New("NPM does not answer")

func (r *Reconciler) do(ctx context.Context, key api.Key, a api.Action) (err error) {
	if !inDocker(a.Op) {
		if err := r.writing.take(ctx, urgencyOf(a)); err != nil {
			return err
		}
		defer r.writing.give()
		if r.NPM.Waits() {
			return errAway
		}
		var still bool
		if a, still = r.still(key, a); !still {
			return api.ErrStale
		}
	}
	r.edits.begin(a)
	defer func() { r.ended(a, err) }()
	switch a.Op {
	case api.OpCreateNetwork:
		err = r.createNetwork(ctx, a)
	case api.OpAttach:
		err = r.Engine.Attach(ctx, a.Container, a.Network, a.Address, a.Aliases)
	case api.OpPatch:
		err = r.NPM.Patch(ctx, a.Host, a.From, a.To, a.Ownership)
	case api.OpResave:
		err = r.NPM.Resave(ctx, a.Host)
	case api.OpCreate:
		var made api.Key
		if made, err = r.NPM.Create(ctx, a.Host.Kind, a.To, *a.Ownership); err == nil {
			a.Host = made
		}
	case api.OpEnable:
		err = r.NPM.Enable(ctx, a.Host, a.From, a.To, a.Ownership)
	case api.OpDisable:
		err = r.NPM.Disable(ctx, a.Host, a.Ownership)
	case api.OpDelete:
		err = r.NPM.Delete(ctx, a.Host)
	case api.OpCertificate:
		err = r.request(ctx, a)
	}
	switch {
	case errors.Is(err, api.ErrHidden): // a person's to mend, as the next plan says
		r.memory.reject(a, err, time.Now())
		return api.ErrStale
	case errors.Is(err, api.ErrRejected) && a.Op == api.OpPatch:
		r.memory.reject(a, err, time.Now())
	}
	if r.refusals.note(a.Op, err, time.Now()) {
		return api.ErrStale // what is allowed is known by now
	}
	if err != nil {
		return err
	}
	r.Recorder.Done(a)
	r.memory.done(a, time.Now())
	return nil
}

// ended tells what was changed: by others meanwhile, and by the action. One that
// failed is told of where it may have changed something all the same.
func (r *Reconciler) ended(a api.Action, err error) {
	c := api.Change{Action: a, By: api.No502, Instance: r.Policy.Instance, Err: err}
	var theirs []api.Change
	r.NPM.View(func(n *api.NPM) {
		if h := n.Get(a.Host); h != nil {
			c.Domains = h.Serves()
		}
		theirs = r.edits.end(n, a, err)
	})
	r.changed(theirs)
	if err == nil || errors.Is(err, api.ErrRejected) || errors.Is(err, api.ErrUnclear) || a.Op == api.OpCertificate {
		r.Recorder.Changed(c)
	}
}

// still is a change as it is to be made now: NPM takes its time for each write,
// and things may be otherwise by now. Not ok: it is not to be made any more.
func (r *Reconciler) still(key api.Key, a api.Action) (now api.Action, ok bool) {
	actions := r.plan(key).Actions
	i := slices.IndexFunc(actions, func(now api.Action) bool {
		return now.Op == a.Op && now.Host == a.Host && now.Domain == a.Domain
	})
	if i < 0 {
		return a, false
	}
	return actions[i], true
}

// request asks Let's Encrypt. That it was asked is noted first, as a failure, so
// that whatever happens it is not soon asked again.
func (r *Reconciler) request(ctx context.Context, a api.Action) error {
	credentials := ""
	if provider := a.Certificate.DNSProvider; provider != "" {
		var err error
		if credentials, err = r.DNSCredentials(provider); err != nil {
			return err
		}
	}
	own := *a.Ownership
	attempt := api.Attempt{Failures: 1, Last: time.Now().UTC().Truncate(time.Second), Error: api.Unanswered}
	if last := own.LetsEncrypt; last != nil {
		attempt.Failures += last.Failures
	}
	own.LetsEncrypt = &attempt
	if err := r.NPM.Patch(ctx, a.Host, nil, nil, &own); err != nil {
		return err
	}
	failed := r.NPM.RequestCertificate(ctx, a.Certificate.Domains, a.Certificate.DNSProvider, credentials)
	own.LetsEncrypt = nil
	if failed != nil {
		said := attempt
		said.Error = failed.Error()
		own.LetsEncrypt = &said
	}
	return errors.Join(failed, r.NPM.Patch(ctx, a.Host, nil, nil, &own))
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
// are gone, and what was long ago. It is done with the system, which every resync looks at.
func (r *Reconciler) prune() {
	r.memory.calm(time.Now())
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
