package probe

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/no502/no502/api"
)

// quiet is for servers that log every hello they do not understand.
var quiet = log.New(io.Discard, "", 0)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatAPortSpeaks(t *testing.T) {
	plain := func(head string) func(net.Conn) {
		return func(c net.Conn) { readRequest(c); _, _ = io.WriteString(c, head) }
	}
	open := func(tls, plain bool) api.Probe { return api.Probe{Port: api.PortOpen, TLS: tls, Plain: plain} }

	for name, c := range map[string]struct {
		addr netip.AddrPort
		want api.Probe
	}{
		"plain HTTP":            {httpServer(t, false), open(false, true)},
		"plain HTTP, a 400":     {listen(t, plain("HTTP/1.0 400 Bad Request\r\n\r\n")), open(false, true)},
		"plain HTTP, no reason": {listen(t, plain("HTTP/1.1 204\r\n\r\n")), open(false, true)},
		"a status line only":    {listen(t, plain("HTTP/1.1 200 OK\r\n")), open(false, true)},
		"a huge header":         {listen(t, plain("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20))), open(false, true)},
		"TLS, as Go has it":     {httpServer(t, true), open(true, false)},
		"TLS, as nginx has it": {either(t, "HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n"+
			"The plain HTTP request was sent to HTTPS port"), open(true, false)},
		"TLS, closing on anything else": {either(t, ""), open(true, false)},
		"both on one port":              {either(t, "HTTP/1.1 200 OK\r\n\r\n"), open(true, true)},
		"both, redirecting elsewhere":   {either(t, "HTTP/1.1 302 Found\r\nLocation: https://app.example.com/\r\n\r\n"), open(true, true)},
		"both, redirecting to a page":   {either(t, "HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n"), open(true, true)},
		"TLS, redirecting to itself":    {either(t, "HTTP/1.1 301 Moved\r\nLocation: https://{addr}/\r\n\r\n"), open(true, false)},
		"a database's greeting":         {listen(t, mysql), open(false, false)},
		"closes without a word":         {listen(t, func(net.Conn) {}), open(false, false)},
		"another protocol's status":     {listen(t, plain("RTSP/1.0 200 OK\r\n\r\n")), open(false, false)},
		"HTTP without a status":         {listen(t, plain("HTTP/1.1 fine\r\n\r\n")), open(false, false)},
		"nothing listens":               {closedPort(t), api.Probe{Port: api.PortClosed}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := New(Options{Timeout: time.Minute}) // no answer here needs any waiting
			if got := probeOne(t, p, api.Target{Addr: c.addr}); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestAPortThatSaysNothingIsOpen(t *testing.T) {
	p := New(Options{Timeout: 50 * time.Millisecond})
	addr := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	want := api.Probe{Port: api.PortOpen}
	if got := probeOne(t, p, api.Target{Addr: addr}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestAServerOfOldTLSIsFound(t *testing.T) {
	for name, config := range map[string]*tls.Config{
		"TLS 1.0":           {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10},
		"an ancient cipher": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			s.Config.ErrorLog = quiet
			s.TLS = config
			s.StartTLS()
			t.Cleanup(s.Close)
			want := api.Probe{Port: api.PortOpen, TLS: true}
			if got := probeOne(t, New(Options{}), api.Target{Addr: addrOf(s)}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestAProbeIsPoliteAndSaysWhoItIs(t *testing.T) {
	var conns atomic.Int32
	var head atomic.Value
	addr := listen(t, func(c net.Conn) {
		if conns.Add(1) == 1 {
			head.Store(readRequest(c))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		}
	})
	probeOne(t, New(Options{}), api.Target{Addr: addr})
	if n := conns.Load(); n > 3 {
		t.Errorf("%d connections for one probe", n)
	}
	want := fmt.Sprintf("GET / HTTP/1.1\r\nHost: %s\r\nUser-Agent: no502-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n", addr)
	if got := head.Load(); got != want {
		t.Errorf("sent %q\nwant %q", got, want)
	}
}

// probeOne probes one target and returns its answer.
func probeOne(t *testing.T, p *Prober, target api.Target) (found api.Probe) {
	t.Helper()
	p.Probe(t.Context(), []api.Target{target})
	p.View(func(probes map[api.Target]api.Probe, _ map[netip.Addr]bool) {
		var ok bool
		if found, ok = probes[target]; !ok {
			t.Errorf("no answer for %v", target.Addr)
		}
	})
	return found
}

// listen serves every connection to a new port of 127.0.0.1 until the test ends.
func listen(t *testing.T, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { defer c.Close(); serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return netip.MustParseAddrPort(l.Addr().String())
}

// closedPort was just in use, so nobody else has it.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

// either serves a port that completes TLS handshakes, and answers everything
// else with head; {addr} in it is the port's address.
func either(t *testing.T, head string) netip.AddrPort {
	s := httptest.NewTLSServer(nil)
	s.Close()
	config := &tls.Config{Certificates: s.TLS.Certificates}
	return listen(t, func(c net.Conn) {
		in := bufio.NewReader(c)
		if first, _ := in.Peek(1); len(first) == 1 && first[0] == 0x16 { // a TLS handshake record
			server := tls.Server(&limitedConn{Conn: c, from: in}, config)
			_ = server.Handshake()
			_, _ = io.Copy(io.Discard, server)
			return
		}
		readRequest(in)
		_, _ = io.WriteString(c, strings.ReplaceAll(head, "{addr}", c.LocalAddr().String()))
	})
}

// readRequest reads the head of a request, or what comes instead.
func readRequest(from io.Reader) string {
	var head strings.Builder
	for lines := bufio.NewReader(from); ; {
		line, err := lines.ReadString('\n')
		head.WriteString(line)
		if err != nil || line == "\r\n" || !strings.Contains(head.String(), "HTTP/1.1") {
			return head.String()
		}
	}
}

// mysql greets as MySQL 8 does, and hangs up on what is no MySQL.
func mysql(c net.Conn) {
	_, _ = c.Write([]byte("\x4a\x00\x00\x00\x0a8.0.36\x00\x0b\x00\x00\x00"))
	_, _ = c.Read(make([]byte, 4096))
}

func httpServer(t *testing.T, useTLS bool) netip.AddrPort {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = quiet
	if useTLS {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return addrOf(s)
}

func addrOf(s *httptest.Server) netip.AddrPort {
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}
