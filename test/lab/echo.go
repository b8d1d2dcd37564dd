package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/no502/no502/controller/npm/npmtest"
)

// echo says its name to whoever connects, and then what it is sent.
func (p *Process) echo(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			if _, err := fmt.Fprintf(conn, "%s echoes\n", p.name()); err == nil {
				_, _ = io.Copy(conn, conn) // ends with the peer
			}
		}()
	}
}

// serveDatagrams answers each datagram with its name and what was in it.
func (p *Process) serveDatagrams(addr string) (io.Closer, func() error, error) {
	udp, ok := p.Network.(npmtest.PacketNetwork)
	if !ok {
		return nil, nil, errors.New("backend: there is no UDP here")
	}
	conn, err := udp.ListenPacket("udp", addr)
	if err != nil {
		return nil, nil, err
	}
	return conn, func() error {
		for data := make([]byte, 1<<10); ; {
			n, from, err := conn.ReadFrom(data)
			if err != nil {
				return err
			}
			if _, err := conn.WriteTo(fmt.Appendf(nil, "%s echoes\n%s", p.name(), data[:n]), from); err != nil {
				return err
			}
		}
	}, nil
}

// Datagram sends its second argument to its first, a host and port, by UDP, and
// prints what comes back.
func Datagram(ctx context.Context, p *Process) error {
	if len(p.Args) != 2 {
		return errors.New("datagram: want an address and a text")
	}
	conn, err := p.Network.DialContext(ctx, "udp", p.Args[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, p.Args[1]); err != nil {
		return err
	}
	data := make([]byte, 1<<10)
	n, err := conn.Read(data)
	if err != nil {
		return err
	}
	_, err = p.Stdout.Write(data[:n])
	return err
}
