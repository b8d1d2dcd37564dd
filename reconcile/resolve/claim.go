package resolve

import (
	"cmp"
	"slices"
	"strings"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
)

// Claim is one host that a service's labels declare: of one kind, by one route.
type Claim struct {
	Lead   *api.Container // whose labels speak for the service
	Intent intent.Intent
	Kind   api.Kind
	Route  intent.Route
}

// Owner is the claim as NPM's meta remembers it.
func (c Claim) Owner() api.Owner {
	return api.Owner{Kind: c.Kind, Service: c.Lead.Identity(), Route: c.Route.Name}
}

// Names are what at most one host may serve: the claimed domains, or the ports
// of a stream.
func (c Claim) Names() []string { return names(c.Route, c.Kind) }

func names(r intent.Route, kind api.Kind) []string {
	switch kind {
	case api.KindHost:
		return r.Domains
	case api.KindRedirection:
		if r.Redirect != nil {
			return r.Redirect.From
		}
	case api.KindDeadHost:
		return r.Parked
	case api.KindStream:
		if r.Stream != nil {
			return api.StreamNames(int(r.Stream.Port), r.Stream.TCP, r.Stream.UDP)
		}
	}
	return nil
}

// Claimed is all that an intent claims, of every kind.
func Claimed(in intent.Intent) []string {
	var all []string
	for _, r := range in.Routes {
		for _, kind := range api.HostKinds() {
			all = append(all, names(r, kind)...)
		}
	}
	return all
}

// Uses are the names of other services to which an intent's routes lead.
func Uses(in intent.Intent) []string {
	var all []string
	for _, r := range in.Routes {
		all = append(all, r.Upstream)
		for _, l := range r.Locations {
			all = append(all, l.Upstream)
		}
	}
	return slices.DeleteFunc(all, func(name string) bool { return name == "" })
}

// Lead is the container whose labels speak for a service: the one that was made
// last, since a recreate changes labels. Nil where there is none.
func Lead(e *api.Engine, service api.Identity) *api.Container {
	var lead *api.Container
	for _, c := range e.Replicas(service) {
		if !c.OneOff() && (lead == nil || cmp.Or(c.CreatedAt.Compare(lead.CreatedAt), strings.Compare(c.ID, lead.ID)) > 0) {
			lead = c
		}
	}
	return lead
}

// Claims are all hosts that the labels of a service's leading container
// declare: none where it is not opted in.
func Claims(lead *api.Container, p api.Policy) []Claim {
	in := intent.Of(lead, p)
	if in.Denied || lead.OneOff() {
		return nil
	}
	var all []Claim
	for _, r := range in.Routes {
		r = permitted(p, r)
		for _, kind := range api.HostKinds() {
			if len(names(r, kind)) > 0 {
				all = append(all, Claim{lead, in, kind, r})
			}
		}
	}
	return all
}

// ClaimOf is the claim of an owner, if its labels still make it.
func ClaimOf(s *api.Snapshot, p api.Policy, o api.Owner) (Claim, bool) {
	lead := Lead(s.Engine, o.Service)
	if lead == nil {
		return Claim{}, false
	}
	for _, c := range Claims(lead, p) {
		if c.Kind == o.Kind && c.Route.Name == o.Route {
			return c, true
		}
	}
	return Claim{}, false
}

// Claimant is the service that has a name (a domain, or a stream's port) among
// those whose labels claim it: the one whose host serves it already; else the
// one whose claim is the oldest.
func Claimant(s *api.Snapshot, p api.Policy, name string) (Claim, bool) {
	var found []Claim
	for _, backend := range group(s.Engine.Claiming(name)) {
		lead := Lead(s.Engine, backend[0].Identity())
		for _, c := range Claims(lead, p) {
			if slices.Contains(c.Names(), name) && Permitted(p, lead, name) {
				found = append(found, c)
				break // of two routes of one service the first has it
			}
		}
	}
	if len(found) < 2 {
		return first(found)
	}
	if s.NPM != nil {
		if h := s.NPM.Serving(name); h != nil && h.OwnedBy(p.Instance) != nil {
			for _, c := range found {
				if c.Lead.Identity() == h.Owner().Service {
					return c, true
				}
			}
		}
	}
	slices.SortFunc(found, func(a, b Claim) int {
		return cmp.Or(oldest(s.Engine, a).CreatedAt.Compare(oldest(s.Engine, b).CreatedAt),
			cmp.Compare(a.Lead.Identity(), b.Lead.Identity()))
	})
	return first(found)
}

func first(found []Claim) (Claim, bool) {
	if len(found) == 0 {
		return Claim{}, false
	}
	return found[0], true
}

func oldest(e *api.Engine, c Claim) *api.Container {
	return slices.MinFunc(e.Replicas(c.Lead.Identity()), func(a, b *api.Container) int { return a.CreatedAt.Compare(b.CreatedAt) })
}

// Permitted reports whether the operator lets a container's labels claim a
// name. A project with patterns of its own has no others. Ports of streams are
// bounded by what NPM's container publishes.
func Permitted(p api.Policy, c *api.Container, name string) bool {
	if len(p.AllowedDomains) == 0 || api.IsStreamName(name) {
		return true
	}
	project := c.Project()
	own := slices.ContainsFunc(p.AllowedDomains, func(d api.DomainPattern) bool { return d.Project == project && project != "" })
	return slices.ContainsFunc(p.AllowedDomains, func(d api.DomainPattern) bool {
		if own != (d.Project != "") || own && d.Project != project {
			return false
		}
		below, wild := strings.CutPrefix(d.Pattern, "*")
		return d.Pattern == "*" || name == d.Pattern || wild && strings.HasSuffix(name, below)
	})
}

// SnippetRefused reports whether a route's labels say raw nginx configuration,
// and the operator does not let them.
func SnippetRefused(p api.Policy, r intent.Route) bool { return r.Snippet != "" && !p.Snippets }

// permitted is a route without what its labels may not say. That may be what
// keeps visitors out; what the operator says for all routes is in its place.
func permitted(p api.Policy, r intent.Route) intent.Route {
	if SnippetRefused(p, r) {
		r.Claims, r.Withheld = r.Claims.With(nil), true
		delete(r.Claims, api.FieldAdvanced)
		if own, said := p.Defaults[intent.SnippetLabel]; said {
			r.Claims[api.FieldAdvanced] = own
		}
	}
	return r
}

// RowOf is the host in NPM that a claim is about: the one that it owns; else the
// first that serves one of its names and may become its own. Nil: there is none.
func RowOf(s *api.Snapshot, p api.Policy, c Claim) *api.Host {
	owner := c.Owner()
	for _, h := range s.NPM.DeclaredBy(owner.Service) {
		if h.Owner() == owner && h.OwnedBy(p.Instance) != nil {
			return h
		}
	}
	for _, name := range c.Names() {
		h := s.NPM.Serving(name)
		if h == nil || h.Key().Kind != c.Kind || Keeps(s, p, h) != "" {
			continue
		}
		if has, ok := Claimant(s, p, name); ok && has.Owner() == owner {
			return h
		}
	}
	return nil
}

// Keeps says why a host cannot become a claim's own, for a sentence; empty: it
// can. Its owner may be gone, or have let go of it.
func Keeps(s *api.Snapshot, p api.Policy, h *api.Host) string {
	if by := h.Manager(p.Instance); by != "" {
		return "which " + by + " keeps"
	}
	if h.Mark() == api.MarkOff {
		return "whose Advanced tab says to leave it alone"
	}
	if o := h.Owner(); o.Service != "" {
		if _, still := ClaimOf(s, p, o); still {
			return "which the labels of " + string(o.Service) + " declare"
		}
		if Doubtful(s, p, h) {
			return "which labels of " + string(o.Service) + " declared that cannot be read now"
		}
	}
	if !p.TakeOver && (h.Ownership == nil || h.Ownership.Origin != api.OriginDeclared) {
		return "which somebody made by hand, and NO502_TAKE_OVER is never"
	}
	return ""
}

// Doubtful tells that the labels of the service that declared a host may only be
// misspelt, or not be read any more; or that they say to leave all alone. Then
// nobody else gets the host, and it does not go.
func Doubtful(s *api.Snapshot, p api.Policy, h *api.Host) bool {
	return len(Unread(p, h)) > 0 || slices.ContainsFunc(s.Engine.Replicas(h.Owner().Service), func(c *api.Container) bool {
		in := intent.Of(c, p)
		return in.Unclear || in.Denied || !c.Inspected
	})
}

// Readers are the label prefix and the dialects by which labels are read.
func Readers(p api.Policy) []string { return append([]string{p.Prefix}, p.Dialects...) }

// Unread are the readers of the labels that declared a host that are no longer
// in use. What is not read any more is not gone.
func Unread(p api.Policy, h *api.Host) []string {
	now := Readers(p)
	return slices.DeleteFunc(slices.Clone(h.Ownership.Readers), func(r string) bool { return slices.Contains(now, r) })
}

// DeclaredBy is the claim that a host is about; nil where no labels declare it.
func DeclaredBy(s *api.Snapshot, p api.Policy, h *api.Host) *Claim {
	if h.Manager(p.Instance) != "" {
		return nil
	}
	if o := h.Owner(); o.Service != "" {
		if c, ok := ClaimOf(s, p, o); ok && RowOf(s, p, c) == h {
			return pointer(c)
		}
	}
	for _, name := range h.Serves() {
		c, ok := Claimant(s, p, name)
		if ok && c.Kind == h.Key().Kind && RowOf(s, p, c) == h {
			return pointer(c)
		}
	}
	return nil
}

// pointer saves hosts that nobody claims, which may be most, the room for a claim.
func pointer(c Claim) *Claim { return &c }

// Upstream are the containers that another service's name means to a claim: a
// service of the same Compose project, "project/service", or a container's
// name. None unless they are opted in.
func Upstream(e *api.Engine, p api.Policy, lead *api.Container, name string) []*api.Container {
	if name == "" {
		return slices.DeleteFunc(e.Replicas(lead.Identity()), (*api.Container).OneOff)
	}
	found := e.Replicas(api.Identity(name))
	if project := lead.Project(); project != "" && !strings.Contains(name, "/") {
		if same := e.Replicas(api.Identity(project + "/" + name)); len(same) > 0 {
			found = same
		}
	}
	if len(found) == 0 {
		found = slices.DeleteFunc(e.Named(name), func(c *api.Container) bool { return c.Name != name })
	}
	found = slices.DeleteFunc(found, (*api.Container).OneOff)
	if len(found) == 0 {
		return nil
	}
	if enabled, _ := Enabled(e.Replicas(found[0].Identity()), p); !enabled {
		return nil
	}
	slices.SortFunc(found, func(a, b *api.Container) int { return strings.Compare(a.Name, b.Name) })
	return found
}
