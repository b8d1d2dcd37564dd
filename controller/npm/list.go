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

	"github.com/no502/no502/api"
)

// manyChanged is how many changed hosts are told as one "look at everything".
const manyChanged = 50

const hostsPath = "/nginx/proxy-hosts"

func hostPath(id int) string { return hostsPath + "/" + strconv.Itoa(id) }

// entry identifies what is known of a host, to notice a change of it.
type entry struct {
	raw, canonical digest
}

// listed is one row of a list.
type listed struct {
	entry
	host *api.ProxyHost
	same bool // as the cache has it
}

// Refresh looks at NPM's list of proxy hosts once, conditionally: while
// nothing changed NPM sends no list. It either takes over a complete list, and
// tells Run's notify what changed, or returns an error and changes nothing.
func (c *Client) Refresh(ctx context.Context) error {
	_, err := c.refresh(ctx)
	return err
}

// refresh is Refresh; changed tells whether anything did.
func (c *Client) refresh(ctx context.Context) (changed bool, err error) {
	err = c.inTurn(ctx, func() ([]api.Key, error) {
		keys, err := c.list(ctx)
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
	foreign, err := do()
	c.turn.Release(1)
	c.tell(foreign...)
	return err
}

// list is one conditional list, by the holder of the turn.
func (c *Client) list(ctx context.Context) ([]api.Key, error) {
	var rows []listed
	var etag string
	r := request{method: http.MethodGet, path: hostsPath, etag: c.etag, timeout: listTimeout}
	err := c.authorized(ctx, r, func(h http.Header, body io.Reader) (err error) {
		etag = h.Get("ETag")
		rows, err = c.decodeList(body)
		return err
	})
	switch {
	case errors.Is(err, errNotModified):
		return nil, nil
	case err != nil:
		return nil, err
	}
	c.etag = etag
	return c.take(rows), nil
}

// decodeList reads a list row by row. Only one that ends as it should counts:
// what a broken one lacks would look deleted.
func (c *Client) decodeList(body io.Reader) ([]listed, error) {
	dec := json.NewDecoder(body)
	if t, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("the list of proxy hosts is not NPM's JSON: %w", unexpected(err))
	} else if t != json.Delim('[') {
		return nil, errors.New("the list of proxy hosts is not a JSON array")
	}
	var rows []listed
	var raw json.RawMessage
	for dec.More() {
		if err := dec.Decode(&raw); err != nil {
			return nil, fmt.Errorf("the list of proxy hosts breaks off: %w", unexpected(err))
		}
		r, err := decodeListed(raw, c.entries)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("the list of proxy hosts breaks off: %w", unexpected(err))
	}
	if err := ended(dec); err != nil {
		return nil, fmt.Errorf("the list of proxy hosts: %w", err)
	}
	return rows, nil
}

func decodeListed(raw []byte, known map[int]entry) (listed, error) {
	h, err := decodeRow(raw)
	if err != nil {
		return listed{}, err
	}
	r := listed{host: h, entry: entry{raw: sha256.Sum256(raw)}}
	have, ok := known[h.ID]
	if ok && have.raw == r.raw {
		r.entry, r.same = have, true
		return r, nil
	}
	r.canonical, err = canonical(raw)
	r.same = ok && have.canonical == r.canonical
	return r, err
}

// take makes a complete list the cache, and returns what changed. Before the
// first list nothing is known to have changed.
func (c *Client) take(rows []listed) []api.Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.hosts == nil
	if first {
		c.hosts = api.NewNPM(nil)
	}
	var changed []int
	entries := make(map[int]entry, len(rows))
	for _, r := range rows {
		entries[r.host.ID] = r.entry
		if !r.same {
			c.hosts.SetHost(c.doubt(r.host))
			changed = append(changed, r.host.ID)
		}
	}
	for id := range c.entries {
		if _, still := entries[id]; !still {
			c.hosts.RemoveHost(id)
			delete(c.unsure, id)
			changed = append(changed, id)
		}
	}
	c.entries = entries
	if first {
		return nil
	}
	return keysOf(changed)
}

func keysOf(changed []int) []api.Key {
	if len(changed) > manyChanged {
		return []api.Key{api.SystemKey()}
	}
	slices.Sort(changed)
	keys := make([]api.Key, 0, len(changed))
	for _, id := range slices.Compact(changed) {
		keys = append(keys, api.HostKey(id))
	}
	return keys
}

// get reads one row, and reports whether the cache had another one. A missing
// row is forgotten and an ErrGone.
func (c *Client) get(ctx context.Context, id int) (h *api.ProxyHost, changed bool, err error) {
	var raw json.RawMessage
	r := request{method: http.MethodGet, path: hostPath(id), timeout: otherTimeout}
	err = c.authorized(ctx, r, into(&raw))
	if isMissing(err) {
		return nil, c.forget(id), fmt.Errorf("proxy host %d: %w", id, ErrGone)
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading proxy host %d: %w", id, err)
	}
	return c.learn(id, raw, false)
}

func isMissing(err error) bool {
	var answer *APIError
	return errors.As(err, &answer) && answer.missing()
}

// learn takes over a row from an answer, and reports whether the cache had
// another one. The answer to a write holds nginx's verdict on that write; a
// row that was merely read may hold an older one.
func (c *Client) learn(id int, raw []byte, verdict bool) (h *api.ProxyHost, changed bool, err error) {
	h, err = decodeRow(raw)
	if err == nil && h.ID != id {
		err = fmt.Errorf("the answer is about proxy host %d", h.ID)
	}
	var now digest
	if err == nil {
		now, err = canonical(raw)
	}
	if err != nil {
		return nil, false, fmt.Errorf("proxy host %d: %w", id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if verdict && !offline(h) {
		delete(c.unsure, id)
	}
	if c.hosts == nil {
		return h, false, nil
	}
	changed = c.entries[id].canonical != now
	c.entries[id] = entry{canonical: now}
	c.hosts.SetHost(c.doubt(h))
	return h, changed, nil
}

// forget drops a host from the cache, and reports whether it was there.
func (c *Client) forget(id int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.unsure, id)
	if _, had := c.entries[id]; !had {
		return false
	}
	c.hosts.RemoveHost(id)
	delete(c.entries, id)
	return true
}
