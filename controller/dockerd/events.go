package dockerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"github.com/no502/no502/api"
)

// Events come in groups, and the last of a group is worth the inspection.
const (
	// settle is for events that more follow within milliseconds. When a
	// container ends: die, then a disconnect per network (0.25 s later).
	settle = 300 * time.Millisecond
	// starting is for a connect to a container that is not running: it is
	// being started (connecting a stopped one makes no event). The start event
	// follows within a second, unless it fails, which a disconnect tells.
	starting = 5 * time.Second
)

// actions are the events that may change what is cached, the rest never
// leaves the Engine: health checks alone make three exec events a round.
// "died" and "remove" are Podman's words for "die" and "destroy".
var actions = []string{
	"create", "start", "die", "died", "destroy", "remove", "rename",
	"pause", "unpause", "health_status", "oom", "connect", "disconnect",
}

// stream is a subscription to the Engine's events.
type stream struct {
	messages <-chan events.Message
	errs     <-chan error
	cancel   context.CancelFunc
}

// subscribe asks for all events from now on, by the Engine's own clock. The
// Engine answers before it subscribes, so what happens in between is lost
// unless "since" asks for it (Engine 20.10); it replays at most 256 events,
// and the list that follows makes good for the rest.
func (e *Engine) subscribe(ctx context.Context) (*stream, error) {
	since, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(callTimeout, cancel)
	e.http.streams.Store(false)
	s := &stream{cancel: cancel}
	s.messages, s.errs = e.docker.Events(ctx, events.ListOptions{
		Since:   fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond()),
		Filters: eventFilters(),
	})
	if !late.Stop() {
		s.close()
		return nil, fmt.Errorf("subscribe to the Docker Engine's events: no answer within %v", callTimeout)
	}
	if e.http.streams.Load() {
		return s, nil
	}
	err = <-s.errs
	s.close()
	return nil, fmt.Errorf("subscribe to the Docker Engine's events: %w", e.explain(orEnded(err)))
}

// close ends the stream and waits for the client's goroutine.
func (s *stream) close() {
	s.cancel()
	for range s.errs { // the client closes it when it is done
	}
}

func eventFilters() filters.Args {
	args := filters.NewArgs(
		filters.Arg("type", string(events.ContainerEventType)),
		filters.Arg("type", string(events.NetworkEventType)))
	for _, a := range actions {
		args.Add("event", a)
	}
	return args
}

// now is the Engine's clock, never ahead of it. It also agrees on the API's
// version anew: another Engine may have come back.
func (e *Engine) now(ctx context.Context) (time.Time, error) {
	err := e.call(ctx, "reach the Docker Engine", func(ctx context.Context) error {
		ping, err := e.docker.Ping(ctx)
		if err == nil {
			e.docker.NegotiateAPIVersionPing(ping)
		}
		return err
	})
	if err != nil {
		return time.Time{}, err
	}
	if now, ok := e.http.now(); ok {
		return now, nil
	}
	return time.Now().Add(-time.Minute), nil
}

// read handles events until the stream breaks, and returns why. It must never
// wait: the Engine drops the events of a reader that is slow.
func (e *Engine) read(ctx context.Context, s *stream, notify func(api.Key)) error {
	defer s.close()
	for {
		select {
		case m := <-s.messages:
			e.handle(m, notify)
		case err := <-s.errs:
			return fmt.Errorf("follow the Docker Engine's events: %w", orEnded(err))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var errStreamEnded = errors.New("the stream ended")

func orEnded(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return errStreamEnded
	}
	return err
}

// handle notes what an event means for the cache.
func (e *Engine) handle(m events.Message, notify func(api.Key)) {
	switch id := m.Actor.ID; {
	case id == "":
	case m.Type == events.ContainerEventType:
		e.handleContainer(id, string(m.Action), notify)
	case m.Type == events.NetworkEventType:
		e.handleNetwork(id, m.Actor.Attributes["container"], string(m.Action), notify)
	}
}

func (e *Engine) handleContainer(id, action string, notify func(api.Key)) {
	t := task{containerTask, id}
	switch action, _, _ := strings.Cut(action, ":"); action {
	case "destroy", "remove":
		e.agenda.drop(t)
		e.cache.remove(id, e.cache.begin())
		notify(api.ContainerKey(id))
	case "die", "died", "oom":
		e.agenda.add(t, settle, always)
	case "create", "start", "rename", "pause", "unpause", "health_status":
		e.agenda.add(t, 0, e.cache.begin())
	}
}

func (e *Engine) handleNetwork(id, container, action string, notify func(api.Key)) {
	t := task{networkTask, id}
	switch action {
	case "create":
		// A network never changes: one that is known needs no inspection.
		known := false
		e.cache.view(func(now *api.Engine) { known = now.Network(id) != nil })
		if !known {
			e.agenda.add(t, 0, e.cache.begin())
		}
	case "destroy", "remove":
		e.agenda.drop(t)
		e.cache.remove(id, e.cache.begin())
		notify(api.SystemKey())
	case "connect":
		if container != "" && !e.own.swallow(endpoint{id, container}) {
			e.agenda.add(task{containerTask, container}, e.connectDelay(container), always)
		}
	case "disconnect":
		if container != "" {
			e.own.forget(endpoint{id, container})
			e.agenda.add(task{containerTask, container}, settle, always)
		}
	}
}

// connectDelay is how long to wait for the rest of what connected a container.
func (e *Engine) connectDelay(id string) time.Duration {
	delay := settle
	e.cache.view(func(now *api.Engine) {
		if c := now.Container(id); c != nil && has(c.State.Status, api.Created, api.Exited, api.Restarting) {
			delay = starting
		}
	})
	return delay
}

// inspectNetworkInto inspects a network into the cache. It may have been
// overtaken there, but networks do not change.
func (e *Engine) inspectNetworkInto(ctx context.Context, id string) (kept bool, err error) {
	began := e.cache.begin()
	n, err := e.inspectNetwork(ctx, id)
	if errdefs.IsNotFound(err) {
		e.cache.remove(id, began)
		return true, nil
	}
	if err != nil {
		return false, err
	}
	e.cache.keep(id, began, func(now *api.Engine) { setNetwork(now, n) })
	return true, nil
}
