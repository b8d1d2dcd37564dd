// Package npmtest is an in-process Nginx Proxy Manager: its REST API and a data
// plane that really proxies, in the manner of net/http/httptest.
//
// It stands on recorded facts only: testdata/recordings holds exchanges with
// running servers of 2.15.1 and 2.13.7, and the package's tests replay them. The
// word FACTS in a comment means the findings that were drawn from them.
//
// Inside there are the parts of the real thing: a database (store.go), the API
// that writes it (api.go, hosts.go, …), a tree of nginx configuration files
// (conf.go) with "nginx -t" and reload over it (nginx.go), and workers that
// serve what was last loaded (dataplane.go). What surprises users of NPM happens
// for the same reasons here: a row that was written although the answer was 500,
// a name in a custom location that keeps nginx from starting, a name cache of
// ten seconds.
package npmtest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Options configure a Server. The zero value is an NPM 2.15.1 that nobody has
// set up yet, with an immediate reload.
type Options struct {
	// Version is "2.15.1" (the default) or "2.13.7".
	Version string

	// Network is how the server reaches the world; nil means the machine's own
	// network and the name servers of /etc/resolv.conf.
	Network Network

	// DataDir, when set, is written like NPM's /data: nginx/proxy_host/N.conf
	// and logs/. A watcher sees DELETE, CREATE, MODIFY, CLOSE_WRITE per write. New
	// takes up what an earlier process left there: rows, tokens, conf files.
	DataDir string

	// AdminEmail and AdminPassword are INITIAL_ADMIN_EMAIL and
	// INITIAL_ADMIN_PASSWORD; when empty, the server is not set up yet.
	AdminEmail, AdminPassword string

	// ReloadDelay is the time from a write's answer until workers with the new
	// configuration serve. Zero reloads before the answer. NPM: 95 ms with one
	// host, 350 ms with 500.
	ReloadDelay time.Duration

	// UpstreamTimeout bounds connecting to a backend, and its silence before the
	// response header. Zero means NPM's 90 s.
	UpstreamTimeout time.Duration

	// WriteWindow opens FACTS 1: a write pauses this long before it deletes its
	// conf file and again before it tests the new one, and other writes run
	// meanwhile and fail. Zero means that writes wait for each other.
	WriteWindow time.Duration

	// Clock is what tokens and certificates are dated by; nil means time.Now.
	Clock func() time.Time

	// LetsEncrypt, when set, is certbot: nil issues the certificate for 90 days,
	// an error is what it failed with. Unset, there is no network, and certbot fails
	// as recorded. While it runs other requests are answered.
	LetsEncrypt func(LetsEncryptRequest) error

	// Fault, when set, is asked for every API request; nil means no fault.
	Fault func(*http.Request) *Fault
}

// Fault is what goes wrong with one API request.
type Fault struct {
	// Delay passes before anything else happens.
	Delay time.Duration
	// After lets the request have its real effect first; its answer is lost.
	After bool
	// Drop closes the connection instead of answering.
	Drop bool
	// Cut ends the back end when it has made the row of a new host, and not yet
	// nginx's file for it: then the row holds no verdict of nginx's, as where
	// nginx's files are broken (broken_nginx_cascade). It is away as after a crash.
	Cut bool
	// Status and Body are answered; Status 0 (without Drop) means the real
	// answer, so that a Delay alone is a slow server.
	Status int
	Body   string
}

// Server is one Nginx Proxy Manager. Its methods are safe for concurrent use.
type Server struct {
	opt    Options
	old    bool // 2.13.7
	bodies *bodies
	store  *store
	nginx  *nginx
	routes []route
	secret []byte // signs tokens; survives Restart

	saver sync.Mutex // one save at a time
	saved bool       // for the last time; under saver

	writing sync.Mutex // one write at a time, unless WriteWindow is set

	mu       sync.Mutex
	calls    []Call
	lists    map[listKey]answer // cached list answers of one generation
	listsGen uint64
	secrets  map[int]string     // user id → password hash
	perms    map[int]row        // user id → permissions
	twoFA    map[int]*twoFactor // user id → second factor
	setting  row                // default-site
	crashed  time.Time          // the back end is away until then
	stopped  bool
	saving   bool // a save is on its way
}

// New makes a server. It panics on an unknown version or an unusable DataDir:
// both are mistakes of the test that calls it.
func New(opt Options) *Server {
	if opt.Version == "" {
		opt.Version = "2.15.1"
	}
	if opt.Version != "2.15.1" && opt.Version != "2.13.7" {
		panic("npmtest: no recordings of version " + opt.Version)
	}
	if opt.Network == nil {
		opt.Network = SystemNetwork()
	}
	if opt.Clock == nil {
		opt.Clock = time.Now
	}
	if opt.UpstreamTimeout == 0 {
		opt.UpstreamTimeout = 90 * time.Second
	}
	if opt.DataDir != "" {
		for _, dir := range slices.Concat(confDirs, []string{"../logs"}) {
			if err := os.MkdirAll(filepath.Join(opt.DataDir, "nginx", dir), 0o755); err != nil {
				panic(fmt.Errorf("npmtest: %w", err))
			}
		}
	}
	s := &Server{
		opt: opt, old: opt.Version == "2.13.7",
		secret:  []byte(rand.Text()),
		secrets: map[int]string{}, perms: map[int]row{}, twoFA: map[int]*twoFactor{},
		setting: row{
			"id": "default-site", "name": "Default Site",
			"description": "What to show when Nginx is hit with an unknown Host",
			"value":       "congratulations", "meta": map[string]any{},
		},
	}
	s.bodies = newBodies(!s.old)
	s.store = newStore(!s.old)
	s.nginx = newNginx(s)
	s.routes = s.apiRoutes()
	found := false
	if opt.DataDir != "" {
		var err error
		if found, err = s.restore(); err != nil {
			panic(fmt.Errorf("npmtest: %w", err))
		}
	}
	if opt.AdminEmail != "" && !found {
		s.addUser(row{"email": opt.AdminEmail, "name": "Administrator", "nickname": "Admin",
			"avatar": "", "roles": []any{"admin"}, "is_disabled": false}, opt.AdminPassword)
	}
	s.nginx.start()
	return s
}

// ProxyHost is a row of NPM's proxy_host table, for seeding.
type ProxyHost struct {
	ID             int // 0 means the next free one
	OwnerUserID    int // 0 means the first user
	DomainNames    []string
	ForwardScheme  string // "" means http
	ForwardHost    string
	ForwardPort    int
	AccessListID   int
	CertificateID  int
	AdvancedConfig string
	Websockets     bool
	Disabled       bool
	Meta           map[string]any
	Locations      []Location
}

// Location is a custom location of a proxy host.
type Location struct {
	Path           string
	ForwardScheme  string
	ForwardHost    string
	ForwardPort    int
	AdvancedConfig string
}

// AddHost inserts a proxy host, writes its conf file and loads it at once,
// without the API: the quick way to 10,000 hosts. It returns the host's id, and
// panics on a duplicate id or domain name.
func (s *Server) AddHost(h ProxyHost) int {
	if _, ok := s.store.get("proxy_host", h.ID); ok {
		panic(fmt.Errorf("npmtest: proxy host %d exists", h.ID))
	}
	names := make([]any, len(h.DomainNames))
	for i, d := range h.DomainNames {
		if s.store.taken(d, domainOwner{}) {
			panic(errors.New("npmtest: " + d + " is already in use"))
		}
		names[i] = d
	}
	r := proxyHostDefaults()
	if h.ID != 0 {
		r["id"] = h.ID
	}
	r["owner_user_id"] = max(h.OwnerUserID, 1)
	r["domain_names"] = names
	r["forward_scheme"] = "http"
	if h.ForwardScheme != "" {
		r["forward_scheme"] = h.ForwardScheme
	}
	r["forward_host"], r["forward_port"] = h.ForwardHost, h.ForwardPort
	r["access_list_id"], r["certificate_id"] = h.AccessListID, h.CertificateID
	r["advanced_config"], r["allow_websocket_upgrade"] = h.AdvancedConfig, h.Websockets
	r["enabled"] = !h.Disabled
	if len(h.Locations) > 0 {
		r["locations"] = locationRows(h.Locations)
	}
	return s.seed(r, h.Meta)
}

func locationRows(locations []Location) []any {
	rows := make([]any, len(locations))
	for i, l := range locations {
		scheme := l.ForwardScheme
		if scheme == "" {
			scheme = "http"
		}
		rows[i] = map[string]any{"path": l.Path, "forward_scheme": scheme, "forward_host": l.ForwardHost,
			"forward_port": l.ForwardPort, "advanced_config": l.AdvancedConfig}
	}
	return rows
}

func (s *Server) seed(r row, custom map[string]any) int {
	s.writing.Lock()
	defer s.writing.Unlock()
	meta := map[string]any{"nginx_online": true, "nginx_err": nil}
	for k, v := range custom {
		meta[k] = v
	}
	r["meta"] = meta
	r = s.store.insert("proxy_host", r)
	id := r.int("id")
	if r.bool("enabled") {
		s.nginx.write(confPath("proxy_host", id), s.hostConf("proxy_host", r, withAll))
	}
	s.nginx.reloadNow()
	s.changed()
	return id
}
