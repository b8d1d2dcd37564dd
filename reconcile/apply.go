package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/no502/no502/api"
)

// apply makes a plan's changes, in order. What fails does not keep the others
// back, but for the network that they need. Where Docker is to be changed only
// that is done: the rest is planned anew, since more can be seen then. held
// reports that some wait, for an NPM that does not answer or behind others.
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
	err = api.ErrUnclear // should a panic be the end of it
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
