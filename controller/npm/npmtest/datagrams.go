package npmtest

import (
	"errors"
	"net"
	"strconv"
	"sync"
	"time"
)

// PacketNetwork is implemented by a Network that has UDP: without it streams with
// udp_forwarding do not listen. DialContext is called with "udp" then.
type PacketNetwork interface {
	// ListenPacket binds a UDP port of the server itself, as in ":53".
	ListenPacket(network, addr string) (net.PacketConn, error)
}

var errNoUDP = errors.New("npmtest: the network has no UDP")

// proxyTimeout is nginx's proxy_timeout: a UDP session ends after that silence.
const proxyTimeout = 10 * time.Minute

// maxDatagram is the largest payload of UDP over IPv4.
const maxDatagram = 65507

// datagrams is a UDP port. A client's address is a session: it has a socket of
// its own towards the backend.
type datagrams struct {
	net.PacketConn
	v  *serving
	at streamPort

	mu       sync.Mutex
	closed   bool
	sessions map[string]net.Conn
}

func (v *serving) listenDatagrams(at streamPort) (closer, error) {
	network, ok := v.s.opt.Network.(PacketNetwork)
	if !ok {
		return nil, errNoUDP
	}
	conn, err := network.ListenPacket("udp", ":"+strconv.Itoa(at.number))
	if err != nil {
		return nil, err
	}
	d := &datagrams{PacketConn: conn, v: v, at: at, sessions: map[string]net.Conn{}}
	go d.read()
	return d, nil
}

func (d *datagrams) close() {
	d.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, out := range d.sessions {
		out.Close()
	}
}

func (d *datagrams) read() {
	buf := make([]byte, maxDatagram)
	for {
		n, client, err := d.ReadFrom(buf)
		if err != nil {
			return
		}
		if out := d.session(client); out != nil {
			_, _ = out.Write(buf[:n]) // datagrams may be lost
		}
	}
}

// session finds or makes a client's socket towards the backend. Only read calls
// it; it dials without mu, which close takes under nginx's own.
func (d *datagrams) session(client net.Addr) net.Conn {
	d.mu.Lock()
	out := d.sessions[client.String()]
	d.mu.Unlock()
	if out != nil {
		return out
	}
	if out, _, _ = d.v.dialStream(d.at); out == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		out.Close()
		return nil
	}
	d.sessions[client.String()] = out
	go d.answer(client, out)
	return out
}

// answer sends the backend's datagrams back until it is silent for too long.
func (d *datagrams) answer(client net.Addr, out net.Conn) {
	defer func() {
		out.Close()
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.sessions, client.String())
	}()
	buf := make([]byte, maxDatagram)
	for {
		if err := out.SetReadDeadline(time.Now().Add(proxyTimeout)); err != nil {
			return
		}
		n, err := out.Read(buf)
		if err != nil {
			return
		}
		if _, err := d.WriteTo(buf[:n], client); err != nil {
			return
		}
	}
}
