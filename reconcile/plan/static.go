package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/resolve"
)

// staticGrace is how long a name may be away before its host is switched off:
// longer than a container takes to be recreated. Until then nothing is lost but
// that NPM rejects writes, which are made again.
const staticGrace = 30 * time.Second

// statics judges the names that nginx looks up only when it loads. While one of
// them is missing, NPM answers every write with an error, and if it is started
// then, its nginx does not come up at all. When one has a new address, nginx
// sends its requests to the old one, whoever has that now, until it loads again.
func (j *judgement) statics() {
	var missing []api.Static
	var said []string
	var leads []*api.Container
	act, denied, complete := j.act, j.denied(), true
	for _, st := range j.h.Statics() {
		n := j.lookUp(st.Name)
		if len(n.known) == 0 && !n.gone {
			complete = false // another machine's: nothing is known of it
			continue
		}
		enabled, no := resolve.Enabled(n.known, j.p)
		act, denied = act || enabled && j.mayWrite(), denied || no
		for _, c := range n.known {
			j.v.Others = append(j.v.Others, c.Identity())
		}
		if !n.answered {
			missing = append(missing, st)
			said = append(said, fmt.Sprintf("%s names %s, and %s", st.Where, st.Name, n.why()))
			continue
		}
		complete = complete && len(n.addrs) > 0 // just attached: its address is not known yet
		j.v.Static = append(j.v.Static, n.addrs...)
		leads = append(leads, n.known...)
	}
	act = act && !denied
	j.v.OptedIn = j.v.OptedIn || act
	switch {
	case len(missing) > 0:
		j.v.Static = nil
		j.withoutStatic(missing, said, act)
	case complete:
		slices.SortFunc(j.v.Static, netip.Addr.Compare)
		j.staleStatic(leads, act)
	default:
		j.v.Static = nil
	}
}

// denied: what the host means says to be left alone, which outweighs all that its
// other names say.
func (j *judgement) denied() bool {
	_, denied := resolve.Enabled(j.replicas(), j.p)
	return denied || j.claim != nil && j.deniedBy(j.claim.Lead) != nil
}

// mayWrite: nobody else keeps the host, and nothing in it says to leave it alone.
func (j *judgement) mayWrite() bool {
	return j.h.Mark() != api.MarkOff && j.h.Mark() != api.MarkObserve && j.h.Manager(j.p.Instance) == ""
}

// name is what Docker knows of a name that nginx looks up.
type name struct {
	known []*api.Container // that have it on a network of NPM's, running or not
	addrs []netip.Addr     // of those that run
	// answered: Docker's DNS has it. Gone: nobody has it now, and it led somewhere
	// before.
	answered, gone bool
}

// lookUp asks for a name as nginx would. A name that no container has on a
// network of NPM's may be another machine's, unless nginx has said that it is
// not, or it led to a container before.
func (j *judgement) lookUp(what string) (n name) {
	for _, c := range j.s.Engine.Named(what) {
		if !j.t.Answers(c, what) {
			continue
		}
		n.known = append(n.known, c)
		n.answered = n.answered || c.Up() || c.State.Status == api.Paused
		if addr := j.address(c); addr.IsValid() {
			n.addrs = append(n.addrs, addr)
		}
	}
	_, was := j.s.Engine.Former(what)
	_, loaded := j.s.Loaded[j.v.Key]
	n.gone = len(n.known) == 0 && was && (loaded || j.s.NPM.Stranded)
	return n
}

func (n name) why() string {
	if n.gone {
		return "there is no container of that name any more"
	}
	return down(n.known[0]).Message
}

// withoutStatic switches a host off before the names that are missing keep NPM
// from writing or starting. One that somebody has switched on all the same stays
// on.
func (j *judgement) withoutStatic(missing []api.Static, said []string, act bool) {
	f := api.Finding{
		Code: api.StaticNameMissing,
		Message: strings.Join(said, "; ") +
			": nginx looks such a name up when it loads, so that NPM rejects all changes until it is back, and would not start",
		Fix: "start the container, or take the name out of the host in NPM",
	}
	idle := api.Idle{Why: api.DisabledStatic}
	o := j.h.OwnedBy(j.p.Instance)
	j.overruled = j.overruled || o != nil && o.Disabled == api.DisabledStatic && !o.Disabling
	if act = act && (o == nil || o.Disabled == "" || o.Disabling); act {
		f.Fix = fmt.Sprintf("no502 switches the host off after %v, and on again when the name is back", staticGrace)
		j.v.Idle = idle
	}
	j.v.Findings = append(j.v.Findings, f)
	over, is := j.over(idle, staticGrace)
	switch {
	case !act:
	case !is && !j.s.NPM.Stranded:
		j.due(over)
	default:
		own := api.Ownership{Instance: j.p.Instance, Origin: api.OriginRepaired}
		if o != nil {
			own = *o
		}
		own.Disabled, own.Disabling, own.Missing = api.DisabledStatic, false, nil
		for _, st := range missing {
			own.Missing = append(own.Missing, st.Name)
		}
		j.builder.act(api.Action{
			Op: api.OpDisable, Host: j.v.Key, Domain: j.v.Name, Because: []api.Code{f.Code}, Ownership: &own,
		})
		j.act = false // the rest can wait until it is on again
	}
}

// staleStatic saves a host again whose names lead elsewhere than when nginx
// loaded them, once what they lead to stays.
func (j *judgement) staleStatic(leads []*api.Container, act bool) {
	was, known := j.s.Loaded[j.v.Key]
	if !known || !was.Stale && slices.Equal(was.Addrs, j.v.Static) || !j.stays(leads) {
		return
	}
	names := make([]string, 0, 1)
	for _, st := range j.h.Statics() {
		names = append(names, fmt.Sprintf("%s, in %s,", st.Name, st.Where))
	}
	j.resave(api.Finding{
		Code:    api.AddressChanged,
		Message: strings.Join(names, " or ") + " has a new address, and nginx keeps the old one until it loads again",
	}, act, "no502 saves the host again, which makes nginx look it up", "save the host in NPM")
}

// awaits: the host is off for names of which some are still missing, or come and
// go.
func (j *judgement) awaits() (missing []string) {
	now := j.h.Statics()
	for _, what := range j.h.Ownership.Missing {
		named := slices.ContainsFunc(now, func(st api.Static) bool { return st.Name == what })
		if n := j.lookUp(what); named && (!n.answered || !j.stays(n.known)) {
			missing = append(missing, what)
		}
	}
	return missing
}

// restored judges a host that was switched off for a missing name. It reports
// whether there is nothing else to say about it.
func (j *judgement) restored() bool {
	j.v.OptedIn, j.act = true, j.h.Mark() != api.MarkObserve
	if missing := j.awaits(); len(missing) > 0 {
		j.v.Findings = append(j.v.Findings, api.Finding{
			Code:    api.StaticNameMissing,
			Message: fmt.Sprintf("no502 switched %s off while %s is missing, which nginx looks up when it loads", j.v.Name, strings.Join(missing, " and ")),
			Fix:     "start the container, and no502 switches the host on again",
		})
		if j.h.Ownership.Disabling { // and was stopped before it could say so
			j.disable(api.DisabledStatic, api.StaticNameMissing)
		}
		return true
	}
	if j.h.Owner().Service != "" {
		return false // its labels have more to say
	}
	f := api.Finding{
		Code:    api.HostBack,
		Message: fmt.Sprintf("no502 switched %s off for a name that was missing, and it is back", j.v.Name),
		Fix:     "switch it on in NPM",
	}
	if j.act {
		f.Fix = "no502 switches it on"
		j.builder.act(api.Action{
			Op: api.OpEnable, Host: j.v.Key, Domain: j.v.Name, Because: []api.Code{f.Code},
			From: api.Fields{}, To: api.Fields{}, Ownership: j.unmarked(),
		})
	}
	j.v.Findings = append(j.v.Findings, f)
	return true
}

// unmarked is what a host remembers once it is on again: nothing, where there is
// nothing else to remember.
func (j *judgement) unmarked() *api.Ownership {
	own := *j.h.Ownership
	own.Disabled, own.Disabling, own.Missing = "", false, nil
	if own.Service == "" && own.Backend == "" && len(own.Wrote) == 0 && len(own.Was) == 0 {
		return nil
	}
	return &own
}

// stranded says that NPM's nginx does not start, and for what, where that is
// known.
func (b *builder) stranded(v *api.Verdict) {
	if b.s.NPM == nil || !b.s.NPM.Stranded {
		return
	}
	f := api.Finding{
		Code:    api.NPMStranded,
		Message: "NPM's nginx does not start, so that every host is down",
		Fix:     fmt.Sprintf("see why: docker logs --tail 50 %s", b.t.NPM.Name),
	}
	for _, h := range b.s.NPM.All() {
		for _, st := range h.Statics() {
			if !h.Enabled || b.answered(st.Name) {
				continue
			}
			f.Candidates = append(f.Candidates, h.Domain())
			f.Message += fmt.Sprintf("; %s of %s names %s, which it does not find", st.Where, h.Domain(), st.Name)
			f.Fix = "start what these names mean; no502 switches the hosts of opted-in containers off until then"
		}
	}
	v.Findings = append(v.Findings, f)
}

// savesStranded: while nginx does not start NPM rejects all writes, but for
// switching off what keeps it from starting.
func savesStranded(a api.Action) bool {
	return a.Op == api.OpCreateNetwork || a.Op == api.OpAttach ||
		a.Op == api.OpDisable && slices.Contains(a.Because, api.StaticNameMissing)
}
