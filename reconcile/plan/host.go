package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/resolve"
)

// judgement is one of NPM's hosts on its way to a verdict.
type judgement struct {
	*builder
	h     *api.Host
	m     resolve.Resolution
	claim *resolve.Claim // what labels declare about it; nil: nothing
	new   bool           // NPM does not have it yet
	v     api.Verdict
	act   bool // may attach, probe and write
	// because are the findings that a write to the host repairs.
	because []api.Code
	// looking: more is to be observed; unsettled: and before the host is written.
	looking, unsettled bool
	// granted are the names that the claim may have, and declared the custom
	// locations that it makes. A host may have others of a person's.
	granted  []string
	declared []api.Location
	// heir is the claim of another service on the host of one that is gone.
	heir *resolve.Claim
	// overruled: somebody switched the host on that no502 had switched off.
	overruled bool
	// untouchable: the access list that labels name is not there, and the host
	// has none. Unprotected: nor should it be published so.
	untouchable, unprotected bool
}

// host plans one of NPM's hosts.
func (b *builder) host(h *api.Host) {
	j := judgement{builder: b, h: h}
	j.v = api.Verdict{Key: h.Key(), Name: h.Domain(), Enabled: h.Enabled, Forward: h.Forward}
	j.v.Resolved.Status, j.v.Ready.Status, j.v.InSync.Status, j.v.Served.Status = api.Unknown, api.Unknown, api.Unknown, api.Unknown
	if b.t.NPM != nil {
		j.claim = resolve.DeclaredBy(b.s, b.p, h)
		if !j.ended() && h.Enabled {
			j.judge()
		}
	}
	b.plan.Verdicts = append(b.plan.Verdicts, j.v)
}

// judge judges a host that NPM serves.
func (j *judgement) judge() {
	switch {
	case j.h.Mark() == api.MarkOff:
		j.set(&j.v.Resolved, api.Unknown, "", "left alone: its Advanced tab says so")
		return
	case j.h.Key().Kind == api.KindHost:
		if !j.proxyHost() {
			return
		}
		// What is still to be attached or looked at may call for a write as well.
		j.unsettled = j.v.Endpoint == (api.Endpoint{}) && (j.looking || j.aboutToStart() ||
			slices.ContainsFunc(j.v.Findings, func(f api.Finding) bool { return f.Code == api.NotOnProxyNetwork }))
	case j.claim != nil:
		j.v.OptedIn = j.deniedBy(j.claim.Lead) == nil
		j.act = j.v.OptedIn && j.h.Mark() != api.MarkObserve
		if j.claim.Kind == api.KindStream {
			j.stream()
		}
	}
	j.statics()
	j.write()
	j.nginx()
	j.proof()
}

// proxyHost judges where a proxy host leads. It reports whether the host may be
// written at all.
func (j *judgement) proxyHost() bool {
	switch j.h.Forward.Scheme {
	case "", "http", "https":
	default: // forks of NPM know more, and what they mean by it is the user's
		j.set(&j.v.Resolved, api.Unknown, "", "left alone: its scheme is neither http nor https")
		return false
	}
	j.m = resolve.For(j.s, j.p, j.t, j.h, j.claim)
	mark := j.h.Mark()
	// The host's own mark comes first, then the labels of what it means, then
	// the scope; a denying label outweighs all.
	enabled, denied := resolve.Enabled(j.replicas(), j.p)
	j.v.OptedIn = (enabled || mark == api.MarkOn || mark == api.MarkObserve || j.claim != nil) && !denied
	j.act = j.v.OptedIn && mark != api.MarkObserve && !j.kept()
	switch {
	case j.m.NoUpstream != "":
		j.fail(&j.v.Resolved, j.noUpstream(j.m.NoUpstream, "upstream"))
	case j.m.NPMItself:
		j.set(&j.v.Resolved, api.True, "", "NPM's own page")
		j.set(&j.v.InSync, api.True, "", "")
	case len(j.m.Candidates) > 0:
		j.ambiguous()
	case !j.m.Known():
		j.unresolved()
	case mark == api.MarkOn && j.leftover():
		j.machineProcess()
	case j.v.OptedIn && j.m.Rule == resolve.ByMachine && j.takenOnMachine():
	default:
		j.v.Backend = j.m.Backend
		j.set(&j.v.Resolved, api.True, "", string(j.m.Rule))
		j.backend()
	}
	return true
}

// kept: the host may be another's to keep, or a person's by the operator's will.
func (j *judgement) kept() bool {
	if j.m.Rule == resolve.ByLabel && j.claim == nil {
		return resolve.Keeps(j.s, j.p, j.h) != "" // as the claimant is told
	}
	by := j.h.Manager(j.p.Instance)
	if by != "" {
		j.v.Findings = append(j.v.Findings, ownedByOther(j.h, "which "+by+" keeps"))
	}
	return by != ""
}

func (j *judgement) set(c *api.Condition, status api.ConditionStatus, reason api.Code, message string) {
	c.Status, c.Reason, c.Message = status, reason, message
}

// fail adds a finding, and makes it the reason of a condition.
func (j *judgement) fail(c *api.Condition, f api.Finding) {
	j.v.Findings = append(j.v.Findings, f)
	j.set(c, api.False, f.Code, f.Message)
}

func (j *judgement) ambiguous() {
	all := strings.Join(j.m.Candidates, ", ")
	f := api.Finding{
		Code:       api.Ambiguous,
		Message:    fmt.Sprintf("%s may mean any of %s", hostPort(j.h.Forward), all),
		Fix:        fmt.Sprintf("label the one that is meant with %s.host: %q", j.p.Prefix, j.h.Domain()),
		Candidates: j.m.Candidates,
	}
	j.fail(&j.v.Resolved, f)
}

// unresolved: no container is meant. It may be another machine, which is none
// of no502's business, or a process on this one.
func (j *judgement) unresolved() {
	if j.m.Machine && j.act {
		j.machineProcess()
		return
	}
	if j.m.Asks.IsValid() {
		j.plan.Wants.Addresses = append(j.plan.Wants.Addresses, j.m.Asks)
		j.looking = true
		return
	}
	host := api.BareHost(j.h.Forward.Host)
	addr, isAddr := api.HostAddr(host)
	// A process on this machine at its address, and another machine, are
	// reached as they are; loopback never is.
	was, remembered := j.s.Engine.Former(host)
	reachable := !remembered && (isAddr && !addr.IsLoopback() || !isAddr && strings.Contains(host, ".") && !api.IsMachineName(host))
	if reachable && !j.v.OptedIn {
		return
	}
	f := api.Finding{
		Code:    api.BackendUnknown,
		Message: fmt.Sprintf("no container is or was called %s", host),
		Fix: fmt.Sprintf("start the container that is meant, or label it with %s.host: %q; for another machine's name, write `# no502: off` into the host's Advanced tab in NPM",
			j.p.Prefix, j.h.Domain()),
	}
	switch {
	case j.repaired():
		f.Message = fmt.Sprintf("the backend %s, to which no502 made NPM forward, has no container now", j.h.Ownership.Backend)
		f.Fix = "create it anew: docker compose up -d"
	case remembered:
		f.Message = fmt.Sprintf("NPM forwards to %s, which was the address or a name of %s, and that is gone", host, was)
		if string(was) == host {
			f.Message = fmt.Sprintf("NPM forwards to the container %s, which is gone", host)
		}
		f.Fix = "create it anew: docker compose up -d"
	case j.m.Machine:
		f.Message = fmt.Sprintf("no container publishes port %d of this machine", j.h.Forward.Port)
		f.Fix = "publish the port, or, if a process outside Docker or a container in host mode is meant, write `# no502: on` into the host's Advanced tab in NPM"
	case reachable:
		f.Message = fmt.Sprintf("%s is neither a container's, nor known to be this machine's", host)
		f.Fix = "if it is this machine's, add it to NO502_HOST_ADDRESSES; if it is another machine's, remove no502's mark from the Advanced tab in NPM"
	case !isAddr && !api.IsForwardHost(host):
		f.Code = api.InvalidForward
		f.Message = fmt.Sprintf("NPM forwards to %q, which is neither a host name nor an address", j.h.Forward.Host)
		f.Fix = "write the container's name, without a scheme, port or path"
	}
	j.fail(&j.v.Resolved, f)
}

// repaired: the host says what no502 wrote.
func (j *judgement) repaired() bool {
	o := j.h.OwnedBy(j.p.Instance)
	return o != nil && o.Wrote.Endpoint() == j.h.Forward && !o.Backend.OnMachine()
}

// backend judges a host whose backend is known.
func (j *judgement) backend() {
	if !j.v.OptedIn {
		j.report()
		return
	}
	if j.t.Nameless && j.byAddress() {
		j.set(&j.v.InSync, api.True, "", "left as it is until NPM resolves names")
		return
	}
	up, at := j.reached()
	if len(up) == 0 {
		if !j.act {
			j.checkForwardHost()
		}
		return
	}
	if j.blind(at) {
		j.plan.Wants.Attached, j.looking = true, true
		j.checkForwardHost()
		return
	}
	port, ok := j.port(up, at)
	if !ok {
		return
	}
	scheme := j.scheme(up, at, port)
	host := j.forwardHost(at)
	if host == "" {
		return
	}
	j.v.Endpoint = api.Endpoint{Scheme: scheme, Host: host, Port: port}
	for _, c := range at {
		if addr := j.address(c); addr.IsValid() {
			j.v.Addresses = append(j.v.Addresses, addr)
		}
	}
	j.health(up)
	j.settle(at)
}

// reached finds the replicas that run and that NPM can reach, and whose
// network each of them uses; what is not attached yet is attached first.
func (j *judgement) reached() (up, at []*api.Container) {
	waiting := false
	for _, c := range j.m.Containers {
		if f := j.reachOwner(c, j.act); f != nil {
			j.fail(&j.v.Ready, *f)
			waiting = true
			continue
		}
		if owner := resolve.NetOwner(j.s.Engine, c); !c.Up() {
			continue
		} else if f := down(owner); f != nil {
			f.Message += fmt.Sprintf(", and %s uses its network", c.Name)
			j.fail(&j.v.Ready, *f)
			waiting = true
		} else {
			up, at = append(up, c), append(at, owner)
		}
	}
	up, at = named(up, at)
	if len(up) == 0 {
		j.reportDown(j.m.Containers)
	} else if waiting {
		j.set(&j.v.Ready, api.Unknown, "", "")
	}
	return up, at
}

// checkForwardHost reports a bad forward host of a backend that is not reached anyway.
func (j *judgement) checkForwardHost() {
	at := resolve.NetOwner(j.s.Engine, j.m.Containers[0])
	if at == nil || at.NetworkMode == "host" {
		return
	}
	if f := resolve.CheckForwardHost(j.s, j.t, j.m, j.h.Forward.Host, []*api.Container{at}); f != nil {
		j.wrong(*f, "forward to "+at.Name)
	}
}

// itsName: there is no better name than a container's own.
func itsName(at []*api.Container, host string) bool {
	return slices.ContainsFunc(at, func(c *api.Container) bool { return c.Name == host })
}

// named drops the replicas in host mode, unless all are: those that NPM reaches
// by name cannot be mixed with some that it reaches at the machine's address.
func named(up, at []*api.Container) (namedUp, namedAt []*api.Container) {
	if !slices.ContainsFunc(at, func(owner *api.Container) bool { return owner.NetworkMode == "host" }) {
		return up, at
	}
	for i, owner := range at {
		if owner.NetworkMode != "host" {
			namedUp, namedAt = append(namedUp, up[i]), append(namedAt, owner)
		}
	}
	if len(namedUp) == 0 {
		return up, at
	}
	return namedUp, namedAt
}

// replicas are all of the backend's, of which the host may mean one.
func (j *judgement) replicas() []*api.Container {
	if !j.m.Known() {
		return nil
	}
	return j.s.Engine.Replicas(j.m.Backend)
}

// reportDown reports the replicas that do not run.
func (j *judgement) reportDown(replicas []*api.Container) {
	for _, c := range replicas {
		if f := down(c); f != nil {
			j.fail(&j.v.Ready, *f)
		}
	}
}

// forwardHost keeps the words in use where they are good, and finds better
// ones where they are not. Empty where nothing can be written.
func (j *judgement) forwardHost(at []*api.Container) string {
	if at[0].NetworkMode == "host" {
		return j.gatewayHost(fmt.Sprintf("%s uses the machine's own network", at[0].Name))
	}
	f := resolve.CheckForwardHost(j.s, j.t, j.m, j.h.Forward.Host, at)
	if f == nil {
		f = j.oneOfMany(at)
	}
	if f == nil {
		return j.h.Forward.Host
	}
	name := resolve.Name(j.s, j.t, j.m, at)
	switch {
	case !api.IsForwardHost(name):
		f.Fix = "give the container a name that is a host name"
		j.fail(&j.v.InSync, *f)
		return ""
	case name == j.h.Forward.Host, f.Code == api.ForwardHostShared && itsName(at, j.h.Forward.Host):
		f.Fix = renameOne
		j.fail(&j.v.InSync, *f)
		return j.h.Forward.Host
	case resolve.Shared(j.s, j.t, at, name):
		f.Message += fmt.Sprintf(", but other containers answer to %s as well", name)
		f.Fix = renameOne
		j.fail(&j.v.InSync, *f)
		return ""
	}
	j.wrong(*f, "forward to "+name)
	return name
}

// oneOfMany: a host that labels declare means all replicas of its service, where
// they have a name in common.
func (j *judgement) oneOfMany(at []*api.Container) *api.Finding {
	if j.claim == nil || len(at) < 2 {
		return nil
	}
	name := resolve.Name(j.s, j.t, j.m, at)
	if name == j.h.Forward.Host || itsName(at, name) ||
		!slices.ContainsFunc(at, func(c *api.Container) bool { return !j.t.Answers(c, j.h.Forward.Host) }) {
		return nil
	}
	return &api.Finding{
		Code:    api.ForwardHostReplica,
		Message: fmt.Sprintf("NPM forwards to %s, only one of the %d containers of %s", j.h.Forward.Host, len(at), j.m.Backend),
	}
}

// wrong adds a finding that a write repairs.
func (j *judgement) wrong(f api.Finding, fix string) {
	f.Fix = "no502 makes NPM " + fix
	if !j.act {
		f.Fix = "make NPM " + fix
	}
	j.fail(&j.v.InSync, f)
	j.because = append(j.because, f.Code)
}

// settle judges a host whose endpoint is known.
func (j *judgement) settle(at []*api.Container) {
	if j.v.Endpoint != j.h.Forward {
		return
	}
	if j.v.InSync.Status == api.Unknown {
		j.set(&j.v.InSync, api.True, "", "")
	}
	if cached, ok := j.s.Cached[j.h.ID]; ok && len(at) > 0 && !slices.Contains(j.v.Addresses, cached) && j.stays(at) {
		j.resave(api.Finding{
			Code:    api.AddressChanged,
			Message: fmt.Sprintf("%s has a new address, and nginx may remember %s for up to 10 s", at[0].Name, cached),
		}, j.act, "no502 saves the host again, which makes nginx look it up", "wait, or save the host in NPM")
	}
}
