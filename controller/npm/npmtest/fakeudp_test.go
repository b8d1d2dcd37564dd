package npmtest_test

import (
	"net"
	"os"
	"syscall"
	"time"
)

// udpSocket is a UDP socket of the fake network. What arrives waits in a queue.
type udpSocket struct {
	net    *fakeNet
	addr   string
	to     string // where Write sends; "" for a listener
	in     chan datagram
	closed chan struct{}
	until  *time.Timer
}

type datagram struct {
	from string
	data []byte
}

// ListenPacket implements npmtest.PacketNetwork.
func (n *fakeNet) ListenPacket(_, addr string) (net.PacketConn, error) {
	return n.socket(addr, "")
}

func (n *fakeNet) socket(addr, to string) (*udpSocket, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sockets[addr] != nil {
		return nil, syscall.EADDRINUSE
	}
	s := &udpSocket{net: n, addr: addr, to: to, in: make(chan datagram, 8), closed: make(chan struct{})}
	n.sockets[addr] = s
	return s, nil
}

// echoUDP is a backend that sends back what it gets, with its name.
func (n *fakeNet) echoUDP(name, addr string) {
	s, err := n.socket(addr, "")
	if err != nil {
		panic(err)
	}
	n.stops = append(n.stops, func() { s.Close() })
	go func() {
		for buf := make([]byte, 512); ; {
			size, from, err := s.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = s.WriteTo([]byte(name+" "+from.String()+" "+string(buf[:size])), from)
		}
	}()
}

// has tells whether somebody listens.
func (n *fakeNet) has(port string, udp bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if udp {
		return n.sockets[port] != nil
	}
	return n.listeners[port] != nil
}

func (s *udpSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	var late <-chan time.Time
	if s.until != nil {
		late = s.until.C
	}
	select {
	case d := <-s.in:
		return copy(b, d.data), stringAddr(d.from), nil
	case <-late:
		return 0, nil, os.ErrDeadlineExceeded
	case <-s.closed:
		return 0, nil, net.ErrClosed
	}
}

func (s *udpSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	s.net.mu.Lock()
	target := s.net.sockets[to.String()]
	s.net.mu.Unlock()
	if target != nil {
		select {
		case target.in <- datagram{s.addr, append([]byte(nil), b...)}:
		default: // lost
		}
	}
	return len(b), nil
}

func (s *udpSocket) Read(b []byte) (int, error) {
	n, _, err := s.ReadFrom(b)
	return n, err
}

func (s *udpSocket) Write(b []byte) (int, error) { return s.WriteTo(b, stringAddr(s.to)) }

func (s *udpSocket) Close() error {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	if s.net.sockets[s.addr] == s {
		delete(s.net.sockets, s.addr)
		close(s.closed)
	}
	return nil
}

func (s *udpSocket) LocalAddr() net.Addr  { return stringAddr(s.addr) }
func (s *udpSocket) RemoteAddr() net.Addr { return stringAddr(s.to) }

// SetReadDeadline is called by the one goroutine that reads.
func (s *udpSocket) SetReadDeadline(t time.Time) error {
	if s.until != nil {
		s.until.Stop()
	}
	s.until = time.NewTimer(time.Until(t))
	return nil
}

func (s *udpSocket) SetDeadline(t time.Time) error    { return s.SetReadDeadline(t) }
func (*udpSocket) SetWriteDeadline(_ time.Time) error { return nil }
