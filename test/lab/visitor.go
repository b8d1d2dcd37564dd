package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// visitorPort is where the visitor takes its errands, inside its container.
	visitorPort = "127.0.0.1:3128"
	// atHeader says to the visitor where to connect to.
	atHeader = "Visitor-At"
	// noAnswer is the visitor's own status where nothing was answered.
	noAnswer = 599
)

// Visitor is somebody beside NPM who fetches pages: an HTTP proxy that makes a
// new connection for each request, to the address in its header. One way in
// serves many requests, which an exec for each of them would make slow.
func Visitor(ctx context.Context, p *Process) error {
	l, err := p.Network.Listen("tcp", visitorPort)
	if err != nil {
		return err
	}
	server := http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(p.visit)}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (p *Process) visit(w http.ResponseWriter, r *http.Request) {
	at := r.Header.Get(atHeader)
	r.Header.Del(atHeader)
	r.RequestURI = ""
	transport := http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx, at) },
	}
	res, err := transport.RoundTrip(r)
	if err != nil {
		w.WriteHeader(noAnswer)
		fmt.Fprint(w, err)
		return
	}
	defer res.Body.Close()
	for key, values := range res.Header {
		w.Header()[key] = values
	}
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body) // what is cut off, its reader notices
}

// dial connects to a host and port by the container's own view of names.
func (p *Process) dial(ctx context.Context, at string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return nil, err
	}
	addrs := []string{host}
	if net.ParseIP(host) == nil {
		if addrs, err = p.Network.LookupHost(ctx, host); err != nil {
			return nil, err
		}
	}
	return p.Network.DialContext(ctx, "tcp", net.JoinHostPort(addrs[0], port))
}

// Enter makes the way to the visitor: from inside its container.
func (l *Lab) Enter() {
	dial := l.Dialer(l.container("visitor"))
	l.visitor = &http.Client{
		Timeout:       15 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:               http.ProxyURL(&url.URL{Scheme: "http", Host: visitorPort}),
			DialContext:         dial,
			MaxIdleConnsPerHost: 16,
		},
	}
}

// ask sends the visitor to an address, which may name a container.
func (l *Lab) ask(req *http.Request, at string) (*http.Response, error) {
	req.Header.Set(atHeader, at)
	res, err := l.visitor.Do(req)
	if err != nil || res.StatusCode != noAnswer {
		return res, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<12))
	return nil, errors.Join(err, errors.New(string(text)))
}

// Dial connects the visitor to a port of NPM's container.
func (l *Lab) Dial(ctx context.Context, port int) (net.Conn, error) {
	return l.Dialer(l.container("visitor"))(ctx, "tcp", net.JoinHostPort(l.container("npm"), strconv.Itoa(port)))
}

// Secure asks NPM's port 443 for a page, by the domain's name, and tells with which
// certificate it was answered; nobody vouches for it.
func (l *Lab) Secure(req *http.Request) (Answer, *x509.Certificate) {
	var leaf *x509.Certificate
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return l.Dial(ctx, 443) },
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, InsecureSkipVerify: true,
			VerifyConnection: func(s tls.ConnectionState) error {
				leaf = s.PeerCertificates[0]
				return nil
			},
		},
	}
	a := answer(transport.RoundTrip(req))
	return a, leaf
}

// Status reads a page of no502's status port.
func (l *Lab) Status(ctx context.Context, path string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://no502"+path, nil)
	if err != nil {
		return err
	}
	res, err := l.ask(req, l.container("no502")+":8502")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return json.NewDecoder(res.Body).Decode(answer)
}

// Leave ends the ways to the visitor.
func (l *Lab) Leave() {
	if l.visitor != nil {
		l.visitor.CloseIdleConnections()
	}
}
