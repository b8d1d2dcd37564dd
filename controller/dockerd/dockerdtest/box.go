package dockerdtest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"
)

// Box is a network namespace, and the little else of a container, as a process in it sees it. The Box that
// a Program gets lives as long as the program; those of Engine.Box and Engine.Host have no arguments.
type Box struct {
	// Args is the whole command, as os.Args: entrypoint and cmd.
	Args []string
	// Env are the variables of image, container and exec as "K=V".
	Env []string
	// Hostname is the container's hostname: the short id unless the configuration names one.
	Hostname string
	// Binds are HostConfig.Binds, "host-path:path[:ro]". The double mounts nothing; a program opens the host path.
	Binds []string
	// Stdin is what an exec's client sends; empty for a container's main program.
	Stdin io.Reader
	// Stdout and Stderr go into the container's log, or to the exec's client.
	Stdout, Stderr io.Writer

	process func() (*process, error) // who holds what is opened
}

// Host is the host's own namespace: processes on the host listen and dial in it, and published ports and
// gateway addresses lead to it.
func (e *Engine) Host() *Box {
	return &Box{
		Hostname: e.opts.Hostname, Stdin: eofReader{}, Stdout: io.Discard, Stderr: io.Discard,
		process: func() (*process, error) { return e.hostProc, nil },
	}
}

// Box is a place in the namespace of a container (name, id or prefix), to look at the network as the container
// does. What is opened through it ends with the container's present run; while the container is not
// running, every use is an error.
func (e *Engine) Box(name string) *Box {
	return &Box{
		Hostname: name, Stdin: eofReader{}, Stdout: io.Discard, Stderr: io.Discard,
		process: func() (*process, error) {
			e.mu.Lock()
			defer e.mu.Unlock()
			c, err := e.find(name)
			if err != nil {
				return nil, err
			}
			if c.run == nil {
				return nil, errf(409, "Container %s is not running", c.id)
			}
			return c.run.proc, nil
		},
	}
}

// Machine is another machine on the host's network, or further away, with the given address. It reaches the
// host's own addresses and the ports published on them, and nothing behind them.
func (e *Engine) Machine(addr netip.Addr) *Box {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.machines[addr]
	if m == nil {
		m = &netns{e: e, machine: addr}
		e.machines[addr] = m
		m.procs = append(m.procs, newProcess(m, nil))
	}
	p := m.procs[0]
	return &Box{
		Hostname: addr.String(), Stdin: eofReader{}, Stdout: io.Discard, Stderr: io.Discard,
		process: func() (*process, error) { return p, nil },
	}
}

// Killed is closed when everything the program holds has been taken from it: it was killed, or it has returned.
func (b *Box) Killed() <-chan struct{} {
	p, err := b.process()
	if err != nil {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return p.done
}

type eofReader struct{}

func (eofReader) Read([]byte) (int, error) { return 0, io.EOF }

// DialContext connects to addr, "host:port". A name is resolved as a process in a container resolves it: first
// /etc/hosts, then LookupHost; its addresses are tried in turn. Only TCP is there. Where nothing listens
// the error is ECONNREFUSED; for an address nobody has it is EHOSTUNREACH after 3 seconds (71 if the address was
// reached from here in the last half minute); a packet that Docker drops leaves the caller waiting until ctx ends.
func (b *Box) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	p, err := b.process()
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	host, port, err := splitAddr(network, addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	ips, err := b.resolve(ctx, host)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	var first error
	for _, ip := range ips {
		c, err := p.dial(ctx, netip.AddrPortFrom(ip, port))
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func (b *Box) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if host == "" {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, nil
	}
	names := b.LookupEtcHosts(host)
	if names == nil {
		var err error
		if names, err = b.LookupHost(ctx, host); err != nil {
			return nil, err
		}
	}
	var ips []netip.Addr
	for _, s := range names {
		if ip, err := netip.ParseAddr(s); err == nil {
			ips = append(ips, ip.Unmap())
		}
	}
	return ips, nil
}

func splitAddr(network, addr string) (host string, port uint16, err error) {
	if network != "tcp" && network != "tcp4" {
		return "", 0, net.UnknownNetworkError(network)
	}
	host, s, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return "", 0, &net.AddrError{Err: "invalid port", Addr: addr}
	}
	return host, uint16(n), nil
}

const (
	// unreachableAfter is how long Linux asks for the hardware address of an address nobody has.
	unreachableAfter = 3 * time.Second
	// lostAfter is how long an attempt lasts if its address was reached in the last half minute, as measured
	// with nginx and a container that had just been stopped.
	lostAfter = 71 * time.Second
)

// dial makes one attempt.
func (p *process) dial(ctx context.Context, dst netip.AddrPort) (net.Conn, error) {
	fail := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(dst), Err: err}
	}
	if err := ctx.Err(); err != nil {
		return nil, fail(dialErr(err))
	}
	if err := p.thaw(ctx.Done(), nil); err != nil {
		return nil, fail(dialErr(cmpErr(ctx.Err(), err)))
	}
	e := p.ns.e
	e.mu.Lock()
	r := p.ns.route(dst)
	e.mu.Unlock()
	var wait <-chan time.Time
	switch r.fate {
	case noRoute:
		return nil, fail(os.NewSyscallError("connect", syscall.ENETUNREACH))
	case delivered:
		if c := p.connect(r, dst); c != nil {
			return c, nil
		}
		return nil, fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	case unreachable, lost:
		after := unreachableAfter
		if r.fate == lost {
			after = lostAfter
		}
		t := time.NewTimer(after)
		defer t.Stop()
		wait = t.C
	}
	select {
	case <-wait:
		return nil, fail(os.NewSyscallError("connect", syscall.EHOSTUNREACH))
	case <-ctx.Done():
		return nil, fail(dialErr(ctx.Err()))
	case <-p.done:
		return nil, fail(net.ErrClosed)
	}
}

// connect joins the process with the listener at the route's end; nil if there is none.
func (p *process) connect(r route, dst netip.AddrPort) net.Conn {
	l := r.to.lookup(r.dst)
	if l == nil {
		return nil
	}
	local := p.ns.ephemeralAddr(r.source)
	mine, theirs := newConnPair(local, net.TCPAddrFromAddrPort(dst), p, l.proc)
	theirs.local = net.TCPAddrFromAddrPort(r.dst)
	theirs.remote = &net.TCPAddr{IP: r.seen.AsSlice(), Port: local.Port}
	if p.own(mine) != nil {
		return nil
	}
	if !l.enqueue(theirs) {
		mine.Close()
		return nil
	}
	return mine
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// dialErr is how package net words an ended context.
func dialErr(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	return err
}
