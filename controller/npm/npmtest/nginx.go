package npmtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// nginx is the process beside the back end: a tree of conf files, what the
// workers last loaded from it, and the logs.
type nginx struct {
	s *Server

	mu       sync.Mutex
	tree     map[string]*confFile
	suspects map[string]*confFile // files that can fail a test: static names, certificates, variables or an error
	streams  map[string]*confFile // those of the tree that are streams
	certs    map[string]*tls.Certificate
	vars     map[string]int  // how many files set a variable
	dirty    map[string]bool // changed since the workers loaded them
	away     map[string]bool // deleted by a write that is between its steps
	pid      int
	pending  bool // a reload is on its way
	running  bool
	closed   bool
	workers  *workers
	serving  *serving // listeners, between Start and Close
	requests int
	logs     map[string][]string
}

func newNginx(s *Server) *nginx {
	return &nginx{s: s, tree: map[string]*confFile{}, suspects: map[string]*confFile{}, streams: map[string]*confFile{},
		certs: map[string]*tls.Certificate{}, vars: map[string]int{}, dirty: map[string]bool{}, away: map[string]bool{}, pid: 200, workers: newWorkers(), logs: map[string][]string{}}
}

// errReload is a failed "nginx -t" or a signal to a process that is not there.
var errReload = errors.New("nginx: configuration file /etc/nginx/nginx.conf test failed")

// configure is what NPM does with a row after writing it (FACTS 1-3): test the
// tree, delete the file, write it, test again, record the result in meta,
// reload. Only the first test and the reload can fail the request; a rejected
// file is deleted, and the request succeeds.
func (s *Server) configure(table string, r row, have loaded) (meta any, err error) {
	id := r.int("id")
	path := confPath(table, id)
	if s.nginx.test() != "" {
		return nil, errInternal
	}
	s.nginx.window()
	s.nginx.remove(path, true)
	s.nginx.window()
	s.nginx.write(path, s.hostConf(table, r, have))
	m, _ := r["meta"].(map[string]any)
	m = maps.Clone(m)
	if m == nil {
		m = map[string]any{}
	}
	m["nginx_online"], m["nginx_err"] = true, nil
	if msg := s.nginx.test(); msg != "" {
		m["nginx_online"], m["nginx_err"] = false, msg
		s.nginx.remove(path, false)
	}
	s.store.patch(table, id, row{"meta": m})
	if err := s.nginx.reload(); err != nil {
		return nil, errInternal
	}
	return m, nil
}

// unconfigure removes a row's conf file and reloads.
func (s *Server) unconfigure(table string, id int) error {
	s.nginx.remove(confPath(table, id), false)
	if err := s.nginx.reload(); err != nil {
		return errInternal
	}
	return nil
}

// window lets other writes run between two steps of this one.
func (n *nginx) window() {
	if n.s.opt.WriteWindow > 0 {
		sleep(context.Background(), n.s.opt.WriteWindow)
	}
}

func (n *nginx) write(path, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.set(path, parseConf(path, text))
	n.file(path, func(name string) error { return os.WriteFile(name, []byte(text), 0o644) })
}

func (n *nginx) remove(path string, comesBack bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, there := n.tree[path]
	n.set(path, nil)
	if comesBack && n.s.opt.WriteWindow > 0 && there {
		n.away[path] = true
	}
	n.file(path, os.Remove)
}

// set changes the tree; nil removes. The caller holds mu.
func (n *nginx) set(path string, f *confFile) {
	delete(n.away, path)
	delete(n.suspects, path)
	delete(n.streams, path)
	if old := n.tree[path]; old != nil {
		for _, name := range old.sets {
			n.vars[name]--
		}
	}
	delete(n.tree, path)
	n.dirty[path] = true
	if f == nil {
		return
	}
	for _, name := range f.sets {
		n.vars[name]++
	}
	n.tree[path] = f
	if filepath.Dir(path) == "stream" {
		n.streams[path] = f
	}
	if f.err != "" || len(f.statics) > 0 || len(f.certs) > 0 || len(f.uses) > 0 {
		n.suspects[path] = f
	}
}

func (n *nginx) file(path string, change func(string) error) {
	if n.s.opt.DataDir == "" {
		return
	}
	if err := change(filepath.Join(n.s.opt.DataDir, "nginx", path)); err != nil && !os.IsNotExist(err) {
		n.log("fallback_error.log", err.Error())
	}
}

// test is "nginx -t" over the whole tree; it returns nginx_err, or "". Only
// files that can fail are looked at, so that a write among 10,000 hosts is cheap.
func (n *nginx) test() string {
	msg, _ := n.check()
	return msg
}

// check tests the tree and resolves its static names.
func (n *nginx) check() (msg string, addrs map[string][]string) {
	n.mu.Lock()
	n.pid += 2
	pid := n.pid
	away := slices.Sorted(maps.Keys(n.away))
	files := slices.Collect(maps.Values(n.suspects))
	n.mu.Unlock()
	slices.SortFunc(files, func(a, b *confFile) int { return comparePaths(a.path, b.path) })
	if len(away) > 0 { // the file was listed by the include and is gone when opened
		line := 90
		if n.s.old {
			line = 78
		}
		return emerg(pid, fmt.Sprintf("open() \"/data/nginx/%s\" failed (2: No such file or directory) in /etc/nginx/nginx.conf:%d", away[0], line)), nil
	}
	addrs = map[string][]string{}
	for _, f := range files {
		for _, st := range f.statics {
			if addrs[st.host] == nil {
				addrs[st.host] = n.s.resolveStatic(st.host)
			}
			if len(addrs[st.host]) == 0 {
				return emerg(pid, fmt.Sprintf("host not found in upstream \"%s\"%s", st.host, where(f.path, st.line))), nil
			}
		}
		if f.err != "" {
			return emerg(pid, f.err), nil
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, f := range files { // once all are read
		if msg := n.missing(f); msg != "" {
			return emerg(pid, msg), nil
		}
		for _, name := range f.uses {
			if n.vars[name] == 0 {
				return emerg(pid, "unknown \""+name+"\" variable"), nil
			}
		}
	}
	return "", addrs
}

// comparePaths is the order in which nginx.conf includes the files.
func comparePaths(a, b string) int {
	dir := func(p string) int { return slices.Index(confDirs, filepath.Dir(p)) }
	if c := dir(a) - dir(b); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

func emerg(pid int, msg string) string {
	return fmt.Sprintf("%s [emerg] %d#%d: %s\nnginx: configuration file /etc/nginx/nginx.conf test failed\n", logTime(), pid, pid, msg)
}

func logTime() string { return time.Now().Format("2006/01/02 15:04:05") }

// resolveStatic resolves like the C library when nginx loads its configuration.
func (s *Server) resolveStatic(name string) []string {
	ctx, cancel := context.WithTimeout(context.Background(), resolverTimeout)
	defer cancel()
	lookup := s.opt.Network.LookupHost
	if sys, ok := s.opt.Network.(SystemResolver); ok {
		lookup = sys.LookupSystem
	}
	if addrs, err := lookup(ctx, name); err == nil {
		return addrs
	}
	if strings.EqualFold(name, "localhost") {
		return []string{"127.0.0.1"}
	}
	return nil
}

// reload tests the tree, and signals nginx to load it. The workers change later
// (ReloadDelay), unless a listener cannot be bound: then they silently never do
// (FACTS 7).
func (n *nginx) reload() error {
	msg, addrs := n.check()
	if msg != "" {
		return errReload
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case !n.running:
		return errReload // no process to signal (FACTS 4)
	case n.s.opt.ReloadDelay == 0:
		n.apply(msg, addrs)
	case !n.pending:
		n.pending = true
		time.AfterFunc(n.s.opt.ReloadDelay, n.reloadNow)
	}
	return nil
}

// reloadNow loads what changed into new workers.
func (n *nginx) reloadNow() {
	msg, addrs := n.check()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pending = false
	n.apply(msg, addrs)
}

// apply ends a reload with the result of its check. The caller holds mu.
func (n *nginx) apply(msg string, addrs map[string][]string) {
	if !n.running || n.closed {
		return
	}
	if msg != "" {
		n.log("fallback_error.log", strings.SplitN(msg, "\n", 2)[0])
		return
	}
	if port := n.conflict(); port != 0 {
		n.logBind(port)
		return
	}
	n.load(addrs)
}

// conflict finds a stream on a port that something else of NPM listens on.
func (n *nginx) conflict() int {
	for _, f := range n.streams {
		for _, st := range f.streams {
			if !st.udp && slices.Contains([]int{80, 81, 443, 3000}, st.number) {
				return st.number
			}
		}
	}
	return 0
}

func (n *nginx) logBind(port int) {
	for range 5 { // nginx tries five times
		n.log("fallback_error.log",
			fmt.Sprintf("%s [emerg] %d#%d: bind() to 0.0.0.0:%d failed (98: Address already in use)", logTime(), n.pid, n.pid, port),
			fmt.Sprintf("%s [emerg] %d#%d: bind() to [::]:%d failed (98: Address already in use)", logTime(), n.pid, n.pid, port))
	}
}

// load hands the changed files to the workers. The caller holds mu.
func (n *nginx) load(addrs map[string][]string) {
	changed := map[string]*confFile{}
	for path := range n.dirty {
		changed[path] = n.tree[path]
	}
	n.dirty = map[string]bool{}
	n.workers.load(changed, addrs, maps.Clone(n.certs))
	if n.serving != nil {
		n.serving.listenStreams(n.workers.streamPorts())
	}
}

// start loads the whole tree into a new process. While that fails the
// supervisor tries again every second (FACTS 4).
func (n *nginx) start() {
	msg, addrs := n.check()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running || n.closed {
		return
	}
	port := n.conflict()
	if msg == "" && port == 0 {
		if n.serving != nil {
			if err := n.serving.listen(); err != nil {
				n.log("fallback_error.log", err.Error())
				time.AfterFunc(time.Second, n.start)
				return
			}
		}
		n.running = true
		n.workers = newWorkers()
		for path := range n.tree {
			n.dirty[path] = true
		}
		n.load(addrs)
		return
	}
	if port != 0 {
		n.logBind(port)
	} else {
		n.log("fallback_error.log", strings.SplitN(msg, "\n", 2)[0])
	}
	time.AfterFunc(time.Second, n.start)
}

// stop ends the process; connections break.
func (n *nginx) stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.running = false
	if n.serving != nil {
		n.serving.unlisten()
		n.serving.backend.close()
	}
}

// log appends lines to a log file. The caller holds mu.
func (n *nginx) log(name string, lines ...string) {
	n.logs[name] = append(n.logs[name], lines...)
	if n.s.opt.DataDir == "" {
		return
	}
	f, err := os.OpenFile(filepath.Join(n.s.opt.DataDir, "logs", name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return // a log that cannot be written is lost, as nginx's own would be
	}
	defer f.Close()
	for _, line := range lines {
		fmt.Fprintln(f, line)
	}
}
