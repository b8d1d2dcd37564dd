package npm

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/no502/no502/api"
)

// unsure is a host of which NPM may hold what nginx does not: the answer to a
// write of ours was an error or got lost, or nginx rejected it and what was
// there before as well, or NPM wrote it without its access list. Its row may
// claim to be online all the same. Run saves such hosts again, with growing
// pauses, until NPM answers clearly: nobody else would, since the row says what
// was wanted.
type unsure struct {
	created string // when NPM made the host: its number may mean another one later
	next    time.Time
	pause   *backoff.ExponentialBackOff
}

// unsureErr stands for nginx's verdict while that is not known.
const unsureErr = "NPM gave no clear answer to the last write; nginx may not have this yet"

// doubt shows an unsure host as what it is. The caller holds mu.
func (c *Client) doubt(h *api.Host) *api.Host {
	u := c.unsure[h.Key()]
	if u == nil {
		return h
	}
	if u.created == "" {
		u.created = created(h)
	}
	if u.created != created(h) {
		delete(c.unsure, h.Key())
		return h
	}
	if offline(h) {
		return h
	}
	doubtful := *h
	doubtful.Online, doubtful.NginxErr = nil, unsureErr
	return &doubtful
}

// created is when NPM made a host, as it says; empty where it does not.
func created(h *api.Host) string {
	var row struct {
		Created flexString `json:"created_on"`
	}
	_ = json.Unmarshal(h.Raw, &row) // it was a row when it was read
	return string(row.Created)
}

func (c *Client) isUnsure(key api.Key) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.unsure[key] != nil
}

// doubted makes a host unsure, or its pause longer.
func (c *Client) doubted(key api.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.unsure[key]
	if u == nil {
		u = &unsure{pause: newBackOff(time.Second, 2, 5*time.Minute)}
		c.unsure[key] = u
	}
	u.next = time.Now().Add(u.pause.NextBackOff())
	if c.hosts != nil && c.hosts.Get(key) != nil {
		c.hosts.SetHost(c.doubt(c.hosts.Get(key)))
	}
	c.nudge()
}

// mendDue are the unsure hosts whose pause is over, and the time when the next
// one's is; zero if there is none.
func (c *Client) mendDue() (keys []api.Key, next time.Time) {
	now := time.Now()
	c.mu.RLock()
	defer c.mu.RUnlock()
	for key, u := range c.unsure {
		if !u.next.After(now) {
			keys = append(keys, key)
		}
		if next.IsZero() || u.next.Before(next) {
			next = u.next
		}
	}
	slices.SortFunc(keys, compareKeys)
	return keys, next
}

// mend saves the unsure hosts again that are due.
func (c *Client) mend(ctx context.Context) {
	keys, _ := c.mendDue()
	for _, key := range keys {
		if ctx.Err() != nil {
			return
		}
		var mark api.Mark
		c.View(func(n *api.NPM) {
			if h := n.Get(key); h != nil {
				mark = h.Mark()
			}
		})
		var err error = api.ErrStale
		if mark != api.MarkOff && mark != api.MarkObserve {
			err = c.Resave(ctx, key)
		}
		switch {
		case err == nil:
			c.log.Info("saved a host again, after a write without a clear answer", "host", key.String())
			c.tell(key)
		case errors.Is(err, api.ErrStale): // deleted, disabled or marked: not ours any more
			c.drop(key)
		default:
			c.log.V(1).Info("saving a host again failed", "host", key.String(), "error", err.Error())
			c.postpone(key)
		}
	}
}

// drop forgets that a host is unsure.
func (c *Client) drop(key api.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.unsure, key)
}

// postpone sees to it that a host is not due at once again, where its write
// did not come so far as to be doubted.
func (c *Client) postpone(key api.Key) {
	c.mu.RLock()
	u := c.unsure[key]
	due := u != nil && !u.next.After(time.Now())
	c.mu.RUnlock()
	if due {
		c.doubted(key)
	}
}
