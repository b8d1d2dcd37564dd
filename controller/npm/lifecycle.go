package npm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/no502/no502/api"
)

// Create makes a proxy host for domains, with NPM's own defaults in all that
// is not said, and returns it as NPM holds it afterwards: a POST's answer lacks
// nginx's verdict. If nginx rejects it, it is there, offline: a *RejectedError.
// If NPM's answer is an error or lost, and the host is there all the same, it is
// returned with an *OutcomeError.
func (c *Client) Create(ctx context.Context, domains []string, to api.Endpoint, backend api.Identity) (made *api.ProxyHost, err error) {
	if err := checkForward(to); err != nil {
		return nil, fmt.Errorf("a proxy host for %q: %w", domains, err)
	}
	ours := api.Ownership{Instance: c.opt.Instance, Backend: backend, Origin: api.OriginDeclared, Wrote: to}
	fields := forwardFields(api.Endpoint{}, to)
	fields["domain_names"] = domains
	fields["meta"] = map[string]any{metaOurs: ours}
	err = c.alone(ctx, func(ctx context.Context) (err error) {
		made, err = c.create(ctx, domains, to, fields)
		return err
	})
	return made, err
}

func (c *Client) create(ctx context.Context, domains []string, to api.Endpoint, fields map[string]any) (*api.ProxyHost, error) {
	var answer struct {
		ID flexInt `json:"id"`
	}
	r := request{method: http.MethodPost, path: hostsPath, body: fields, timeout: writeTimeout}
	err := c.authorized(ctx, r, into(&answer))
	if err != nil && !unclear(err) {
		return nil, fmt.Errorf("a proxy host for %q: %w", domains, err)
	}
	if err != nil {
		return c.createdAnyway(ctx, domains, to, err)
	}
	made, _, err := c.get(ctx, int(answer.ID))
	if err == nil && offline(made) {
		err = &RejectedError{Host: made.ID, To: to, NginxErr: made.NginxErr}
	}
	return made, err
}

// createdAnyway looks for a host whose making got no clear answer.
func (c *Client) createdAnyway(ctx context.Context, domains []string, to api.Endpoint, cause error) (made *api.ProxyHost, err error) {
	if _, err := c.list(ctx); err != nil {
		return nil, &OutcomeError{Err: cause}
	}
	c.View(func(n *api.NPM) {
		for _, id := range n.ByDomain(domains[0]) {
			if h := n.Host(id); h.Ownership != nil && h.Ownership.Wrote == to && slices.Contains(h.Domains, domains[0]) {
				made = h
			}
		}
	})
	if made == nil {
		return nil, &OutcomeError{Known: true, Err: cause}
	}
	c.doubted(made.ID)
	return made, &OutcomeError{Host: made.ID, Known: true, Kept: true, Err: cause}
}

// Enable switches a host on, and writes it once more: after enabling alone
// nginx does not enforce its access list (measured on 2.15.1 and 2.13.7). A
// host that is on stays as it is.
func (c *Client) Enable(ctx context.Context, host int) error {
	return c.alone(ctx, func(ctx context.Context) error {
		h, err := c.toggle(ctx, host, true)
		if h == nil || err != nil {
			return err
		}
		return c.put(ctx, h, change{map[string]any{"forward_port": h.Forward.Port}, h.Forward})
	})
}

// Disable switches a host off; one that is off stays as it is.
func (c *Client) Disable(ctx context.Context, host int) error {
	return c.alone(ctx, func(ctx context.Context) error {
		_, err := c.toggle(ctx, host, false)
		return err
	})
}

// toggle switches a host and returns it as it is then; nil where there was
// nothing to do. Only by these paths: a PUT of "enabled" changes the row and
// not what nginx serves.
func (c *Client) toggle(ctx context.Context, host int, on bool) (*api.ProxyHost, error) {
	h, _, err := c.get(ctx, host)
	if err != nil || h.Enabled == on {
		return nil, err
	}
	defer c.hush(host)()
	path := hostPath(host) + "/disable"
	if on {
		path = hostPath(host) + "/enable"
	}
	var done json.RawMessage
	failed := c.authorized(ctx, request{method: http.MethodPost, path: path, timeout: writeTimeout}, into(&done))
	if failed != nil && !unclear(failed) {
		return nil, fmt.Errorf("proxy host %d: %w", host, failed)
	}
	h, _, err = c.get(ctx, host)
	if failed != nil {
		return nil, &OutcomeError{Host: host, Known: err == nil, Kept: err == nil && h.Enabled == on, Err: failed}
	}
	return h, err
}

// Delete removes a host; one that is gone is no error, nor is an error of NPM's
// after which it is gone.
func (c *Client) Delete(ctx context.Context, host int) error {
	return c.alone(ctx, func(ctx context.Context) error {
		defer c.hush(host)()
		var done json.RawMessage
		err := c.authorized(ctx, request{method: http.MethodDelete, path: hostPath(host), timeout: writeTimeout}, into(&done))
		switch {
		case err == nil, isMissing(err):
			c.forget(host)
			return nil
		case !unclear(err):
			return fmt.Errorf("proxy host %d: %w", host, err)
		}
		_, _, lookErr := c.get(ctx, host)
		if errors.Is(lookErr, ErrGone) {
			return nil
		}
		return &OutcomeError{Host: host, Known: lookErr == nil, Err: err}
	})
}

// alone does something as the only one that writes meanwhile, and lets it
// finish within the grace once its caller gave up.
func (c *Client) alone(ctx context.Context, do func(context.Context) error) error {
	if err := c.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer c.turn.Release(1)
	ctx, cancel := lasting(ctx)
	defer cancel()
	return do(ctx)
}

// unclear: after such an error NPM may have done what it was asked, or not. It
// changes its row before it tests nginx's configuration.
func unclear(err error) bool {
	var answer *APIError
	var dial dialError
	return !errors.As(err, &dial) && !refused(err) && (!errors.As(err, &answer) || answer.Status >= 500)
}
