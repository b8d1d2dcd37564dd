package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/resolve"
)

// options are the fields that labels set by a word of their own, by the kinds of
// hosts that have them.
var options = map[api.Kind][]string{
	api.KindHost: {
		api.FieldForceSSL, api.FieldHTTP2, api.FieldHSTS, api.FieldHSTSSubs, api.FieldWebsockets,
		api.FieldExploits, api.FieldCache, api.FieldTrustProto, api.FieldAdvanced,
	},
	api.KindRedirection: {api.FieldForceSSL, api.FieldHTTP2, api.FieldHSTS, api.FieldHSTSSubs, api.FieldExploits, api.FieldAdvanced},
	api.KindDeadHost:    {api.FieldForceSSL, api.FieldHTTP2, api.FieldHSTS, api.FieldHSTSSubs, api.FieldAdvanced},
	api.KindStream:      nil,
}

// wanted are the fields that a claim wants of its host, but for where a proxy
// host forwards to. Row is what the host says now; empty where it is new.
func (j *judgement) wanted(row api.Fields) api.Fields {
	want := api.Fields{}
	j.names(row, want)
	for _, name := range options[j.claim.Kind] {
		if value, said := j.claim.Route.Claims[name]; said && j.supported(name) {
			want[name] = value
		} else if value, ok := j.claim.Route.Initial[name]; ok && (j.new || j.ours() && j.untouched(row, name)) {
			want[name] = value
		}
	}
	if r := j.claim.Route.Redirect; r != nil && j.claim.Kind == api.KindRedirection {
		want[api.FieldScheme], want[api.FieldRedirectTo] = r.Scheme, r.To
		want[api.FieldRedirectCode], want[api.FieldKeepPath] = r.Code, r.KeepPath
	}
	if j.claim.Route.Withheld {
		j.keep(row, want, api.FieldAdvanced)
	}
	if j.claim.Kind == api.KindHost {
		j.accessList(row, want)
		j.locations(row, want)
	}
	if j.claim.Kind == api.KindStream {
		j.forwardStream(row, want)
	}
	j.certificate(row, want)
	j.tls(row, want)
	return want
}

// keep leaves fields as they are that labels claim, where it is not clear what
// they are to be.
func (j *judgement) keep(row, want api.Fields, names ...string) {
	if j.h.Ownership == nil {
		return
	}
	for _, name := range names {
		if wrote, claimed := j.h.Ownership.Wrote[name]; claimed {
			want[name] = api.Fields{name: wrote}.Of(row)[name]
		}
	}
}

// ours: no502 made the host.
func (j *judgement) ours() bool {
	o := j.h.OwnedBy(j.p.Instance)
	return o != nil && o.Origin == api.OriginDeclared
}

// names sets the domains, or the ports of a stream, as far as the claim may have
// them. A host that somebody made by hand keeps its other domains.
func (j *judgement) names(row, want api.Fields) {
	if j.granted = j.grants(); j.new && len(j.granted) > 0 {
		i := slices.IndexFunc(j.claim.Names(), func(name string) bool { return slices.Contains(j.granted, name) })
		j.v.Name = j.claim.Names()[i]
	}
	switch {
	case len(j.granted) == 0:
		j.keep(row, want, api.FieldDomains, api.FieldIncoming, api.FieldTCP, api.FieldUDP)
	case j.claim.Kind == api.KindStream:
		s := j.claim.Route.Stream
		want[api.FieldIncoming], want[api.FieldTCP], want[api.FieldUDP] = int(s.Port), s.TCP, s.UDP
	case j.new || j.ours():
		want[api.FieldDomains] = keepOrder(row, j.granted)
	default:
		want[api.FieldDomains] = keepOrder(row, j.joined(row))
	}
}

// keepOrder: NPM sorts domains when it saves them, but older rows need not be
// sorted, nor in lower case.
func keepOrder(row api.Fields, domains []string) []string {
	have := row.Strings(api.FieldDomains)
	lower := make([]string, len(have))
	for i, d := range have {
		lower[i] = strings.ToLower(d)
	}
	slices.Sort(lower)
	if len(have) > 0 && slices.Equal(lower, domains) {
		return have
	}
	return domains
}

// joined are a hand-made host's domains with the claimed ones, and without those
// that were claimed before.
func (j *judgement) joined(row api.Fields) []string {
	var before, was []string
	if o := j.h.Ownership; o != nil {
		before, was = o.Wrote.Strings(api.FieldDomains), o.Was.Strings(api.FieldDomains)
	}
	all := slices.Clone(j.granted)
	for _, d := range row.Strings(api.FieldDomains) {
		name := strings.ToLower(d)
		if slices.Contains(all, name) || slices.Contains(before, d) && was != nil && !slices.Contains(was, d) {
			continue
		}
		all = append(all, d)
	}
	slices.Sort(all)
	return all
}

// grants are the names that a claim may have, in order.
func (j *judgement) grants() []string {
	var granted []string
	for _, name := range j.claim.Names() {
		if f := j.refused(name); f != nil {
			j.v.Findings = append(j.v.Findings, *f)
			continue
		}
		granted = append(granted, name)
	}
	if j.claim.Kind == api.KindStream && len(granted) < len(j.claim.Names()) {
		return nil
	}
	slices.Sort(granted)
	return granted
}

// refused says why a claim may not have a name; nil: it may.
func (j *judgement) refused(name string) *api.Finding {
	service := j.claim.Lead.Identity()
	if !resolve.Permitted(j.p, j.claim.Lead, name) {
		return &api.Finding{
			Code:    api.NotPermitted,
			Message: fmt.Sprintf("the operator does not let %s claim %s", service, name),
			Fix:     "add it to NO502_ALLOWED_DOMAINS, or remove it from the label",
		}
	}
	if has, ok := resolve.Claimant(j.s, j.p, name); ok && has.Owner() != j.claim.Owner() {
		return &api.Finding{
			Code:       api.DomainConflict,
			Message:    fmt.Sprintf("%s claims %s, which the older claim of %s has", service, name, has.Lead.Identity()),
			Fix:        "remove it from the labels of one of them",
			Candidates: []string{string(has.Lead.Identity()), string(service)},
		}
	}
	h := j.s.NPM.Serving(name)
	if h == nil || !j.new && h.Key() == j.h.Key() {
		return nil
	}
	if j.claim.Kind == api.KindStream {
		return &api.Finding{
			Code:    api.StreamConflict,
			Message: fmt.Sprintf("NPM has another stream on %s", name),
			Fix:     "delete that stream in NPM, or choose another port",
		}
	}
	why := resolve.Keeps(j.s, j.p, h)
	if h.Manager(j.p.Instance) != "" {
		f := ownedByOther(h, why)
		return &f
	}
	f := api.Finding{
		Code:    api.DomainTaken,
		Message: fmt.Sprintf("%s claims %s, but that is served by NPM's %s %s", service, name, h.Key().Kind.Words(), h.Domain()),
		Fix:     "delete that host in NPM, or take the domain from it",
	}
	if why == "" && h.Owner().Service != "" {
		why = "which no502 made, and labels no longer declare"
		f.Fix = "delete that host in NPM (no502 does so itself where the label on-remove says delete)"
	}
	if why != "" {
		f.Message += ", " + why
	}
	if h.Mark() == api.MarkOff {
		f.Fix = "remove that line from its Advanced tab in NPM, or the domain from the labels"
	}
	return &f
}

func ownedByOther(h *api.Host, why string) api.Finding {
	return api.Finding{
		Code:    api.OwnedByOther,
		Message: fmt.Sprintf("NPM's %s %s, %s, is left alone", h.Key().Kind.Words(), h.Domain(), why),
		Fix:     "if that no longer runs, delete the host in NPM, and no502 makes it anew",
	}
}

// supported: NPM knows the field. trust_forwarded_proto came with 2.14.
func (j *judgement) supported(name string) bool {
	if name != api.FieldTrustProto || !older(j.s.NPM.Version, 2, 14) {
		return true
	}
	j.v.Findings = append(j.v.Findings, api.Finding{
		Code:    api.NotSupported,
		Message: fmt.Sprintf("NPM %s does not know %s, which the labels of %s set", j.s.NPM.Version, name, j.claim.Lead.Identity()),
		Fix:     "update NPM, or remove the label trust-forwarded-proto",
	})
	return false
}

// older reports whether a version is known to be before another.
func older(version string, major, minor int) bool {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	m, err := strconv.Atoi(first)
	n, err2 := strconv.Atoi(second)
	return err == nil && err2 == nil && (m < major || m == major && n < minor)
}

// accessList sets the access list. A host whose list does not exist is not made,
// and one that is open for it is not published any more.
func (j *judgement) accessList(row, want api.Fields) {
	said := j.claim.Route.AccessList
	if said == "" {
		return
	}
	for _, l := range j.s.NPM.AccessLists {
		if l.Name == said || strconv.Itoa(l.ID) == said {
			want[api.FieldAccessList] = l.ID
			return
		}
	}
	j.keep(row, want, api.FieldAccessList)
	open := !j.hasAccessList(row.Int(api.FieldAccessList))
	j.unprotected = open && (j.new || j.ours() || j.protected())
	j.untouchable = open
	outcome := "keeps the one that it has"
	switch {
	case j.unprotected:
		outcome = "is not published"
	case open:
		outcome = "is left open, as somebody made it by hand"
	}
	f := api.Finding{
		Code:    api.AccessListMissing,
		Message: fmt.Sprintf("NPM has no access list %q, so %s %s", said, j.v.Name, outcome),
		Fix:     "make the access list in NPM, or correct the label access-list",
	}
	if j.s.NPM.AccessLists == nil {
		f.Message = fmt.Sprintf("no502's user may not see NPM's access lists, %q among them, so %s %s", said, j.v.Name, outcome)
		f.Fix = "give the user the permission to view access lists in NPM"
	}
	j.fail(&j.v.InSync, f)
}

// hasAccessList: NPM has it, as far as that can be seen. A host whose list was
// deleted is open, though its row may still name it.
func (j *judgement) hasAccessList(id int) bool {
	return id != 0 && (j.s.NPM.AccessLists == nil ||
		slices.ContainsFunc(j.s.NPM.AccessLists, func(l api.AccessList) bool { return l.ID == id }))
}

// protected: no502 gave the host an access list.
func (j *judgement) protected() bool {
	return j.h.Ownership != nil && j.h.Ownership.Wrote.Int(api.FieldAccessList) != 0
}

// disable plans to switch the host off.
func (j *judgement) disable(why string, because api.Code) {
	if !j.act {
		return
	}
	own := *j.h.Ownership
	own.Disabled, own.Disabling = why, false
	j.builder.act(api.Action{
		Op: api.OpDisable, Host: j.v.Key, Domain: j.v.Name, Because: []api.Code{because}, Ownership: &own,
	})
}
