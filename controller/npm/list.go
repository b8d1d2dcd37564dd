package npm

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/no502/no502/api"
)

const (
	// manyChanged is how many changed hosts are told as one "look at everything".
	manyChanged = 50
	// othersPace is how rarely the lists beside that of the proxy hosts are
	// asked for while nothing hints at a change: they change rarely.
	othersPace = time.Minute
)

// list is one of NPM's lists that the cache is made of.
type list struct {
	path string
	kind api.Kind // of the hosts in it; empty: no hosts
}

// lists are all of them. The first is the one without which nothing can be done.
func lists() []list {
	var all []list
	for _, k := range api.HostKinds() {
		all = append(all, listOf(k))
	}
	return append(all, list{path: certificatesPath}, list{path: accessListsPath})
}

func listOf(k api.Kind) list { return list{path: kinds[k].path, kind: k} }

// entry identifies what is known of a host, to notice a change of it.
type entry struct {
	raw, canonical digest
}

// listed is one row of a list of hosts.
type listed struct {
	entry
	key  api.Key
	host *api.Host // nil: as the cache has it
}

// found is what a look found in the lists that were not as before.
type found struct {
	etags        map[string]string // by path
	hosts        map[api.Kind][]listed
	known        map[api.Kind]bool // of the kinds in hosts: no502's user may list them
	certificates *[]api.Certificate
	accessLists  *[]api.AccessList
}

// Refresh looks at all of NPM's lists once, conditionally: while nothing
// changed NPM sends no list. It either takes over what is complete, and tells
// Run's notify what changed, or returns an error and changes nothing.
func (c *Client) Refresh(ctx context.Context) error {
	_, err := c.refresh(ctx, true)
	return err
}

// refresh looks at the list of proxy hosts, and at the others where that is
// due or asked for; changed tells whether anything did.
func (c *Client) refresh(ctx context.Context, all bool) (changed bool, err error) {
	err = c.inTurn(ctx, func() ([]api.Key, error) {
		which := lists()
		if !all && !c.expected() && time.Since(c.listed) < othersPace {
			which = which[:1]
		}
		keys, err := c.look(ctx, which...)
		changed = len(keys) > 0
		return keys, err
	})
	return changed, err
}

// inTurn does something as the only one that lists or writes meanwhile, and
// tells of the keys that it found changed by others.
func (c *Client) inTurn(ctx context.Context, do func() (foreign []api.Key, err error)) error {
	if err := c.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	foreign, err := func() ([]api.Key, error) {
		defer c.turn.Release(1)
		return do()
	}()
	c.tell(foreign...)
	return err
}

// look reads some lists, conditionally, and names what others had changed. The
// first look reads all of them. By the holder of the turn.
func (c *Client) look(ctx context.Context, which ...list) ([]api.Key, error) {
	if !c.View(func(*api.NPM) {}) {
		which = lists()
	}
	began := time.Now()
	f := found{etags: map[string]string{}, hosts: map[api.Kind][]listed{}, known: map[api.Kind]bool{}}
	for i, l := range which {
		if err := c.ask(ctx, l, i > 0, &f); err != nil {
			return nil, err
		}
	}
	for path, etag := range f.etags {
		c.etags[path] = etag
	}
	if len(which) == len(lists()) {
		c.listed = began
	}
	return c.take(f), nil
}

// ask reads one list. proven tells that the same token has just been accepted,
// so that a refusal means this list.
func (c *Client) ask(ctx context.Context, l list, proven bool, f *found) error {
	r := request{method: http.MethodGet, path: l.path, etag: c.etags[l.path], proven: proven, timeout: readTimeout}
	err := c.authorized(ctx, r, func(h http.Header, body io.Reader) error {
		f.etags[l.path] = h.Get("ETag")
		return c.read(l, body, f)
	})
	var answer *APIError
	switch {
	case errors.Is(err, errNotModified):
		return nil
	case l.path != lists()[0].path && errors.As(err, &answer) && answer.hidden():
		f.etags[l.path] = ""
		f.hide(l)
		return nil
	}
	return err
}

// read takes in one list. Only one that ends as it should counts: what a
// broken one lacks would look deleted.
func (c *Client) read(l list, body io.Reader, f *found) (err error) {
	switch {
	case l.kind != "":
		var rows []listed
		err = eachRow(body, kinds[l.kind].noun+"s", func(raw json.RawMessage) error {
			row, err := c.decodeListed(l.kind, raw)
			rows = append(rows, row)
			return err
		})
		f.hosts[l.kind], f.known[l.kind] = rows, true
	case l.path == certificatesPath:
		f.certificates, err = readCertificates(body)
	default:
		f.accessLists, err = readAccessLists(body)
	}
	return err
}

// hide says that no502's user may not see a list.
func (f *found) hide(l list) {
	switch {
	case l.kind != "":
		f.hosts[l.kind] = nil
	case l.path == certificatesPath:
		f.certificates = new([]api.Certificate)
	default:
		f.accessLists = new([]api.AccessList)
	}
}

// eachRow reads a list row by row; row must not keep what it gets.
func eachRow(body io.Reader, what string, row func(json.RawMessage) error) error {
	dec := json.NewDecoder(body)
	if t, err := dec.Token(); err != nil {
		return fmt.Errorf("the list of %s is not NPM's JSON: %w", what, unexpected(err))
	} else if t != json.Delim('[') {
		return fmt.Errorf("the list of %s is not a JSON array", what)
	}
	var raw json.RawMessage
	for dec.More() {
		if err := dec.Decode(&raw); err != nil {
			return fmt.Errorf("the list of %s breaks off: %w", what, unexpected(err))
		}
		if err := row(raw); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("the list of %s breaks off: %w", what, unexpected(err))
	}
	if err := ended(dec); err != nil {
		return fmt.Errorf("the list of %s: %w", what, err)
	}
	return nil
}

// decodeListed reads a row, in full only if the cache has another one.
func (c *Client) decodeListed(k api.Kind, raw []byte) (listed, error) {
	id, err := rowID(raw)
	if err != nil {
		return listed{}, fmt.Errorf("a %s's row: %w", kinds[k].noun, err)
	}
	r := listed{key: keyOf(k, id), entry: entry{raw: sha256.Sum256(raw)}}
	have, ok := c.entries[r.key]
	if ok && have.raw == r.raw {
		r.entry = have
		return r, nil
	}
	h, now, err := decodeRow(k, raw)
	r.canonical = now
	if !ok || have.canonical != now {
		r.host = h
	}
	return r, err
}

// take makes what a look found the cache, and returns what changed. Before the
// first look nothing is known to have changed.
func (c *Client) take(f found) []api.Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.hosts == nil
	if first {
		c.hosts = api.NewNPM(nil)
	}
	c.hosts.Version = c.state.Version
	var changed []api.Key
	everything := c.takeOthers(f)
	for _, k := range api.HostKinds() {
		rows, read := f.hosts[k]
		if !read {
			continue
		}
		everything = everything || c.hosts.Knows(k) != f.known[k]
		c.hosts.Hide(k, !f.known[k])
		changed = append(changed, c.takeHosts(k, rows)...)
	}
	switch {
	case first:
		return nil
	case everything || len(changed) > manyChanged:
		return []api.Key{api.SystemKey()}
	}
	return changed
}

// takeOthers takes over what is no host, and reports whether it changed. The
// caller holds mu.
func (c *Client) takeOthers(f found) (changed bool) {
	if f.certificates != nil {
		changed = !sameCertificates(c.hosts.Certificates, *f.certificates)
		c.hosts.Certificates = *f.certificates
	}
	if f.accessLists != nil {
		have := c.hosts.AccessLists
		changed = changed || (have == nil) != (*f.accessLists == nil) || !slices.Equal(have, *f.accessLists)
		c.hosts.AccessLists = *f.accessLists
	}
	return changed
}

// takeHosts takes over all hosts of a kind, and names those that changed, by
// id. The caller holds mu.
func (c *Client) takeHosts(k api.Kind, rows []listed) []api.Key {
	var changed []int
	there := make(map[api.Key]bool, len(rows))
	for _, r := range rows {
		there[r.key] = true
		c.entries[r.key] = r.entry
		if r.host != nil {
			c.hosts.SetHost(c.doubt(r.host))
			changed = append(changed, r.host.ID)
		}
	}
	for key := range c.entries {
		if key.Kind == k && !there[key] {
			c.hosts.Remove(key)
			delete(c.entries, key)
			delete(c.unsure, key)
			id, _ := strconv.Atoi(key.ID)
			changed = append(changed, id)
		}
	}
	slices.Sort(changed)
	var keys []api.Key
	for _, id := range slices.Compact(changed) {
		keys = append(keys, keyOf(k, id))
	}
	return keys
}
