package npm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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

// Patch rewrites where a proxy host forwards to, and nothing else, and notes
// in its meta what for. It reads the host first: if it no longer forwards to
// from, that is an api.ErrStale; a deleted host is an ErrGone, a disabled one an
// ErrDisabled (both are that as well). If nginx rejects what it accepted
// before, the host is restored: a *RejectedError. If NPM's answer is an error
// or lost: an *OutcomeError. An endpoint that must not reach NPM is an
// ErrInvalidForward, and not written. from and to being equal, nothing is done.
// A host that nginx rejected already is rewritten all the same, and still being
// rejected is no error.
func (c *Client) Patch(ctx context.Context, host int, from, to api.Endpoint, backend api.Identity) error {
	if err := checkForward(to); err != nil {
		return fmt.Errorf("proxy host %d: %w", host, err)
	}
	if from == to {
		return nil
	}
	return c.write(ctx, host, func(before *api.ProxyHost) (change, error) {
		previous := before.Forward
		if previous == to && c.isUnsure(host) {
			// Our own write, whose outcome was not clear: once more, in full.
			previous = api.Endpoint{}
		} else if previous != from {
			return change{}, fmt.Errorf("proxy host %d forwards to %s, not to %s: %w", host, previous, from, api.ErrStale)
		}
		ours, err := json.Marshal(c.ownership(before, from, to, backend))
		meta := metaToSend(before)
		meta[metaOurs] = ours
		fields := forwardFields(previous, to)
		fields["meta"] = meta
		return change{fields, to}, err
	})
}

// Resave writes a host as it is, which makes nginx look up its names anew.
// Its errors are those of Patch; nginx still rejecting what it rejected before
// is a *RejectedError as well.
func (c *Client) Resave(ctx context.Context, host int) error {
	return c.write(ctx, host, unchanged)
}

// unchanged writes a host as it is.
func unchanged(h *api.ProxyHost) (change, error) {
	if h.Forward.Port == 0 {
		return change{}, fmt.Errorf("proxy host %d: its forward port is not a number", h.ID)
	}
	return change{map[string]any{"forward_port": h.Forward.Port}, h.Forward}, nil
}

// ownership is what is noted in a host's meta. Was is written once, so that
// it stays what the user had; a host that no502 made has none.
func (c *Client) ownership(before *api.ProxyHost, from, to api.Endpoint, backend api.Identity) api.Ownership {
	ours := api.Ownership{Instance: c.opt.Instance, Backend: backend, Origin: api.OriginRepaired, Wrote: to, Was: &from}
	if old := before.Ownership; old != nil {
		if old.Origin != "" {
			ours.Origin = old.Origin
		}
		if old.Was != nil || ours.Origin != api.OriginRepaired {
			ours.Was = old.Was
		}
	}
	return ours
}

// forwardFields are the fields in which two endpoints differ, as in to.
func forwardFields(from, to api.Endpoint) map[string]any {
	fields := map[string]any{}
	if from.Scheme != to.Scheme {
		fields["forward_scheme"] = to.Scheme
	}
	if from.Host != to.Host {
		fields["forward_host"] = to.Host
	}
	if from.Port != to.Port {
		fields["forward_port"] = to.Port
	}
	return fields
}

// change is what to write to a host, and where it then forwards to.
type change struct {
	fields map[string]any
	to     api.Endpoint
}

// write reads a host, asks what to change, and changes it, as the only one
// that writes meanwhile.
func (c *Client) write(ctx context.Context, host int, plan func(before *api.ProxyHost) (change, error)) error {
	return c.inTurn(ctx, func() ([]api.Key, error) { return c.writeNext(ctx, host, plan) })
}

// writeNext is write, by the holder of the turn. It names the host if others had
// changed it.
func (c *Client) writeNext(ctx context.Context, host int, plan func(before *api.ProxyHost) (change, error)) (foreign []api.Key, err error) {
	before, foreign, err := c.lookFirst(ctx, host)
	if err != nil {
		return foreign, err
	}
	if !before.Enabled {
		return foreign, fmt.Errorf("proxy host %d: %w", host, ErrDisabled)
	}
	ch, err := plan(before)
	if err != nil {
		return foreign, err
	}
	if err := ctx.Err(); err != nil {
		return foreign, err
	}
	return foreign, c.put(ctx, before, ch)
}

// lookFirst reads a host that is to be changed, and names it if others had
// changed it since it was last seen.
func (c *Client) lookFirst(ctx context.Context, host int) (before *api.ProxyHost, foreign []api.Key, err error) {
	before, changed, err := c.get(ctx, host)
	if changed {
		foreign = []api.Key{api.HostKey(host)}
	}
	return before, foreign, err
}

// put makes a change, and sees it through to a known end.
func (c *Client) put(ctx context.Context, before *api.ProxyHost, ch change) error {
	ctx, cancel := lasting(ctx)
	defer cancel()
	defer c.hush(before.ID)()

	theirs := offline(before) && !c.isUnsure(before.ID) // offline, and not for a write of ours
	after, err := c.send(ctx, before.ID, ch.fields)
	if err != nil {
		return c.failed(ctx, before.ID, ch, err)
	}
	moved := after.Forward != before.Forward
	if !offline(after) || theirs && moved {
		return nil
	}
	rejected := &RejectedError{Host: before.ID, To: after.Forward, NginxErr: after.NginxErr}
	switch {
	case theirs: // and saving it again was no cure
	case moved && !offline(before):
		rejected.Err = c.restore(ctx, before)
		rejected.Restored = rejected.Err == nil
	default:
		c.doubted(before.ID)
	}
	return rejected
}

// lasting outlives a context by the grace.
func lasting(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() { time.AfterFunc(grace, cancel) })
	return ctx, func() { stop(); cancel() }
}

// send is the bare PUT; its answer goes into the cache.
func (c *Client) send(ctx context.Context, id int, body map[string]any) (*api.ProxyHost, error) {
	var raw json.RawMessage
	r := request{method: http.MethodPut, path: hostPath(id), body: body, timeout: writeTimeout}
	if err := c.authorized(ctx, r, into(&raw)); err != nil {
		return nil, err
	}
	h, _, err := c.learn(id, raw, true)
	return h, err
}

// offline: nginx did not accept the last write.
func offline(h *api.ProxyHost) bool { return h.Online != nil && !*h.Online }

// restore puts back what a rejected write replaced, meta included: the row is
// to say nothing of what did not happen. nginx removed the host's file, so
// this is worth some patience.
func (c *Client) restore(ctx context.Context, before *api.ProxyHost) error {
	fields := forwardFields(api.Endpoint{}, before.Forward)
	fields["meta"] = metaToSend(before)
	var err error
	for try := range restoreTries {
		if try > 0 && !sleep(ctx, restorePause) {
			break
		}
		var after *api.ProxyHost
		after, err = c.send(ctx, before.ID, fields)
		if err == nil && !offline(after) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("nginx rejects that as well: %s", oneLine(after.NginxErr))
		}
		if isMissing(err) {
			c.forget(before.ID)
			return err
		}
	}
	c.doubted(before.ID)
	return err
}

// failed finds out what became of a write that got no clear answer: NPM
// changes its row before it tests nginx's configuration, so that an error may
// have changed it.
func (c *Client) failed(ctx context.Context, id int, ch change, err error) error {
	switch {
	case isMissing(err):
		c.forget(id)
		return fmt.Errorf("proxy host %d: %w", id, ErrGone)
	case !unclear(err):
		return fmt.Errorf("writing proxy host %d: %w", id, err)
	}
	outcome := &OutcomeError{Host: id, Err: err}
	now, _, lookErr := c.get(ctx, id)
	switch {
	case errors.Is(lookErr, ErrGone):
		return lookErr
	case lookErr == nil:
		outcome.Known, outcome.Kept = true, now.Forward == ch.to
	}
	if outcome.Kept || !outcome.Known {
		c.doubted(id)
	}
	return outcome
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
