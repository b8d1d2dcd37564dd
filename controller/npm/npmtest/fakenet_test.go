package npmtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
)

var quietLog = log.New(io.Discard, "", 0)

// fakeNet is a container's view of some networks, in memory: names, listeners,
// and addresses where nobody answers.
type fakeNet struct {
	mu        sync.Mutex
	names     map[string][]string
	system    map[string][]string // what only the C library resolves
	listeners map[string]*listener
	sockets   map[string]*udpSocket
	dead      map[string]error // by IP; nil hangs
	lookups   int
	dialled   int      // over UDP
	own       []string // addresses of the server itself
	stops     []func()
}

// close ends the backends that still run.
func (n *fakeNet) close() {
	for _, stop := range n.stops {
		stop()
	}
}

func newFakeNet() *fakeNet {
	return &fakeNet{names: map[string][]string{}, system: map[string][]string{}, listeners: map[string]*listener{},
		sockets: map[string]*udpSocket{},
		dead:    map[string]error{}, own: []string{"127.0.0.1", "172.25.0.2"}}
}

func (n *fakeNet) setName(name string, addrs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(addrs) == 0 {
		delete(n.names, name)
		return
	}
	n.names[name] = addrs
}

func (n *fakeNet) setDead(ip string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead[ip] = err
}

func (n *fakeNet) LookupHost(_ context.Context, name string) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lookups++
	if addrs := n.names[name]; addrs != nil {
		return addrs, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (n *fakeNet) LookupSystem(ctx context.Context, name string) ([]string, error) {
	n.mu.Lock()
	addrs := n.system[name]
	n.mu.Unlock()
	if addrs != nil {
		return addrs, nil
	}
	return n.LookupHost(ctx, name)
}

func (n *fakeNet) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if network == "udp" {
		n.mu.Lock()
		n.dialled++
		from := fmt.Sprintf("172.25.0.2:%d", 50000+n.dialled)
		n.mu.Unlock()
		return n.socket(from, addr)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || net.ParseIP(host) == nil {
		return nil, fmt.Errorf("dial %q: not an IP:port", addr)
	}
	n.mu.Lock()
	ln := n.listeners[addr]
	for _, own := range n.own {
		if host == own {
			ln = n.listeners[":"+port]
		}
	}
	reason, dead := n.dead[host]
	n.mu.Unlock()
	switch {
	case dead && reason == nil:
		<-ctx.Done()
		return nil, ctx.Err()
	case dead:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: reason}
	case ln == nil:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	return ln.dial(ctx)
}

func (n *fakeNet) Listen(_, addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[addr] != nil {
		return nil, syscall.EADDRINUSE
	}
	ln := &listener{net: n, addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
	n.listeners[addr] = ln
	return ln, nil
}

// listener is a net.Listener whose connections are pipes.
type listener struct {
	net   *fakeNet
	addr  string
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *listener) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- addrConn{server}:
		return addrConn{client}, nil
	case <-l.done:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.net.mu.Lock()
		defer l.net.mu.Unlock()
		if l.net.listeners[l.addr] == l {
			delete(l.net.listeners, l.addr)
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return stringAddr(l.addr) }

type stringAddr string

func (stringAddr) Network() string  { return "tcp" }
func (a stringAddr) String() string { return string(a) }

// addrConn is a pipe that looks like TCP from the Docker gateway.
type addrConn struct{ net.Conn }

func (addrConn) RemoteAddr() net.Addr { return stringAddr("172.25.0.1:40000") }
func (addrConn) LocalAddr() net.Addr  { return stringAddr("172.25.0.2:80") }

// moved lets another backend have the address of one that is there.
func (n *fakeNet) moved(addr, name string) {
	n.mu.Lock()
	ln := n.listeners[addr]
	n.mu.Unlock()
	if ln != nil {
		ln.Close()
	}
	if name != "" {
		n.serve(name, addr)
	}
}

// serve runs a backend that says who it is, as the recordings' backends did.
func (n *fakeNet) serve(name, addr string) {
	_, port, _ := strings.Cut(addr, ":")
	n.serveHandler(addr, echo(name, port))
}

func (n *fakeNet) serveHandler(addr string, h http.Handler) {
	ln, err := n.Listen("tcp", addr)
	if err != nil {
		panic(err)
	}
	srv := &http.Server{Handler: h, ErrorLog: quietLog}
	go func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			panic(err)
		}
	}()
	n.stops = append(n.stops, func() { srv.Close() })
}

// dialAny is a client's view: "npm.test" and every domain is NPM.
func (n *fakeNet) dialAny(ctx context.Context, network, addr string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return n.DialContext(ctx, network, net.JoinHostPort("172.25.0.2", port))
}
