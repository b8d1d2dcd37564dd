package reconcile

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"sync"

	"github.com/no502/no502/api"
)

// edits tells what others do to NPM's hosts from what no502 does. What was done
// while no502 did not run is not told.
type edits struct {
	instance string

	mu    sync.Mutex
	known map[api.Key]known
}

// known is a host as it was when it was last looked at.
type known struct {
	host    *api.Host // nil: not looked at yet
	optedIn bool
	writing bool       // no502 writes it just now, and looks at it afterwards
	unclear api.Fields // what no502 wrote, if that came through
}

// perhaps reports whether a value is what no502 wrote, if that came through.
func (k known) perhaps(name string, value any) bool {
	said, wrote := k.unclear[name]
	return wrote && api.Fields{name: said}.Says(name, value)
}

func newEdits(instance string) edits { return edits{instance: instance, known: map[api.Key]known{}} }

// look compares an opted-in host with what was known of it.
func (e *edits) look(n *api.NPM, key api.Key, p api.Plan) []api.Change {
	if n == nil || !key.IsHost() {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	was := e.known[key]
	if was.writing {
		return nil
	}
	is := known{host: n.Get(key)}
	if same(was.host, is.host) {
		is.unclear = was.unclear
	}
	for _, v := range p.Verdicts {
		is.optedIn = is.optedIn || v.Key == key && v.OptedIn
	}
	if e.known[key] = is; is.host == nil {
		delete(e.known, key)
	}
	if was.host == nil || !was.optedIn && !is.optedIn || !n.Knows(key.Kind) {
		return nil
	}
	by, instance := e.author(was.host, is.host)
	return changes(was.host, is.host, api.Change{By: by, Instance: instance}, was.perhaps)
}

// begin says that no502 is about to change a host. Whoever looks at it
// meanwhile sees what is half done.
func (e *edits) begin(a api.Action) {
	if a.Host.ID == "" {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	was := e.known[a.Host]
	was.writing = true
	e.known[a.Host] = was
}

// end looks at a host that no502 has changed, or tried to, and returns what
// others changed meanwhile.
func (e *edits) end(n *api.NPM, a api.Action, err error) []api.Change {
	if a.Host.ID == "" {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	was := e.known[a.Host]
	is := known{host: n.Get(a.Host), optedIn: true}
	switch {
	case errors.Is(err, api.ErrUnclear):
		is.unclear = was.unclear.With(a.To)
	case err != nil && same(was.host, is.host):
		is.unclear = was.unclear
	}
	if e.known[a.Host] = is; is.host == nil {
		delete(e.known, a.Host)
	}
	if was.host == nil || is.host == nil && (err == nil || !n.Knows(a.Host.Kind)) {
		return nil
	}
	left := changes(was.host, is.host, api.Change{By: api.Somebody}, func(name string, value any) bool {
		want, ours := a.To[name]
		return ours && (err == nil || !errors.Is(err, api.ErrStale) && api.Fields{name: want}.Says(name, value)) || was.perhaps(name, value)
	})
	var theirs []api.Change
	for _, c := range left {
		if c.Op != a.Op || c.Op == api.OpPatch {
			theirs = append(theirs, c)
		}
	}
	return theirs
}

// author tells who changed a host. A no502, be it another instance or another
// process, notes in the meta what it writes; `no502 undo` takes that away, and
// marks the host off. People do neither.
func (e *edits) author(was, is *api.Host) (api.Actor, string) {
	switch {
	case is == nil:
	case was.OwnedBy(e.instance) != nil && is.Ownership == nil && was.Mark() != api.MarkOff && is.Mark() == api.MarkOff:
		return api.Undo, e.instance
	case is.Ownership != nil && !reflect.DeepEqual(was.Ownership, is.Ownership):
		return api.No502, is.Ownership.Instance
	}
	return api.Somebody, ""
}

// same reports whether a row says the same as before.
func same(was, is *api.Host) bool {
	return was == is || was != nil && is != nil && was.Enabled == is.Enabled && bytes.Equal(was.Raw, is.Raw)
}

// changes are what became of a host, but for the fields that are skipped.
func changes(was, is *api.Host, by api.Change, skip func(name string, value any) bool) (all []api.Change) {
	if same(was, is) {
		return nil
	}
	by.Host, by.Domain, by.Domains = was.Key(), was.Domain(), was.Serves()
	before := was.Fields()
	if is == nil {
		by.Op, by.From = api.OpDelete, before
		return []api.Change{by}
	}
	now := is.Fields()
	diff := before.Differing(now).With(now.Differing(before))
	for name, value := range diff {
		if skip(name, value) {
			delete(diff, name)
		}
	}
	if len(diff) > 0 {
		endpoint := api.Endpoint{}.Fields()
		if by.Host.Kind == api.KindHost && slices.ContainsFunc(diff.Names(), func(name string) bool { return endpoint[name] != nil }) {
			diff = diff.With(endpoint) // it is one thing to people
		}
		by.Op, by.From, by.To = api.OpPatch, diff.Of(before), diff.Of(now)
		all = append(all, by)
	}
	if was.Enabled != is.Enabled {
		by.Op, by.From, by.To = api.OpEnable, nil, nil
		if was.Enabled {
			by.Op = api.OpDisable
		}
		all = append(all, by)
	}
	return all
}
