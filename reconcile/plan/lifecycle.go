package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
	"github.com/no502/no502/reconcile/resolve"
)

// ended judges whether a declared host's time is over, or back again. It reports
// whether there is nothing else to say about it.
func (j *judgement) ended() bool {
	o := j.h.OwnedBy(j.p.Instance)
	switch {
	case j.h.Mark() == api.MarkOff:
		return false
	case o != nil && !j.h.Enabled && o.Disabled == api.DisabledStatic && j.restored():
		return true
	case o == nil || o.Service == "":
		if j.claim != nil && !j.h.Enabled {
			j.switchedOff()
		}
		return false
	}
	j.v.OptedIn, j.act = true, j.h.Mark() != api.MarkObserve
	j.inherit()
	idle, grace := j.idle()
	if idle.Why != "" && j.v.Key.Kind == api.KindDeadHost && j.heir == nil {
		idle.Delete = j.ours() // NPM keeps no note of who switched it off
	}
	switch {
	case idle.Why == "" || idle.Why == api.DisabledRemoved && !j.ours():
		if !j.h.Enabled {
			j.back()
		}
		return !j.h.Enabled
	case !j.h.Enabled && !idle.Delete:
		if o.Disabling { // and was stopped before it could say so
			j.disable(o.Disabled, api.HostIdle)
		}
		return false
	case j.h.Enabled && o.Disabled == idle.Why && !o.Disabling:
		j.overruled = true
		return false
	}
	j.v.Idle = idle
	over, is := j.over(idle, grace)
	if j.heir != nil && (is || j.succeeds()) {
		j.claim = j.heir
		return false
	}
	if !is {
		j.due(over)
	}
	j.end(idle, grace, is)
	if !is && j.claim != nil {
		return false
	}
	if j.h.Enabled && j.s.NPM.Stranded {
		j.statics() // it keeps NPM from starting, and NPM does nothing else until then
	}
	return true
}

// end says what becomes of an idle host, and does it when its grace is over.
func (j *judgement) end(idle api.Idle, grace time.Duration, over bool) {
	f := api.Finding{Code: api.HostIdle, Message: j.idleness(idle.Why), Fix: j.says(idle, grace)}
	switch {
	case !over:
	case idle.Delete && j.s.Landslide:
		f.Code = api.DeleteLimit
		f.Message += fmt.Sprintf(", and more than %d hosts would be deleted like this one", j.p.MaxDeletes)
		f.Fix = "start the services again; or delete the hosts in NPM; or set NO502_MAX_DELETES higher"
	case idle.Delete:
		j.remove(api.HostIdle, nil, nil)
	default:
		j.disable(idle.Why, api.HostIdle)
	}
	j.v.Findings = append(j.v.Findings, f)
}

// inherit lets a service wait that claims the host of another one that is gone:
// that one may be back within its grace.
func (j *judgement) inherit() {
	service := j.h.Owner().Service
	if j.claim != nil && j.claim.Lead.Identity() != service && j.ours() && j.h.Enabled && len(j.s.Engine.Replicas(service)) == 0 {
		j.heir, j.claim = j.claim, nil
	}
}

// succeeds: the heir need not wait. It is the same service under another name,
// or it came when that one had gone.
func (j *judgement) succeeds() bool {
	if renamed, was := j.s.Engine.Former(string(j.h.Owner().Service)); was && renamed == j.heir.Lead.Identity() {
		return true
	}
	since, known := j.s.Idle[j.v.Key]
	if known = known && j.heir.Lead.CreatedAt.After(since.Since.Add(j.s.Ahead)); known {
		j.v.Idle = since.Idle // until it is written down
	}
	return known
}

// idle finds out why a host's service does not need it now, and what its labels
// say about that.
func (j *judgement) idle() (api.Idle, time.Duration) {
	o := j.h.Ownership
	if j.claim != nil {
		r := j.claim.Route
		if r.OnStop == intent.Keep || j.claim.Intent.Unclear || !j.stopped(j.claim.Lead.Identity()) {
			return api.Idle{}, 0
		}
		return api.Idle{Why: api.DisabledStopped, Delete: r.OnStop == intent.Delete && j.ours()}, r.Grace
	}
	end, grace := intent.End(o.OnRemove), intent.DefaultGrace
	if d, err := time.ParseDuration(o.Grace); err == nil && d >= intent.LeastGrace {
		grace = d
	}
	if _, elsewhere := resolve.ClaimOf(j.s, j.p, j.h.Owner()); elsewhere {
		return api.Idle{}, 0 // another host is the claim's: this one is somebody's copy
	}
	if end == intent.Keep && j.heir == nil || j.doubtful() {
		return api.Idle{}, 0
	}
	return api.Idle{Why: api.DisabledRemoved, Delete: j.heir == nil && (end == intent.Delete || j.inTheWay())}, grace
}

// inTheWay: all that the host serves is claimed by others of its own Compose
// project, who cannot have it while NPM has this host, though switched off.
func (j *judgement) inTheWay() bool {
	names := j.h.Serves()
	project, _, composed := strings.Cut(string(j.h.Owner().Service), "/")
	return len(names) > 0 && !slices.ContainsFunc(names, func(name string) bool {
		by, claimed := resolve.Claimant(j.s, j.p, name)
		return !claimed || by.Lead.Identity() != j.h.Owner().Service && (!composed || by.Lead.Project() != project)
	})
}

// doubtful: it is not clear that the labels do not declare the host any more.
func (j *judgement) doubtful() bool {
	if unread := resolve.Unread(j.p, j.h); len(unread) > 0 {
		j.v.Findings = append(j.v.Findings, api.Finding{
			Code:    api.OtherPrefix,
			Message: fmt.Sprintf("%s was declared by labels that are no longer read: %s", j.v.Name, strings.Join(unread, ", ")),
			Fix:     "read them again (NO502_LABEL_PREFIX, NO502_DIALECTS), or delete the host in NPM",
		})
	}
	return resolve.Doubtful(j.s, j.p, j.h)
}

// over is when the grace is over, and whether it is. Observation must not have
// been broken meanwhile.
func (j *judgement) over(idle api.Idle, grace time.Duration) (at time.Time, is bool) {
	since, known := j.s.Idle[j.v.Key]
	if !known || since.Idle != idle {
		return j.s.Now.Add(grace), false
	}
	if at = since.Since.Add(grace); at.Before(j.s.Engine.Since.Add(grace)) {
		at = j.s.Engine.Since.Add(grace)
	}
	return at, !j.s.Now.Before(at)
}

func (j *judgement) idleness(why string) string {
	service := j.h.Ownership.Service
	switch {
	case why == api.DisabledStopped:
		return fmt.Sprintf("every container of %s is stopped", service)
	case len(j.s.Engine.Replicas(service)) > 0:
		return fmt.Sprintf("the labels of %s no longer declare it", service)
	}
	return fmt.Sprintf("the service %s has no container any more", service)
}

func (j *judgement) says(idle api.Idle, grace time.Duration) string {
	switch {
	case j.heir != nil:
		return fmt.Sprintf("%s, which claims it as well, gets it after %v", j.heir.Lead.Identity(), grace)
	case !j.act && idle.Delete:
		return "delete it in NPM"
	case !j.act:
		return "switch it off in NPM"
	case idle.Delete && j.claim == nil && j.inTheWay():
		return fmt.Sprintf("no502 deletes it after %v, since other labels claim all that it serves", grace)
	case idle.Delete:
		return fmt.Sprintf("no502 deletes it after %v", grace)
	}
	return fmt.Sprintf("no502 switches it off after %v", grace)
}

// remove deletes the host; with from and to, which differ, for another to be
// made in its place.
func (j *judgement) remove(because api.Code, from, to api.Fields) {
	if j.act {
		j.builder.act(api.Action{
			Op: api.OpDelete, Host: j.v.Key, Domain: j.v.Name, Because: []api.Code{because},
			From: from, To: to, Ownership: j.h.Ownership,
		})
	}
}

// back switches a host on again that no502 switched off, now that there is no
// reason left.
func (j *judgement) back() {
	o := j.h.Ownership
	if o.Disabled == "" {
		j.switchedOff()
		return
	}
	if j.claim == nil || j.deniedBy(j.claim.Lead) != nil || j.v.Key.Kind == api.KindDeadHost && !j.ours() {
		return
	}
	row := j.h.Fields()
	want := j.wanted(row)
	if j.untouchable || j.unsettled {
		return
	}
	diff := want.Differing(row)
	from, to := diff.Of(row), diff
	own := j.ownership(from, to, nil)
	f := api.Finding{
		Code:    api.HostBack,
		Message: fmt.Sprintf("no502 switched %s off, and there is no reason for it any more", j.v.Name),
		Fix:     "switch it on in NPM",
	}
	if j.act {
		f.Fix = "no502 switches it on"
	}
	j.v.Findings = append(j.v.Findings, f)
	switch {
	case !j.act:
	case j.v.Key.Kind == api.KindDeadHost:
		j.remove(api.HostBack, nil, nil) // and then it is made anew
	default:
		j.patch(api.Action{
			Op: api.OpEnable, Host: j.v.Key, Domain: j.v.Name, Because: []api.Code{api.HostBack},
			From: from, To: to, Ownership: own,
		})
	}
}

func (j *judgement) switchedOff() {
	j.v.Findings = append(j.v.Findings, api.Finding{
		Code:    api.HostSwitchedOff,
		Message: fmt.Sprintf("%s is declared by labels, and somebody switched it off in NPM", j.v.Name),
		Fix:     "switch it on in NPM when it is wanted",
	})
}
