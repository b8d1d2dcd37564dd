package plan

import (
	"fmt"
	"slices"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
	"github.com/no502/no502/reconcile/resolve"
)

// missingHosts plans the hosts that a container's labels declare and NPM does
// not have. Of a service's containers one speaks for all.
func (b *builder) missingHosts(c *api.Container, v *api.Verdict) {
	if b.s.NPM == nil || len(c.Claims) == 0 || resolve.Lead(b.s.Engine, c.Identity()) != c {
		return
	}
	claims := resolve.Claims(c, b.p)
	if f := b.deniedBy(c); f != nil && len(claims) > 0 {
		v.Findings = append(v.Findings, *f)
		return
	}
	for _, claim := range claims {
		if !b.s.NPM.Knows(claim.Kind) {
			v.Findings = append(v.Findings, api.Finding{
				Code:    api.NotSupported,
				Message: fmt.Sprintf("no502's user may not see NPM's %ss, so none is made for %s", claim.Kind.Words(), c.Name),
				Fix:     "give the user the permission to manage them in NPM",
			})
			continue
		}
		if resolve.RowOf(b.s, b.p, claim) == nil {
			b.create(&claim, v)
		}
	}
}

// deniedBy: another container of a service says that it is to be left alone.
func (b *builder) deniedBy(lead *api.Container) *api.Finding {
	for _, c := range b.s.Engine.Replicas(lead.Identity()) {
		if c != lead && intent.Of(c, b.p).Denied {
			return &api.Finding{
				Code:    api.NotOptedIn,
				Message: fmt.Sprintf("%s declares hosts, but %s of the same service is opted out", lead.Name, c.Name),
				Fix:     fmt.Sprintf("remove the label %s.enable: \"false\" from it, or that container", b.p.Prefix),
			}
		}
	}
	return nil
}

// create plans one host that is not there yet.
func (b *builder) create(claim *resolve.Claim, v *api.Verdict) {
	j := judgement{builder: b, claim: claim, new: true, act: true}
	j.h = &api.Host{Kind: claim.Kind, Enabled: true}
	j.v.Key, j.v.Name = api.Key{Kind: claim.Kind}, claim.Names()[0]
	want := j.wanted(api.Fields{})
	ready := !claim.Route.Withheld && !j.unprotected && !j.stoppedForGood() && (len(want.Strings(api.FieldDomains)) > 0 || want.Int(api.FieldIncoming) != 0)
	switch {
	case !ready:
	case claim.Kind == api.KindHost:
		var to api.Endpoint
		if to, ready = j.newEndpoint(); ready {
			want = want.With(to.Fields())
		}
	case claim.Kind == api.KindStream:
		ready = want.Text(api.FieldStreamHost) != ""
		for _, c := range resolve.Upstream(b.s.Engine, b.p, claim.Lead, claim.Route.Upstream) {
			if f := down(c); f != nil && !ready {
				j.v.Findings = append(j.v.Findings, *f)
			}
		}
	}
	if !j.v.Due.IsZero() {
		due(v, j.v.Due)
	}
	for _, f := range j.v.Findings {
		if !v.Says(f) {
			v.Findings = append(v.Findings, f)
		}
	}
	if !ready || j.unsettled {
		return
	}
	if c, held := b.contested(api.MadeSubject(claim.Owner())); held {
		does := fmt.Sprintf("deleting the %s %s, which labels declare", claim.Kind.Words(), j.v.Name)
		v.Findings = append(v.Findings, b.contest(c, does, "stop whatever else deletes hosts in NPM, or take the label away"))
		return
	}
	a := b.creation(&j, want)
	f, until := b.rejected(a)
	if f == nil {
		f = &api.Finding{
			Code:    api.HostMissing,
			Message: fmt.Sprintf("%s declares %s, and NPM has no %s for it", claim.Lead.Identity(), j.v.Name, claim.Kind.Words()),
			Fix:     "no502 makes it",
		}
	}
	v.Findings = append(v.Findings, *f)
	if !until.IsZero() {
		due(v, until)
		return
	}
	a.Because = []api.Code{f.Code}
	b.act(a)
}

// creation is the making of a host.
func (b *builder) creation(j *judgement, want api.Fields) api.Action {
	to := want.With(nil)
	if to.Int(api.FieldCertificate) == 0 {
		delete(to, api.FieldCertificate) // NPM takes a zero for a certificate
	}
	own := api.Ownership{Instance: b.p.Instance, Origin: api.OriginDeclared, Backend: j.v.Backend, Wrote: want}
	j.sign(&own)
	return api.Action{
		Op: api.OpCreate, Host: j.v.Key, Domain: j.v.Name,
		To: to, Ownership: &own,
	}
}

// newEndpoint is where a new proxy host is to forward to, once that is clear.
func (j *judgement) newEndpoint() (api.Endpoint, bool) {
	r := j.claim.Route
	service := resolve.Upstream(j.s.Engine, j.p, j.claim.Lead, r.Upstream)
	if len(service) == 0 {
		j.v.Findings = append(j.v.Findings, j.noUpstream(r.Upstream, "upstream"))
		return api.Endpoint{}, false
	}
	j.v.Backend = service[0].Identity()
	return j.leads(service, api.Endpoint{Scheme: r.Scheme, Port: r.Port}, api.Endpoint{}, "port")
}

// stoppedForGood: the labels say that a service that is stopped has no host.
func (j *judgement) stoppedForGood() bool {
	return j.claim.Route.OnStop != intent.Keep && j.stopped(j.claim.Lead.Identity())
}

// stopped: every container of a service is.
func (b *builder) stopped(service api.Identity) bool {
	return !slices.ContainsFunc(b.s.Engine.Replicas(service), func(c *api.Container) bool {
		return holdsAddress(c) && !c.OneOff()
	})
}
