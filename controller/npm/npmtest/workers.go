package npmtest

import (
	"crypto/tls"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// workers are nginx's worker processes: what was loaded, and the names that they
// resolved since.
type workers struct {
	mu      sync.RWMutex
	files   map[string][]*server
	exact   map[string][]*server // by server_name
	head    map[string][]*server // "*.x" by "x"
	tail    map[string][]*server // "x.*" by "x"
	site    *server
	streams map[string][]streamServer   // by conf file
	addrs   map[string][]string         // literal names, resolved while loading
	certs   map[string]*tls.Certificate // by file, read while loading
	names   *nameCache
}

// server is a server block of a conf file.
type server struct {
	path        string
	names       []string
	tls         bool   // listens on 443 too
	http2       bool   // is offered there
	certificate string // file
	hsts        string // value of $hsts_header that its file sets
	rules       scope
	locations   []*location
}

// location is a location block.
type location struct {
	matcher
	rules       scope
	pass        string // proxy_pass, with its variables
	main        bool   // NPM's own "location /": adds X-Served-By
	upgrade     bool   // websockets are passed on
	dropAuth    bool   // the access list's credentials stay here
	readTimeout time.Duration
}

// scope is what may stand in a server and in a location.
type scope struct {
	script   []step
	headers  []header
	auth     string // file with the users; "" asks nobody
	clients  [][2]string
	any      bool // satisfy any
	haveList bool
}

// header is an add_header directive.
type header struct {
	name, value string
	always      bool // also with an error
}

func newWorkers() *workers {
	return &workers{files: map[string][]*server{}, exact: map[string][]*server{}, head: map[string][]*server{},
		tail: map[string][]*server{}, streams: map[string][]streamServer{}, names: newNameCache()}
}

// load replaces changed files (nil: gone), the resolved literal names, the
// certificates and the name cache.
func (w *workers) load(changed map[string]*confFile, addrs map[string][]string, certs map[string]*tls.Certificate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addrs, w.certs, w.names = addrs, certs, newNameCache()
	for path, f := range changed {
		for _, s := range w.files[path] {
			w.unindex(s)
		}
		delete(w.files, path)
		delete(w.streams, path)
		if path == sitePath {
			w.site = nil
		}
		switch {
		case f == nil:
		case filepath.Dir(path) == "stream":
			w.streams[path] = f.streams
		default:
			w.add(f)
		}
	}
}

func (w *workers) add(f *confFile) {
	for _, s := range f.servers {
		if f.path == sitePath {
			w.site = s
			continue
		}
		w.files[f.path] = append(w.files[f.path], s)
		for _, name := range s.names {
			m, key := w.slot(name)
			m[key] = append(m[key], s)
			slices.SortStableFunc(m[key], func(a, b *server) int { return comparePaths(a.path, b.path) })
		}
	}
}

func (w *workers) unindex(s *server) {
	for _, name := range s.names {
		m, key := w.slot(name)
		m[key] = slices.DeleteFunc(m[key], func(x *server) bool { return x == s })
		if len(m[key]) == 0 {
			delete(m, key)
		}
	}
}

func (w *workers) slot(name string) (m map[string][]*server, key string) {
	if rest, found := strings.CutPrefix(name, "*."); found {
		return w.head, rest
	}
	if rest, found := strings.CutSuffix(name, ".*"); found {
		return w.tail, rest
	}
	return w.exact, name
}

// find is nginx's choice of a server: the exact name, the longest "*.x", the
// longest "x.*"; of equal ones the first file. Port 443 has those with a
// certificate only.
func (w *workers) find(host string, overTLS bool) *server {
	w.mu.RLock()
	defer w.mu.RUnlock()
	first := func(servers []*server) *server {
		if i := slices.IndexFunc(servers, func(s *server) bool { return s.tls || !overTLS }); i >= 0 {
			return servers[i]
		}
		return nil
	}
	if s := first(w.exact[host]); s != nil {
		return s
	}
	for rest := host; ; {
		_, after, found := strings.Cut(rest, ".")
		if !found {
			break
		}
		if s := first(w.head[after]); s != nil {
			return s
		}
		rest = after
	}
	for rest := host; ; {
		before, _, found := cutLast(rest, ".")
		if !found {
			break
		}
		if s := first(w.tail[before]); s != nil {
			return s
		}
		rest = before
	}
	return nil
}

// hstsHeader is $hsts_header on TLS. Each file has a map for it, but there is one
// variable of that name: the map that nginx read last holds for all hosts.
func (w *workers) hstsHeader() string {
	w.mu.RLock()
	defer w.mu.RUnlock()
	last, value := "", ""
	for path, servers := range w.files {
		if servers[0].hsts != "" && (last == "" || comparePaths(path, last) > 0) {
			last, value = path, servers[0].hsts
		}
	}
	return value
}

func (w *workers) defaultSite() *server {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.site
}

// static returns the addresses that a literal name had when it was loaded.
func (w *workers) static(host string) []string {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.addrs[host]
}

func (w *workers) cache() *nameCache {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.names
}

func compileServer(f *confFile, block []directive) *server {
	s := &server{path: f.path, hsts: f.hsts}
	for _, d := range block {
		switch d.name() {
		case "server_name":
			for _, name := range d.args[1:] {
				s.names = append(s.names, strings.ToLower(name))
			}
		case "listen":
			s.tls = s.tls || d.arg(1) == "443"
		case "http2":
			s.http2 = d.arg(1) == "on"
		case "ssl_certificate":
			s.certificate = d.arg(1)
		case "location":
			s.locations = append(s.locations, compileLocation(d))
		case "include":
			if strings.HasSuffix(d.arg(1), "/letsencrypt-acme-challenge.conf") { // its folder is empty: 404
				s.locations = append(s.locations, &location{matcher: matcher{kind: "^~", path: acmeChallenge}})
			}
		}
		s.rules.compile(d)
	}
	return s
}

func compileLocation(d directive) *location {
	m, _ := newMatcher(d.args[1:]) // checked by the test
	l := &location{matcher: m}
	for _, x := range d.block {
		switch x.name() {
		case "proxy_pass":
			l.pass = x.arg(1)
		case "include":
			if strings.HasSuffix(x.arg(1), "/proxy.conf") {
				l.pass, l.main = "$forward_scheme://$server:$port$request_uri", true
				l.rules.headers = append(l.rules.headers, header{name: "X-Served-By", value: "$host"})
			}
		case "proxy_set_header":
			l.upgrade = l.upgrade || x.arg(1) == "Upgrade"
			l.dropAuth = l.dropAuth || x.arg(1) == "Authorization"
		case "proxy_read_timeout":
			l.readTimeout, _ = parseExpiry(strings.TrimRight(x.arg(1), "s") + "s")
		}
		l.rules.compile(x)
	}
	return l
}

func (r *scope) compile(d directive) {
	switch d.name() {
	case "set", "return", "break":
		r.script = append(r.script, step{name: d.name(), args: d.args[1:]})
	case "rewrite":
		re, _ := regexp.Compile(d.arg(1)) // checked by the test
		r.script = append(r.script, step{name: d.name(), args: d.args[1:], re: re})
	case "include":
		if name := filepath.Base(d.arg(1)); name == forceTLS || name == blockExploits {
			r.script = append(r.script, step{name: name})
		}
	case "add_header":
		r.headers = append(r.headers, header{d.arg(1), d.arg(2), d.arg(3) == "always"})
	case "auth_basic_user_file":
		r.auth, r.haveList = d.arg(1), true
	case "allow", "deny":
		r.clients, r.haveList = append(r.clients, [2]string{d.name(), d.arg(1)}), true
	case "satisfy":
		r.any = d.arg(1) == "any"
	}
}

// matcher decides whether a location applies.
type matcher struct {
	kind string // "", "=", "^~", "~", "~*"
	path string
	re   *regexp.Regexp
}

func newMatcher(args []string) (m matcher, err error) {
	m.path = args[len(args)-1]
	switch {
	case len(args) > 1:
		m.kind = args[0]
	default: // "=/x" and "~x" may stand together
		for _, kind := range []string{"=", "^~", "~*", "~"} {
			if rest, found := strings.CutPrefix(m.path, kind); found {
				m.kind, m.path = kind, rest
				break
			}
		}
	}
	switch m.kind {
	case "~":
		m.re, err = regexp.Compile(m.path)
	case "~*":
		m.re, err = regexp.Compile("(?i)" + m.path)
	}
	return m, err
}

// location chooses like nginx: exact, else the longest prefix, unless a regular
// expression matches (and the prefix is not ^~).
func (s *server) location(path string) *location {
	var best *location
	for _, l := range s.locations {
		switch l.kind {
		case "=":
			if l.path == path {
				return l
			}
		case "", "^~":
			if strings.HasPrefix(path, l.path) && (best == nil || len(l.path) > len(best.path)) {
				best = l
			}
		}
	}
	if best != nil && best.kind == "^~" {
		return best
	}
	for _, l := range s.locations {
		if l.re != nil && l.re.MatchString(path) {
			return l
		}
	}
	return best
}
