package dialect

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/no502/no502/api"
)

// reading is one container's labels as one dialect reads them.
type reading struct {
	labels, env map[string]string
	seen        map[string]bool // the labels that were read
	off         bool            // they say: leave this container alone
	enable      bool            // they say: serve it, but not as what
	quiet       bool            // the other tool reads no further: not a word about the rest
	routes      []*route
	withheld    map[string]bool // domains that are not to be published
	findings    []api.Finding
}

// route is one proxy host, stream or redirection of the other tool.
type route struct {
	name   string // at first what the other tool calls it
	labels map[string]string
	left   bool // out
}

func newRoute(name string) *route { return &route{name: name, labels: map[string]string{}} }

func (rt *route) set(field, value string) {
	if value != "" {
		rt.labels[field] = value
	}
}

func (rt *route) domains() []string {
	return split(rt.labels["host"] + "," + rt.labels["redirect-from"])
}

// subject is what people know a route by.
func (rt *route) subject() string {
	for _, field := range []string{"host", "redirect-from", "stream"} {
		if v := rt.labels[field]; v != "" {
			return v
		}
	}
	return rt.name
}

// label reads a label.
func (r *reading) label(key string) string {
	value, ok := r.labels[key]
	if ok {
		r.seen[key] = true
	}
	return strings.TrimSpace(value)
}

func (r *reading) find(fix, message string, args ...any) {
	f := api.Finding{Code: api.NotTranslated, Message: fmt.Sprintf(message, args...), Fix: fix}
	if !slices.ContainsFunc(r.findings, func(g api.Finding) bool { return g.Message == f.Message && g.Fix == f.Fix }) {
		r.findings = append(r.findings, f)
	}
}

func (r *reading) unreadable(key, value, allowed string) {
	r.find("use "+allowed, "%s has the value %s, which cannot be read", quote(key), quote(value))
}

// withhold keeps domains from being published, by any route of this dialect.
func (r *reading) withhold(domains ...string) {
	for _, d := range domains {
		r.withheld[d] = true
	}
}

// domains reads domain names of a label or variable; those that NPM cannot
// serve are findings.
func (r *reading) domains(key string, names []string) []string {
	var list []string
	for _, name := range names {
		d, ok := domain(name)
		if !ok {
			r.find("use a plain domain name, or one that begins with \"*.\"",
				"%s asks for %s, which is no domain name that no502 can give to NPM", quote(key), quote(name))
		} else if !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	return list
}

// published are the routes that say something and are not withheld, by their
// final names.
func (r *reading) published() []*route {
	var list []*route
	for _, rt := range r.routes {
		if rt.left {
			r.withhold(rt.domains()...)
		}
	}
	for _, rt := range r.routes {
		for _, field := range []string{"host", "redirect-from"} {
			left := slices.DeleteFunc(split(rt.labels[field]), func(d string) bool { return r.withheld[d] })
			delete(rt.labels, field)
			rt.set(field, strings.Join(left, ","))
		}
		if !rt.left && rt.labels["host"]+rt.labels["redirect-from"]+rt.labels["stream"] != "" {
			list = append(list, rt)
		}
	}
	nameRoutes(list)
	return list
}

// fieldNames may not be the names of routes.
var fieldNames = strings.Fields(`enable host port scheme upstream certificate letsencrypt force-ssl http2 hsts
	hsts-subdomains websockets block-exploits cache trust-forwarded-proto access-list location advanced-config
	redirect-from redirect-to redirect-code redirect-keep-path stream parked on-stop on-remove grace egress role`)

// nameRoutes gives routes names that no502 can read, each another; a single
// one needs none.
func nameRoutes(routes []*route) {
	if len(routes) == 1 {
		routes[0].name = ""
		return
	}
	taken := map[string]bool{}
	for _, rt := range routes {
		base := routeName(rt.name)
		name := base
		for i := 2; taken[name]; i++ {
			name = base + "-" + strconv.Itoa(i)
		}
		taken[name], rt.name = true, name
	}
}

func routeName(theirs string) string {
	parts := strings.FieldsFunc(strings.ToLower(theirs), func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9')
	})
	name := strings.Join(parts, "-")
	if len(name) > 40 {
		name = strings.TrimRight(name[:40], "-")
	}
	if name == "" || slices.Contains(fieldNames, name) {
		name = strings.Trim(name+"-route", "-")
	}
	return name
}

// field is a label of another tool that no502 has a word for.
type field struct {
	from, to string
	read     reader
}

// take reads fields into a route. It is left out where who may come in, or
// where it leads, cannot be read.
func (r *reading) take(rt *route, fields []field, lookup func(name string) (key, value string)) {
	for _, f := range fields {
		key, value := lookup(f.from)
		if value == "" {
			continue
		}
		v, ok := f.read.read(r, value)
		switch {
		case ok:
			rt.set(f.to, v)
			continue
		case f.to == "upstream":
			r.find("take it and its port away if this container is meant, which no502 finds by itself; else set the host up in NPM",
				"%s asks to forward to %s, which names no service or container; it is left out", quote(key), quote(value))
		default:
			r.unreadable(key, value, f.read.allowed)
		}
		rt.left = rt.left || f.to == "upstream" || f.to == "access-list"
	}
}

// under is a lookup of labels below a prefix.
func (r *reading) under(prefix string) func(string) (string, string) {
	return func(name string) (string, string) { return prefix + name, r.label(prefix + name) }
}

// keys are the labels' names, in order.
func (r *reading) keys() []string { return slices.Sorted(maps.Keys(r.labels)) }
