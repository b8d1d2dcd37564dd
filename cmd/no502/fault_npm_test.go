package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/controller/npm/npmtest"
)

// NPM restarts while a name is missing that nginx needs to start: every host is
// down. no502 says so, and what keeps nginx from starting, and goes on by itself
// once that is over.
func TestFaultNPMCannotStart(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(3)
		w.app("media", "proxy", func(c *stage.Container) { c.Labels = nil })
		w.npm.AddHost(npmtest.ProxyHost{
			ID: 9, DomainNames: []string{"theirs.example.com"}, ForwardHost: "media", ForwardPort: 8080,
			Locations: []npmtest.Location{{Path: "/media", ForwardHost: "media", ForwardPort: 8080}},
		})
		w.startNPM()
		g := w.guard()
		g.crowd(3)
		w.start()
		pass(time.Minute)
		w.log.take()
		w.must(w.people.Stop(t.Context(), "media"))
		w.npm.Restart(1500 * time.Millisecond)
		pass(time.Minute)
		w.up(shop("web")) // NPM's rows can be written, and answer 500
		pass(10 * time.Minute)
		w.wantReady("nginx does not run, so that every host is down")
		said := w.log.take()
		if waits := with(said, "waiting for NPM"); len(waits) != 1 || len(with(waits, `"for":"its nginx"`)) != 1 {
			t.Errorf("that NPM's nginx does not run was said so:\n%s", said)
		}
		if n := len(with(said, `"level":"error"`)); n > 1 {
			t.Errorf("%d tries went wrong:\n%s", n, said)
		}
		w.must(w.people.Start(t.Context(), "media"))
		pass(5 * time.Second)
		w.wantReady("")
		w.wantSaid(1, "connected to NPM")
		g.expects("theirs.example.com", "media")
		g.expects("web.example.com", "shop-web-1")
		g.holds("NPM could not start")
	})
}

// work is what no502 has to do whatever befalls NPM: a host to repair, one to
// make, one to switch off and one to delete.
type work struct {
	w         *world
	g         *guard
	off, gone *service
}

// work makes a crowd of three and what else is there before.
func (w *world) work() *work {
	w.t.Helper()
	w.crowd(3)
	w.startNPM()
	j := &work{
		w: w, g: w.guard(),
		off:  shop("off", "no502.on-stop", "disable", "no502.grace", "5s"),
		gone: shop("gone", "no502.on-remove", "delete", "no502.grace", "5s"),
	}
	j.g.crowd(3)
	w.up(j.off, j.gone)
	w.start()
	pass(time.Minute)
	if n := len(w.rows("proxy-hosts")); n != 3+4+2 {
		w.t.Fatalf("NPM has %d proxy hosts", n)
	}
	w.log.take()
	w.asked()
	return j
}

// comesUp is when people make it necessary.
func (j *work) comesUp() {
	j.w.t.Helper()
	// Where NPM answers 500 its row is changed all the same.
	j.w.ask(http.MethodPut, "/nginx/proxy-hosts/1", map[string]any{"forward_host": "APP1"})
	j.w.wantForward(1, "http://APP1:8080")
	j.w.up(shop("web"))
	j.w.halt(j.off)
	j.w.down(j.gone)
	j.g.expects("web.example.com", "shop-web-1")
}

// wantDone fails unless all of it is done.
func (j *work) wantDone(what string) {
	j.w.t.Helper()
	if got := j.w.forward(1); got != "http://app1:8080" {
		j.w.t.Errorf("%s: NPM forwards host 1 to %s", what, got)
	}
	hosts := map[string]bool{}
	for _, r := range j.w.rows("proxy-hosts") {
		hosts[r.domains()[0]] = r.enabled()
	}
	if on, there := hosts["off.example.com"]; on || !there {
		j.w.t.Errorf("%s: the host to be switched off: there %v, on %v", what, there, on)
	}
	if _, there := hosts["gone.example.com"]; there {
		j.w.t.Errorf("%s: the host to be deleted is there", what)
	}
	if n := len(hosts); n != 3+4+2 { // the crowd, the bystanders, and two of ours
		j.w.t.Errorf("%s: NPM has %d proxy hosts: %v", what, n, hosts)
	}
}

// NPM restarts again and again while it is written to.
func TestFaultNPMRestartsMeanwhile(t *testing.T) {
	for _, after := range []time.Duration{0, time.Millisecond, 5 * time.Second, 14900 * time.Millisecond, 15 * time.Second} {
		inBubble(t, func(t *testing.T, w *world) {
			j := w.work()
			w.failNPM(func(r *http.Request) *npmtest.Fault {
				if r.Method != http.MethodGet {
					return &npmtest.Fault{Delay: 100 * time.Millisecond} // so that a restart meets a write
				}
				return nil
			})
			j.comesUp()
			pass(after)
			for range 5 {
				w.npm.Restart(1500 * time.Millisecond)
				pass(1700 * time.Millisecond)
			}
			w.failNPM(nil)
			pass(20 * time.Second)
			j.wantDone(after.String())
			j.g.holds(after.String())
		})
	}
}

const internalError = `{"error":{"code":500,"message":"Internal Error"}}`

// NPM, or what is before it, answers badly, from the start or while no502 works:
// nothing is lost and nothing done twice, what is waited for is said once, and
// all is right soon after.
func TestFaultNPMAnswersBadly(t *testing.T) {
	every := func(f npmtest.Fault) func(*http.Request) *npmtest.Fault {
		return func(*http.Request) *npmtest.Fault { return &f }
	}
	for name, c := range map[string]struct {
		fault func(*http.Request) *npmtest.Fault
		works bool // all the same
	}{
		"502 of its nginx":  {fault: every(npmtest.Fault{Status: 502, Body: "<html>502 Bad Gateway"})},
		"503":               {fault: every(npmtest.Fault{Status: 503, Body: ""})},
		"500":               {fault: every(npmtest.Fault{Status: 500, Body: internalError})},
		"connections break": {fault: every(npmtest.Fault{Drop: true})},
		"answers get lost":  {fault: every(npmtest.Fault{Drop: true, After: true})},
		"30 s late":         {fault: every(npmtest.Fault{Delay: 30 * time.Second}), works: true},
	} {
		for _, when := range []string{"from the start", "while it works"} {
			what := name + " " + when
			t.Run(what, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					j := w.work()
					if when == "from the start" {
						w.stop()
						w.failNPM(c.fault)
						w.start()
						pass(time.Minute)
						w.log.take()
					}
					w.failNPM(c.fault)
					j.comesUp()
					pass(time.Hour)
					said := w.log.take()
					if waits := len(with(said, "waiting for NPM")); !c.works && waits != map[string]int{"while it works": 1}[when] {
						t.Errorf("%s: that NPM is waited for was said %d times", what, waits)
					}
					if tries := len(with(said, `"level":"error"`)); tries > 2 { // of those that were under way at once
						t.Errorf("%s: %d tries went wrong:\n%s", what, tries, strings.Join(said, ""))
					}
					if c.works {
						j.wantDone(what)
					}
					w.failNPM(nil)
					pass(time.Minute)
					j.wantDone(what)
					j.g.holds(what)
				})
			})
		}
	}
}

// One kind of request gets rubbish for an answer, whether NPM did what it was
// asked or not.
func TestFaultNPMAnswersRubbish(t *testing.T) {
	requests := map[string]func(*http.Request) bool{
		"greeting":     func(r *http.Request) bool { return r.URL.Path == "/" },
		"login":        func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Path == "/tokens" },
		"list":         func(r *http.Request) bool { return r.Method == http.MethodGet && r.URL.Path == "/nginx/proxy-hosts" },
		"certificates": func(r *http.Request) bool { return r.URL.Path == "/nginx/certificates" },
		"row": func(r *http.Request) bool {
			return r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/nginx/proxy-hosts/")
		},
		"update":   func(r *http.Request) bool { return r.Method == http.MethodPut },
		"creation": func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Path == "/nginx/proxy-hosts" },
		"switch":   func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/disable") },
		"deletion": func(r *http.Request) bool { return r.Method == http.MethodDelete },
	}
	answers := map[string]string{
		"truncated JSON": `{"id":1,"domain_names":["app1.exam`,
		"an error":       internalError,
		"null":           "null",
	}
	for request, is := range requests {
		for answer, body := range answers {
			for _, after := range []bool{false, true} {
				what := fmt.Sprintf("%s gets %s, done %v", request, answer, after)
				if after && slices.Contains([]string{"greeting", "login", "list", "certificates", "row"}, request) {
					continue // they do nothing
				}
				t.Run(what, func(t *testing.T) {
					inBubble(t, func(t *testing.T, w *world) {
						j := w.work()
						if request == "greeting" || request == "login" { // which are asked at the start
							w.stop()
						}
						w.failNPM(func(r *http.Request) *npmtest.Fault {
							if is(r) {
								return &npmtest.Fault{Status: 200, Body: body, After: after}
							}
							return nil
						})
						if w.stop == nil {
							w.start()
						}
						j.comesUp()
						pass(20 * time.Minute)
						said := w.log.take()
						if waits := len(with(said, "waiting for NPM", `"for":"an answer"`)); waits > 1 {
							t.Errorf("%s: that NPM is waited for was said %d times", what, waits)
						}
						for path, n := range w.writes() {
							// At most 18 tries by the growing pauses, of each of which
							// chance may take half, and 4 by resyncs; of two hosts, or
							// with a note before and after; and the rest of the work.
							if n > 2*(18+4)+8 {
								t.Errorf("%s: %s %d times", what, path, n)
							}
						}
						w.failNPM(nil)
						pass(7 * time.Minute) // the pause of what failed all the time
						j.wantDone(what)
						j.g.holds(what)
					})
				})
			}
		}
	}
}
