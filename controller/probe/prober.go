package probe

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"

	"github.com/no502/no502/api"
)

// How long an answer is kept, where that is not until the container starts
// again.
const (
	// machineFor: nothing tells when a process of the machine starts or stops.
	machineFor = time.Minute
	// unsettledFor: the port accepts connections, but said nothing in time. It
	// may still be starting.
	unsettledFor = time.Minute
	// notOpenFor is short, since the reconciler asks again with growing pauses
	// of its own.
	notOpenFor = 200 * time.Millisecond
)

// Options of a Prober. The zero value probes, and knows nothing about the
// machine.
type Options struct {
	// DialContext connects; nil means that of a net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// Timeout bounds each step (connect, plain HTTP, TLS); 2 s if zero.
	Timeout time.Duration
	// Concurrency bounds the addresses asked at once; 32 if zero.
	Concurrency int
	// Proc is where the machine's own /proc can be read: "/proc" outside a
	// container on Linux, elsewhere a read-only mount of it. Empty or absent:
	// sockets and addresses of the machine are not known.
	Proc string
	// Nonce is what this process's own /healthz says in the header api.NonceHeader.
	// Empty: no address can be proven by asking it.
	Nonce string
	// PublishedPort returns the machine's port that leads to this process's
	// status server, 0 for none (yet). May be nil.
	PublishedPort func() uint16
	// NPMData is where NPM's /data is mounted, whose error logs tell why a host
	// fails. Empty or absent: they do not.
	NPMData string
	// Log gets one line per probe at V(1).
	Log logr.Logger
}

// Prober probes ports and remembers what they answered. Safe for concurrent
// use.
type Prober struct {
	opts  Options
	slots chan struct{} // one token per address being asked

	mu      sync.RWMutex // guards what both hold
	ports   answers[api.Target, api.Probe]
	machine answers[netip.Addr, bool]
}

// New returns a Prober that knows nothing yet.
func New(opts Options) *Prober {
	if opts.DialContext == nil {
		opts.DialContext = new(net.Dialer).DialContext
	}
	if opts.Timeout <= 0 {
		opts.Timeout = 2 * time.Second
	}
	if opts.Concurrency <= 0 {
		opts.Concurrency = 32
	}
	if opts.PublishedPort == nil {
		opts.PublishedPort = func() uint16 { return 0 }
	}
	p := &Prober{opts: opts, slots: make(chan struct{}, opts.Concurrency)}
	p.ports.init(&p.mu)
	p.machine.init(&p.mu)
	return p
}

// Probe looks at the targets of which nothing is known, in parallel, and
// returns when View shows what was found. Callers that ask for the same target
// at the same time share one probe.
//
// The answer of a container's open port is kept until it starts again, which
// makes a new target, or until Prune; that of the machine's for a minute, and
// likewise that of a port which was silent on both questions. Any other answer
// is kept for 200 ms after Probe returned. When ctx ends, what was not answered
// by then stays unknown.
func (p *Prober) Probe(ctx context.Context, targets []api.Target) {
	asked := p.ports.unknown(targets)
	p.each(len(asked), func(i int) {
		p.ports.ask(ctx, asked[i], func() (api.Probe, time.Duration, bool) {
			return p.probe(ctx, asked[i])
		})
	})
	// The first of them answered long before the last one timed out; the
	// caller shall see them together.
	p.ports.renew(asked, notOpenFor)
}

// IsMachine learns, of the addresses of which it is not known, whether they
// are this machine's. It is true when the machine's own tables list the
// address, or when this process's status server answers at its published port
// there; else false, which is no proof: behind a NAT or in a virtual machine
// the address need not be in the tables. Kept for 5 minutes, or for one while
// no status server is published. Errors and silence are a false.
func (p *Prober) IsMachine(ctx context.Context, addrs []netip.Addr) {
	asked := p.machine.unknown(addrs)
	if len(asked) == 0 {
		return
	}
	local := p.localAddrs()
	p.each(len(asked), func(i int) {
		p.machine.ask(ctx, asked[i], func() (bool, time.Duration, bool) {
			return p.isMachine(ctx, local, asked[i])
		})
	})
}

// View shows all answers that have not expired. f must neither keep nor change
// the maps, nor call the Prober: what they hold is locked meanwhile.
func (p *Prober) View(f func(probes map[api.Target]api.Probe, machine map[netip.Addr]bool)) {
	p.expire(time.Now())
	p.mu.RLock()
	defer p.mu.RUnlock()
	f(p.ports.known, p.machine.known)
}

// Prune forgets the containers' targets that keep does not want. Those of the
// machine itself expire, keep is not asked.
func (p *Prober) Prune(keep func(api.Target) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for t := range p.ports.known {
		if t.Container != "" && !keep(t) {
			p.ports.forget(t)
		}
	}
}

func (p *Prober) expire(now time.Time) {
	p.mu.RLock()
	due := p.ports.due(now) || p.machine.due(now)
	p.mu.RUnlock()
	if !due {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ports.expire(now)
	p.machine.expire(now)
}

// each calls f for 0 to n-1, as many at once as may be.
func (p *Prober) each(n int, f func(i int)) {
	var g errgroup.Group
	g.SetLimit(p.opts.Concurrency)
	for i := range n {
		g.Go(func() error {
			f(i)
			return nil
		})
	}
	_ = g.Wait() // f has no error to return
}

// slot waits for a place among those being asked; false when ctx ended.
func (p *Prober) slot(ctx context.Context) (free func(), ok bool) {
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots }, ctx.Err() == nil
	case <-ctx.Done():
		return func() {}, false
	}
}
