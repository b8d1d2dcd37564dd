package npm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"go.uber.org/goleak"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/npm/npmtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testUser   = "no502@example.com"
	testSecret = "canary-password-3f9c"
)

var versions = []string{"2.13.7", "2.15.1"}

// pipes is a network of one address, in memory, so that time can be faked.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	in, out := net.Pipe()
	select {
	case p.conns <- in:
		return out, nil
	case <-p.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bed is a Client and what it talks to, sees and says.
type bed struct {
	*Client
	t   *testing.T
	net *pipes

	mu     sync.Mutex
	keys   []string
	lines  []string
	wire   []string
	secret string
	reads  int // of the credentials
}

// newBed serves a handler to a new Client, and stops both with the test.
func newBed(t *testing.T, h http.Handler, opts ...func(*Options)) *bed {
	t.Helper()
	b := &bed{t: t, net: newPipes(), secret: testSecret}
	srv := &http.Server{Handler: b.recorded(h)}
	go srv.Serve(b.net) //nolint:errcheck // ends with Close
	opt := Options{
		DialContext: b.net.DialContext,
		Instance:    "test",
		Log:         funcr.New(func(prefix, args string) { b.say(args) }, funcr.Options{Verbosity: 1}),
		Credentials: func() (string, string, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.reads++
			return testUser, b.secret, nil
		},
	}
	for _, o := range opts {
		o(&opt)
	}
	b.Client = New(opt)
	b.SetURL("http://npm:81", true)
	t.Cleanup(func() {
		b.Client.reads.CloseIdleConnections()
		srv.Close()
	})
	return b
}

// recorded notes the requests and the status of their answers, 0 for none.
func (b *bed) recorded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		defer func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.wire = append(b.wire, fmt.Sprintf("%s %s %d", r.Method, strings.TrimPrefix(r.URL.Path, "/api"), rec.status))
		}()
		h.ServeHTTP(rec, r)
	})
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// calls returns the requests since the last call: "GET /nginx/proxy-hosts 200".
func (b *bed) calls() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	wire := b.wire
	b.wire = nil
	return wire
}

func (b *bed) say(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line)
}

// logged counts the log lines that hold a text.
func (b *bed) logged(text string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

func (b *bed) setSecret(s string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.secret = s
}

// run starts Run in the background, until the test ends.
func (b *bed) run() (stop func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error)
	go func() {
		done <- b.Run(ctx, func(k api.Key) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.keys = append(b.keys, k.String())
		})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("Run: %v", err)
		}
	})
	b.t.Cleanup(stop)
	return stop
}

// heard returns the keys notified since the last call.
func (b *bed) heard() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	keys := strings.Join(b.keys, " ")
	b.keys = nil
	return keys
}

func (b *bed) host(id int) *api.Host {
	var h *api.Host
	b.View(func(n *api.NPM) { h = n.Host(id) })
	return h
}

// newNPM is an NPM with a user for no502, and hosts 1 to n.
func newNPM(t *testing.T, n int, opts ...func(*npmtest.Options)) *npmtest.Server {
	opt := npmtest.Options{AdminEmail: testUser, AdminPassword: testSecret}
	for _, o := range opts {
		o(&opt)
	}
	s := npmtest.New(opt)
	t.Cleanup(s.Close)
	for i := range n {
		s.AddHost(npmtest.ProxyHost{
			DomainNames: []string{fmt.Sprintf("app%d.example.com", i+1)},
			ForwardHost: "192.168.1.20", ForwardPort: 8000 + i + 1,
			AdvancedConfig: "# theirs <&>",
			Meta:           map[string]any{"dns_provider": "x", "nested": map[string]any{"b": 1, "a": []any{1, 2.50, nil}}},
		})
	}
	return s
}

func version(v string) func(*npmtest.Options) {
	return func(o *npmtest.Options) { o.Version = v }
}

func fault(f func(*http.Request) *npmtest.Fault) func(*npmtest.Options) {
	return func(o *npmtest.Options) { o.Fault = f }
}

// was is where newNPM's hosts forward to.
func was(id int) api.Endpoint {
	return api.Endpoint{Scheme: "http", Host: "192.168.1.20", Port: uint16(8000 + id)}
}

// forward patches where a proxy host forwards to.
func (c *Client) forward(ctx context.Context, id int, from, to api.Endpoint) error {
	return c.Patch(ctx, api.HostKey(id), from.Fields(), to.Fields(), repaired(from, to))
}

// repaired is what a host remembers that was forwarded elsewhere.
func repaired(from, to api.Endpoint) *api.Ownership {
	return &api.Ownership{Instance: "test", Backend: "web", Origin: api.OriginRepaired, Wrote: to.Fields(), Was: from.Fields()}
}

// polls are what a look asks, with the status of each answer.
func polls(status string, all bool) []string {
	var calls []string
	for _, l := range lists() {
		calls = append(calls, "GET "+l.path+" "+status)
		if !all {
			break
		}
	}
	return calls
}

func count(all []string, prefix string) (n int) {
	for _, c := range all {
		if strings.HasPrefix(c, prefix) {
			n++
		}
	}
	return n
}

func eq[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// bubble runs a test in fake time, once per version of NPM.
func bubble(t *testing.T, f func(t *testing.T, version string)) {
	for _, v := range versions {
		t.Run(v, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, v) })
		})
	}
}

// after lets fake time pass, and what happens in it.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
