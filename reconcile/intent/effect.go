package intent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/no502/no502/api"
)

func (d *draft) says(field int) bool { return d.said>>field&1 == 1 }

// effects finds labels that come to nothing, since the route declares no host
// that they are for. Where something was misspelt or is another's, that is
// already said, and may be why.
func (r *reader) effects(d *draft, declared kinds) {
	if declared == 0 && d.Name != "" && d.said != 0 && !d.spoilt {
		r.find(api.InvalidLabel, fmt.Sprintf("the labels %s.* declare nothing, so that they have no effect", r.key("", d.Name)),
			fmt.Sprintf("add %s, or take them away", r.declaring(d.Name, every)))
		d.spoilt = true
	}
	for i := range fields {
		f := &fields[i]
		if !d.says(i) || f.works(declared, d.Name) {
			continue
		}
		delete(d.Claims, f.claim)
		if d.spoilt {
			continue
		}
		name := f.name
		if len(d.Locations) > 0 {
			name = strings.Replace(name, "<n>", d.Locations[0].Name, 1)
		}
		r.find(api.InvalidLabel, fmt.Sprintf("the label %s has no effect without %s", r.key(d.Name, name), r.declaring(d.Name, f.kinds)),
			"add it, or take the label away")
	}
	if len(d.Claims) == 0 {
		d.Claims = nil
	}
}

// declaring are the labels that declare hosts of these kinds.
func (r *reader) declaring(route string, kinds kinds) string {
	var keys []string
	for i := range fields {
		if fields[i].declares&kinds != 0 {
			keys = append(keys, r.key(route, fields[i].name))
		}
	}
	last := len(keys) - 1
	if last == 0 {
		return keys[0]
	}
	return strings.Join(keys[:last], ", ") + " or " + keys[last]
}

// defaults adds what the operator says for every route that does not say
// otherwise.
func (r *reader) defaults(d *draft, declared kinds) {
	if len(r.p.Defaults) == 0 {
		return
	}
	for i := range fields {
		f := &fields[i]
		if v, ok := r.p.Defaults[f.name]; ok && !f.alone && !d.says(i) && f.works(declared, d.Name) {
			_ = f.read(target{in: r.in, route: d}, f.trim(v)) // CheckDefaults refuses what cannot be read
		}
	}
}

// certificate clears what a stream has no use for: it has no domains by which
// a certificate could be found or asked for.
func (r *reader) certificate(d *draft, declared kinds) {
	if declared != streams {
		return
	}
	switch said := d.says(byName["certificate"]); {
	case !said:
		d.Certificate = "" // a default is meant for web hosts
	case d.Certificate == CertificateAuto, d.Certificate == CertificateLetsEncrypt:
		r.find(api.InvalidLabel, fmt.Sprintf("the label %s is %q, but a stream has no domains", r.key(d.Name, "certificate"), d.Certificate),
			"give the name or the id of a certificate")
		d.Certificate = ""
	}
}

// locations keeps those that have a path of their own, in order of their names.
func (r *reader) locations(d *draft) {
	if len(d.Domains) == 0 {
		d.Locations = nil
		return
	}
	slices.SortFunc(d.Locations, func(a, b Location) int { return cmp.Compare(a.Name, b.Name) })
	paths := map[string]string{}
	d.Locations = slices.DeleteFunc(d.Locations, func(l Location) bool {
		key := r.key(d.Name, "location."+l.Name)
		other, repeated := paths[l.Path]
		switch {
		case l.Path == "" && d.spoilt: // perhaps it could not be read
		case l.Path == "":
			r.find(api.InvalidLabel, fmt.Sprintf("the custom location %s.* has no path", key), fmt.Sprintf("add %s.path", key))
		case repeated:
			r.find(api.InvalidLabel, fmt.Sprintf("the label %s.path has the value %s, as %s.path has", key, quote(l.Path), other), "say another path")
		default:
			paths[l.Path] = key
			return false
		}
		r.in.Unclear = true
		return true
	})
}

// begin is with what a new host begins where nothing is said.
func (d *draft) begin(declared kinds) {
	for i := range fields {
		f := &fields[i]
		if !f.begins || !f.works(declared, d.Name) {
			continue
		}
		if _, said := d.Claims[f.claim]; said {
			continue
		}
		if d.Initial == nil {
			d.Initial = api.Fields{}
		}
		d.Initial[f.claim] = true
	}
}
