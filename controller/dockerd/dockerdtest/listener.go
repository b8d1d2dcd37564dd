package dockerdtest

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// Listen announces on addr: ":8080", "0.0.0.0:8080", "127.0.0.1:8080", or an address that the namespace
// has; port 0 picks one. The listener ends with its program. In host mode and on the Host it shares the ports
// with everything else on the host, published ones included.
func (b *Box) Listen(network, addr string) (net.Listener, error) {
	fail := func(err error) (net.Listener, error) {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	p, err := b.process()
	if err != nil {
		return fail(err)
	}
	host, port, err := splitAddr(network, addr)
	if err != nil {
		return fail(err)
	}
	ip := netip.IPv4Unspecified()
	if host != "" {
		ips, err := b.resolve(context.Background(), host)
		if err != nil || len(ips) == 0 {
			return fail(err)
		}
		ip = ips[0]
	}
	if ip.Is6() && ip.IsUnspecified() {
		ip = netip.IPv4Unspecified()
	}
	e := p.ns.e
	e.mu.Lock()
	has := ip.IsUnspecified() || p.ns.has(ip)
	taken := p.ns == e.host && e.isPublished(ip, port)
	e.mu.Unlock()
	switch {
	case !has:
		return fail(os.NewSyscallError("bind", syscall.EADDRNOTAVAIL))
	case taken:
		return fail(os.NewSyscallError("bind", syscall.EADDRINUSE))
	}
	l := &listener{proc: p, ip: ip, port: port, wake: make(chan struct{}, 1), closed: make(chan struct{})}
	if err := p.ns.bind(l); err != nil {
		return fail(os.NewSyscallError("bind", err))
	}
	if err := p.own(l); err != nil {
		return fail(err)
	}
	return l, nil
}

// listener is a listening socket.
type listener struct {
	proc *process
	ip   netip.Addr
	port uint16

	mu     sync.Mutex
	queue  []*conn
	wake   chan struct{}
	once   sync.Once
	closed chan struct{}
}

// enqueue adds a connection as the kernel does: it is established before the program accepts it.
func (l *listener) enqueue(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if isClosed(l.closed) {
		return false
	}
	l.queue = append(l.queue, c)
	l.signal()
	return true
}

func (l *listener) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		if err := l.proc.thaw(l.closed, nil); err != nil {
			return nil, l.fail(err)
		}
		if c := l.next(); c != nil {
			if err := l.proc.own(c); err != nil {
				return nil, l.fail(err)
			}
			return c, nil
		}
		select {
		case <-l.wake:
		case <-l.closed:
			return nil, l.fail(net.ErrClosed)
		}
	}
}

// next takes the oldest waiting connection.
func (l *listener) next() *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return nil
	}
	c := l.queue[0]
	l.queue = l.queue[1:]
	if len(l.queue) > 0 {
		l.signal() // for another goroutine in Accept
	}
	return c
}

func (l *listener) fail(err error) error {
	return &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: err}
}

// Close implements net.Listener. Connections not yet accepted are closed.
func (l *listener) Close() error {
	l.once.Do(func() {
		l.mu.Lock()
		close(l.closed)
		queue := l.queue
		l.queue = nil
		l.mu.Unlock()
		l.proc.ns.unbind(l)
		l.proc.forget(l)
		for _, c := range queue {
			c.Close()
		}
	})
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(l.ip, l.port))
}
