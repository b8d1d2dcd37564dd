package intent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/no502/no502/api"
)

// finish makes routes of the drafts: what no label can tell by itself.
func (r *reader) finish() {
	slices.SortFunc(r.routes, func(a, b *draft) int { return cmp.Compare(a.Name, b.Name) }) // "a.x" comes after "a-b.x"
	homes := make([]string, len(r.routes))                                                  // where redirections lead by default
	for i, d := range r.routes {
		homes[i] = home(d.Domains)
	}
	r.unrepeat()
	for i, d := range r.routes {
		r.redirection(d, homes[i])
		declared := d.declared()
		r.effects(d, declared)
		r.defaults(d, declared)
		r.certificate(d, declared)
		r.locations(d)
		d.begin(declared)
		if d.said != 0 {
			r.in.Routes = append(r.in.Routes, d.Route)
		}
	}
	r.rest()
}

// home is the first domain that a visitor can be sent to: NPM redirects to none
// of one character.
func home(domains []string) string {
	for _, d := range domains {
		if !strings.HasPrefix(d, "*.") && len(d) > 1 {
			return d
		}
	}
	return ""
}

// declared are the kinds of hosts that a route declares.
func (d *draft) declared() (declared kinds) {
	if len(d.Domains) > 0 {
		declared |= proxy
	}
	if d.Redirect != nil {
		declared |= redirection
	}
	if d.Stream != nil {
		declared |= streams
	}
	if len(d.Parked) > 0 {
		declared |= dead
	}
	return declared
}

// unrepeat leaves each domain and each stream's port to the first that says it.
func (r *reader) unrepeat() {
	domains, ports := map[string]string{}, map[string]string{}
	for _, d := range r.routes {
		d.Domains = r.first(d, domains, "host", d.Domains)
		d.redirect.From = r.first(d, domains, "redirect-from", d.redirect.From)
		d.Parked = r.first(d, domains, "parked", d.Parked)
		if d.Stream != nil && r.portTaken(d, ports) {
			d.Stream, d.spoilt = nil, true
		}
	}
}

// portTaken finds out whether an earlier route has the stream's port.
func (r *reader) portTaken(d *draft, taken map[string]string) bool {
	key := r.key(d.Name, "stream")
	names := api.StreamNames(int(d.Stream.Port), d.Stream.TCP, d.Stream.UDP)
	for _, name := range names {
		if other, repeated := taken[name]; repeated {
			r.find(api.StreamConflict, fmt.Sprintf("the %s is said by %s, so that %s cannot have it", name, other, key),
				"say another port in one of them")
			return true
		}
	}
	for _, name := range names {
		taken[name] = key
	}
	return false
}

// first are the domains that nobody said before.
func (r *reader) first(d *draft, taken map[string]string, field string, domains []string) []string {
	key := r.key(d.Name, field)
	return slices.DeleteFunc(domains, func(domain string) bool {
		other, repeated := taken[domain]
		if !repeated {
			taken[domain] = key
			return false
		}
		d.spoilt = true
		r.find(api.DomainConflict, fmt.Sprintf("the domain %s is said by %s, so that %s cannot have it", domain, other, key),
			"keep it in one of them")
		return true
	})
}

// redirection completes a redirection host.
func (r *reader) redirection(d *draft, home string) {
	from := r.key(d.Name, "redirect-from")
	switch to := cmp.Or(d.redirect.To, home); {
	case len(d.redirect.From) == 0:
		return
	case d.redirect.Scheme == "": // redirect-to cannot be read, but was meant to lead elsewhere
	case to == "":
		r.find(api.InvalidLabel, fmt.Sprintf("the label %s does not say where it leads", from),
			fmt.Sprintf("add %s or %s", r.key(d.Name, "redirect-to"), r.key(d.Name, "host")))
	case slices.Contains(d.redirect.From, to):
		r.find(api.InvalidLabel, fmt.Sprintf("the label %s leads from %s to itself", from, to),
			fmt.Sprintf("take it out of %s, or say another %s", from, r.key(d.Name, "redirect-to")))
	default:
		d.redirect.To = to
		d.Redirect = &d.redirect
		return
	}
	d.spoilt, r.in.Unclear = true, true
}
