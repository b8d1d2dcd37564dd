package dockerdtest

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"time"

	containertypes "github.com/docker/docker/api/types/container"
)

// Program is what an image runs. It gets its container's arguments, environment and network from box and
// returns the exit code. ctx ends when the container is stopped or killed; a program that does not return
// within the stop timeout is taken for killed (exit code 137), and whatever it still holds open is closed.
type Program func(ctx context.Context, box *Box) int

// Image is an image in the local store.
type Image struct {
	// Program is what containers of the image run, and what is run by exec in them.
	Program Program
	// Config is the image's configuration: Cmd, Entrypoint, Env, ExposedPorts, Labels, Healthcheck, StopSignal.
	Config containertypes.Config
}

// Options configure an Engine. The zero value is an Engine 20.10 with API 1.41.
type Options struct {
	// APIVersion is the newest version the Engine speaks; default "1.41".
	APIVersion string
	// MinAPIVersion is the oldest; default "1.24".
	MinAPIVersion string
	// Version is the Engine's own version; default "20.10.24".
	Version string
	// Hostname is the name of the host; default "docker".
	Hostname string
	// HostAddresses are the host's own addresses besides loopback and the gateways of Docker's networks,
	// each with its network's prefix; default 10.20.0.10/24.
	HostAddresses []netip.Prefix
	// Clock is the host's clock; default time.Now.
	Clock func() time.Time
	// Import turns an imported image (POST /images/create?fromSrc=-) into a program: ref is the repository and
	// tag asked for, layer the tar archive. Without it an import is refused.
	Import func(ref string, layer io.Reader) (Program, error)
}

// Engine is an in-process Docker Engine. Its methods may be called from several goroutines.
type Engine struct {
	opts Options
	mux  *http.ServeMux
	mem  *memListener

	mu         sync.Mutex
	containers map[string]*container // by id
	names      map[string]*container
	order      []*container // by creation
	networks   []*network   // by creation
	images     []*image
	execs      map[string]*execution
	published  []*binding
	machines   map[netip.Addr]*netns
	pools      poolAllocator
	nextPort   uint16
	pid        int
	closed     bool

	host     *netns
	hostProc *process
	events   eventLog
	fault    func(*http.Request) *Fault
	calls    []Call

	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine the Engine started
	srv    *http.Server   // of the in-memory transport
}

// New makes an Engine with the networks bridge, host and none, no images and no containers.
func New(opts Options) *Engine {
	setDefault(&opts.APIVersion, "1.41")
	setDefault(&opts.MinAPIVersion, "1.24")
	setDefault(&opts.Version, "20.10.24")
	setDefault(&opts.Hostname, "docker")
	if opts.HostAddresses == nil {
		opts.HostAddresses = []netip.Prefix{netip.MustParsePrefix("10.20.0.10/24")}
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	e := &Engine{
		opts:       opts,
		mem:        newMemListener(),
		containers: map[string]*container{},
		names:      map[string]*container{},
		execs:      map[string]*execution{},
		machines:   map[netip.Addr]*netns{},
		nextPort:   firstEphemeral,
		pid:        1000,
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.host = &netns{e: e}
	e.hostProc = newProcess(e.host, nil)
	e.events.now = e.now
	e.events.clients = map[*subscriber]struct{}{}
	e.mux = e.routes()
	e.predefine()
	return e
}

func setDefault(s *string, v string) {
	if *s == "" {
		*s = v
	}
}

// Register puts an image into the local store. Its containers run p; they need no Cmd.
func (e *Engine) Register(image string, p Program) {
	e.AddImage(image, Image{Program: p, Config: containertypes.Config{Cmd: []string{"/program"}}})
}

// Close stops every container, ends every request and connection, and waits for all programs to return: one
// that heeds neither its context nor Killed nor the end of its connections makes Close wait for ever.
func (e *Engine) Close() {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return
	}
	e.closed = true
	e.cancel()
	for _, c := range e.order {
		c.cancelRestart()
		c.stopHealth()
		if c.run != nil {
			c.run.cancel()
			c.run.proc.end()
		}
	}
	for _, x := range e.execs {
		x.kill()
	}
	for _, m := range e.machines {
		m.endAll()
	}
	srv := e.srv
	e.mu.Unlock()
	e.hostProc.end()
	e.CutEvents()
	e.mem.Close()
	if srv != nil {
		srv.Close()
	}
	e.wg.Wait()
}

// goFunc runs f in a goroutine that Close waits for.
func (e *Engine) goFunc(f func()) {
	e.wg.Add(1)
	go func() {
		defer e.wg.Done()
		f()
	}()
}

// Restart is a restart of the Engine's daemon without live-restore: every in-memory connection to it breaks, the events
// so far are forgotten, all containers are stopped, and those whose restart policy says so are started
// again, with addresses handed out anew: first the containers named, then the rest by creation. A real
// Engine's order is random, which is how two services swap addresses.
func (e *Engine) Restart(first ...string) {
	e.mem.cut()
	e.CutEvents()
	e.stopAll()
	e.events.forget()
	e.mu.Lock()
	defer e.mu.Unlock()
	var order []*container
	for _, name := range first {
		if c, err := e.find(name); err == nil {
			order = append(order, c)
		}
	}
	order = append(order, e.order...)
	for _, c := range order {
		if c.run == nil && c.startsWithEngine() {
			c.restartCount = 0
			_ = e.start(c) // its error stays in the container's state, as in the Engine's log
		}
	}
}

// stopAll stops the running containers as a daemon that shuts down does, and waits for them.
func (e *Engine) stopAll() {
	e.mu.Lock()
	var runs []*run
	for _, c := range e.order {
		c.wasUp = c.run != nil || c.restartTimer != nil
		c.cancelRestart()
		if c.run != nil {
			c.exitOnNext = true
			c.setPaused(false)
			c.run.stop()
			runs = append(runs, c.run)
		}
	}
	e.mu.Unlock()
	for _, r := range runs {
		e.awaitExit(r, defaultStopTimeout)
	}
}

// SetHealth sets the health of a running container that has a healthcheck ("starting", "healthy" or
// "unhealthy") and emits the event. From then on, until its next start, its own check no longer counts.
func (e *Engine) SetHealth(name, status string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.find(name)
	if err != nil {
		return err
	}
	if c.health == nil || c.run == nil {
		return errf(http.StatusConflict, "Container %s is not running with a healthcheck", c.id)
	}
	c.stopHealth()
	c.setHealth(status)
	return nil
}

// SetOOMKilled makes the Engine say that the kernel killed the container for want of memory: it ends
// with exit code 137, an oom event and OOMKilled in its state.
func (e *Engine) SetOOMKilled(name string) error {
	e.mu.Lock()
	c, err := e.find(name)
	if err != nil || c.run == nil {
		e.mu.Unlock()
		if err == nil {
			err = errf(http.StatusConflict, "Container %s is not running", c.id)
		}
		return err
	}
	r := c.run
	c.oomKilled = true
	c.event("oom", nil)
	e.mu.Unlock()
	r.exit(137)
	return nil
}

// Exit ends the process of a running container with an exit code, as a program that crashes does. It is
// the way to end a container of AddContainer; its restart policy applies.
func (e *Engine) Exit(name string, code int) error {
	e.mu.Lock()
	c, err := e.find(name)
	if err != nil || c.run == nil {
		e.mu.Unlock()
		if err == nil {
			err = errf(http.StatusConflict, "Container %s is not running", c.id)
		}
		return err
	}
	r := c.run
	e.mu.Unlock()
	r.exit(code)
	return nil
}

// now is the time by the host's clock.
func (e *Engine) now() time.Time { return e.opts.Clock().UTC() }

// now is the time by no clock that anybody sets.
func now() time.Time { return time.Now().UTC() }
