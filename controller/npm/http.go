package npm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// How long an answer may take. NPM holds a write while nginx tests the whole
// configuration: 2 s at 1,000 hosts on a good day.
const (
	readTimeout  = time.Minute
	writeTimeout = 2 * time.Minute
)

// An answer's size: 1,000 hosts are half a megabyte.
const (
	answerLimit  = 64 << 20
	messageLimit = 64 << 10 // of an error answer
)

// errNotModified: the answer 304 to a conditional request.
var errNotModified = errors.New("not modified")

// request is one request to NPM.
type request struct {
	method, path string // the path below /api
	body         any    // JSON; nil: none
	etag         string // makes the request conditional
	token        string
	proven       bool   // the token is known to be good
	secret       string // something in the body that is to appear nowhere else
	base         string // where to ask; empty: where NPM is
	timeout      time.Duration
}

// dialError marks that no connection came about: nothing was sent.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

// dialer makes connections.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

func newTransport(opt Options) *http.Transport {
	return &http.Transport{
		DialContext:         marked(opt.DialContext),
		DialTLSContext:      marked(opt.dialTLS),
		MaxIdleConns:        2,
		MaxIdleConnsPerHost: 2,
		IdleConnTimeout:     30 * time.Second,
	}
}

// marked makes what goes wrong a dialError.
func marked(dial dialer) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, dialError{err}
		}
		return conn, nil
	}
}

// exchange sends one request and hands a successful answer to read.
func (c *Client) exchange(ctx context.Context, r request, read func(http.Header, io.Reader) error) error {
	at := c.at()
	if at.base == "" {
		return ErrNoURL
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	defer context.AfterFunc(at.here, cancel)()

	if r.base == "" {
		r.base = c.base(at)
	}
	req, err := r.http(ctx)
	if err != nil {
		return fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	transport := c.reads
	if r.method != http.MethodGet && !strings.HasPrefix(r.path, tokensPath) {
		transport = c.writes
	}
	client := http.Client{Transport: transport, CheckRedirect: dontFollow}
	resp, err := client.Do(req)
	if err == nil {
		defer resp.Body.Close()
		err = c.answer(r, resp, read)
		var answered *APIError
		if err == nil || errors.As(err, &answered) && answered.Status < 500 || errors.Is(err, errNotModified) {
			return err
		}
		if answered != nil {
			c.unanswered() // perhaps it is not NPM's, but of what stands before it
			return err
		}
	}
	c.unanswered()
	return c.failure(r, at, err, ctx.Err())
}

// dontFollow: a redirect would carry the token to who knows whom.
func dontFollow(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (r request) http(ctx context.Context) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		text, err := encode(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.base+r.path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.etag != "" {
		req.Header.Set("If-None-Match", r.etag)
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	return req, nil
}

func (c *Client) answer(r request, resp *http.Response, read func(http.Header, io.Reader) error) error {
	switch {
	case resp.StatusCode == http.StatusNotModified && r.etag != "":
		return errNotModified
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		date, _ := http.ParseTime(resp.Header.Get("Date"))
		said := oneLine(redact(c.session.redact(message(resp)), secrets(r.secret)...))
		return &APIError{Method: r.method, Path: r.path, Status: resp.StatusCode, Message: said, Date: date}
	}
	return read(resp.Header, http.MaxBytesReader(nil, resp.Body, answerLimit))
}

// message is what an error answer says: NPM's own JSON, or the HTML of the
// nginx before it, which says no more than the status does. Where NPM shows
// what a command said, as it does of certbot, that is what tells people more.
func message(resp *http.Response) string {
	if to := resp.Header.Get("Location"); to != "" {
		return "a redirection to " + to + ", which is not followed"
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, messageLimit))
	if err != nil {
		return ""
	}
	var body struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
		Debug struct {
			Stack []string `json:"stack"`
		} `json:"debug"`
	}
	if json.Unmarshal(text, &body) != nil {
		return ""
	}
	said := slices.DeleteFunc(strings.Split(strings.Join(body.Debug.Stack, "\n"), "\n"), idle)
	if body.Error.Message == "Internal Error" && len(said) > 0 {
		return strings.Join(said, "\n")
	}
	return body.Error.Message
}

// idle are lines of certbot's and of a stack that say nothing.
func idle(line string) bool {
	return line == "" || strings.Contains(line, "Saving debug log to") || strings.HasPrefix(line, "Ask for help") ||
		strings.HasPrefix(line, "    at ")
}

// oneLine keeps a foreign text from breaking or flooding the log.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > 300 {
		s = string(runes[:300]) + "…"
	}
	return s
}

// failure puts a request that got no answer, or half of one, into words.
func (c *Client) failure(r request, at *site, err, ended error) error {
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	var certificate *CertificateError
	switch {
	case errors.As(err, &certificate):
		return err // it says all
	case at.here.Err() != nil:
		err = fmt.Errorf("NPM's address changed meanwhile: %w", err)
	case errors.Is(ended, context.DeadlineExceeded):
		err = fmt.Errorf("no answer within %v: %w", r.timeout, context.DeadlineExceeded)
	}
	return fmt.Errorf("%s %s of NPM at %s: %w", r.method, r.path, strings.TrimSuffix(r.base, "/api"), err)
}

// into decodes a JSON answer, all of it: a cut-off one is an error.
func into(v any) func(http.Header, io.Reader) error {
	return func(_ http.Header, body io.Reader) error {
		dec := json.NewDecoder(body)
		if err := dec.Decode(v); err != nil {
			return fmt.Errorf("the answer is not NPM's JSON: %w", unexpected(err))
		}
		return ended(dec)
	}
}

// ended reads to the end of the answer, where a broken connection shows.
func ended(dec *json.Decoder) error {
	switch _, err := dec.Token(); {
	case err == nil:
		return errors.New("the answer goes on after its end")
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

// unexpected turns an end of input where more was due into an error that no
// one takes for a proper end.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
