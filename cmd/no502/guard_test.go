package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
	"github.com/no502/no502/controller/npm/npmtest"
)

// guard is the one checker of what must hold after every fault:
//   - hosts that are not opted in are byte for byte as they were;
//   - every opted-in host serves its own container once the fault is over;
//   - nothing that NPM accepted is written to it again without a cause, and
//     nothing at all while nothing happens;
//   - no host is deleted that should not be;
//   - no file is left open. Goroutines and connections the bubble counts.
type guard struct {
	w          *world
	bystanders map[string]json.RawMessage
	there      []string          // rows of all hosts, as "proxy_host/7"
	serves     map[string]string // container, by domain
}

// first number of the hosts that nobody opted in.
const bystander = 900

// guard begins to watch a world, before the fault, and adds hosts to it that are
// nobody's business: right and wrong ones, switched off, with meta of their own,
// with a custom location, and of other kinds. It is made once NPM may be asked.
func (w *world) guard() *guard {
	w.t.Helper()
	w.add("bystander", dockerdtest.App{Networks: []string{"proxy"}, Expose: []string{"8080"}})
	l, err := w.docker.Box("bystander").Listen("tcp", ":8080")
	w.must(err)
	go w.backends.Serve(l) //nolint:errcheck // ends with the world
	for i, h := range []npmtest.ProxyHost{
		{ForwardHost: "bystander", ForwardPort: 8080, Locations: []npmtest.Location{{Path: "/x", ForwardHost: "bystander", ForwardPort: 8080}}},
		{ForwardHost: "localhost", ForwardPort: 8080, Meta: map[string]any{"mine": map[string]any{"a": []any{1, "b", nil}}}},
		{ForwardHost: "bystander", ForwardPort: 9, Disabled: true},
		{ForwardHost: "192.0.2.7", ForwardPort: 80, ForwardScheme: "https", AdvancedConfig: "# my own words\n"},
	} {
		h.ID, h.DomainNames = bystander+i, []string{fmt.Sprintf("bystander%d.example.com", i)}
		w.npm.AddHost(h)
	}
	w.person(http.MethodPost, "/nginx/redirection-hosts", map[string]any{
		"domain_names": []string{"old.example.com"}, "forward_domain_name": "new.example.com", "forward_http_code": 301, "forward_scheme": "auto", "preserve_path": true}, nil)
	w.person(http.MethodPost, "/nginx/dead-hosts", map[string]any{"domain_names": []string{"dead.example.com"}}, nil)
	w.person(http.MethodPost, "/nginx/streams", map[string]any{
		"incoming_port": 5432, "forwarding_host": "192.0.2.8", "forwarding_port": 5432, "tcp_forwarding": true, "udp_forwarding": false}, nil)

	g := &guard{w: w, bystanders: map[string]json.RawMessage{}, serves: map[string]string{}}
	for name, row := range w.npm.Snapshot() {
		var r struct {
			Meta struct{ No502 any } `json:"meta"`
		}
		w.must(json.Unmarshal(row, &r))
		var id int
		kind, number, _ := strings.Cut(name, "/")
		_, err := fmt.Sscan(number, &id)
		w.must(err)
		if kind != "proxy_host" || id >= bystander {
			g.bystanders[name] = row
		}
		g.there = append(g.there, name)
	}
	w.npm.ResetCalls()
	files := openFiles(w.t)
	w.t.Cleanup(func() {
		if now := openFiles(w.t); !slices.Equal(files, now) {
			w.t.Errorf("open files were %v, and are %v", files, now)
		}
	})
	return g
}

// expects says which container a domain's visitors must reach in the end.
func (g *guard) expects(domain, container string) { g.serves[domain] = container }

// crowd expects what world.crowd made.
func (g *guard) crowd(n int) {
	for i := 1; i <= n; i++ {
		g.expects(fmt.Sprintf("app%d.example.com", i), fmt.Sprintf("app%d", i))
	}
}

// mayGo allows a host to be deleted: somebody does that.
func (g *guard) mayGo(name string) {
	g.there = slices.DeleteFunc(g.there, func(there string) bool { return there == name })
}

// holds lets time pass after a fault that is over, and checks all. What it
// counts are the requests since the guard was made, or since world.asked.
func (g *guard) holds(what string) {
	g.w.t.Helper()
	pass(10 * time.Minute)
	g.check(what)
	g.w.asked()
	pass(time.Hour)
	if wrote := g.w.writes(); len(wrote) > 0 {
		g.w.t.Errorf("%s: nothing happened for an hour, and it wrote %v", what, wrote)
	}
	if g.w.t.Failed() {
		g.w.t.Logf("%s: no502 said:\n%s", what, lastLines(g.w.log.everything(), 40))
	}
}

// check is what must hold by now. Its last line is what `make soak` counts.
func (g *guard) check(what string) {
	g.w.t.Helper()
	now, lost := g.w.npm.Snapshot(), 0
	for name, row := range g.bystanders {
		if string(now[name]) != string(row) {
			lost++
			g.w.t.Errorf("%s: %s is nobody's business, and was\n%s\nand is now\n%s", what, name, row, now[name])
		}
	}
	for _, name := range g.there {
		if _, still := now[name]; !still {
			lost++
			g.w.t.Errorf("%s: %s was deleted", what, name)
		}
	}
	for _, domain := range slices.Sorted(maps.Keys(g.serves)) {
		status, body := g.w.visit(domain)
		if name := g.serves[domain]; status != http.StatusOK || !strings.HasPrefix(body, name+" answers") && body != "hello, "+domain+"\n" {
			lost++
			g.w.t.Errorf("%s: a visitor of %s gets %d %s, want %s", what, domain, status, strings.TrimSpace(body), name)
		}
	}
	g.w.t.Logf("checked after %q: %d hosts, %d lost", what, len(g.there)+len(g.serves), lost)
	g.repeated(what)
}

// repeated fails if NPM was told again what it had accepted.
func (g *guard) repeated(what string) {
	g.w.t.Helper()
	last := map[string]string{}
	for _, c := range g.w.npm.Calls() {
		person := strings.HasSuffix(c.Path, "?person")
		path := strings.TrimSuffix(c.Path, "?person")
		if c.Method == http.MethodGet || !strings.HasPrefix(path, "/nginx/") {
			continue
		}
		said := c.Method + " " + c.Body
		if last[path] == said && !person && c.Status < 300 && c.Status != 0 {
			g.w.t.Errorf("%s: %s was told again: %s", what, path, said)
		}
		if last[path] = said; c.Status >= 300 || c.Status == 0 {
			last[path] = "" // it is not known, or known not, to have come through
		}
	}
}

// openFiles are the files that this process has open, by what they are.
func openFiles(t testing.TB) (files []string) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		to, err := os.Readlink(link)
		if err == nil && !strings.Contains(to, "eventpoll") && !strings.Contains(to, "eventfd") && !strings.HasPrefix(to, "/proc/") {
			files = append(files, to)
		}
	}
	slices.Sort(files)
	return files
}
