package plan

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
	"github.com/no502/no502/reconcile/resolve"
)

// judgement is one proxy host on its way to a verdict.
type judgement struct {
	*builder
	h   *api.ProxyHost
	m   resolve.Meaning
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
	j.m = resolve.Mean(j.s, j.p, j.t, j.h)
	j.optIn()
	switch {
	case j.m.NPMItself:
		j.set(&j.v.Resolved, api.True, "", "NPM's own page")
		j.set(&j.v.InSync, api.True, "", "")
		return
	case len(j.m.Candidates) > 0:
		j.ambiguous()
		return
	case !j.m.Known():
		j.unresolved()
		return
	}
	j.v.Backend = j.m.Backend
	j.set(&j.v.Resolved, api.True, "", string(j.m.Rule))
	j.in = intent.Of(j.m.Containers[0].Labels, j.p.Prefix)
	j.backend()
	j.nginx()
}

// optIn decides whether the host may be changed: its own mark comes first,
// then the labels of what it means, then the scope.
func (j *judgement) optIn() {
	enabled, denied := resolve.Enabled(j.m.Containers, j.p)
	mark := j.h.Mark()
	j.v.OptedIn = (enabled || mark == api.MarkOn) && !denied && mark != api.MarkOff
	j.act = j.v.OptedIn && mark != api.MarkObserve
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
	j.fail(&j.v.Resolved, api.Finding{
		Code: api.Ambiguous,
		Message: fmt.Sprintf("%s may mean any of %s", hostPort(j.h.Forward),
			strings.Join(j.m.Candidates, ", ")),
		Fix:        fmt.Sprintf("label the one that is meant with %s.host: %q", j.p.Prefix, j.h.Domain()),
		Candidates: j.m.Candidates,
	})
}

// unresolved: no container is meant. It may be another machine, which is none
// of no502's business, or a process on this one.
func (j *judgement) unresolved() {
	if j.m.Machine && j.v.OptedIn {
		j.machineProcess()
		return
	}
	if j.m.Asks.IsValid() {
		j.plan.Wants.Addresses = append(j.plan.Wants.Addresses, j.m.Asks)
		return
	}
	_, err := netip.ParseAddr(j.h.Forward.Host)
	outside := err == nil || strings.Contains(j.h.Forward.Host, ".")
	if outside && !j.m.Machine && !j.v.OptedIn {
		return
	}
	f := api.Finding{
		Code:    api.BackendUnknown,
		Message: fmt.Sprintf("no container is or was called %s", j.h.Forward.Host),
		Fix:     fmt.Sprintf("start the container that is meant, or label it with %s.host: %q", j.p.Prefix, j.h.Domain()),
	}
	if j.m.Machine {
		f.Message = fmt.Sprintf("no container publishes port %d of this machine", j.h.Forward.Port)
		f.Fix = "publish the port, or, if a process outside Docker is meant, write `# no502: on` into the host's Advanced tab in NPM"
	}
	j.fail(&j.v.Resolved, f)
}

// backend judges a host whose backend is known.
func (j *judgement) backend() {
	if !j.v.OptedIn {
		j.report()
		return
	}
	up, at := j.reached()
	if len(up) == 0 {
		return
	}
	port, ok := j.port(up, at)
	if !ok {
		return
	}
	scheme := j.scheme(up, at, port)
	j.v.Endpoint = api.Endpoint{Scheme: scheme, Host: j.forwardHost(at), Port: port}
	j.health(up)
	j.settle(at)
}

// report is for hosts of containers that are not opted in: what is visible
// without touching or probing anything.
func (j *judgement) report() {
	var wrong []string
	for _, c := range j.m.Containers {
		if f := j.reach(c, false); f != nil {
			wrong = append(wrong, f.Message)
			break
		}
	}
	at := j.netOwner(j.m.Containers[0])
	if at != nil && at.NetworkMode != "host" {
		if f := resolve.Words(j.s, j.t, j.m, j.h.Forward.Host, []*api.Container{at}); f != nil {
			wrong = append(wrong, f.Message)
		}
	}
	if len(wrong) == 0 {
		return
	}
	f := api.Finding{
		Code:    api.NotOptedIn,
		Message: strings.Join(wrong, "; "),
		Fix:     fmt.Sprintf("label the container with %s.enable: \"true\", and no502 repairs it", j.p.Prefix),
	}
	if _, denied := resolve.Enabled(j.m.Containers, j.p); denied || j.h.Mark() == api.MarkOff {
		f.Fix = "this one is opted out, so no502 leaves it alone"
	}
	j.fail(&j.v.InSync, f)
}

// reached finds the replicas that run and that NPM can reach, and whose
// network each of them uses; what is not attached yet is attached first.
func (j *judgement) reached() (up, at []*api.Container) {
	waiting := false
	for _, c := range j.m.Containers {
		owner := j.netOwner(c)
		if owner == nil {
			j.fail(&j.v.Ready, api.Finding{
				Code:    api.CannotAttach,
				Message: fmt.Sprintf("the container %s uses the network of a container that no longer exists", c.Name),
				Fix:     "recreate it: docker compose up -d --force-recreate",
			})
			continue
		}
		if f := j.reach(owner, j.act); f != nil {
			j.fail(&j.v.Ready, *f)
			waiting = true
			continue
		}
		if c.Up() {
			up, at = append(up, c), append(at, owner)
		}
	}
	if len(up) == 0 {
		for _, c := range j.m.Containers {
			if f := down(c); f != nil {
				j.fail(&j.v.Ready, *f)
			}
		}
	} else if waiting {
		j.set(&j.v.Ready, api.Unknown, "", "")
	}
	return up, at
}

// forwardHost keeps the words in use where they are good, and finds better
// ones where they are not.
func (j *judgement) forwardHost(at []*api.Container) string {
	if at[0].NetworkMode == "host" {
		return j.gatewayHost()
	}
	f := resolve.Words(j.s, j.t, j.m, j.h.Forward.Host, at)
	if f == nil {
		return j.h.Forward.Host
	}
	name := resolve.Name(j.s, j.t, j.m, at)
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
	j.set(&j.v.InSync, api.True, "", "")
	if cached, ok := j.s.Cached[j.h.ID]; ok && !holds(at, cached) {
		j.resave(api.Finding{
			Code:    api.AddressChanged,
			Message: fmt.Sprintf("%s has a new address, and nginx may remember %s for up to 10 s", at[0].Name, cached),
			Fix:     "no502 saves the host again, which makes nginx look it up",
		})
	}
}

func (j *judgement) resave(f api.Finding) {
	j.v.Findings = append(j.v.Findings, f)
	if j.act {
		j.builder.act(api.Action{
			Op: api.OpResave, Host: j.h.ID, Domain: j.h.Domain(), Because: []api.Code{f.Code},
			From: j.h.Forward, To: j.h.Forward, Backend: j.v.Backend,
		})
	}
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
		f.Fix = "the name resolves now: no502 saves the host again"
		j.resave(f)
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
	const limit = 300
	return line[:min(len(line), limit)]
}

func holds(cs []*api.Container, addr netip.Addr) bool {
	for _, c := range cs {
		for _, a := range c.Attachments {
			if a.IPv4 == addr || a.IPv6 == addr {
				return true
			}
		}
	}
	return false
}

func hostPort(e api.Endpoint) string { return fmt.Sprintf("%s:%d", e.Host, e.Port) }
