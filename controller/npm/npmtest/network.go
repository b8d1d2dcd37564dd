package npmtest

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"
)

// Network is how the server reaches the world: a container's view of its
// networks.
type Network interface {
	// DialContext connects to an IP:port. Errors that wrap syscall.ECONNREFUSED,
	// EHOSTUNREACH and so on become nginx's words in the error log.
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	// LookupHost is what the name servers of NPM's resolver file answer: it is
	// made when the container starts, and knows nothing of /etc/hosts, so that
	// "localhost" and names of extra_hosts are not found (FACTS, causes).
	LookupHost(ctx context.Context, name string) ([]string, error)
	// Listen binds a port of the server itself, as in ":80".
	Listen(network, addr string) (net.Listener, error)
}

// SystemResolver is implemented by a Network whose C library resolves otherwise
// than its resolver file: through /etc/hosts, or name servers that came with a
// network connected after the start. nginx uses it for the literal names of
// custom locations and streams (npm_started_on_default_bridge.json).
type SystemResolver interface {
	LookupSystem(ctx context.Context, name string) ([]string, error)
}

// SystemNetwork is the network of this machine or container, with the name
// servers that /etc/resolv.conf has now.
func SystemNetwork() Network {
	return &systemNetwork{servers: nameServers("/etc/resolv.conf")}
}

type systemNetwork struct {
	net.Dialer
	servers []string
}

func (*systemNetwork) Listen(network, addr string) (net.Listener, error) {
	return net.Listen(network, addr)
}

// ListenPacket implements PacketNetwork.
func (*systemNetwork) ListenPacket(network, addr string) (net.PacketConn, error) {
	return net.ListenPacket(network, addr)
}

// LookupSystem also reads /etc/hosts.
func (*systemNetwork) LookupSystem(ctx context.Context, name string) ([]string, error) {
	return net.DefaultResolver.LookupHost(ctx, name)
}

func nameServers(file string) (servers []string) {
	f, err := os.Open(file)
	if err != nil {
		return nil // nothing resolves then
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == "nameserver" {
			servers = append(servers, net.JoinHostPort(fields[1], "53"))
		}
	}
	return servers
}

// LookupHost asks the name servers for A records. net.Resolver will not do: it
// reads /etc/hosts first.
func (n *systemNetwork) LookupHost(ctx context.Context, name string) ([]string, error) {
	err := error(&net.DNSError{Err: "no name server", Name: name, IsNotFound: true})
	for _, server := range n.servers {
		var addrs []string
		if addrs, err = n.query(ctx, server, name); err == nil {
			return addrs, nil
		}
	}
	return nil, err
}

func (n *systemNetwork) query(ctx context.Context, server, name string) ([]string, error) {
	fail := func(err error) ([]string, error) {
		return nil, &net.DNSError{Err: err.Error(), Name: name, Server: server, IsTimeout: true}
	}
	question, err := dnsQuestion(name)
	if err != nil {
		return nil, &net.DNSError{Err: err.Error(), Name: name, IsNotFound: true}
	}
	conn, err := n.DialContext(ctx, "udp", server)
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return fail(err)
	}
	if _, err := conn.Write(question); err != nil {
		return fail(err)
	}
	reply := make([]byte, 4096)
	size, err := conn.Read(reply)
	if err != nil {
		return fail(err)
	}
	addrs, err := dnsAnswers(reply[:size], question)
	if err != nil || len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: name, Server: server, IsNotFound: true}
	}
	return addrs, nil
}

// dnsQuestion is a query for the A records of a name (RFC 1035).
func dnsQuestion(name string) ([]byte, error) {
	b := binary.BigEndian.AppendUint16(nil, uint16(rand.Uint32()))
	b = append(b, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0) // recursion desired, one question
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if len(label) == 0 || len(label) > 63 {
			return nil, errors.New("no such host")
		}
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0, 0, 1, 0, 1), nil
}

// dnsAnswers reads the A records of a reply.
func dnsAnswers(reply, question []byte) (addrs []string, err error) {
	if len(reply) < len(question) || reply[0] != question[0] || reply[1] != question[1] {
		return nil, io.ErrUnexpectedEOF
	}
	if reply[3]&0xf != 0 {
		return nil, errors.New("no such host")
	}
	rest := reply[len(question):]
	for range binary.BigEndian.Uint16(reply[6:]) {
		for len(rest) > 0 && rest[0] != 0 && rest[0] < 0xc0 { // the owner's labels
			rest = rest[min(len(rest), 1+int(rest[0])):]
		}
		skip := 1 // the root
		if len(rest) > 0 && rest[0] >= 0xc0 {
			skip = 2 // a pointer
		}
		if len(rest) < skip+10 {
			return addrs, io.ErrUnexpectedEOF
		}
		rest = rest[skip:]
		kind, size := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[8:]))
		if len(rest) < 10+size {
			return addrs, io.ErrUnexpectedEOF
		}
		if kind == 1 && size == net.IPv4len {
			addrs = append(addrs, net.IP(rest[10:14]).String())
		}
		rest = rest[10+size:]
	}
	return addrs, nil
}
