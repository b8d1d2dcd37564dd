// Package reconcile brings one key to its desired state: observe, plan, apply,
// record. When to do so is the controller's business.
package reconcile

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/plan"
)

// Engine is the Docker Engine: what it holds, and the changes made there.
type Engine interface {
	// View gives what the Engine holds; false, and no call, before the first
	// complete list.
	View(func(*api.Engine)) bool
	// Ahead is how far its clock is ahead of this one.
	Ahead() time.Duration
	CreateNetwork(ctx context.Context, name string, subnet api.Subnet, labels map[string]string) error
	Attach(ctx context.Context, container, network string, addr netip.Addr, aliases []string) error
}

// NPM is Nginx Proxy Manager: what it holds, and the changes made there.
type NPM interface {
	// View gives NPM's hosts; false, and no call, before the first complete
	// list.
	View(func(*api.NPM)) bool
	// SetURL says where NPM's API is; empty: nowhere for now. Own: whatever else
	// listens at that address is NPM's as well.
	SetURL(base string, own bool)
	// Waits reports that NPM does not answer: nothing is to be asked of it. Its
	// source tells the system's key when it does again.
	Waits() bool
	// Expect says whether hosts wait for a certificate or an access list.
	Expect(waiting bool)
	// Patch writes fields, and what the meta is to remember, if the row still
	// says what it is planned from; else it is an api.ErrStale.
	Patch(ctx context.Context, host api.Key, from, to api.Fields, own *api.Ownership) error
	Resave(ctx context.Context, host api.Key) error
	Create(ctx context.Context, kind api.Kind, fields api.Fields, own api.Ownership) (api.Key, error)
	Enable(ctx context.Context, host api.Key, from, to api.Fields, own *api.Ownership) error
	Disable(ctx context.Context, host api.Key, own *api.Ownership) error
	Delete(ctx context.Context, host api.Key) error
	RequestCertificate(ctx context.Context, domains []string, dnsProvider, credentials string) error
}

// Prober looks at ports and addresses, and remembers what it saw.
type Prober interface {
	View(func(map[api.Target]api.Probe, map[netip.Addr]bool))
	Probe(ctx context.Context, targets []api.Target)
	IsMachine(ctx context.Context, addrs []netip.Addr)
	// Prove asks NPM for a host, and its backend for the same; the answer is of
	// this moment.
	Prove(ctx context.Context, t api.ProofTarget) api.Proof
	// Prune forgets the containers' targets that keep does not want.
	Prune(keep func(api.Target) bool)
}

// Recorder keeps what was decided and done, for people to read.
type Recorder interface {
	Verdict(api.Verdict)
	Done(api.Action)
	// Changed is told what was done, by whom, be it by others or in vain.
	Changed(api.Change)
	Forget(api.Key)
}

// Result says what else is to be done about a key.
type Result struct {
	// Retry asks for the same key again, after a pause that grows.
	Retry bool
	// Then are other keys that this one touches.
	Then []api.Key
	// After is when the key is worth another look, though nothing happens
	// meanwhile; zero: not by itself.
	After time.Duration
}

// Options are what a Reconciler works with.
type Options struct {
	Engine   Engine
	NPM      NPM
	Prober   Prober
	Recorder Recorder
	Policy   api.Policy
	// SelfHints are what no502's own container may be known by: an ID, a host
	// name. None outside Docker.
	SelfHints []string
	// Process is what this process signs as in NPM, so that of two with the same
	// instance name one stands by. Empty: it only looks.
	Process string
	// NPMURL is where NPM's API answers; empty: derived from its container.
	NPMURL string
	// DNSCredentials are what the operator mounted for a DNS provider.
	DNSCredentials func(provider string) (string, error)
	// Resync is how often everything is looked at again.
	Resync time.Duration
}

// Reconciler brings keys to their desired state, several at a time.
type Reconciler struct {
	Options
	memory   memory
	edits    edits
	refusals refusals

	// attaching makes choosing a free address and taking it one step.
	attaching turn
	// writing is whose turn it is to write to NPM, which makes one change at a
	// time.
	writing turn
}

// New returns a Reconciler.
func New(o Options) *Reconciler {
	return &Reconciler{Options: o, memory: newMemory(), edits: newEdits(o.Policy.Instance)}
}

// rounds bounds how often one call observes and plans again: attach, then
// probe the forward port, then the others, then write.
const rounds = 6

// Reconcile brings one key to its desired state. An error is worth another
// try later; what only a person can mend is a finding in the verdict instead.
// A change that came too late for somebody else's is no error, but planned anew.
func (r *Reconciler) Reconcile(ctx context.Context, key api.Key) (Result, error) {
	var p api.Plan
	done := false
	for range rounds {
		p = r.plan(key)
		r.memory.notice(p, time.Now())
		if !p.Wants.Empty() && len(p.Actions) == 0 {
			r.Prober.Probe(ctx, p.Wants.Probes)
			r.Prober.IsMachine(ctx, p.Wants.Addresses)
			r.prove(ctx, p.Wants.Proofs)
			continue
		}
		if len(p.Actions) == 0 || r.Policy.Mode == api.ModeObserve {
			done = true
			break
		}
		r.record(p)
		// ErrStale: somebody was faster, and what they did is known by now.
		held, err := r.apply(ctx, key, p.Actions)
		if err != nil && !errors.Is(err, api.ErrStale) {
			var res Result
			if key.Kind == api.KindSystem {
				r.FindNPM() // where nothing may be changed, NPM can be looked at all the same
				res.Then = r.ifTopologyChanged()
			}
			return res, err
		}
		if held {
			break
		}
	}
	r.record(p)
	res := r.result(key, p)
	res.Retry = res.Retry || !done // what the last round changed was not looked at, or could not be done yet
	return res, ctx.Err()
}

// plan makes the plan for a key from what is known now.
func (r *Reconciler) plan(key api.Key) (p api.Plan) {
	var edits []api.Change
	r.snapshot(func(s *api.Snapshot) {
		r.memory.observe(s, key)
		p = plan.For(s, r.Policy, key)
		edits = r.edits.look(s.NPM, key, p)
	})
	r.changed(edits)
	return p
}

// planDocker makes the plan of what is to be changed in Docker for a key: what
// no502 itself stands on comes first, since nothing can be attached to a
// network that is not there.
func (r *Reconciler) planDocker(key api.Key) (actions []api.Action) {
	r.snapshot(func(s *api.Snapshot) {
		r.memory.observe(s, key)
		for _, a := range plan.For(s, r.Policy, api.SystemKey(), key).Actions {
			if inDocker(a.Op) {
				actions = append(actions, a)
			}
		}
	})
	return actions
}

func inDocker(op api.Op) bool { return op == api.OpCreateNetwork || op == api.OpAttach }

// Plan is what Reconcile would do about everything, after looking at what the
// plan wants to know. Nothing is changed.
func (r *Reconciler) Plan(ctx context.Context) api.Plan {
	var p api.Plan
	for range rounds {
		r.snapshot(func(s *api.Snapshot) { p = plan.Build(s, r.Policy) })
		if p.Wants.Empty() {
			break
		}
		r.Prober.Probe(ctx, p.Wants.Probes)
		r.Prober.IsMachine(ctx, p.Wants.Addresses)
	}
	return p
}

// freshFor is how long after a container's start a closed port may still open.
const freshFor = 20 * time.Second

// snapshot lends a view of everything, in which nothing changes meanwhile.
func (r *Reconciler) snapshot(use func(*api.Snapshot)) {
	now := time.Now()
	s := api.Snapshot{Now: now, FreshSince: now.Add(-freshFor), Ahead: r.Engine.Ahead(), Process: r.Process, Refused: r.refusals.now()}
	r.Engine.View(func(e *api.Engine) {
		s.Engine, s.Self = e, self(e, r.SelfHints)
		r.Prober.View(func(probes map[api.Target]api.Probe, machine map[netip.Addr]bool) {
			s.Probes, s.Machine = probes, machine
			known := r.NPM.View(func(n *api.NPM) {
				s.NPM = n
				s.Lease = r.memory.lease(n, r.Policy.Instance, now)
				use(&s)
			})
			if !known {
				use(&s)
			}
		})
	})
}

// self finds no502's own container.
func self(e *api.Engine, hints []string) string {
	for _, hint := range hints {
		for _, c := range e.Named(hint) {
			if c.ID == hint || c.ShortID() == hint || c.Hostname == hint {
				return c.ID
			}
		}
	}
	return ""
}

func (r *Reconciler) changed(changes []api.Change) {
	for _, c := range changes {
		r.Recorder.Changed(c)
	}
}

func (r *Reconciler) record(p api.Plan) {
	for _, v := range p.Verdicts {
		r.Recorder.Verdict(v)
	}
}

// Keys are all keys worth looking at, the system's first; those of what is
// gone too, if that was not seen yet.
func (r *Reconciler) Keys() []api.Key {
	keys := []api.Key{api.SystemKey()}
	r.snapshot(func(s *api.Snapshot) {
		keys = append(keys, r.memory.gone(s)...)
		for _, c := range s.Engine.Containers() {
			if c.Inspected || r.Policy.Scope == api.ScopeAll {
				keys = append(keys, api.ContainerKey(c.ID))
			}
		}
		if s.NPM == nil {
			return
		}
		for _, h := range s.NPM.All() {
			keys = append(keys, h.Key())
		}
	})
	return keys
}
