package intent

import (
	"cmp"
	"slices"
	"strings"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent/dialect"
)

// label is one label under the prefix.
type label struct {
	name, value string // the name without the prefix
	foreign     bool   // what a dialect makes of another tool's label
}

// gather are a container's labels in order of their names. Its own count before
// what it has for other tools; and whoever has moved to no502 has perhaps
// switched the other tool off, which does not mean no502.
func gather(c *api.Container, p api.Policy) (list []label, found []api.Finding) {
	for key, value := range c.Labels {
		if name, ok := under(p.Prefix, key); ok {
			list = append(list, label{name, value, false})
		}
	}
	if len(c.Env) > 0 || dialect.Concerns(p.Dialects, c.Labels) {
		own := len(list) > 0
		var others map[string]string
		others, found = dialect.Translate(p.Dialects, c.Labels, c.Env)
		for name, value := range others {
			if _, said := c.Labels[p.Prefix+"."+name]; !said && (!own || name != "enable" || value != "false") {
				list = append(list, label{name, value, true})
			}
		}
	}
	slices.SortFunc(list, func(a, b label) int { return cmp.Compare(a.name, b.name) })
	return list, found
}

// under is a label's name without the prefix.
func under(prefix, key string) (string, bool) {
	if len(key) <= len(prefix)+1 || key[len(prefix)] != '.' || !strings.HasPrefix(key, prefix) {
		return "", false
	}
	return key[len(prefix)+1:], true
}

// reader makes an Intent of labels.
type reader struct {
	p      api.Policy
	in     *Intent
	routes []*draft
	left   int // findings that there was no room for
}

// draft is a route in the making.
type draft struct {
	Route
	redirect Redirect
	said     uint64 // fields that labels say, by their place in the table
	spoilt   bool   // part of what it says is not to be had: a finding says why
}

// read reads the labels, which are in order: those of a named route, and of a
// location, stand together.
func (r *reader) read(labels []label) {
	enable := false
	for _, l := range labels {
		enable = enable || l.name == "enable"
		at, known := locate(l.name)
		if !known {
			d := r.route(at.route)
			d.spoilt = true
			d.Withheld = r.unknown(l) || d.Withheld
			continue
		}
		t := target{in: r.in}
		if fields[at.field].kinds != 0 {
			t.route = r.route(at.route)
		}
		if at.location != "" {
			t.loc = t.route.location(at.location)
		}
		r.set(t, at.field, l)
	}
	if !enable {
		r.in.Enabled = slices.ContainsFunc(r.routes, func(d *draft) bool {
			return len(d.Domains)+len(d.redirect.From)+len(d.Parked) > 0 || d.Stream != nil
		})
	}
}

// set reads a label's value.
func (r *reader) set(t target, i int, l label) {
	f := &fields[i]
	err := f.read(t, f.trim(l.value))
	if err != nil {
		r.invalid(l, f, err)
	} else if f.claim == api.FieldAdvanced {
		t.route.Snippet = r.said(l)
	}
	if t.route != nil {
		t.route.spoilt = t.route.spoilt || err != nil
		t.route.Withheld = t.route.Withheld || err != nil && f.withholds
		if err == nil || f.shuts {
			t.route.said |= 1 << i
		}
	}
}

// route is the draft of a route's name, made at its first label. The unnamed
// one comes first, and its labels stand between the others'.
func (r *reader) route(name string) *draft {
	n := len(r.routes)
	switch {
	case n > 0 && r.routes[n-1].Name == name:
		return r.routes[n-1]
	case n > 0 && name == "" && r.routes[0].Name == "":
		return r.routes[0]
	}
	d := &draft{
		Route:    Route{Name: name, OnStop: Keep, OnRemove: Disable, Grace: DefaultGrace},
		redirect: Redirect{Scheme: "auto", Code: 301, KeepPath: true},
	}
	if name == "" {
		r.routes = slices.Insert(r.routes, 0, d)
	} else {
		r.routes = append(r.routes, d)
	}
	return d
}

// location is the one of a name, made at its first label.
func (d *draft) location(name string) *Location {
	if n := len(d.Locations); n == 0 || d.Locations[n-1].Name != name {
		d.Locations = append(d.Locations, Location{Name: name})
	}
	return &d.Locations[len(d.Locations)-1]
}

// place is what a label's name says.
type place struct {
	field           int // its place in the table
	route, location string
}

// locate reads a label's name. The route is told even where the field in it is
// not known.
func locate(name string) (place, bool) {
	if i, location, ok := lookup(name); ok {
		return place{i, "", location}, true
	}
	route, rest, ok := strings.Cut(name, ".")
	if !ok || !isName(route) || reserved[route] {
		return place{}, false
	}
	i, location, ok := lookup(rest)
	return place{i, route, location}, ok && fields[i].kinds != 0
}

// lookup finds the field of a route.
func lookup(name string) (i int, location string, ok bool) {
	if rest, ok := strings.CutPrefix(name, "location."); ok {
		n, sub, _ := strings.Cut(rest, ".")
		i, ok = byName["location.<n>."+sub]
		return i, n, ok && isName(n)
	}
	i, ok = byName[name]
	return i, "", ok
}

// fields are the table's, in its order.
var fields = func() (all []field) {
	for _, s := range subjects {
		all = append(all, s.fields...)
	}
	return all
}()

// byName are the fields' places in the table.
var byName = func() map[string]int {
	m := make(map[string]int, len(fields))
	for i, f := range fields {
		m[f.name] = i
	}
	return m
}()

// reserved are the words with which fields begin: no route is called so.
var reserved = func() map[string]bool {
	m := make(map[string]bool, len(fields))
	for _, f := range fields {
		word, _, _ := strings.Cut(f.name, ".")
		m[word] = true
	}
	return m
}()
