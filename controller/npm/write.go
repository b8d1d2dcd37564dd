package npm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/no502/no502/api"
)

const (
	// settle is how long after a write's answer the file events of its host
	// are still taken for our own.
	settle = 250 * time.Millisecond
	// grace is how much longer a write may take once its caller gave up: half
	// done, it may leave a host offline.
	grace = 5 * time.Second
	// restorePause precedes each further attempt at restoring a host.
	restorePause = 500 * time.Millisecond
	restoreTries = 3
)

// Patch writes the fields of to in which it and a host's row differ, and own
// into meta.no502 (nil: removes that). Where neither differs nothing is written.
// It reads the host first: if that does not say what from says, that is an
// api.ErrStale; a deleted host is an ErrGone, a disabled one an ErrDisabled (both
// are that as well). If nginx rejects what it accepted before, the host is
// restored: a *RejectedError. If NPM's answer is an error or lost: an
// *OutcomeError. Values that must not reach NPM are an ErrInvalid, and not
// written. A host that nginx rejected already is rewritten all the same, and
// still being rejected is no error.
func (c *Client) Patch(ctx context.Context, key api.Key, from, to api.Fields, own *api.Ownership) error {
	if err := c.checkChange(key, from, to); err != nil {
		return err
	}
	return c.having(ctx, key, func(ctx context.Context, before *api.Host) error {
		if !before.Enabled {
			return fmt.Errorf("%s: %w", name(key), ErrDisabled)
		}
		ch, err := c.changes(before, from, to, own)
		if err != nil || ch.empty() {
			return err
		}
		if err := c.protects(ctx, ch.fields); err != nil {
			return err
		}
		return c.put(ctx, before, ch)
	})
}

// protects makes sure that the access list is there that fields name: NPM takes
// any number, and lets everybody in by one that it does not have. A list that
// is gone is an api.ErrStale.
func (c *Client) protects(ctx context.Context, fields api.Fields) error {
	id := fields.Int(api.FieldAccessList)
	if id == 0 {
		return nil
	}
	news, err := c.look(ctx, list{path: accessListsPath})
	if err != nil {
		return err
	}
	c.tell(news...)
	there := false
	c.View(func(n *api.NPM) {
		there = n.AccessLists == nil || slices.ContainsFunc(n.AccessLists, func(l api.AccessList) bool { return l.ID == id })
	})
	if !there {
		return fmt.Errorf("NPM has no access list %d any more: %w", id, api.ErrStale)
	}
	return nil
}

// Resave writes a host as it is, which makes nginx look up its names anew.
// Its errors are those of Patch; nginx still rejecting what it rejected before
// is a *RejectedError as well.
func (c *Client) Resave(ctx context.Context, key api.Key) error {
	return c.having(ctx, key, c.save)
}

func (c *Client) save(ctx context.Context, h *api.Host) error {
	if !h.Enabled {
		return fmt.Errorf("%s: %w", name(h.Key()), ErrDisabled)
	}
	fields, err := unchanged(h)
	if err != nil {
		return err
	}
	return c.put(ctx, h, change{fields: fields, must: true})
}

// unchanged is one field as it is.
func unchanged(h *api.Host) (api.Fields, error) {
	keep := kinds[h.Key().Kind].keep
	value, ok := h.Fields()[keep]
	if !ok {
		return nil, fmt.Errorf("%s: its %s cannot be read", name(h.Key()), keep)
	}
	return api.Fields{keep: value}, nil
}

// change is what to write to a host.
type change struct {
	fields api.Fields
	meta   map[string]json.RawMessage // nil: as it is
	must   bool                       // nginx is to accept the host, even if it rejected it before
}

func (ch change) empty() bool { return len(ch.fields) == 0 && ch.meta == nil }

// body of a request. NPM does not accept null where it shows it.
func (ch change) body() map[string]any {
	body := make(map[string]any, len(ch.fields)+1)
	for field, value := range ch.fields {
		body[field] = orEmpty(value)
	}
	if ch.meta != nil {
		body["meta"] = ch.meta
	}
	return body
}

func orEmpty(value any) any {
	switch v := value.(type) {
	case []string:
		return append([]string{}, v...)
	case []api.Location:
		return append([]api.Location{}, v...)
	}
	return value
}

// changes are what is to be written to a host that is to become to, and belong
// to own.
func (c *Client) changes(before *api.Host, from, to api.Fields, own *api.Ownership) (change, error) {
	row, from, to := ordered(before.Fields()), ordered(from), ordered(to)
	ch := change{fields: to.Differing(row)}
	if len(ch.fields) == 0 && c.isUnsure(before.Key()) {
		// Our own write, whose outcome was not clear: once more, in full.
		ch.fields, from = to, from.With(to)
	}
	for _, field := range from.Names() {
		if !row.Says(field, from[field]) {
			return change{}, fmt.Errorf("%s says %s %s, not %s: %w", name(before.Key()),
				field, api.Told(field, row[field]), api.Told(field, from[field]), api.ErrStale)
		}
	}
	var err error
	ch.meta, err = metaWith(before, own)
	return ch, err
}

// ordered are fields as NPM saves them: it sorts domains.
func ordered(f api.Fields) api.Fields {
	domains := f.Strings(api.FieldDomains)
	if slices.IsSorted(domains) {
		return f
	}
	return f.With(api.Fields{api.FieldDomains: slices.Sorted(slices.Values(domains))})
}

// having reads a host, and does something to it, as the only one that writes
// meanwhile. It tells of the host if others had changed it.
func (c *Client) having(ctx context.Context, key api.Key, do func(ctx context.Context, before *api.Host) error) error {
	if err := checkKey(key); err != nil {
		return err
	}
	return c.inTurn(ctx, func() (foreign []api.Key, err error) {
		before, changed, err := c.get(ctx, key)
		if changed {
			foreign = []api.Key{key}
		}
		switch {
		case err != nil:
		case changed && (before.Mark() == api.MarkOff || before.Mark() == api.MarkObserve):
			err = fmt.Errorf("%s: its Advanced tab says by now that it is to be left alone: %w", name(key), api.ErrStale)
		default:
			err = ctx.Err()
		}
		if err != nil {
			return foreign, err
		}
		ctx, cancel := lasting(ctx)
		defer cancel()
		return foreign, do(ctx, before)
	})
}

// put makes a change, and sees it through to a known end.
func (c *Client) put(ctx context.Context, before *api.Host, ch change) error {
	key := before.Key()
	defer c.hush(key)()

	theirs := offline(before) && !c.isUnsure(key) // offline, and not for a write of ours
	moved := len(ch.fields.Differing(ordered(before.Fields()))) > 0
	after, err := c.send(ctx, key, ch.body(), moved)
	if err != nil {
		return c.failed(ctx, before, ch, err)
	}
	if !offline(after) || theirs && !ch.must {
		return nil
	}
	rejected := &RejectedError{Host: key, NginxErr: after.NginxErr}
	switch {
	case theirs: // and saving it again was no cure
	case moved && !offline(before):
		rejected.Err = c.restore(ctx, before, ch)
		rejected.Restored = rejected.Err == nil
	default:
		c.doubted(key)
	}
	return rejected
}

// lasting outlives a context by the grace.
func lasting(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() { time.AfterFunc(grace, cancel) })
	return ctx, func() { stop(); cancel() }
}

// send is the bare PUT; its answer goes into the cache. Of a 404 host NPM
// configures nginx with what the row said before, and answers without nginx's
// verdict: where it moved, only a second PUT counts.
func (c *Client) send(ctx context.Context, key api.Key, body map[string]any, moved bool) (*api.Host, error) {
	var raw json.RawMessage
	r := request{method: http.MethodPut, path: hostPath(key), body: body, timeout: writeTimeout}
	err := c.authorized(ctx, r, into(&raw))
	dead := key.Kind == api.KindDeadHost
	if err == nil && dead && moved {
		h, _, decodeErr := decodeRow(key.Kind, raw)
		if decodeErr != nil {
			return nil, decodeErr
		}
		r.body = map[string]any{api.FieldDomains: h.Domains}
		err = c.authorized(ctx, r, into(&raw))
	}
	if err == nil && dead {
		err = c.authorized(ctx, request{method: http.MethodGet, path: hostPath(key), timeout: readTimeout}, into(&raw))
	}
	if err != nil {
		return nil, err
	}
	h, _, err := c.learn(key, raw, true)
	return h, err
}

// offline: nginx did not accept the last write.
func offline(h *api.Host) bool { return h.Online != nil && !*h.Online }

// restore puts back what a rejected write replaced, meta included: the row is
// to say nothing of what did not happen. nginx removed the host's file, so
// this is worth some patience.
func (c *Client) restore(ctx context.Context, before *api.Host, ch change) error {
	key := before.Key()
	was := change{fields: ch.fields.Of(before.Fields())}
	if ch.meta != nil {
		was.meta = metaToSend(before)
	}
	var err error
	for try := range restoreTries {
		if try > 0 && !sleep(ctx, restorePause) {
			break
		}
		var after *api.Host
		after, err = c.send(ctx, key, was.body(), true)
		if err == nil && !offline(after) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("nginx rejects that as well: %s", oneLine(after.NginxErr))
		}
		if isMissing(err) {
			c.forget(key)
			return err
		}
	}
	c.doubted(key)
	return err
}

// failed finds out what became of a write that got no clear answer: NPM
// changes its row before it tests nginx's configuration, so that an error may
// have changed it.
func (c *Client) failed(ctx context.Context, before *api.Host, ch change, err error) error {
	key := before.Key()
	var refusal *APIError
	switch {
	case isMissing(err):
		c.forget(key)
		return fmt.Errorf("%s: %w", name(key), ErrGone)
	case errors.As(err, &refusal) && refusal.inUse():
		foreign, err := c.inUse(ctx, refusal, func() error { return c.others(key, ch.fields.Strings(api.FieldDomains)) })
		c.tell(foreign...)
		return fmt.Errorf("%s: %w", name(key), err)
	case !unclear(err):
		return fmt.Errorf("writing %s: %w", name(key), err)
	}
	outcome := &OutcomeError{Host: key, Err: err}
	now, _, lookErr := c.get(ctx, key)
	switch {
	case errors.Is(lookErr, ErrGone):
		return lookErr
	case lookErr == nil:
		outcome.Known, outcome.Kept = true, ch.kept(now)
	}
	if outcome.Kept || !outcome.Known {
		c.doubted(key)
	}
	return outcome
}

// others is an api.ErrStale where another host that is seen serves a domain.
func (c *Client) others(key api.Key, domains []string) (err error) {
	c.View(func(n *api.NPM) {
		for _, d := range domains {
			if h := n.Serving(d); h != nil && h.Key() != key {
				err = fmt.Errorf("%s serves %s: %w", name(h.Key()), d, api.ErrStale)
			}
		}
	})
	return err
}

// kept reports whether a row says what was to be written.
func (ch change) kept(now *api.Host) bool {
	return len(ch.fields.Differing(ordered(now.Fields()))) == 0 &&
		(ch.meta == nil || sameJSON(ch.meta[metaOurs], metaToSend(now)[metaOurs]))
}

// unclear: after such an error NPM may have done what it was asked, or not. It
// changes its row before it tests nginx's configuration.
func unclear(err error) bool {
	var answer *APIError
	var dial dialError
	return !errors.As(err, &dial) && !refused(err) && (!errors.As(err, &answer) || answer.Status >= 500)
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
