package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/no502/no502/api"
)

// contested reports whether somebody else keeps undoing a change, so that it is
// left alone for now.
func (b *builder) contested(s api.Subject) (api.Contest, bool) {
	c, ok := b.s.Contested[s]
	if held := ok && b.s.Now.Before(c.Until); !held {
		return c, false
	}
	b.left = append(b.left, s)
	return c, true
}

// leave has a key looked at again when what was left alone for it may be tried.
func (b *builder) leave(v *api.Verdict) {
	v.Contested, b.left = b.left, nil
	for _, s := range v.Contested {
		due(v, b.s.Contested[s].Until)
	}
}

// contest says that somebody else keeps undoing something.
func (b *builder) contest(c api.Contest, does, cure string) api.Finding {
	return api.Finding{
		Code:    api.Contested,
		Message: fmt.Sprintf("somebody keeps %s: no502 put that right %d times, and leaves it alone for now", does, c.Times),
		Fix:     fmt.Sprintf("%s; no502 tries again at %s, and less and less often", cure, c.Until.UTC().Format("2006-01-02 15:04:05 MST")),
	}
}

// uncontested takes out of a change what somebody else keeps changing back. What
// keeps visitors out is never given up.
func (j *judgement) uncontested(from, to api.Fields) (api.Fields, api.Fields) {
	var left []string
	var worst api.Contest
	for _, d := range api.Differences(from, to) {
		s, _ := d.Subject(j.owner(), j.v.Key)
		c, held := j.contested(s)
		if !held || slices.Contains(d.Fields, api.FieldAccessList) {
			continue
		}
		left = append(left, d.String())
		if c.Times > worst.Times {
			worst = c
		}
		from, to = without(from, d.Fields), without(to, d.Fields)
	}
	if len(left) > 0 {
		j.fail(&j.v.InSync, j.contest(worst, fmt.Sprintf("changing %s back: %s", j.v.Name, strings.Join(left, "; ")), j.letGo()))
	}
	return from, to
}

// noteContested: somebody keeps taking away what no502 notes about the host.
func (j *judgement) noteContested(own *api.Ownership) bool {
	c, held := j.contested(api.NoteSubject(own, j.v.Key))
	if held {
		j.fail(&j.v.InSync, j.contest(c, "taking away what no502 notes in NPM about "+j.v.Name, j.letGo()))
	}
	return held
}

// letGo is the cure for two that fight over a host.
func (j *judgement) letGo() string {
	cure := "stop whatever else writes to this host"
	if j.claim != nil {
		cure += ", or take the label away"
	}
	return cure + ", or write `# no502: off` into its Advanced tab in NPM"
}

// owner of the host, as the write will note it.
func (j *judgement) owner() api.Owner {
	if j.claim != nil {
		return j.claim.Owner()
	}
	if j.h.OwnedBy(j.p.Instance) != nil {
		return j.h.Owner()
	}
	return api.Owner{}
}

// undone says that somebody keeps undoing what an action does in Docker.
func (b *builder) undone(a api.Action) *api.Finding {
	c, held := b.contested(a.Subject())
	if !held {
		return nil
	}
	does, cure := "removing the network "+a.Network, "find out who does it: docker events --filter type=network --filter event=destroy"
	if a.Op == api.OpAttach {
		does = fmt.Sprintf("disconnecting the container %s from the network %s", a.Name, a.Network)
		cure = "find out who does it: docker events --filter type=network --filter event=disconnect"
	}
	f := b.contest(c, does, cure)
	return &f
}

func without(f api.Fields, names []string) api.Fields {
	left := f.With(nil)
	for _, name := range names {
		delete(left, name)
	}
	return left
}
