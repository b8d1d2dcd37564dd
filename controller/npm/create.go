package npm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/no502/no502/api"
)

// Create makes a host, with NPM's own defaults in all that is not said, and
// returns its key. If NPM has one already that belongs to the same route of the
// same service, or serves one of its domains or ports, that is
// an api.ErrStale: NPM itself would take two streams on one port. It is read
// afterwards: a POST's answer lacks nginx's verdict. If nginx rejects it, it is
// there, offline: a *RejectedError. If NPM's answer is an error or lost, and the
// host is there all the same, its key comes with an *OutcomeError.
func (c *Client) Create(ctx context.Context, k api.Kind, fields api.Fields, own api.Ownership) (made api.Key, err error) {
	key := api.Key{Kind: k} // that of the next one
	if _, known := kinds[k]; !known {
		return api.Key{}, fmt.Errorf("%s is no kind of host", k)
	}
	if err := check(k, nil, fields); err != nil {
		return api.Key{}, fmt.Errorf("a new %s: %w", kinds[k].noun, err)
	}
	err = c.inTurn(ctx, func() ([]api.Key, error) {
		foreign, err := c.look(ctx, listOf(k))
		if err == nil {
			err = c.taken(k, fields, own)
		}
		if err == nil {
			err = c.protects(ctx, fields)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return foreign, err
		}
		ctx, cancel := lasting(ctx)
		defer cancel()
		defer c.hush(key)()
		var news []api.Key
		made, news, err = c.create(ctx, k, fields, own)
		return append(foreign, news...), err
	})
	return made, err
}

// taken says what stands in the way of a new host.
func (c *Client) taken(k api.Kind, fields api.Fields, own api.Ownership) (err error) {
	c.View(func(n *api.NPM) {
		names := fields.Strings(api.FieldDomains)
		if k == api.KindStream {
			names = api.StreamNames(fields.Int(api.FieldIncoming), fields.Bool(api.FieldTCP), fields.Bool(api.FieldUDP))
		}
		for _, one := range names {
			if h := n.Serving(one); h != nil {
				err = fmt.Errorf("%s serves %s already: %w", name(h.Key()), one, api.ErrStale)
			}
		}
		for _, h := range n.OfKind(k) {
			owner := h.Owner()
			if owner.Service != "" && owner.Service == own.Service && owner.Route == own.Route && h.Ownership.Instance == own.Instance {
				err = fmt.Errorf("%s belongs to %s already: %w", name(h.Key()), own.Service, api.ErrStale)
			}
		}
	})
	return err
}

// create asks NPM for the host, and sees to what came of it.
func (c *Client) create(ctx context.Context, k api.Kind, fields api.Fields, own api.Ownership) (api.Key, []api.Key, error) {
	body := change{fields: fields}.body()
	if fields.Int(api.FieldCertificate) == 0 {
		delete(body, api.FieldCertificate) // NPM takes a 0 for a certificate
	}
	body["meta"] = map[string]any{metaOurs: own}
	var answer struct {
		ID flexInt `json:"id"`
	}
	r := request{method: http.MethodPost, path: kinds[k].path, body: body, timeout: writeTimeout}
	err := c.authorized(ctx, r, into(&answer))
	if err == nil && answer.ID <= 0 {
		err = errors.New("the answer holds no id")
	}
	var refusal *APIError
	switch {
	case err == nil:
		made := keyOf(k, int(answer.ID))
		return made, nil, c.created(ctx, made)
	case errors.As(err, &refusal) && refusal.inUse():
		foreign, err := c.inUse(ctx, refusal, func() error { return c.taken(k, fields, own) })
		return api.Key{}, foreign, fmt.Errorf("a new %s: %w", kinds[k].noun, err)
	case !unclear(err):
		return api.Key{}, nil, fmt.Errorf("a new %s: %w", kinds[k].noun, err)
	}
	return c.createdAnyway(ctx, k, fields, own, err)
}

// inUse says by whom a domain is in use, where NPM says that it is: taken finds
// that out among what can be seen.
func (c *Client) inUse(ctx context.Context, refusal *APIError, taken func() error) (foreign []api.Key, err error) {
	foreign, err = c.look(ctx, lists()...)
	if err == nil {
		err = taken()
	}
	if err == nil {
		err = hiddenError{refusal, c.session.name()}
	}
	return foreign, err
}

// createdAnyway looks for a host whose making got no clear answer.
func (c *Client) createdAnyway(ctx context.Context, k api.Kind, fields api.Fields, own api.Ownership, cause error) (made api.Key, foreign []api.Key, err error) {
	foreign, err = c.look(ctx, listOf(k))
	if err != nil {
		return api.Key{}, foreign, &OutcomeError{Host: api.Key{Kind: k}, Err: cause}
	}
	c.View(func(n *api.NPM) {
		for _, h := range n.OfKind(k) {
			if known, err := remembers(h, &own); known && err == nil && len(fields.Differing(ordered(h.Fields()))) == 0 {
				made = h.Key()
			}
		}
	})
	if made.ID == "" {
		return api.Key{}, foreign, &OutcomeError{Host: api.Key{Kind: k}, Known: true, Err: cause}
	}
	c.doubted(made)
	foreign = slices.DeleteFunc(foreign, func(key api.Key) bool { return key == made })
	return made, foreign, &OutcomeError{Host: made, Known: true, Kept: true, Err: cause}
}

// created sees whether nginx accepts a new host.
func (c *Client) created(ctx context.Context, made api.Key) error {
	h, _, err := c.get(ctx, made)
	switch {
	case errors.Is(err, ErrGone):
		return err
	case err != nil:
		c.doubted(made)
		return &OutcomeError{Host: made, Err: err}
	case offline(h):
		c.doubted(made)
		return &RejectedError{Host: made, NginxErr: h.NginxErr}
	}
	return nil
}
