// Package intent reads labels: what the owner of a container asks of no502.
package intent

import (
	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent/dialect"
)

// Intent is what a container's labels ask for.
type Intent struct {
	Enabled bool // opted in: attach it, and repair the hosts that mean it
	Denied  bool // `enable: "false"`, or not to be read: never touched
	// Egress allows attaching a container that has only internal networks to
	// one that leads outside.
	Egress bool
	Role   string
	// Routes are those that the labels say anything about: the unnamed one
	// first, then by name.
	Routes   []Route
	Findings []api.Finding
	// Unclear tells that a label could not be read or is not known: what is no
	// longer declared may only be misspelt, so that nothing is removed for it.
	Unclear bool
}

// Of reads a container's labels. A label that cannot be read is a finding and
// counts as not said, except that an unreadable `enable` denies, and an
// unreadable `access-list` is one that does not exist.
func Of(c *api.Container, p api.Policy) Intent {
	labels, found := gather(c, p)
	if len(labels)+len(found) == 0 {
		return Intent{Egress: egress(p)}
	}
	in := Intent{Egress: egress(p), Findings: found, Unclear: len(found) > 0}
	r := reader{p: p, in: &in}
	r.read(labels)
	r.finish()
	return in
}

// egress is the one default that counts for containers without any label.
func egress(p api.Policy) bool {
	on, err := boolean(p.Defaults["egress"])
	return err == nil && on
}

// Concerns reports whether a container's labels speak to no502 at all, or have
// to be read together with its environment to tell.
func Concerns(labels map[string]string, p api.Policy) bool {
	if len(p.Dialects) > 0 && (dialect.NeedsEnv(p.Dialects) || dialect.Concerns(p.Dialects, labels)) {
		return true
	}
	for key := range labels {
		if _, ok := under(p.Prefix, key); ok {
			return true
		}
	}
	return false
}

// Route is the one of a name; "" is the unnamed one.
func (in Intent) Route(name string) (Route, bool) {
	for _, r := range in.Routes {
		if r.Name == name {
			return r, true
		}
	}
	return Route{}, false
}
