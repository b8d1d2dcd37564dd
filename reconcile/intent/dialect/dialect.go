// Package dialect translates the labels that people already have from other
// tools into no502's own, so that who comes from another tool keeps them. The
// operator names the dialects, since two tools read `npm.proxy.host`
// differently; nothing is guessed.
//
// Two rules hold for every dialect:
//
//   - A label that is not there leaves it to no502's default, also where the
//     other tool's differs, unless visitors would notice: a certificate that
//     the other tool would not have used, or plain HTTP that it redirected. That
//     it forbids websockets, or deletes a proxy host at once when its container
//     stops, is not carried over unless a label asks for it.
//   - What may decide who is let in is translated or the route is left out: a
//     service that asked for a password is never published without.
package dialect

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/no502/no502/api"
)

// dialect is how one tool is configured.
type dialect struct {
	name string
	owns func(label string) bool // one of its labels
	env  []string                // the environment variables that it reads
	read func(*reading)
}

// dialects are in alphabetical order.
var dialects = []dialect{
	{"caddy", caddyLabel.MatchString, nil, readCaddy},
	{"nginx-proxy", under("com.github.nginx-proxy.nginx-proxy."), nginxProxyEnv, readNginxProxy},
	{"npm-docker-auto-proxy", under("npm.proxy."), nil, readAutoProxy},
	{"npm-docker-sync", under("npm.proxy.", "npm-proxy.", "npm.stream.", "npm-stream."), nil, readSync},
	{"plugnpin", under("plugNPiN."), nil, readPlugNPiN},
	{"traefik", traefikLabel, nil, readTraefik},
}

func under(prefixes ...string) func(string) bool {
	return func(label string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(label, p) })
	}
}

// enabled are the dialects of these names, each once, in their order.
func enabled(names []string) []dialect {
	var list []dialect
	for i, name := range names {
		at := slices.IndexFunc(dialects, func(d dialect) bool { return d.name == name })
		if at >= 0 && !slices.Contains(names[:i], name) {
			list = append(list, dialects[at])
		}
	}
	return list
}

// Names of the dialects, in alphabetical order.
func Names() []string {
	names := make([]string, len(dialects))
	for i, d := range dialects {
		names[i] = d.name
	}
	return names
}

// NeedsEnv reports whether any of these dialects reads a container's
// environment. Then Concerns does not tell all: labels alone cannot.
func NeedsEnv(dialects []string) bool {
	return slices.ContainsFunc(enabled(dialects), func(d dialect) bool { return len(d.env) > 0 })
}

// ReadsEnv reports whether a dialect reads this environment variable. Nothing
// else of a container's environment need be kept: it holds secrets.
func ReadsEnv(name string) bool {
	return slices.ContainsFunc(dialects, func(d dialect) bool { return slices.Contains(d.env, name) })
}

// Concerns reports whether labels speak one of the dialects at all.
func Concerns(dialects []string, labels map[string]string) bool {
	for _, d := range enabled(dialects) {
		for label := range labels {
			if d.owns(label) {
				return true
			}
		}
	}
	return false
}

// Translate gives the no502 labels, without their prefix, that say the same,
// and findings about what NPM or no502 cannot do. Where two dialects speak of
// the same route or domain, the one that is named first wins.
func Translate(dialects []string, labels, env map[string]string) (map[string]string, []api.Finding) {
	all := translation{routes: map[string]said{}, domains: map[string]string{}}
	seen := map[string]bool{}
	var loud []dialect
	var off, enable bool
	for _, d := range enabled(dialects) {
		r := &reading{labels: labels, env: env, seen: seen, withheld: map[string]bool{}}
		d.read(r)
		all.findings = append(all.findings, r.findings...)
		for _, rt := range r.published() {
			all.add(d.name, rt)
		}
		off, enable = off || r.off, enable || r.enable
		if !r.off && !r.quiet {
			loud = append(loud, d)
		}
	}
	all.unread(loud, labels, seen)
	all.bound()
	out := all.labels()
	if len(out) == 0 && (off || enable) {
		// Whoever moved from one tool to another switched the old one off.
		out["enable"] = fmt.Sprint(enable)
	}
	return out, all.findings
}

// translation collects what the dialects say.
type translation struct {
	routes   map[string]said   // by name
	domains  map[string]string // whose route they are
	findings []api.Finding
}

// said is a route, and who said it.
type said struct {
	dialect string
	labels  map[string]string
}

func (t *translation) add(dialect string, rt *route) {
	name := rt.name
	_, taken := t.routes[name]
	if !taken {
		for _, domain := range rt.domains() {
			if other, ok := t.domains[domain]; ok {
				name, taken = other, true
				break
			}
		}
	}
	if !taken {
		t.routes[name] = said{dialect, rt.labels}
		for _, domain := range rt.domains() {
			t.domains[domain] = name
		}
		return
	}
	first := t.routes[name]
	if differ := differences(first.labels, rt.labels); len(differ) > 0 {
		t.findings = append(t.findings, api.Finding{
			Code: api.NotTranslated,
			Message: fmt.Sprintf("the labels of %s and again those of %s say where %s goes, with another %s",
				first.dialect, dialect, quote(rt.subject()), strings.Join(differ, ", ")),
			Fix: "what " + first.dialect + " said first is taken; remove the labels of the tool that is gone",
		})
	}
}

func differences(a, b map[string]string) []string {
	var names []string
	for name := range a {
		if v, ok := b[name]; !ok || v != a[name] {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// unread names the labels that belong to a dialect and that none has read.
func (t *translation) unread(loud []dialect, labels map[string]string, seen map[string]bool) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if seen[key] {
			continue
		}
		if i := slices.IndexFunc(loud, func(d dialect) bool { return d.owns(key) }); i >= 0 {
			t.findings = append(t.findings, api.Finding{
				Code:    api.NotTranslated,
				Message: fmt.Sprintf("the label %s is none of %s's that no502 can translate", quote(key), loud[i].name),
				Fix:     "remove it, or say what is meant with no502's own labels",
			})
		}
	}
}

// maxFindings bounds what one container's labels, which may be hostile, can
// make no502 say.
const maxFindings = 40

func (t *translation) bound() {
	if more := len(t.findings) - maxFindings; more > 0 {
		t.findings = append(t.findings[:maxFindings:maxFindings], api.Finding{
			Code:    api.NotTranslated,
			Message: fmt.Sprintf("%d more things in other tools' labels cannot be translated", more),
			Fix:     "mend those that are listed first",
		})
	}
}

func (t *translation) labels() map[string]string {
	out := map[string]string{}
	for name, s := range t.routes {
		if name != "" {
			name += "."
		}
		for field, value := range s.labels {
			out[name+field] = value
		}
	}
	return out
}
