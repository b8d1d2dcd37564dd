package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
	"github.com/no502/no502/reconcile/resolve"
)

// write turns all differences between what NPM has and what it should have into
// one change.
func (j *judgement) write() {
	var from, to api.Fields
	if j.v.Endpoint != (api.Endpoint{}) && j.v.Endpoint != j.h.Forward {
		from, to = j.h.Forward.Fields(), j.v.Endpoint.Fields()
	} else if j.claim == nil {
		return
	}
	var released []string
	if j.claim != nil {
		row := j.h.Fields()
		want := j.wanted(row)
		if j.unprotected {
			j.disable(api.DisabledAccessList, api.AccessListMissing)
		}
		if j.untouchable {
			return
		}
		var back api.Fields
		back, released = j.release(row, want)
		diff := back.With(want).Differing(row)
		if j.v.Key.Kind == api.KindDeadHost && !j.ours() {
			j.handMade(row, diff)
			return
		}
		j.differs(row, diff)
		from, to = from.With(diff.Of(row)), to.With(diff)
	}
	if !j.act || j.unsettled {
		return
	}
	from, to = j.uncontested(from, to)
	own := j.ownership(from, to, released)
	changed := len(to) > 0 || j.disowned(own) && !j.noteContested(own)
	if changed && len(j.because) == 0 {
		j.wrong(api.Finding{
			Code:    api.HostDiffers,
			Message: "what no502 notes in NPM about this host is not up to date",
		}, "note it")
	}
	switch {
	case changed && j.v.Key.Kind == api.KindDeadHost: // of no502's own
		j.remove(api.HostDiffers, from, to) // and then it is made anew
	case changed:
		j.patch(api.Action{
			Op: api.OpPatch, Host: j.v.Key, Domain: j.v.Name, Because: j.because,
			From: from, To: to, Ownership: own,
		})
	default:
		if j.v.InSync.Status == api.Unknown && j.v.Key.Kind != api.KindHost {
			j.set(&j.v.InSync, api.True, "", "")
		}
		j.askForCertificate()
	}
}

// handMade reports how a 404 host that somebody made by hand differs. It cannot
// be taken over: NPM answers an edit of one as if it had been done, but writes
// nginx the configuration of before, and keeps the old meta (read in the source
// of 2.13.7 and 2.15.1). Those of no502 are made anew instead.
func (j *judgement) handMade(row, diff api.Fields) {
	if len(diff) == 0 {
		j.set(&j.v.InSync, api.True, "", "")
		return
	}
	j.fail(&j.v.InSync, api.Finding{
		Code: api.DomainTaken,
		Message: fmt.Sprintf("somebody made the 404 host %s by hand, and NPM does not apply edits of such hosts: %s",
			j.v.Name, differences(row, diff)),
		Fix: "delete it in NPM, and no502 makes it anew",
	})
}

// differs reports the fields in which NPM is not what the labels say.
func (j *judgement) differs(row, diff api.Fields) {
	if len(diff) > 0 {
		j.wrong(api.Finding{
			Code:    api.HostDiffers,
			Message: "NPM does not say what the labels say: " + differences(row, diff),
		}, "say so")
	}
}

func differences(row, diff api.Fields) string {
	said := make([]string, 0, len(diff))
	for _, name := range diff.Names() {
		said = append(said, fmt.Sprintf("%s is %s and should be %s", name, api.Show(name, row[name]), api.Show(name, diff[name])))
	}
	return strings.Join(said, "; ")
}

// ownership is what the host's meta is to remember after a write.
func (j *judgement) ownership(from, to api.Fields, released []string) *api.Ownership {
	own := api.Ownership{Instance: j.p.Instance, Origin: api.OriginRepaired}
	if o := j.h.OwnedBy(j.p.Instance); o != nil {
		own = *o
		own.Disabling = false
		if !j.overruled {
			own.Disabled = ""
		}
	}
	if j.v.Endpoint != (api.Endpoint{}) {
		own.Backend = j.v.Backend
	}
	if asked := own.LetsEncrypt; to.Int(api.FieldCertificate) != 0 {
		own.LetsEncrypt = nil
	} else if asked != nil && asked.Error == api.Unanswered {
		own.LetsEncrypt = &api.Attempt{Failures: asked.Failures, Last: asked.Last, Error: "no502 was stopped before the answer came"}
	}
	own.Wrote = own.Wrote.With(to)
	for _, name := range released {
		delete(own.Wrote, name)
	}
	if _, said := to[api.FieldDomains]; said && len(j.granted) > 0 {
		own.Wrote[api.FieldDomains] = j.granted
	}
	if len(j.declared) > 0 {
		own.Wrote[api.FieldLocations] = j.declared
	} else if j.claim != nil {
		delete(own.Wrote, api.FieldLocations)
	}
	if own.Origin == api.OriginRepaired {
		own.Was = from.With(own.Was) // once said it stays what the user had
	}
	if j.claim != nil {
		j.sign(&own)
	}
	return &own
}

// sign notes whose labels declare the host.
func (j *judgement) sign(own *api.Ownership) {
	r := j.claim.Route
	own.Service, own.Route, own.Readers = j.claim.Lead.Identity(), r.Name, resolve.Readers(j.p)
	if j.claim.Intent.Unclear {
		return // what cannot be read may be about the end
	}
	if own.OnRemove = string(r.OnRemove); r.OnRemove == intent.Disable {
		own.OnRemove = ""
	}
	if own.Grace = r.Grace.String(); r.Grace == intent.DefaultGrace {
		own.Grace = ""
	}
}

// disowned: the host does not remember yet, or otherwise, whose it is and what
// becomes of it.
func (j *judgement) disowned(own *api.Ownership) bool {
	o := j.h.Ownership
	if j.claim == nil {
		return false
	}
	return o == nil || o.Service != own.Service || o.Route != own.Route || o.OnRemove != own.OnRemove ||
		o.LetsEncrypt != nil && o.LetsEncrypt.Error == api.Unanswered || o.Grace != own.Grace || !slices.Equal(o.Readers, own.Readers) || o.Disabled != own.Disabled || !maps.EqualFunc(o.Wrote, own.Wrote, same)
}

func same(a, b any) bool { return api.Fields{"": a}.Says("", b) }

// untouched: the row still says of a field what no502 wrote.
func (j *judgement) untouched(row api.Fields, name string) bool {
	o := j.h.OwnedBy(j.p.Instance)
	if o == nil {
		return false
	}
	wrote, ok := o.Wrote[name]
	return ok && row.Says(name, wrote)
}

// release finds the fields that labels no longer claim: they go back to what
// they were, unless somebody edited them since. In a host that no502 made that
// is what NPM begins with. While some label cannot be read nothing goes back: it
// may only be misspelt, and be what keeps visitors out.
func (j *judgement) release(row, want api.Fields) (back api.Fields, released []string) {
	o := j.h.OwnedBy(j.p.Instance)
	if o == nil || o.Service == "" || j.claim.Intent.Unclear {
		return nil, nil
	}
	back = api.Fields{}
	for name, wrote := range o.Wrote {
		if _, still := want[name]; still || isForward(name) {
			continue
		}
		released = append(released, name)
		if !row.Says(name, wrote) {
			continue
		}
		if was, ok := o.Was[name]; ok {
			back[name] = was
		} else if o.Origin == api.OriginDeclared {
			back[name] = api.Zero(wrote)
		}
	}
	slices.Sort(released)
	return back, released
}

func isForward(name string) bool {
	return name == api.FieldScheme || name == api.FieldHost || name == api.FieldPort ||
		name == api.FieldStreamHost || name == api.FieldStreamPort
}
