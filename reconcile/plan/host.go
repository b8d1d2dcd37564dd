package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
	"github.com/no502/no502/reconcile/resolve"
)

// judgement is one proxy host on its way to a verdict.
type judgement struct {
	*builder
	h   *api.ProxyHost
	m   resolve.Resolution
	in  intent.Intent
	v   api.Verdict
	act bool // may attach, probe and write
	// because are the findings that a write to the host repairs.
	because []api.Code
}

// host plans one proxy host.
func (b *builder) host(h *api.ProxyHost) {
	j := judgement{builder: b, h: h}
	j.v = api.Verdict{Key: api.HostKey(h.ID), Name: h.Domain(), Enabled: h.Enabled, Forward: h.Forward}
	j.v.Resolved.Status, j.v.Ready.Status, j.v.InSync.Status = api.Unknown, api.Unknown, api.Unknown
	if h.Enabled && b.t.NPM != nil {
		j.judge()
	}
	b.plan.Verdicts = append(b.plan.Verdicts, j.v)
}

func (j *judgement) judge() {
	mark := j.h.Mark()
	if mark == api.MarkOff {
		j.set(&j.v.Resolved, api.Unknown, "", "left alone: its Advanced tab says so")
		return
	}
	switch j.h.Forward.Scheme {
	case "", "http", "https":
	default: // forks of NPM know more, and what they mean by it is the user's
		j.set(&j.v.Resolved, api.Unknown, "", "left alone: its scheme is neither http nor https")
		return
	}
	j.m = resolve.Resolve(j.s, j.p, j.t, j.h)
	// The host's own mark comes first, then the labels of what it means, then
	// the scope; a denying label outweighs all.
	enabled, denied := resolve.Enabled(j.replicas(), j.p)
	j.v.OptedIn = (enabled || mark == api.MarkOn || mark == api.MarkObserve) && !denied
	j.act = j.v.OptedIn && mark != api.MarkObserve
	switch {
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
		j.in = intent.Of(j.m.Containers[0].Labels, j.p.Prefix)
		j.backend()
	}
	j.nginx()
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
	if j.m.Rule == resolve.ByLabel {
		f.Message = fmt.Sprintf("several services claim %s: %s", j.h.Domain(), all)
		f.Fix = fmt.Sprintf("remove the domain from the label %s.host of all but one", j.p.Prefix)
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
	o := j.h.Ownership
	return o != nil && o.Wrote == j.h.Forward && o.Instance == j.p.Instance && !o.Backend.OnMachine()
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
		j.plan.Wants.Attached = true
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
		j.down()
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

// down reports the replicas that do not run.
func (j *judgement) down() {
	for _, c := range j.m.Containers {
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

// wrong adds a finding that a write repairs.
func (j *judgement) wrong(f api.Finding, fix string) {
	f.Fix = "no502 makes NPM " + fix
	if !j.act {
		f.Fix = "make NPM " + fix
	}
	j.fail(&j.v.InSync, f)
	j.because = append(j.because, f.Code)
}

// settle turns the difference between what NPM has and what it should have
// into one write.
func (j *judgement) settle(at []*api.Container) {
	if j.v.Endpoint != j.h.Forward {
		if j.act {
			j.builder.act(api.Action{
				Op: api.OpPatch, Host: j.h.ID, Domain: j.h.Domain(), Because: j.because,
				From: j.h.Forward, To: j.v.Endpoint, Backend: j.v.Backend,
			})
		}
		return
	}
	if j.v.InSync.Status == api.Unknown {
		j.set(&j.v.InSync, api.True, "", "")
	}
	if cached, ok := j.s.Cached[j.h.ID]; ok && len(at) > 0 && !slices.Contains(j.v.Addresses, cached) {
		j.resave(api.Finding{
			Code:    api.AddressChanged,
			Message: fmt.Sprintf("%s has a new address, and nginx may remember %s for up to 10 s", at[0].Name, cached),
		}, "no502 saves the host again, which makes nginx look it up", "wait, or save the host in NPM")
	}
}

func (j *judgement) resave(f api.Finding, ours, theirs string) {
	f.Fix = theirs
	if j.act {
		f.Fix = ours
		j.builder.act(api.Action{
			Op: api.OpResave, Host: j.h.ID, Domain: j.h.Domain(), Because: []api.Code{f.Code},
			From: j.h.Forward, To: j.h.Forward, Backend: j.v.Backend,
		})
	}
	j.v.Findings = append(j.v.Findings, f)
}

// nginx reports a configuration that nginx refuses. Where it was refused for a
// name that resolves by now, saving the host again is the cure.
func (j *judgement) nginx() {
	if j.h.Online == nil || *j.h.Online {
		return
	}
	f := api.Finding{
		Code:    api.NginxRejected,
		Message: "nginx refuses this host's configuration: " + firstLine(j.h.NginxErr),
		Fix:     "correct what nginx names, in NPM's UI",
	}
	if name, ok := unresolvedUpstream(j.h.NginxErr); ok && j.v.InSync.Status == api.True && j.answered(name) {
		j.resave(f, "the name resolves now: no502 saves the host again", "the name resolves now: save the host again in NPM")
		return
	}
	j.v.Findings = append(j.v.Findings, f)
}

func (j *judgement) answered(name string) bool {
	for _, c := range j.s.Engine.Named(name) {
		if c.Up() && j.t.Answers(c, name) {
			return true
		}
	}
	return false
}

func unresolvedUpstream(nginxErr string) (string, bool) {
	_, rest, ok := strings.Cut(nginxErr, `host not found in upstream "`)
	if !ok {
		return "", false
	}
	name, _, ok := strings.Cut(rest, `"`)
	return name, ok
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if _, after, ok := strings.Cut(line, "[emerg] "); ok {
		line = after
	}
	if line == "" {
		return "it gave no reason"
	}
	const limit = 300
	return strings.ToValidUTF8(line[:min(len(line), limit)], "")
}

func hostPort(e api.Endpoint) string { return fmt.Sprintf("%s:%d", e.Host, e.Port) }
