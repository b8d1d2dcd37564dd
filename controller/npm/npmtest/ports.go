package npmtest

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
)

// port is a listener that knows its connections, so that closing it breaks all
// of them, also those that were upgraded to websockets.
type port struct {
	net.Listener

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func (s *Server) bind(number int) (*port, error) {
	ln, err := s.opt.Network.Listen("tcp", ":"+strconv.Itoa(number))
	if err != nil {
		return nil, fmt.Errorf("npmtest: bind() to port %d failed: %w", number, err)
	}
	return &port{Listener: ln, conns: map[net.Conn]bool{}}, nil
}

// Accept implements net.Listener.
func (p *port) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tracked := &portConn{Conn: c, port: p}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[tracked] = true
	return tracked, nil
}

func (p *port) close() {
	p.Close()
	p.mu.Lock()
	conns := slices.Collect(maps.Keys(p.conns))
	p.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

type portConn struct {
	net.Conn
	port *port
}

// Close implements net.Conn.
func (c *portConn) Close() error {
	c.port.mu.Lock()
	delete(c.port.conns, c)
	c.port.mu.Unlock()
	return c.Conn.Close()
}

// httpPort is a port with an HTTP server behind it.
type httpPort struct {
	*port
	server *http.Server
}

func (v *serving) serveHTTP(number int, h http.Handler) (*httpPort, error) {
	p, err := v.s.bind(number)
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: h, ErrorLog: quiet}
	go srv.Serve(p) //nolint:errcheck // ends with close
	return &httpPort{p, srv}, nil
}

func (p *httpPort) close() {
	p.port.close()
	p.server.Close()
}
