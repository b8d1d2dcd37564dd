package plan

import (
	"fmt"
	"strings"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
	"github.com/no502/no502/reconcile/resolve"
)

// locations sets the custom locations that labels declare. Those of other paths
// that somebody made in NPM stay, and those that gave way to labels come back.
func (j *judgement) locations(row, want api.Fields) {
	var wrote, was []api.Location
	if o := j.h.OwnedBy(j.p.Instance); o != nil {
		wrote, was = o.Wrote.Locations(), o.Was.Locations()
	}
	if len(j.claim.Route.Locations) == 0 && len(wrote) == 0 {
		return
	}
	for _, l := range j.claim.Route.Locations {
		have := find(row.Locations(), l.Path)
		if made, ok := j.location(l, have); ok {
			j.declared = append(j.declared, made)
		} else if have != nil && find(wrote, l.Path) != nil {
			j.declared = append(j.declared, *have) // until it is known where it leads
		}
	}
	list := []api.Location{}
	for _, l := range row.Locations() {
		switch mine, before := find(j.declared, l.Path), find(wrote, l.Path); {
		case mine != nil:
			list = append(list, *mine)
		case before == nil || *before != l: // somebody made it, or edited it since
			list = append(list, l)
		default:
			if old := find(was, l.Path); old != nil {
				list = append(list, *old)
			}
		}
	}
	for _, l := range j.declared {
		if find(list, l.Path) == nil {
			list = append(list, l)
		}
	}
	if len(list)+len(row.Locations()) > 0 {
		want[api.FieldLocations] = list
	}
}

func find(list []api.Location, path string) *api.Location {
	for i := range list {
		if list[i].Path == path {
			return &list[i]
		}
	}
	return nil
}

// location is a declared custom location as NPM keeps it. Its name is put into a
// variable, so that nginx looks it up when a request comes: a name in the
// forward host itself is looked up when nginx loads, and one that is not there
// keeps nginx from starting.
func (j *judgement) location(l intent.Location, have *api.Location) (made api.Location, ok bool) {
	found := resolve.Upstream(j.s.Engine, j.p, j.claim.Lead, l.Upstream)
	if len(found) == 0 {
		j.v.Findings = append(j.v.Findings, j.noUpstream(l.Upstream, "location."+l.Name+".upstream"))
		return made, false
	}
	j.v.Others = append(j.v.Others, found[0].Identity())
	variable := api.Variable + strings.ReplaceAll(l.Name, "-", "_")
	var now api.Endpoint
	if have != nil {
		now = api.Endpoint{Scheme: have.Scheme, Host: valueOf(variable, have.Advanced)}
	}
	to, ok := j.leads(found, api.Endpoint{Scheme: l.Scheme, Port: l.Port}, now, "location."+l.Name+".port")
	if !ok {
		return made, false
	}
	conf := fmt.Sprintf("set %s %q;", variable, to.Host)
	if l.StripPrefix { // "break" ends the setting of variables, too
		conf += fmt.Sprintf("\nrewrite ^%s(?:/(.*))?$ /$1 break;", quoteRegexp(strings.TrimSuffix(l.Path, "/")))
	}
	return api.Location{Path: l.Path, Scheme: to.Scheme, Host: variable, Port: int(to.Port), Advanced: conf}, true
}

// valueOf is the name that a location's own configuration puts into a variable.
func valueOf(variable, conf string) string {
	_, rest, _ := strings.Cut(conf, "set "+variable+" \"")
	name, _, _ := strings.Cut(rest, "\";")
	return name
}

// quoteRegexp: of what a path may consist of only the dot means something else.
func quoteRegexp(path string) string { return strings.ReplaceAll(path, ".", `\.`) }

func (j *judgement) noUpstream(name, field string) api.Finding {
	return api.Finding{
		Code:    api.UpstreamUnknown,
		Message: fmt.Sprintf("the labels of %s lead to %s, and there is no opted-in service of that name", j.claimant(), name),
		Fix:     fmt.Sprintf("correct the label %s, or label that service with %s.enable: \"true\"", j.label(field), j.p.Prefix),
	}
}

// label is the claiming route's label for a field.
func (j *judgement) label(field string) string {
	if j.claim != nil && j.claim.Route.Name != "" {
		field = j.claim.Route.Name + "." + field
	}
	return j.p.Prefix + "." + field
}

func (j *judgement) claimant() api.Identity {
	if j.claim == nil {
		return api.Identity(j.v.Name)
	}
	return j.claim.Lead.Identity()
}
