package npm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/no502/no502/api"
)

// Enable writes a host as Patch does and switches it on, in this order: what
// keeps visitors out is there before they come in. Then it is saved once more,
// since after enabling alone nginx does not enforce its access list (measured on
// 2.15.1 and 2.13.7). A host that is on is patched.
func (c *Client) Enable(ctx context.Context, key api.Key, from, to api.Fields, own *api.Ownership) error {
	if err := c.checkChange(key, from, to); err != nil {
		return err
	}
	return c.having(ctx, key, func(ctx context.Context, before *api.Host) error {
		ch, err := c.changes(before, from, to, own)
		if err != nil {
			return err
		}
		if before.Enabled {
			if ch.empty() {
				return nil
			}
			return c.put(ctx, before, ch)
		}
		defer c.hush(key)()
		if err := c.protects(ctx, ch.fields); err != nil {
			return err
		}
		if len(ch.fields) > 0 {
			first := change{fields: ch.fields}
			if _, err := c.send(ctx, key, first.body(), false); err != nil {
				return c.failed(ctx, before, first, err)
			}
		}
		on, err := c.toggled(ctx, key, true)
		if err != nil {
			return err
		}
		if key.Kind == api.KindDeadHost {
			return c.enabledDead(on)
		}
		c.doubted(key) // until the PUT came through it is not as it should be
		if ch.fields, err = unchanged(on); err != nil {
			return err
		}
		ch.must = true
		return c.put(ctx, on, ch)
	})
}

// enabledDead: a 404 host has no access list, and a PUT afterwards would take
// its certificate out of nginx's configuration.
func (c *Client) enabledDead(on *api.Host) error {
	if !offline(on) {
		return nil
	}
	c.doubted(on.Key())
	return &RejectedError{Host: on.Key(), NginxErr: on.NginxErr}
}

// Disable notes own in a host's meta (nil: removes it there), and switches the
// host off: first that it is about to, and in the end that it did, of which nginx
// hears nothing of a proxy host, and of a stream loads once more (measured on
// 2.15.1). One that is off stays as it is, unless it was to be: it is not
// no502 that did it, and NPM may crash at the second time.
func (c *Client) Disable(ctx context.Context, key api.Key, own *api.Ownership) error {
	return c.having(ctx, key, func(ctx context.Context, before *api.Host) error {
		if !before.Enabled {
			if o := before.Ownership; o == nil || !o.Disabling {
				return nil
			}
			return c.note(ctx, before, own)
		}
		about := own
		if own != nil {
			about = new(api.Ownership)
			*about = *own
			about.Disabling = true
		}
		if err := c.note(ctx, before, about); err != nil {
			return err
		}
		defer c.hush(key)()
		off, failed := c.toggled(ctx, key, false)
		if failed == nil {
			return c.note(ctx, off, own)
		}
		now, _, err := c.get(ctx, key)
		if err == nil && now.Enabled {
			// The note would look as if somebody had switched it on again.
			err = c.note(ctx, now, before.Ownership)
		}
		return errors.Join(failed, err)
	})
}

// note writes a host's meta alone. What nginx makes of it does not matter to a
// host that is to be switched off.
func (c *Client) note(ctx context.Context, before *api.Host, own *api.Ownership) error {
	meta, err := metaWith(before, own)
	if err != nil || meta == nil {
		return err
	}
	err = c.put(ctx, before, change{meta: meta})
	var rejected *RejectedError
	var outcome *OutcomeError
	if errors.As(err, &rejected) || errors.As(err, &outcome) && outcome.Kept {
		return nil
	}
	return err
}

// toggled makes the request, and returns the host as it is then. Only by these
// paths: a PUT of "enabled" changes the row and not what nginx serves.
func (c *Client) toggled(ctx context.Context, key api.Key, on bool) (*api.Host, error) {
	path := hostPath(key) + "/disable"
	if on {
		path = hostPath(key) + "/enable"
	}
	var done json.RawMessage
	failed := c.authorized(ctx, request{method: http.MethodPost, path: path, timeout: writeTimeout}, into(&done))
	if failed != nil && !unclear(failed) {
		return nil, fmt.Errorf("%s: %w", name(key), failed)
	}
	after, _, err := c.get(ctx, key)
	for try := 1; failed == nil && err == nil && after.Enabled != on && try < restoreTries && sleep(ctx, restorePause); try++ {
		after, _, err = c.get(ctx, key) // of dead hosts NPM answers before it is done
	}
	switch {
	case failed == nil && err == nil && after.Enabled != on:
		failed = errors.New("NPM did not do what it says")
	case failed != nil && err == nil && !on && !after.Enabled:
		return after, nil // nginx's files were in NPM's way, of this host or another: it is off all the same
	}
	if failed != nil {
		if on && (err != nil || after.Enabled) {
			c.doubted(key)
		}
		return nil, &OutcomeError{Host: key, Known: err == nil, Kept: err == nil && after.Enabled == on, Err: failed}
	}
	return after, err
}

// Delete removes a host that this no502 made, as the host's meta says when read
// for that; else it is an api.ErrStale. One that is gone is no error, nor is an
// error of NPM's after which it is gone.
func (c *Client) Delete(ctx context.Context, key api.Key) error {
	err := c.having(ctx, key, func(ctx context.Context, before *api.Host) error {
		own := before.OwnedBy(c.opt.Instance)
		if own == nil || own.Origin != api.OriginDeclared {
			return fmt.Errorf("%s was not made by this no502: %w", name(key), api.ErrStale)
		}
		defer c.hush(key)()
		return c.deleted(ctx, key)
	})
	if errors.Is(err, ErrGone) {
		return nil
	}
	return err
}

func (c *Client) deleted(ctx context.Context, key api.Key) error {
	var done bool
	err := c.authorized(ctx, request{method: http.MethodDelete, path: hostPath(key), timeout: writeTimeout}, into(&done))
	if err == nil && !done {
		err = errors.New("NPM does not say that it did")
	}
	switch {
	case err == nil, isMissing(err):
		c.forget(key)
		return nil
	case !unclear(err):
		return fmt.Errorf("%s: %w", name(key), err)
	}
	if _, _, lookErr := c.get(ctx, key); lookErr != nil {
		if errors.Is(lookErr, ErrGone) {
			return nil
		}
		return &OutcomeError{Host: key, Err: err}
	}
	return &OutcomeError{Host: key, Known: true, Err: err}
}
