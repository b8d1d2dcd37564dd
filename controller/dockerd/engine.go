// Package dockerd is the Docker Engine: a cache of its containers and
// networks, kept true by its events, and the few changes no502 makes there.
//
// Run subscribes to the Engine's events, lists everything, and from then on
// inspects what an event names. An observation is whole or it is an error:
// what failed leaves the cache as it was, and is tried again.
package dockerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/docker/docker/client"
	"github.com/go-logr/logr"

	"github.com/no502/no502/api"
)

// callTimeout bounds one request. The Engine answers in milliseconds, but an
// inspect waits while its container is being started or stopped.
const callTimeout = 30 * time.Second

// Options of an Engine. The zero value is Docker's own environment.
type Options struct {
	// Host in the syntax of DOCKER_HOST, ssh:// included. Empty: DOCKER_HOST itself, else
	// Docker's default socket. DOCKER_CERT_PATH, DOCKER_TLS_VERIFY and
	// DOCKER_API_VERSION count in either case.
	Host string
	// DialContext replaces the connection to Host, for an Engine in-process.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// Inspect selects the containers that are worth a whole description when
	// everything is listed. Nil: all of them. A container that was named by
	// an event, or looked at, is described whole from then on.
	Inspect func(labels map[string]string) bool
	// Describe adds to a container what its labels say, before it is kept.
	// Nil: nothing.
	Describe func(*api.Container)
	// Env selects the environment variables of a container that are kept, by
	// name. Nil: none, since they hold secrets.
	Env func(name string) bool
	Log logr.Logger
}

// Engine is one Docker Engine. Its methods may be called from any goroutine.
type Engine struct {
	opts   Options
	log    logr.Logger
	host   string
	docker *client.Client
	http   *transport
	cache  cache
	agenda agenda
	own    ownEvents
	// followed: Run has a complete list, and its events.
	followed atomic.Bool
}

// Open prepares an Engine; nothing is sent yet.
func Open(opts Options) (*Engine, error) {
	e := &Engine{opts: opts, log: opts.Log, http: &transport{}}
	host, way, err := hostOptions(opts.Host)
	if err != nil {
		return nil, fmt.Errorf("open the Docker Engine: %w", err)
	}
	e.host = host
	with := append([]client.Opt{client.WithTLSClientConfigFromEnv(), client.WithVersionFromEnv()}, way...)
	if opts.DialContext != nil {
		with = append(with, client.WithDialContext(opts.DialContext))
	}
	with = append(with, client.WithAPIVersionNegotiation(), e.http.wrap)
	docker, err := client.NewClientWithOpts(with...)
	if err != nil {
		return nil, fmt.Errorf("open the Docker Engine: %w", err)
	}
	e.docker = docker
	return e, nil
}

// Close ends idle connections. Run must have returned.
func (e *Engine) Close() error {
	e.http.closeIdle()
	return nil
}

// Host is the Engine's address in the syntax of DOCKER_HOST.
func (e *Engine) Host() string { return e.host }

// Ahead is how far the Engine's clock was ahead of this one when it last answered.
func (e *Engine) Ahead() time.Duration { return time.Duration(e.http.ahead.Load()) }

// View calls f with what the Engine holds, which must not be changed and not
// be kept, though its containers and networks may. Before the first complete
// list it returns false and f is not called.
func (e *Engine) View(f func(*api.Engine)) (synced bool) { return e.cache.view(f) }

// Waits reports that Run waits for the Engine. It has said so, and lists
// everything as soon as the Engine answers.
func (e *Engine) Waits() bool { return !e.followed.Load() }

// errNotListed is the answer to questions that need a complete list first.
var errNotListed = errors.New("the Docker Engine's containers are not listed yet")

// Look inspects one container now, by its full ID, into the cache. That it is
// gone is no error: the cache then has it no more.
func (e *Engine) Look(ctx context.Context, id string) error {
	if !e.cache.synced() {
		return fmt.Errorf("look at container %s: %w", id, errNotListed)
	}
	for {
		kept, err := e.inspectInto(ctx, id)
		if kept || err != nil {
			return err
		}
	}
}

// call makes one request within its time, and says what was tried if it fails.
func (e *Engine) call(ctx context.Context, what string, f func(context.Context) error) error {
	within, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := f(within)
	if err == nil {
		return nil
	}
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return unanswered{fmt.Errorf("%s: no answer within %v: %w", what, callTimeout, err)}
	}
	explained := fmt.Errorf("%s: %w", what, e.explain(err))
	var refused *api.RefusedError
	if (client.IsErrConnectionFailed(err) || errors.Is(err, io.ErrUnexpectedEOF)) && !errors.As(err, &refused) {
		return unanswered{explained}
	}
	return explained
}

// unanswered is an api.ErrUnanswered.
type unanswered struct{ error }

func (u unanswered) Is(target error) bool { return target == api.ErrUnanswered }
func (u unanswered) Unwrap() error        { return u.error }

// wrap puts the transport under Docker's client, whose own answers hide what
// it sees. It is the last option: those before configure the base.
func (t *transport) wrap(c *client.Client) error {
	h := c.HTTPClient()
	base, ok := h.Transport.(*http.Transport)
	if !ok {
		return fmt.Errorf("unexpected transport %T", h.Transport)
	}
	t.base = base
	if base.TLSClientConfig != nil {
		// The client tells TLS from a transport that it no longer sees.
		if err := client.WithScheme("https")(c); err != nil {
			return err
		}
	}
	h.Transport = t
	return client.WithHTTPClient(h)(c)
}
