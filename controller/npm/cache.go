package npm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/no502/no502/api"
)

// get reads one row, and reports whether the cache had another one. A missing
// row is forgotten and an ErrGone.
func (c *Client) get(ctx context.Context, key api.Key) (h *api.Host, changed bool, err error) {
	var raw json.RawMessage
	r := request{method: http.MethodGet, path: hostPath(key), timeout: readTimeout}
	err = c.authorized(ctx, r, into(&raw))
	if isMissing(err) {
		return nil, c.forget(key), fmt.Errorf("%s: %w", name(key), ErrGone)
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading %s: %w", name(key), err)
	}
	return c.learn(key, raw, false)
}

func isMissing(err error) bool {
	var answer *APIError
	return errors.As(err, &answer) && answer.missing()
}

// learn takes over a row from an answer, and reports whether the cache had
// another one. The answer to a write holds nginx's verdict on that write; a
// row that was merely read may hold an older one.
func (c *Client) learn(key api.Key, raw []byte, verdict bool) (h *api.Host, changed bool, err error) {
	h, now, err := decodeRow(key.Kind, raw)
	if err == nil && h.Key() != key {
		err = fmt.Errorf("the answer is about %s", name(h.Key()))
	}
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", name(key), err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if verdict && !offline(h) {
		delete(c.unsure, key)
	}
	if c.hosts == nil {
		return h, false, nil
	}
	if changed = c.entries[key].canonical != now; changed {
		c.outdated(key)
	}
	c.entries[key] = entry{canonical: now}
	c.hosts.SetHost(c.doubt(h))
	return h, changed, nil
}

// forget drops a host from the cache, and reports whether it was there. The next
// list is read whole: it would bring back what was forgotten by mistake. By the
// holder of the turn.
func (c *Client) forget(key api.Key) bool {
	c.outdated(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.unsure, key)
	if _, had := c.entries[key]; !had {
		return false
	}
	c.hosts.Remove(key)
	delete(c.entries, key)
	return true
}

// outdated: the last list does not tell what the cache holds any more. If somebody
// undoes what was written, the next list is like the last one, and must be read
// all the same. By the holder of the turn.
func (c *Client) outdated(key api.Key) { delete(c.etags, kinds[key.Kind].path) }
