package main

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/no502/no502/api"
)

// permissions are requests to the Engine, as docs/least-privilege.md has them:
// "GET /containers/{id}/json".
type permissions []string

// documented are those of docs/least-privilege.md's table.
func documented(t *testing.T) (all permissions) {
	t.Helper()
	text, err := os.ReadFile("../../docs/least-privilege.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `([A-Z]+ /[^`]*)` \\|")
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		all = append(all, m[1])
	}
	if len(all) == 0 {
		t.Fatal("docs/least-privilege.md has no table of requests")
	}
	return all
}

// without are all but one.
func (p permissions) without(one string) permissions {
	return slices.DeleteFunc(slices.Clone(p), func(have string) bool { return have == one })
}

var apiVersion = regexp.MustCompile(`^/v[0-9.]+/`)

func (p permissions) allow(method, path string) bool {
	path = apiVersion.ReplaceAllString(path, "/")
	return slices.ContainsFunc(p, func(one string) bool {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(one), `\{id\}`, "[0-9a-z]+")
		return regexp.MustCompile("^" + pattern + "$").MatchString(method + " " + path)
	})
}

// TestHardenedExample: the socket proxy of examples/hardened lets through what the
// table has, and nothing else that the Engine knows.
func TestHardenedExample(t *testing.T) {
	text, err := os.ReadFile("../../examples/hardened/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct{ Command []string }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	rules := map[string]*regexp.Regexp{} // by method, as wollomatic/socket-proxy reads them
	for _, arg := range file.Services["docker-socket"].Command {
		if m := regexp.MustCompile(`^-allow([A-Z]+)=(.*)$`).FindStringSubmatch(arg); m != nil {
			rules[m[1]] = regexp.MustCompile("^" + m[2] + "$")
		}
	}
	table := documented(t)
	const id = "4f66ad9a0b2e4a1b8c5d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a2b"
	for _, one := range append(slices.Clone(table), otherRequests...) {
		method, path, _ := strings.Cut(one, " ")
		path = strings.ReplaceAll(path, "{id}", id)
		if path != "/_ping" { // it comes before the version is agreed on
			path = "/v1.51" + path
		}
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", method} {
			for _, path := range []string{path, path + "/", path + "-x", "/x" + path, path + "/../../containers/create"} {
				allowed := rules[method] != nil && rules[method].MatchString(path)
				if want := table.allow(method, path); allowed != want {
					t.Errorf("%s %s: the example allows it: %v; the table: %v", method, path, allowed, want)
				}
			}
		}
	}
}

// otherRequests are some of the Engine's that no502 does not make, and with which
// its containers, and the machine, could be taken over.
var otherRequests = []string{
	"GET /info", "GET /version", "GET /images/json", "GET /volumes", "GET /secrets", "GET /containers/{id}/logs",
	"GET /containers/{id}/top", "GET /containers/{id}/export", "GET /containers/{id}/archive", "GET /containers/{id}/attach/ws",
	"POST /containers/create", "POST /containers/{id}/start", "POST /containers/{id}/stop", "POST /containers/{id}/kill",
	"POST /containers/{id}/exec", "POST /containers/{id}/update", "POST /containers/{id}/rename", "POST /containers/prune",
	"PUT /containers/{id}/archive", "DELETE /containers/{id}", "POST /exec/{id}/start", "POST /build", "POST /images/create",
	"POST /images/load", "POST /commit", "POST /networks/{id}/disconnect", "POST /networks/prune", "DELETE /networks/{id}",
	"POST /volumes/create", "POST /swarm/init", "POST /services/create", "POST /plugins/pull", "POST /auth", "POST /session", "POST /grpc",
}

// socketProxy stands before the Engine, and lets through what is allowed.
type socketProxy struct {
	mu             sync.Mutex
	allowed        permissions
	asked, refused map[string]int
}

// behind puts no502, not the people, behind a socket proxy.
func (w *world) behind(allowed permissions) *socketProxy {
	w.t.Helper()
	p := &socketProxy{allowed: allowed, asked: map[string]int{}, refused: map[string]int{}}
	w.front(func(rw http.ResponseWriter, r *http.Request, engine http.Handler) {
		if !p.admits(r) {
			http.Error(rw, "Forbidden", http.StatusForbidden)
			return
		}
		engine.ServeHTTP(rw, r)
	})
	return p
}

func (p *socketProxy) admits(r *http.Request) bool {
	request := (&api.RefusedError{Method: r.Method, Path: r.URL.Path}).Permission()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[request]++
	if p.allowed.allow(r.Method, r.URL.Path) {
		return true
	}
	p.refused[request]++
	return false
}

// allow changes what is allowed, and returns how often what was refused till then.
func (p *socketProxy) allow(allowed permissions) (refused map[string]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed, refused, p.refused = allowed, p.refused, map[string]int{}
	return refused
}

// What the table allows is all that no502 needs: with nothing else it makes its
// network, attaches, repairs, and follows what happens.
func TestLeastPrivilege(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const n = 3
		socket := w.behind(documented(t))
		w.settings.network = "made-by-no502"
		w.strangers(n)
		w.startNPM()
		g := w.guard()
		g.services(n)
		w.start()
		pass(time.Minute)
		g.check("behind an allow-list")
		w.must(w.people.Remove(t.Context(), "svc1"))
		w.app("svc1", "svc1_default")
		w.must(w.people.Network(t.Context(), "another", "", nil))
		w.restart(n)
		g.holds("behind an allow-list")
		for _, one := range socket.allowed {
			if socket.asked[one] == 0 && one != "GET /_ping" { // of proxies that refuse HEAD
				t.Errorf("%s stands in the table, and was never asked", one)
			}
		}
		if len(socket.refused) > 0 {
			t.Errorf("refused, and not in the table: %v", socket.refused)
		}
	})
}

// A socket proxy that lets no502 read, and no more: what needs a change in Docker is
// reported as in observe mode, with the permission that is missing, once; the rest
// goes on. Once it is allowed it is done.
func TestReadOnlyEngine(t *testing.T) {
	for _, c := range []struct {
		missing string
		network string // to attach to
	}{
		{"POST /networks/{id}/connect", "proxy"},
		{"POST /networks/create", "made-by-no502"},
	} {
		t.Run(c.missing, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				const n = 5
				all := documented(t)
				socket := w.behind(all.without(c.missing))
				w.settings.network = c.network
				w.strangers(n)
				w.app("reachable", "proxy")
				w.host(n+1, "localhost", 8080) // wrong in NPM alone, and there it can be mended
				w.edit(n+1, map[string]any{"forward_host": "reachable", "forward_scheme": "https"})
				w.startNPM()
				g := w.guard()
				w.start()
				pass(time.Minute)
				if c.network == "proxy" {
					w.wantForward(n+1, "http://reachable:8080")
				}
				w.wantForward(1, "http://localhost:13001")
				pass(6 * time.Hour)
				said := w.log.take()
				if got := with(said, "EngineRefuses", c.missing); len(got) != 1 {
					t.Errorf("that %s is missing was said %d times, want once, in\n%s", c.missing, len(got), strings.Join(said, ""))
				}
				if wrong := with(said, `"level":"error"`); len(wrong) > 0 {
					t.Errorf("logged as an error:\n%s", strings.Join(wrong, ""))
				}
				_, verdicts := w.get("/api/v1/verdicts")
				if !strings.Contains(verdicts, "docker network connect "+c.network+" svc1") {
					t.Errorf("nobody is told what to do by hand:\n%s", verdicts)
				}
				refused := socket.allow(all)
				if times := refused[c.missing]; times < 8 || times > 16 || len(refused) != 1 {
					t.Errorf("six hours: refused %v, want it ever more rarely", refused)
				}
				g.services(n)
				g.expects("app6.example.com", "reachable")
				pass(time.Hour + w.settings.resync)
				w.wantSaidNothing("EngineRefuses")
				g.holds("allowed at last")
			})
		})
	}
}

// wantSaidNothing fails if a finding is still in a verdict.
func (w *world) wantSaidNothing(code string) {
	w.t.Helper()
	if _, verdicts := w.get("/api/v1/verdicts"); strings.Contains(verdicts, code) {
		w.t.Errorf("%s is still said:\n%s", code, verdicts)
	}
}

// Without a permission to read there is nothing to go by: no502 waits, changes
// nothing, and says in one line which one is missing.
func TestUnreadableEngine(t *testing.T) {
	for _, missing := range []string{"GET /events", "GET /containers/json", "GET /containers/{id}/json", "GET /networks"} {
		t.Run(missing, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				all := documented(t)
				if !slices.Contains(all, missing) {
					t.Fatalf("%s is not in the table", missing)
				}
				socket := w.behind(all.without(missing))
				w.strangers(2)
				w.startNPM()
				g := w.guard()
				g.services(2)
				w.start()
				pass(time.Hour)
				method, path, _ := strings.Cut(missing, " ")
				_, last, _ := strings.Cut(path, "{id}")
				said := w.log.take()
				waits := with(said, `"waiting for the Docker Engine"`, method+" /v", last+" is refused (403)", "allow it in the socket proxy")
				if len(waits) != 1 || len(with(said, `"level":"error"`)) > 0 {
					t.Errorf("logged %s", strings.Join(said, ""))
				}
				want(t, "unreadable", w.asked(), map[string]int{npmPuts: 0, connects: 0})
				socket.allow(all)
				g.holds("readable at last")
			})
		})
	}
}
