// Package npm is Nginx Proxy Manager: its REST API, a cache of its hosts of all
// kinds, certificates and access lists, and the noticing of changes.
//
// A Client is the only one of this process that writes to its NPM, and it
// writes one thing at a time: every write makes NPM test nginx's whole
// configuration while files in it come and go, so that two at once fail, or
// take innocent hosts offline. It works with NPM 2.13.7 and later.
package npm

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/semaphore"

	"github.com/no502/no502/api"
)

// Options of a Client.
type Options struct {
	// DialContext makes the connections to NPM; nil: a net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// CAFile holds, in PEM, a certificate authority beside the machine's, for an
	// NPM behind https; empty: none.
	CAFile string
	// Insecure: NPM's certificate is not verified.
	Insecure bool
	// Credentials of an NPM user who may manage all proxy hosts; what else it
	// may not see counts as not known. Asked at each login, so that a changed
	// file counts, and every second while NPM refuses what they were.
	Credentials func() (identity, secret string, err error)
	// TOTP returns the secret of that user's second factor, in base32 or as an
	// otpauth:// URI; nil: there is none. Asked like the Credentials.
	TOTP func() (string, error)
	// DataDir is NPM's data directory, mounted read-only. Empty or absent:
	// changes are noticed by polling alone.
	DataDir string
	// Poll is the time between two looks at NPM's list; 15 s if zero. With a
	// DataDir the looks are fewer while nothing changes.
	Poll time.Duration
	// Instance is meta.no502.instance of the hosts that may be deleted.
	Instance string
	Log      logr.Logger
}

// Client talks to one NPM. Its methods may be called concurrently.
type Client struct {
	opt     Options
	log     logr.Logger
	reads   *http.Transport // keep-alive
	writes  *http.Transport // a connection per write: nginx's reload closes idle ones under way
	session session

	// turn is held during every exchange that changes the cache: lists and
	// writes. So no list can bring back what a write has replaced.
	turn    *semaphore.Weighted
	etags   map[string]string // of the last lists, by path; under turn
	listed  time.Time         // when all lists were last read; under turn
	entries map[api.Key]entry // of the hosts in the cache; under turn

	// wake makes Run reconsider what it waits for.
	wake chan struct{}

	mu     sync.RWMutex
	site   *site
	notify func(api.Key)
	hosts  *api.NPM              // nil before the first complete look
	quiet  map[api.Key]time.Time // until when file events of a host are our own doing
	wrote  time.Time             // the last write
	unsure map[api.Key]*unsure
	state  State
	expect bool
	// answers: the last look at NPM succeeded, and no request since then went
	// without an answer, or got none but a 5xx, nor was a login refused.
	answers bool
	// stranded: nginx does not run, and the back end is asked instead.
	stranded bool
}

// site is where NPM is. Its context ends when NPM turns out to be elsewhere,
// which ends the requests that would wait for nobody.
type site struct {
	base    string // "http://172.20.0.2:81/api"; empty: not known
	backend string // "http://172.20.0.2:3000"; empty: not known
	here    context.Context
	leave   context.CancelFunc
}

func newSite(base string, own bool) *site {
	s := &site{base: base}
	if own {
		s.backend = backendOf(base)
	}
	s.here, s.leave = context.WithCancel(context.Background())
	return s
}

// Expect says whether hosts wait for a certificate or an access list, so that
// all lists are to be read at every poll.
func (c *Client) Expect(waiting bool) {
	c.mu.Lock()
	changed := c.expect != waiting
	c.expect = waiting
	c.mu.Unlock()
	if changed {
		c.nudge()
	}
}

func (c *Client) expected() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.expect
}

// State tells how the connection to NPM stands.
type State struct {
	URL       string // where NPM is; empty while that is not known
	Version   string // of NPM: "2.15.1"; empty while that is not known
	Connected bool   // the last look at NPM succeeded
	Watching  bool   // NPM's files are watched, beside polling
	Problem   string // why it is not connected, as a sentence; else empty
}

// New returns a Client that waits for an address (SetURL) and for Run.
func New(opt Options) *Client {
	if opt.Poll <= 0 {
		opt.Poll = 15 * time.Second
	}
	if opt.DialContext == nil {
		opt.DialContext = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	}
	if opt.Log.GetSink() == nil {
		opt.Log = logr.Discard()
	}
	c := &Client{
		opt:     opt,
		log:     opt.Log,
		turn:    semaphore.NewWeighted(1),
		wake:    make(chan struct{}, 1),
		site:    newSite("", false),
		etags:   map[string]string{},
		entries: map[api.Key]entry{},
		quiet:   map[api.Key]time.Time{},
		unsure:  map[api.Key]*unsure{},
		session: session{credentials: opt.Credentials, totp: opt.TOTP, pause: newBackOff(5*time.Second, 2, 5*time.Minute)},
	}
	c.reads, c.writes = newTransport(opt), newTransport(opt)
	c.writes.DisableKeepAlives = true
	c.state.Problem = sentence(ErrNoURL)
	return c
}

// SetURL says where NPM's admin interface is ("http://172.20.0.2:81", with or
// without /api); empty: nowhere for now. Requests to another address end. Own: at
// that address nobody but NPM listens, so that its back end is there too.
func (c *Client) SetURL(base string, own bool) {
	base = normalise(base)
	c.mu.Lock()
	old := c.site
	if old.base == base {
		c.mu.Unlock()
		return
	}
	c.site, c.stranded, c.answers = newSite(base, own), false, false
	c.state.URL, c.state.Connected = strings.TrimSuffix(base, "/api"), false
	c.state.Problem = sentence(ErrNoURL)
	if base != "" {
		c.state.Problem = "NPM was not reached yet at " + c.state.URL + "."
	}
	c.mu.Unlock()
	old.leave()
	c.reads.CloseIdleConnections()
	c.nudge()
}

// normalise makes a base address end in /api, and drops what does not belong
// into it: a user and password would end up in messages.
func normalise(base string) string {
	base = strings.TrimSpace(base)
	if base != "" && !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return base
	}
	path := strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/api")
	clean := url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(path, "/") + "/api"}
	return clean.String()
}

// View shows f NPM as it was last seen, and reports whether there was a
// complete look yet; before, f is not called. f must neither keep the NPM nor
// call the Client; the hosts in it never change and may be kept.
func (c *Client) View(f func(*api.NPM)) (synced bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.hosts == nil {
		return false
	}
	f(c.hosts)
	return true
}

// State tells how the connection to NPM stands.
func (c *Client) State() State {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.state
}

// Waits reports that NPM does not answer, or not to this user, as far as is
// known. Run says so, lists everything as soon as NPM answers, and then tells
// the system's key.
func (c *Client) Waits() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return !c.answers
}

// unanswered notes that a request got none of the answers that NPM gives when
// all is well with it, so that Run looks at once whether it is there, and nothing
// more is asked of it meanwhile.
func (c *Client) unanswered() {
	c.mu.Lock()
	was := c.answers
	c.answers = false
	c.mu.Unlock()
	if was {
		c.nudge()
	}
}

func (c *Client) at() *site {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.site
}

// nudge makes Run reconsider what it waits for.
func (c *Client) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// tell passes keys on to Run's notify, if it runs.
func (c *Client) tell(keys ...api.Key) {
	c.mu.RLock()
	notify := c.notify
	c.mu.RUnlock()
	if notify == nil {
		return
	}
	for _, k := range keys {
		notify(k)
	}
}
