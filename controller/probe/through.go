package probe

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/no502/no502/api"
)

const (
	// proofTimeout bounds each request of a proof. nginx itself waits for 90 s
	// for a backend that says nothing.
	proofTimeout = 3 * time.Second
	// proofLimit is how much of a page is compared.
	proofLimit = 4 << 10
	// headerLimit is how much of an answer comes before its page.
	headerLimit = 64 << 10
	// failureLimit is how much is told of an error, which may quote what a backend
	// has sent.
	failureLimit = 200
	// nobody is a domain that no host serves (RFC 2606).
	nobody = "no502-probe.invalid"
	// servedBy is the header by which NPM's main locations say which host
	// answered, with 2xx and 3xx only (measured on 2.15.1 and 2.13.7).
	servedBy = "X-Served-By"
)

// Prove asks NPM for a host's page, and the backend for the same, at once. What
// it finds is of this moment and not kept. When ctx ends, the answers are errors.
func (p *Prober) Prove(ctx context.Context, t api.ProofTarget) (proof api.Proof) {
	log := openErrorLog(p.opts.NPMData, t.Host)
	var through, direct seen
	var g errgroup.Group
	g.Go(func() error {
		through = p.through(ctx, t, t.Domain)
		return nil
	})
	g.Go(func() error {
		scheme := "http"
		if t.TLS {
			scheme = "https"
		}
		direct = p.visit(ctx, scheme, t.Direct, t.Domain)
		return nil
	})
	_ = g.Wait() // neither has an error to return
	proof.Through, proof.Direct = through.Answer, direct.Answer
	if through.Err == "" && !through.served && through.page != direct.page {
		other := p.through(ctx, t, nobody)
		proof.Default = other.Err == "" && other.Status == through.Status && other.page == through.page
	}
	proof.Log = log.news(t.Domain)
	p.opts.Log.V(1).Info("Asked NPM for a host", "domain", t.Domain, "status", through.Status, "error", through.Err,
		"backend", proof.Direct.Status, "default", proof.Default)
	return proof
}

// seen is an answer, and what tells it from others.
type seen struct {
	api.Answer
	served bool // NPM says that the host's own main location gave it
	to     *url.URL
	page   [sha256.Size]byte
}

// through asks NPM, and follows a redirection of the same domain to https.
func (p *Prober) through(ctx context.Context, t api.ProofTarget, domain string) seen {
	s := p.visit(ctx, "http", t.HTTP, domain)
	if s.to != nil && s.to.Scheme == "https" && strings.EqualFold(s.to.Hostname(), domain) {
		s = p.visit(ctx, "https", t.HTTPS, domain)
	}
	return s
}

// visit asks one address for a domain's page. Certificates are not its matter.
func (p *Prober) visit(ctx context.Context, scheme string, at netip.AddrPort, domain string) (s seen) {
	ctx, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	transport := &http.Transport{
		DisableKeepAlives: true, MaxResponseHeaderBytes: headerLimit,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return p.opts.DialContext(ctx, network, at.String())
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, CipherSuites: allCipherSuites(), ServerName: domain},
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+domain+"/", nil)
	if err != nil {
		s.Err = fmt.Sprintf("%q cannot be asked for", domain)
		return s
	}
	r.Header.Set("User-Agent", "no502-probe")
	answer, err := transport.RoundTrip(r)
	if err != nil {
		s.Err = failure(err)
		return s
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, proofLimit))
	if err != nil && len(body) == 0 {
		s.Err = failure(err)
		return s
	}
	s.Status, s.served, s.page = answer.StatusCode, answer.Header.Get(servedBy) != "", sha256.Sum256(body)
	s.to, _ = answer.Location() // most answers lead nowhere
	return s
}

// failure is an error without what is known anyway.
func failure(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %v", proofTimeout)
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	said := strings.TrimPrefix(err.Error(), "connect: ")
	return strings.ToValidUTF8(said[:min(len(said), failureLimit)], "")
}
