package npmtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func cutScheme(target string) (rest string, found bool) {
	for _, scheme := range []string{"http://", "https://"} {
		if rest, found := strings.CutPrefix(target, scheme); found {
			return rest, true
		}
	}
	return target, false
}

// parseUpstream splits "host:port/uri" like nginx: port 0 means the scheme's.
// The error is nginx's words; "http://x" as a forward host gives "invalid port"
// (FACTS, causes).
func parseUpstream(rest string) (host string, port int, uri, err string) {
	authority := rest
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, uri = rest[:i], rest[i:]
	}
	host, text, found := strings.Cut(authority, ":")
	if strings.HasPrefix(authority, "[") {
		var after string
		host, after, _ = strings.Cut(authority[1:], "]")
		text, found = strings.CutPrefix(after, ":")
	}
	if found {
		n, e := strconv.Atoi(text)
		if e != nil || n < 1 || n > 65535 {
			return host, 0, uri, "invalid port"
		}
		port = n
	}
	if host == "" {
		return host, port, uri, "no host"
	}
	return host, port, uri, ""
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// upstream is where a request goes.
type upstream struct {
	scheme string
	uri    string
	addrs  []string // IP:port, in the order in which they are tried
}

// pass finds the backend and proxies.
func (x *exchange) pass() {
	target := x.expand(x.location.pass)
	rest, found := cutScheme(target)
	host, port, uri, bad := parseUpstream(rest)
	if !found {
		bad = "invalid URL prefix"
	}
	if bad != "" {
		x.errorLog(fmt.Sprintf("%s in upstream \"%s\"", bad, rest), "")
		x.page(500)
		return
	}
	scheme, _, _ := strings.Cut(target, ":")
	u := &upstream{scheme: scheme, uri: x.request(uri)}
	if port == 0 {
		port = map[string]int{"http": 80, "https": 443}[u.scheme]
	}
	ips, err := x.addresses(host)
	if err != nil {
		x.errorLog(fmt.Sprintf("%s could not be resolved (%s)", host, resolveReason(err)), "")
		x.page(502)
		return
	}
	for _, ip := range ips {
		u.addrs = append(u.addrs, net.JoinHostPort(ip, strconv.Itoa(port)))
	}
	ctx := context.WithValue(context.WithValue(x.r.Context(), exchangeKey{}, x), upstreamKey{}, u)
	x.proxy.ServeHTTP(x.w, x.r.WithContext(ctx))
}

type upstreamKey struct{}

// request is what the backend is asked for. The path of a literal proxy_pass
// replaces the location's prefix, unless a rewrite changed the URI; one behind
// variables replaces everything (FACTS, Resolution).
func (x *exchange) request(passed string) string {
	l := x.location
	switch {
	case passed != "" && (l.main || strings.Contains(l.pass, "$")):
		return passed
	case passed == "" && !x.rewritten:
		return x.r.URL.RequestURI()
	}
	uri := escaped(x.uri)
	if !x.rewritten {
		uri = passed + escaped(strings.TrimPrefix(x.uri, l.path))
	}
	if x.args != "" {
		uri += "?" + x.args
	}
	return uri
}

// addresses resolves the host of a proxy_pass: a literal one when nginx loaded
// it, a variable now, through the cache.
func (x *exchange) addresses(host string) ([]string, error) {
	if isAddress(host) {
		return []string{host}, nil
	}
	if !strings.Contains(x.location.pass, "$") {
		return x.workers.static(host), nil
	}
	return x.workers.cache().lookup(x.r.Context(), x.opt.Network, host)
}

func resolveReason(err error) string {
	var d *net.DNSError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &d) && d.IsTimeout:
		return "110: Operation timed out"
	case errors.As(err, &d) && d.IsTemporary:
		return "2: Server failure"
	}
	return "3: Host not found"
}

// rewrite makes the backend's request out of the client's.
func (x *exchange) rewrite(p *httputil.ProxyRequest) {
	u, _ := p.In.Context().Value(upstreamKey{}).(*upstream)
	out, h := p.Out, p.Out.Header
	path, query, _ := strings.Cut(u.uri, "?")
	out.URL = &url.URL{Scheme: u.scheme, Host: u.addrs[0], Path: path, RawQuery: query}
	if decoded, err := url.PathUnescape(path); err == nil {
		out.URL.Path, out.URL.RawPath = decoded, path
	}
	out.Host = x.host
	forwarded := x.client()
	if before := p.In.Header["X-Forwarded-For"]; len(before) > 0 && x.location.main { // custom locations begin anew
		forwarded = strings.Join(before, ", ") + ", " + forwarded
	}
	h.Set("X-Forwarded-For", forwarded)
	for _, name := range []string{"X-Forwarded-Proto", "X-Forwarded-Scheme"} {
		h.Set(name, x.scheme())
		if sent := p.In.Header.Get(name); x.location.main && !x.old && (sent == "http" || sent == "https") {
			h.Set(name, sent)
		}
	}
	h.Set("X-Real-IP", x.client())
	if !x.location.upgrade { // nginx does not pass these on by itself
		h.Del("Upgrade")
		h.Del("Connection")
	}
	if x.location.dropAuth {
		h.Del("Authorization")
	}
}

// upstreamError is a failure of a backend: the answer, and nginx's words.
type upstreamError struct {
	status int
	text   string
	sent   bool // the backend may have seen the request
}

func (e *upstreamError) Error() string { return e.text }

// tripper sends a request to a backend's addresses in turn, a connection each.
type tripper struct {
	s    *Server
	base *http.Transport
}

func (s *Server) newTripper() *tripper {
	t := &tripper{s: s}
	t.base = &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return t.dial(ctx, addr)
		},
		DialTLSContext:     t.dialTLS,
		DisableKeepAlives:  true,
		DisableCompression: true,
	}
	return t
}

// RoundTrip implements http.RoundTripper.
func (t *tripper) RoundTrip(req *http.Request) (*http.Response, error) {
	x := exchangeOf(req.Context())
	u, _ := req.Context().Value(upstreamKey{}).(*upstream)
	for i, addr := range u.addrs {
		out := req.Clone(req.Context())
		out.URL.Host = addr
		last := i == len(u.addrs)-1
		if req.Body != nil && !last {
			out.Body = io.NopCloser(req.Body)
		}
		resp, err := t.once(x, out)
		if err == nil {
			return resp, nil
		}
		if req.Context().Err() != nil {
			return nil, err // the client gave up
		}
		e := classify(err)
		x.errorLog(e.text, fmt.Sprintf("%s://%s%s", u.scheme, addr, u.uri))
		retry := !e.sent || req.Method == http.MethodGet || req.Method == http.MethodHead
		if last || !retry {
			return nil, e
		}
	}
	return nil, &upstreamError{status: 502, text: "no live upstreams"}
}

// once waits for the response header no longer than proxy_read_timeout.
func (t *tripper) once(x *exchange, req *http.Request) (*http.Response, error) {
	limit := t.s.opt.UpstreamTimeout
	if x.location.readTimeout > 0 {
		limit = x.location.readTimeout
	}
	base := t.base.Clone()
	base.ResponseHeaderTimeout = limit
	return base.RoundTrip(req)
}

type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

type handshakeError struct{ error }

func (e *handshakeError) Unwrap() error { return e.error }

func (t *tripper) dial(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.s.opt.UpstreamTimeout)
	defer cancel()
	conn, err := t.s.opt.Network.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, &dialError{err}
	}
	return conn, nil
}

// dialTLS verifies nothing, as nginx's proxy_ssl_verify off.
func (t *tripper) dialTLS(ctx context.Context, _, addr string) (net.Conn, error) {
	raw, err := t.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, t.s.opt.UpstreamTimeout)
	defer cancel()
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, &handshakeError{err}
	}
	return conn, nil
}

// classify turns a failure into nginx's answer and error log (FACTS, causes).
func classify(err error) *upstreamError {
	var dial *dialError
	var shake *handshakeError
	var record tls.RecordHeaderError
	timeout := isTimeout(err)
	const timedOut = "upstream timed out (110: Connection timed out) while "
	switch {
	case errors.As(err, &dial) && timeout:
		return &upstreamError{status: 504, text: timedOut + "connecting to upstream"}
	case errors.As(err, &dial):
		return &upstreamError{status: 502, text: "connect() failed (" + errnoText(err) + ") while connecting to upstream"}
	case errors.As(err, &shake) && timeout:
		return &upstreamError{status: 504, text: timedOut + "SSL handshaking to upstream"}
	case errors.As(err, &record):
		return &upstreamError{status: 502, text: "SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number) while SSL handshaking to upstream"}
	case errors.As(err, &shake):
		return &upstreamError{status: 502, text: "peer closed connection in SSL handshake while SSL handshaking to upstream"}
	case timeout:
		return &upstreamError{status: 504, text: timedOut + "reading response header from upstream", sent: true}
	case errors.Is(err, syscall.ECONNRESET):
		return &upstreamError{status: 502, text: "recv() failed (104: Connection reset by peer) while reading response header from upstream", sent: true}
	}
	return &upstreamError{status: 502, text: "upstream prematurely closed connection while reading response header from upstream", sent: true}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout() && !errors.Is(err, syscall.ETIMEDOUT)
}

func errnoText(err error) string {
	for _, e := range []struct {
		errno syscall.Errno
		text  string
	}{
		{syscall.EHOSTUNREACH, "113: No route to host"}, {syscall.ENETUNREACH, "101: Network is unreachable"},
		{syscall.ETIMEDOUT, "110: Connection timed out"}, {syscall.ECONNRESET, "104: Connection reset by peer"},
	} {
		if errors.Is(err, e.errno) {
			return e.text
		}
	}
	return "111: Connection refused"
}

// errorLog writes a line of the host's error log as nginx does.
func (x *exchange) errorLog(text, upstream string) {
	name, id, _ := strings.Cut(strings.TrimSuffix(x.server.path, ".conf"), "/")
	n := x.nginx
	n.mu.Lock()
	defer n.mu.Unlock()
	n.requests++
	line := fmt.Sprintf("%s [error] %d#%d: *%d %s, client: %s, server: %s, request: \"%s %s HTTP/%d.%d\"",
		time.Now().Format("2006/01/02 15:04:05"), n.pid, n.pid, n.requests, text, x.client(), strings.Join(x.server.names[:min(1, len(x.server.names))], ""),
		x.r.Method, x.r.URL.RequestURI(), x.r.ProtoMajor, x.r.ProtoMinor)
	if upstream != "" {
		line += fmt.Sprintf(", upstream: \"%s\"", upstream)
	}
	n.log(filepath.Base(strings.ReplaceAll(name, "_", "-")+"-"+id+"_error.log"), line+fmt.Sprintf(", host: \"%s\"", x.r.Host))
}
