package plan

import (
	"time"

	"github.com/no502/no502/api"
)

// patch plans a write, unless just that was rejected lately.
func (j *judgement) patch(a api.Action) {
	f, until := j.rejected(a)
	if f != nil {
		j.v.Findings = append(j.v.Findings, *f)
	}
	if until.IsZero() {
		j.builder.act(a)
	} else {
		j.due(until)
	}
}

// rejected says what is wrong with a change that was rejected, if it is still, and
// until when it is not to be tried again; zero: it is.
func (b *builder) rejected(a api.Action) (f *api.Finding, until time.Time) {
	was, ok := b.s.Rejected[a.Rejection()]
	if !ok || was.Change != a.Exactly() {
		return nil, time.Time{}
	}
	if b.s.Now.Before(was.Until) {
		until = was.Until
	}
	switch {
	case was.Hidden:
		f = &api.Finding{
			Code:    api.DomainTaken,
			Message: was.Reason,
			Fix:     "in NPM, under Users, Edit Permissions, give that user Item Visibility: All Items; or take the domain from the labels",
		}
	case !until.IsZero():
		f = &api.Finding{
			Code:    api.NginxRejected,
			Message: "what is to be written does not pass: " + was.Reason,
			Fix:     "correct what nginx names, in NPM or in the labels; no502 tries again, less and less often",
		}
	}
	return f, until
}
