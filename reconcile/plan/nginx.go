package plan

import (
	"strings"
	"time"

	"github.com/no502/no502/api"
)

// resave saves a host again as it is, which makes nginx load again.
func (j *judgement) resave(f api.Finding, act bool, ours, theirs string) {
	f.Fix = theirs
	if act {
		f.Fix = ours
		j.builder.act(api.Action{
			Op: api.OpResave, Host: j.v.Key, Domain: j.v.Name, Because: []api.Code{f.Code},
			From: j.h.Forward.Fields(), To: j.h.Forward.Fields(),
		})
	}
	j.v.Findings = append(j.v.Findings, f)
}

// nginx reports a configuration that nginx refuses. Where it was refused for a
// name that resolves by now, or for no reason, since NPM was stopped while nginx
// tested it (measured on 2.15.1), saving the host again is the cure.
func (j *judgement) nginx() {
	if j.h.Online == nil {
		j.unconfigured()
		return
	}
	if *j.h.Online {
		return
	}
	f := api.Finding{
		Code:    api.NginxRejected,
		Message: "nginx refuses this host's configuration: " + firstLine(j.h.NginxErr),
		Fix:     "correct what nginx names, in NPM's UI",
	}
	name, unresolved := unresolvedUpstream(j.h.NginxErr)
	switch {
	case j.v.InSync.Status != api.True:
	case unresolved && j.answered(name):
		j.resave(f, j.act, "the name resolves now: no502 saves the host again", "the name resolves now: save the host again in NPM")
		return
	case strings.TrimSpace(j.h.NginxErr) == "":
		j.resave(f, j.act, "no502 saves the host again", "save the host again in NPM")
		return
	}
	j.v.Findings = append(j.v.Findings, f)
}

const (
	// unconfiguredGrace is longer than NPM takes from a host's row to nginx's
	// verdict on it.
	unconfiguredGrace = 5 * time.Second
	idleUnconfigured  = "unconfigured"
)

// unconfigured saves a host of ours again on which NPM has no verdict of nginx's:
// it ended, or failed, before (measured on 2.15.1), and nginx may have nothing of
// the host. Of a 404 host NPM would not apply it.
func (j *judgement) unconfigured() {
	ours := j.act && j.h.OwnedBy(j.p.Instance) != nil && (j.claim != nil || j.v.Resolved.Status == api.True)
	if !ours || !j.h.Enabled || j.v.Key.Kind == api.KindDeadHost || j.h.NginxErr != "" || j.v.Idle.Why != "" || len(j.because) > 0 {
		return
	}
	j.v.Idle = api.Idle{Why: idleUnconfigured}
	at, over := j.over(j.v.Idle, unconfiguredGrace)
	if !over {
		j.due(at)
		return
	}
	j.resave(api.Finding{
		Code:    api.NotServed,
		Message: "NPM has " + j.v.Name + ", but no verdict of nginx's on it: it ended, or failed, while it saved it",
	}, true, "no502 saves the host again", "")
}

func (b *builder) answered(name string) bool {
	for _, c := range b.s.Engine.Named(name) {
		if c.Up() && b.t.Answers(c, name) {
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
