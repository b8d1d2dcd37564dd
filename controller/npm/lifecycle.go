package npm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

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
	err = c.inTurn(ctx, func() (foreign []api.Key, err error) {
		ctx, cancel := lasting(ctx)
		defer cancel()
		made, foreign, err = c.create(ctx, domains, to, fields)
		return foreign, err
	})
	return made, err
}

func (c *Client) create(ctx context.Context, domains []string, to api.Endpoint, fields map[string]any) (*api.ProxyHost, []api.Key, error) {
	var answer struct {
		ID flexInt `json:"id"`
	}
	r := request{method: http.MethodPost, path: hostsPath, body: fields, timeout: writeTimeout}
	err := c.authorized(ctx, r, into(&answer))
	if err != nil && !unclear(err) {
		return nil, nil, fmt.Errorf("a proxy host for %q: %w", domains, err)
	}
	if err != nil {
		return c.createdAnyway(ctx, domains[0], to, err)
	}
	made, _, err := c.get(ctx, int(answer.ID))
	if err == nil && offline(made) {
		err = &RejectedError{Host: made.ID, To: to, NginxErr: made.NginxErr}
	}
	return made, nil, err
}

// createdAnyway looks for a host whose making got no clear answer.
func (c *Client) createdAnyway(ctx context.Context, domain string, to api.Endpoint, cause error) (made *api.ProxyHost, foreign []api.Key, err error) {
	foreign, err = c.list(ctx)
	if err != nil {
		return nil, foreign, &OutcomeError{Err: cause}
	}
	c.View(func(n *api.NPM) {
		for _, id := range n.ByDomain(domain) {
			if h := n.Host(id); h.Ownership != nil && h.Ownership.Wrote == to {
				made = h
			}
		}
	})
	if made == nil {
		return nil, foreign, &OutcomeError{Known: true, Err: cause}
	}
	c.doubted(made.ID)
	return made, foreign, &OutcomeError{Host: made.ID, Known: true, Kept: true, Err: cause}
}

// Enable switches a host on, and writes it once more: after enabling alone
// nginx does not enforce its access list (measured on 2.15.1 and 2.13.7). A
// host that is on stays as it is.
func (c *Client) Enable(ctx context.Context, host int) error {
	return c.toggle(ctx, host, true)
}

// Disable switches a host off; one that is off stays as it is.
func (c *Client) Disable(ctx context.Context, host int) error {
	return c.toggle(ctx, host, false)
}

// toggle switches a host. Only by these paths: a PUT of "enabled" changes the
// row and not what nginx serves.
func (c *Client) toggle(ctx context.Context, host int, on bool) error {
	return c.inTurn(ctx, func() ([]api.Key, error) {
		before, foreign, err := c.lookFirst(ctx, host)
		if err != nil || before.Enabled == on {
			return foreign, err
		}
		ctx, cancel := lasting(ctx)
		defer cancel()
		defer c.hush(host)()
		after, err := c.toggled(ctx, host, on)
		if err != nil || !on {
			return foreign, err
		}
		ch, err := unchanged(after)
		if err != nil {
			return foreign, err
		}
		return foreign, c.put(ctx, after, ch)
	})
}

// toggled makes the request, and returns the host as it is then.
func (c *Client) toggled(ctx context.Context, host int, on bool) (*api.ProxyHost, error) {
	path := hostPath(host) + "/disable"
	if on {
		path = hostPath(host) + "/enable"
	}
	var done json.RawMessage
	failed := c.authorized(ctx, request{method: http.MethodPost, path: path, timeout: writeTimeout}, into(&done))
	if failed != nil && !unclear(failed) {
		return nil, fmt.Errorf("proxy host %d: %w", host, failed)
	}
	after, _, err := c.get(ctx, host)
	if failed != nil {
		return nil, &OutcomeError{Host: host, Known: err == nil, Kept: err == nil && after.Enabled == on, Err: failed}
	}
	return after, err
}

// Delete removes a host; one that is gone is no error, nor is an error of NPM's
// after which it is gone.
func (c *Client) Delete(ctx context.Context, host int) error {
	return c.inTurn(ctx, func() ([]api.Key, error) {
		ctx, cancel := lasting(ctx)
		defer cancel()
		defer c.hush(host)()
		return nil, c.deleted(ctx, host)
	})
}

func (c *Client) deleted(ctx context.Context, host int) error {
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
}

// unclear: after such an error NPM may have done what it was asked, or not. It
// changes its row before it tests nginx's configuration.
func unclear(err error) bool {
	var answer *APIError
	var dial dialError
	return !errors.As(err, &dial) && !refused(err) && (!errors.As(err, &answer) || answer.Status >= 500)
}
