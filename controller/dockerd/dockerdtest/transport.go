package dockerdtest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
)

// DialContext connects to the Engine's API in memory; network and address are ignored. It is for the Docker
// client's WithDialContext, or for an http.Transport.
func (e *Engine) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	e.mu.Lock()
	if e.srv == nil && !e.closed {
		e.srv = &http.Server{Handler: e}
		srv := e.srv
		e.goFunc(func() { _ = srv.Serve(e.mem) })
	}
	e.mu.Unlock()
	return e.mem.dial(ctx)
}

// Client is an HTTP client whose every request goes to the Engine, in memory, whatever its URL's host says.
func (e *Engine) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: e.DialContext}}
}

// Serve answers the API on l, a unix socket for instance, until the Engine or l is closed.
func (e *Engine) Serve(l net.Listener) error {
	srv := &http.Server{Handler: e}
	stop := context.AfterFunc(e.ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// memListener is a net.Listener whose connections are made by its dial.
type memListener struct {
	mu      sync.Mutex
	conns   map[*conn]struct{} // the server's ends, for cut
	backlog chan *conn
	closed  chan struct{}
	once    sync.Once
}

func newMemListener() *memListener {
	return &memListener{conns: map[*conn]struct{}{}, backlog: make(chan *conn), closed: make(chan struct{})}
}

func (l *memListener) dial(ctx context.Context) (net.Conn, error) {
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2375}
	mine, theirs := newConnPair(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, addr, nil, nil)
	select {
	case l.backlog <- theirs:
		return mine, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.backlog:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.conns[c] = struct{}{}
		return &tracked{c, l}, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// tracked is a connection that its listener knows of.
type tracked struct {
	*conn
	l *memListener
}

func (t *tracked) Close() error {
	t.l.mu.Lock()
	delete(t.l.conns, t.conn)
	t.l.mu.Unlock()
	return t.conn.Close()
}

// cut breaks every connection there is.
func (l *memListener) cut() {
	l.mu.Lock()
	conns := l.conns
	l.conns = map[*conn]struct{}{}
	l.mu.Unlock()
	for c := range conns {
		c.Close()
	}
}

// Close implements net.Listener.
func (l *memListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	l.cut()
	return nil
}

// Addr implements net.Listener.
func (l *memListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2375} }
