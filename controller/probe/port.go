package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/no502/no502/api"
)

// What a port may make a probe read.
const (
	plainLimit = 4 << 10
	tlsLimit   = 64 << 10 // a chain of certificates can be that long
)

// probe asks one port. The answer is good for the time returned, 0 meaning
// until the container starts again; ok is false when ctx ended before it.
func (p *Prober) probe(ctx context.Context, t api.Target) (found api.Probe, good time.Duration, ok bool) {
	free, ok := p.slot(ctx)
	defer free()
	if !ok {
		return found, 0, false
	}
	conn, err := p.connect(ctx, t.Addr.String(), plainLimit)
	if err != nil {
		found.Port = p.notOpen(t, err)
		good = notOpenFor
	} else {
		found, good = p.speaks(ctx, conn, t)
	}
	p.opts.Log.V(1).Info("Probed a port", "address", t.Addr.String(), "container", t.Container,
		"port", found.Port, "tls", found.TLS, "plain", found.Plain)
	return found, good, ctx.Err() == nil
}

// notOpen is the state of a port that could not be connected to.
func (p *Prober) notOpen(t api.Target, err error) api.PortState {
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return api.PortSilent
	}
	if p.listensOnLoopbackOnly(t) {
		return api.PortLoopback
	}
	return api.PortClosed
}

// speaks finds out what an open port speaks. The plain request goes first:
// every TLS stack turns it down at once, while some servers of plain HTTP
// (those that read up to a blank line) would let a TLS hello wait.
func (p *Prober) speaks(ctx context.Context, conn net.Conn, t api.Target) (api.Probe, time.Duration) {
	reply, err := p.get(ctx, conn, t.Addr.String(), "/")
	silent := errors.Is(err, os.ErrDeadlineExceeded)

	patience := p.opts.Timeout
	if silent || err == nil && reply.status != http.StatusBadRequest {
		// It is a server of plain HTTP, or slow with everything: to wait as
		// long again is worth nothing.
		patience /= 4
	}
	speaksTLS, unclear := p.handshake(ctx, t.Addr.String(), patience)

	found := api.Probe{Port: api.PortOpen, TLS: speaksTLS}
	// A 400 may be all that a server of TLS has to say to a plain request, even
	// if it was too slow for a handshake, or wants a certificate.
	unclear = unclear && err == nil && reply.status == http.StatusBadRequest
	turnedAway := speaksTLS && reply.wantsTLS(t.Addr) || unclear
	found.Plain = err == nil && !turnedAway
	switch {
	case t.Container == "" || t.StartedAt == 0:
		return found, machineFor
	case (silent || unclear) && !found.TLS:
		return found, unsettledFor
	}
	return found, 0
}

// connect opens a connection that ends after limit bytes were read.
func (p *Prober) connect(ctx context.Context, addr string, limit int64) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.opts.Timeout)
	defer cancel()
	conn, err := p.opts.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &limitedConn{Conn: conn, from: io.LimitReader(conn, limit)}, nil
}

type limitedConn struct {
	net.Conn
	from io.Reader
}

func (c *limitedConn) Read(b []byte) (int, error) { return c.from.Read(b) }

// handshake reports whether a TLS handshake succeeds, with any certificate and
// any version from 1.0 on: that is what nginx would accept of a backend. Unclear
// is one that failed although TLS may be spoken: no answer in time, or an alert.
func (p *Prober) handshake(ctx context.Context, addr string, patience time.Duration) (ok, unclear bool) {
	conn, err := p.connect(ctx, addr, tlsLimit)
	if err != nil {
		return false, false
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// The probe reads no secrets and sends none, so there is nothing that a
	// certificate or a strong cipher would protect.
	client := tls.Client(conn, &tls.Config{
		InsecureSkipVerify: true,
		MinVersion:         tls.VersionTLS10,
		CipherSuites:       allCipherSuites(),
	})
	if err := client.HandshakeContext(ctx); err != nil {
		var alert *net.OpError
		return false, ctx.Err() != nil || errors.As(err, &alert) && alert.Op == "remote error"
	}
	_ = client.Close() // says goodbye, so that the server logs no error
	return true, false
}

func allCipherSuites() []uint16 {
	var ids []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		ids = append(ids, s.ID)
	}
	return ids
}

// reply is the head of an answer to a plain HTTP request.
type reply struct {
	status int
	header textproto.MIMEHeader // as much of it as came within the limits
}

var errNotHTTP = errors.New("the answer is not HTTP")

// get sends one request on conn, reads the head of the answer, and closes
// conn. The error is os.ErrDeadlineExceeded when nothing came in time.
func (p *Prober) get(ctx context.Context, conn net.Conn, host, path string) (reply, error) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(p.opts.Timeout)) // fails only if closed, and then so does Read
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	// Not all that sends an answer has read the whole request: what counts is
	// what can be read.
	_, _ = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: "+host+
		"\r\nUser-Agent: no502-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n")

	in := bufio.NewReader(conn)
	const proto = "HTTP/1."
	if start, err := in.Peek(len(proto)); err != nil {
		return reply{}, err
	} else if string(start) != proto {
		return reply{}, errNotHTTP
	}
	text := textproto.NewReader(in)
	line, err := text.ReadLine()
	if err != nil {
		return reply{}, err
	}
	status, ok := statusOf(line)
	if !ok {
		return reply{}, errNotHTTP
	}
	header, _ := text.ReadMIMEHeader() // a broken header is still an HTTP server's
	return reply{status, header}, nil
}

// statusOf reads a status line: "HTTP/1.1 200 OK", the reason being optional.
func statusOf(line string) (status int, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 2 || len(fields[1]) != 3 {
		return 0, false
	}
	status, err := strconv.Atoi(fields[1])
	return status, err == nil && status >= 100
}

// wantsTLS reports whether a server that speaks TLS meant with its plain
// answer that TLS must be spoken. Servers say so with a 400: "Client sent an
// HTTP request to an HTTPS server" (Go), "The plain HTTP request was sent to
// HTTPS port" (nginx); or they redirect to the very port they were asked at.
func (r reply) wantsTLS(addr netip.AddrPort) bool {
	if r.status == http.StatusBadRequest {
		return true
	}
	if r.status < 300 || r.status > 399 {
		return false
	}
	to, err := url.Parse(r.header.Get("Location"))
	if err != nil || !strings.EqualFold(to.Scheme, "https") {
		return false
	}
	port := to.Port()
	if port == "" {
		port = "443"
	}
	host, err := netip.ParseAddr(to.Hostname())
	return err == nil && host.Unmap() == addr.Addr().Unmap() && port == strconv.Itoa(int(addr.Port()))
}
