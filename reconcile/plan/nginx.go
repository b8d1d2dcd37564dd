package plan

import (
	"strings"

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
		j.resave(f, j.act, "the name resolves now: no502 saves the host again", "the name resolves now: save the host again in NPM")
		return
	}
	j.v.Findings = append(j.v.Findings, f)
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
