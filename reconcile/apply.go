package reconcile

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/plan"
	"github.com/no502/no502/reconcile/resolve"
)

// apply makes a plan's changes, in order. The first that fails ends it: the
// next plan starts from what is true by then.
func (r *Reconciler) apply(ctx context.Context, key api.Key, actions []api.Action) error {
	for _, a := range actions {
		if a.Op == api.OpAttach {
			return r.attachAll(ctx, key)
		}
		if err := r.do(ctx, a); err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
	}
	return nil
}

// attachAll plans again with the right to choose addresses, and makes the
// attachments of that plan.
func (r *Reconciler) attachAll(ctx context.Context, key api.Key) error {
	r.attaching.Lock()
	defer r.attaching.Unlock()
	for _, a := range r.plan(key).Actions {
		if a.Op != api.OpAttach {
			continue
		}
		if err := r.do(ctx, a); err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
	}
	return nil
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

// FindNPM tells the NPM client where NPM is: its address on a network that
// no502 is on too, or, outside Docker, any.
func (r *Reconciler) FindNPM() {
	if r.NPMURL != "" {
		r.NPM.SetURL(r.NPMURL)
		return
	}
	url := ""
	r.snapshot(func(s *api.Snapshot) {
		t := resolve.Locate(s, r.Policy)
		if t.NPM == nil {
			return
		}
		self := s.Engine.Container(s.Self)
		for _, a := range append(t.SharedWith(t.NPM), t.NPM.Attachments...) {
			if !a.IPv4.IsValid() {
				continue
			}
			if self != nil && self.NetworkMode != "host" {
				if _, on := self.Attachment(a.NetworkID); !on {
					continue
				}
			}
			url = "http://" + netip.AddrPortFrom(a.IPv4, 81).String()
			return
		}
	})
	if url != "" {
		r.NPM.SetURL(url) // outside the view: it changes what is viewed
	}
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
