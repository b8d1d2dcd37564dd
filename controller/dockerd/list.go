package dockerd

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"golang.org/x/sync/errgroup"

	"github.com/no502/no502/api"
)

// inspections is how many containers are inspected at a time.
const inspections = 4

// errNoList: an empty list is "[]"; null comes from something broken.
var errNoList = errors.New("the answer is null, not a list")

// Refresh lists everything again. After an error the cache is as it was.
func (e *Engine) Refresh(ctx context.Context) error {
	e.agenda.calm()
	l := listing{began: e.cache.begin(), inspected: map[string]uint64{}}
	var rows []container.Summary
	err := e.call(ctx, "list the Docker Engine's containers", func(ctx context.Context) (err error) {
		rows, err = e.docker.ContainerList(ctx, container.ListOptions{All: true})
		if err == nil && rows == nil {
			return errNoList
		}
		return err
	})
	if err != nil {
		return err
	}
	// Networks after containers, so that the networks named there are known.
	err = e.call(ctx, "list the Docker Engine's networks", func(ctx context.Context) error {
		all, err := e.docker.NetworkList(ctx, network.ListOptions{})
		if err == nil && all == nil {
			return errNoList
		}
		for _, n := range all {
			l.networks = append(l.networks, fromNetwork(n))
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := e.describe(ctx, rows, &l); err != nil {
		return err
	}
	e.cache.swap(l)
	return nil
}

// describe turns the rows into containers, inspecting those that are worth it.
func (e *Engine) describe(ctx context.Context, rows []container.Summary, l *listing) error {
	nets := namesIn(api.NewEngine(nil, l.networks))
	found := make([]*api.Container, len(rows))
	began := make([]uint64, len(rows))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(inspections)
	for i, row := range rows {
		found[i] = e.labelled(fromSummary(row, nets))
		if !e.worth(found[i]) {
			continue
		}
		group.Go(func() error {
			number := e.cache.begin()
			c, err := e.inspect(ctx, row.ID, nets)
			switch {
			case errdefs.IsNotFound(err):
				found[i] = nil // it went since the list was made
			case isAnswer(err):
				// One container that the Engine cannot describe must not
				// stop the others: its row stays, and is tried again.
				e.failed(task{containerTask, row.ID}, err)
			case err != nil:
				return err
			default:
				found[i], began[i] = c, number
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, c := range found {
		if c == nil {
			continue
		}
		l.containers = append(l.containers, c)
		if began[i] != 0 {
			l.inspected[c.ID] = began[i]
		}
	}
	return nil
}

// worth tells whether a row of the list is to be inspected.
func (e *Engine) worth(c *api.Container) bool {
	if e.opts.Inspect == nil || e.opts.Inspect(c.Labels) {
		return true
	}
	known := false
	e.cache.view(func(now *api.Engine) {
		before := now.Container(c.ID)
		known = before != nil && before.Inspected
	})
	return known
}

// labelled adds what the labels say.
func (e *Engine) labelled(c *api.Container) *api.Container {
	if e.opts.Describe != nil {
		e.opts.Describe(c)
	}
	return c
}

// inspectInto inspects a container into the cache. It reports false if what
// it saw was overtaken by a later observation.
func (e *Engine) inspectInto(ctx context.Context, id string) (kept bool, err error) {
	began := e.cache.begin()
	c, err := e.inspect(ctx, id, e.cachedNames)
	if errdefs.IsNotFound(err) {
		return e.cache.remove(id, began), nil
	}
	if err != nil {
		return false, err
	}
	return e.cache.keep(id, began, func(now *api.Engine) { now.SetContainer(c) }), nil
}

func (e *Engine) inspect(ctx context.Context, id string, nets networkNames) (*api.Container, error) {
	var c *api.Container
	err := e.call(ctx, "inspect container "+id, func(ctx context.Context) error {
		answer, err := e.docker.ContainerInspect(ctx, id)
		if err != nil {
			return err
		}
		c = fromInspect(answer, nets)
		c.Env = e.env(answer)
		c = e.labelled(c)
		if c.ID != id {
			return errAnotherContainer
		}
		return nil
	})
	return c, err
}

// env are the environment variables that may be kept.
func (e *Engine) env(answer container.InspectResponse) map[string]string {
	if e.opts.Env == nil || answer.Config == nil {
		return nil
	}
	kept := map[string]string{}
	for _, entry := range answer.Config.Env {
		if name, value, _ := strings.Cut(entry, "="); e.opts.Env(name) {
			kept[name] = value
		}
	}
	return kept
}

func (e *Engine) inspectNetwork(ctx context.Context, ref string) (*api.Network, error) {
	var n *api.Network
	err := e.call(ctx, "inspect network "+ref, func(ctx context.Context) error {
		answer, err := e.docker.NetworkInspect(ctx, ref, network.InspectOptions{})
		n = fromNetwork(answer)
		return err
	})
	return n, err
}

var errAnotherContainer = errors.New("the Docker Engine describes another container")

// isAnswer tells that the Engine did answer, but with nothing of use.
func isAnswer(err error) bool {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	return errdefs.IsInternal(err) || errors.Is(err, errAnotherContainer) ||
		errors.As(err, &syntax) || errors.As(err, &kind)
}

// namesIn finds networks in an Engine.
func namesIn(now *api.Engine) networkNames {
	return func(ref string) (id, name string, ok bool) {
		n := now.Network(ref)
		if n == nil {
			n = now.NetworkByName(ref)
		}
		if n == nil {
			return "", "", false
		}
		return n.ID, n.Name, true
	}
}

// cachedNames finds networks in the cache.
func (e *Engine) cachedNames(ref string) (id, name string, ok bool) {
	e.cache.view(func(now *api.Engine) { id, name, ok = namesIn(now)(ref) })
	return id, name, ok
}
