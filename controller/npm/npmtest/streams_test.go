package npmtest_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// echoTCP sends back what it gets, after its name.
func (n *fakeNet) echoTCP(p *replay, name, addr string) {
	ln, err := n.Listen("tcp", addr)
	if err != nil {
		p.Fatal(err)
	}
	n.stops = append(n.stops, func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 16)
				size, _ := c.Read(buf)
				fmt.Fprintf(c, "%s %s", name, buf[:size])
			}()
		}
	}()
}

// says makes a round trip over a connection.
func (p *replay) says(c net.Conn, err error, want string) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "hello"); err != nil {
		p.Fatal(err)
	}
	buf := make([]byte, 64)
	if size, err := c.Read(buf); err != nil || string(buf[:size]) != want {
		p.Errorf("%q %v, want %q", buf[:size], err, want)
	}
}

func (p *replay) stream(port int, host, more string) {
	p.Helper()
	w := p.do("POST", "/api/nginx/streams", fmt.Sprintf(`{"incoming_port":%d,"forwarding_host":%q,"forwarding_port":53%s}`, port, host, more))
	if w.Code != 201 {
		p.Fatalf("%d %s", w.Code, w.Body)
	}
}

// TestStreamProtocols: bytes and datagrams there and back, on the ports that the
// row asks for.
func TestStreamProtocols(t *testing.T) {
	inBubble(t, func(p *replay) {
		if err := p.s.Start(); err != nil {
			p.Fatal(err)
		}
		p.net.setName("dns", "10.0.0.2")
		p.net.echoTCP(p, "tcp", "10.0.0.2:53")
		p.net.echoUDP("udp", "10.0.0.2:53")
		p.stream(5001, "dns", `,"tcp_forwarding":true`)
		p.stream(5002, "dns", `,"udp_forwarding":true`)
		p.stream(5003, "dns", `,"tcp_forwarding":true,"udp_forwarding":true`)
		p.stream(5004, "dns", "")
		for port, want := range map[string][2]bool{":5001": {true, false}, ":5002": {false, true}, ":5003": {true, true}, ":5004": {}} {
			if got := [2]bool{p.net.has(port, false), p.net.has(port, true)}; got != want {
				p.Errorf("%s: TCP and UDP %v, want %v", port, got, want)
			}
		}
		c, err := p.net.DialContext(p.Context(), "tcp", "172.25.0.2:5003")
		p.says(c, err, "tcp hello")
		u, err := p.net.socket("172.25.0.1:4000", ":5003")
		p.says(u, err, "udp 172.25.0.2:50001 hello")
		u, err = p.net.socket("172.25.0.1:4000", ":5003")
		p.says(u, err, "udp 172.25.0.2:50001 hello") // the same session
		time.Sleep(11 * time.Minute)
		u, err = p.net.socket("172.25.0.1:4000", ":5003")
		p.says(u, err, "udp 172.25.0.2:50002 hello") // a new one

		p.do("POST", "/api/nginx/streams/3/disable", "")
		if p.net.has(":5003", false) || p.net.has(":5003", true) || p.net.has("172.25.0.2:50002", true) {
			p.Error("a disabled stream listens")
		}
		p.do("POST", "/api/nginx/streams/3/enable", "")
		p.do("DELETE", "/api/nginx/streams/2", "")
		synctest.Wait()
		if !p.net.has(":5003", true) || p.net.has(":5002", true) {
			p.Error("after enable and delete")
		}
	})
}

// TestStreamTLS: with a certificate TLS ends at NPM, whatever name is asked for.
func TestStreamTLS(t *testing.T) {
	inBubble(t, func(p *replay) {
		if err := p.s.Start(); err != nil {
			p.Fatal(err)
		}
		p.net.echoTCP(p, "tcp", "10.0.0.2:53")
		p.stream(5000, "10.0.0.2", fmt.Sprintf(`,"tcp_forwarding":true,"udp_forwarding":true,"certificate_id":%d`, p.custom("db.test")))
		p.wantOffline("streams/1", "")
		raw, err := p.net.DialContext(p.Context(), "tcp", "172.25.0.2:5000")
		if err != nil {
			p.Fatal(err)
		}
		c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, ServerName: "other.test"})
		p.says(c, c.HandshakeContext(p.Context()), "tcp hello")
		if names := c.ConnectionState().PeerCertificates[0].DNSNames; names[0] != "db.test" {
			p.Errorf("presents %v", names)
		}
	})
}
