package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/controller/npm/npmtest"
)

// service is one of a Compose file.
type service struct {
	project, name string
	labels        map[string]string // without Compose's own
	number        int               // of replicas
}

// shop is a service that declares one host, with these labels beside host.
func shop(name string, more ...string) *service {
	s := &service{project: "shop", name: name, labels: map[string]string{"no502.host": name + ".example.com"}, number: 1}
	for i := 0; i < len(more); i += 2 {
		s.labels[more[i]] = more[i+1]
	}
	return s
}

func (s *service) replica(n int) string { return fmt.Sprintf("%s-%s-%d", s.project, s.name, n) }
func (s *service) network() string      { return s.project + "_default" }

// container is a replica as Compose makes it.
func (s *service) container(n int) stage.Container {
	c := anApp(s.replica(n), s.network())
	c.Aliases = []string{s.name}
	c.Labels = maps.Clone(s.labels)
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	for label, value := range map[string]string{
		"project": s.project, "service": s.name, "container-number": fmt.Sprint(n), "oneoff": "False",
	} {
		c.Labels["com.docker.compose."+label] = value
	}
	return c
}

// up is `docker compose up` of services of which nothing is there yet.
func (w *world) up(services ...*service) {
	w.t.Helper()
	for _, s := range services {
		if !slices.Contains(w.projects, s.project) {
			w.projects = append(w.projects, s.project)
			w.must(w.people.Network(w.t.Context(), s.network(), "", nil))
		}
		for n := 1; n <= s.number; n++ {
			w.addReplica(s, n)
		}
	}
}

func (w *world) addReplica(s *service, n int) {
	w.t.Helper()
	_, err := w.people.Run(w.t.Context(), s.container(n))
	w.must(err)
}

// down is `docker compose rm --stop`.
func (w *world) down(services ...*service) {
	w.t.Helper()
	w.halt(services...)
	for _, s := range services {
		for n := 1; n <= s.number; n++ {
			w.must(w.people.Remove(w.t.Context(), s.replica(n)))
		}
	}
}

// halt is `docker compose stop`.
func (w *world) halt(services ...*service) {
	w.t.Helper()
	for _, s := range services {
		for n := 1; n <= s.number; n++ {
			w.must(w.people.Stop(w.t.Context(), s.replica(n)))
		}
	}
}

// resume is `docker compose start`.
func (w *world) resume(services ...*service) {
	w.t.Helper()
	for _, s := range services {
		for n := 1; n <= s.number; n++ {
			w.must(w.people.Start(w.t.Context(), s.replica(n)))
		}
	}
}

// scale is `docker compose up --scale`.
func (w *world) scale(s *service, to int) {
	w.t.Helper()
	for ; s.number < to; s.number++ {
		w.addReplica(s, s.number+1)
	}
	for ; s.number > to; s.number-- {
		w.must(w.people.Stop(w.t.Context(), s.replica(s.number)))
		w.must(w.people.Remove(w.t.Context(), s.replica(s.number)))
	}
}

// recreate is `docker compose up` of a service whose labels were edited: each
// container is made under another name while the old one runs, and takes its
// name when that is gone. Compose needs a moment for each of the steps.
func (w *world) recreate(s *service) {
	w.t.Helper()
	ctx, moment := w.t.Context(), 300*time.Millisecond
	for n := 1; n <= s.number; n++ {
		state, err := w.people.State(ctx, s.replica(n))
		w.must(err)
		c := s.container(n)
		c.Name = fmt.Sprintf("%012x_%s", state.Pid, c.Name)
		_, err = w.people.Create(ctx, c)
		w.must(err)
		pass(moment)
		w.must(w.people.Stop(ctx, s.replica(n)))
		pass(moment)
		w.must(w.people.Remove(ctx, s.replica(n)))
		pass(moment)
		w.must(w.people.Rename(ctx, c.Name, s.replica(n)))
		pass(moment)
		w.must(w.people.Start(ctx, s.replica(n)))
	}
}

// row is a host as NPM's API shows it.
type row map[string]any

func (r row) id() int { return int(r["id"].(float64)) }

func (r row) enabled() bool { return r["enabled"] == true }

func (r row) domains() (list []string) {
	all, _ := r["domain_names"].([]any)
	for _, d := range all {
		list = append(list, d.(string))
	}
	return list
}

// rows are all hosts of a kind: "proxy-hosts", "streams".
func (w *world) rows(kind string) (rows []row) {
	w.t.Helper()
	for _, raw := range w.npm.Rows(kind) {
		var r row
		w.must(json.Unmarshal(raw, &r))
		rows = append(rows, r)
	}
	return rows
}

// only is the one host of a kind.
func (w *world) only(kind string) row {
	w.t.Helper()
	rows := w.rows(kind)
	if len(rows) != 1 {
		w.t.Fatalf("there are %d %s, want one: %v", len(rows), kind, rows)
	}
	return rows[0]
}

// writes counts what no502 wrote to NPM since the last call of it or of asked:
// "POST proxy-hosts", "DELETE streams/{id}".
func (w *world) writes() map[string]int {
	wrote := map[string]int{}
	for what, n := range w.asked() {
		method, path, _ := strings.Cut(strings.TrimPrefix(what, "npm "), " ")
		if path, ok := strings.CutPrefix(path, "/nginx/"); ok && method != http.MethodGet {
			wrote[method+" "+path] += n
		}
	}
	return wrote
}

// wantWrites fails unless exactly that was written since the last time.
func (w *world) wantWrites(what string, want map[string]int) {
	w.t.Helper()
	if got := w.writes(); !maps.Equal(got, want) {
		w.t.Errorf("%s: wrote %v, want %v\n%s", what, got, want, strings.Join(w.log.take(), ""))
	}
	w.log.take()
}

// wantAnswer fails unless a visitor of a domain gets a container's page.
func (w *world) wantAnswer(when, domain, container string) {
	w.t.Helper()
	if status, body := w.visit(domain); status != http.StatusOK || !strings.HasPrefix(body, container+" answers") {
		w.t.Errorf("%s: a visitor of %s gets %d %s, want %s", when, domain, status, strings.TrimSpace(body), container)
	}
}

// Writes, as wantWrites counts them.
var (
	nothing  = map[string]int{}
	onePost  = map[string]int{"POST proxy-hosts": 1}
	onePut   = map[string]int{"PUT proxy-hosts/{id}": 1}
	oneOff   = map[string]int{"POST proxy-hosts/{id}/disable": 1}
	oneGone  = map[string]int{"DELETE proxy-hosts/{id}": 1}
	longTime = 20 * time.Minute // beyond every grace and a few resyncs
)

// slowly makes every change in NPM last, and tells when each began.
func slowly(last time.Duration, began chan<- time.Time) func(*http.Request) *npmtest.Fault {
	return func(r *http.Request) *npmtest.Fault {
		if r.Method == http.MethodGet || !strings.HasPrefix(r.URL.Path, "/nginx/") {
			return nil
		}
		began <- time.Now()
		return &npmtest.Fault{Delay: last}
	}
}
