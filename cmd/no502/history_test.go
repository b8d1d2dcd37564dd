package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/controller/npm/npmtest"
	"github.com/no502/no502/controller/report"
)

// history is what `no502 history` prints, without the times.
func (w *world) history(f report.Filter) string {
	w.t.Helper()
	entries, err := history(w.t.Context(), w.settings, w.place, f)
	w.must(err)
	var text strings.Builder
	for line := range strings.Lines(historyText(entries, f)) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			w.t.Errorf("%d characters in a line: %s", n, line)
		}
		if len(line) > 22 && line[4] == '-' {
			line = line[22:]
		}
		text.WriteString(line)
	}
	return text.String()
}

// wantHistory compares what is printed, without the times.
func (w *world) wantHistory(name, want string) {
	w.t.Helper()
	if got := w.history(report.Filter{Name: name}); got != want {
		w.t.Errorf("the history of %q is\n%s\nwant\n%s", name, got, want)
	}
}

// Who changed what, when, from what, to what: no502 itself, people in NPM, and
// undo; and it is there again after a restart.
func TestHistory(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settings.stateDir = t.TempDir()
		w.host(1, "localhost", 13001)
		w.host(2, "nobody-opted-in", 80)
		w.app("app", "bridge", func(c *stage.Container) { c.Publish = []string{"13001:8080"} })
		w.settle()
		w.wantForward(1, "http://app:8080")
		w.edit(1, map[string]any{"forward_host": "localhost", "caching_enabled": true})
		w.edit(2, map[string]any{"forward_port": 81})
		pass(time.Minute)
		w.person("POST", "/nginx/proxy-hosts/1/disable", nil, nil)
		pass(time.Minute)
		w.person("POST", "/nginx/proxy-hosts/1/enable", nil, nil)
		pass(time.Minute)
		_, err := w.undone("app1.example.com")
		w.must(err)
		pass(time.Minute)
		const edits = `no502 changed the proxy host app1.example.com
    forward  http://localhost:13001 → http://app:8080
    because  ForwardHostLoopback, ForwardPortPublished
somebody in NPM changed the proxy host app1.example.com
    caching_enabled  false → true
    forward  http://app:8080 → http://localhost:8080
no502 changed the proxy host app1.example.com
    forward  http://localhost:8080 → http://app:8080
    because  ForwardHostLoopback
somebody in NPM switched off the
    proxy host app1.example.com
somebody in NPM switched on the
    proxy host app1.example.com
no502 undo changed the proxy host app1.example.com
    advanced_config  "" → "# no502: off"
    forward  http://app:8080 → http://localhost:13001
`
		w.wantHistory("app1.example.com", edits)
		w.person("DELETE", "/nginx/proxy-hosts/1", nil, nil)
		pass(time.Minute)
		w.wantHistory("app1.example.com", edits) // it was not no502's concern any more
		w.wantHistory("app", `no502 attached app to the network proxy
    because  NotOnProxyNetwork
`)
		w.wantHistory("app2.example.com", "No change of app2.example.com is recorded.\n")
		w.stop()
		w.wantHistory("app1.example.com", edits) // from the file
		w.start()
		pass(time.Minute)
		w.wantHistory("app1.example.com", edits)
		if got := w.history(report.Filter{Limit: 1}); strings.Count(got, "app1") != 1 || !strings.Contains(got, "undo") {
			t.Errorf("the last change is\n%s", got)
		}
		if got := w.history(report.Filter{Since: time.Now()}); got != "No change is recorded.\n" {
			t.Errorf("changes from now on:\n%s", got)
		}
		if status, body := w.get("/api/v1/history?since=yesterday"); status != 400 || !strings.Contains(body, "is not a time") {
			t.Errorf("a wrong question: %d %s", status, body)
		}
	})
}

// What labels make and unmake is in the history, and what others delete.
func TestHistoryOfDeclaredHosts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		labels := func(c *stage.Container) { c.Labels = map[string]string{"no502.host": "b.example.com, a.example.com"} }
		w.app("app", "proxy", labels)
		w.settle()
		w.person("DELETE", "/nginx/proxy-hosts/1", nil, nil)
		pass(time.Minute)
		w.must(w.people.Remove(t.Context(), "app"))
		pass(time.Minute)
		got := w.history(report.Filter{Name: "B.example.com"})
		var did []string
		for line := range strings.Lines(got) {
			if line[0] != ' ' {
				did = append(did, strings.TrimSpace(line))
			}
		}
		if want := []string{
			"no502 made the proxy host b.example.com",
			"somebody in NPM deleted the proxy host a.example.com", // NPM sorts them
			"no502 made the proxy host b.example.com",
			"no502 switched off the proxy host a.example.com",
		}; fmt.Sprint(did) != fmt.Sprint(want) {
			t.Errorf("did %q, want %q", did, want)
		}
		for _, line := range []string{"domain_names  a.example.com,b.example.com", "forward  was http://app:8080", "because  HostMissing"} {
			if !strings.Contains(got, "    "+line+"\n") {
				t.Errorf("%q is not in\n%s", line, got)
			}
		}
	})
}

// What somebody changes while no502 writes to the same host is told apart.
func TestHistoryOfWritesAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(1)
		w.settle()
		w.edit(1, map[string]any{"forward_host": "APP1"})
		var met atomic.Bool
		w.failNPM(func(r *http.Request) *npmtest.Fault {
			if r.Method == http.MethodPut && !met.Swap(true) {
				w.edit(1, map[string]any{"advanced_config": "# theirs"})
			}
			return nil
		})
		pass(time.Minute)
		w.wantHistory("app1.example.com", `somebody in NPM changed the proxy host app1.example.com
    forward  http://app1:8080 → http://APP1:8080
somebody in NPM changed the proxy host app1.example.com
    advanced_config  "" → 8 bytes of nginx configuration (221b2576)
no502 changed the proxy host app1.example.com
    forward  http://APP1:8080 → http://app1:8080
    because  ForwardHostCase
`)
	})
}

// Another no502 on the same NPM is not taken for a person.
func TestHistoryOfAnotherInstance(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(1)
		w.settle()
		w.edit(1, map[string]any{"forward_host": "localhost", "meta": map[string]any{"no502": map[string]any{"instance": "home", "origin": "repaired", "backend": "app9"}}})
		pass(time.Minute)
		w.wantHistory("app1.example.com", `no502 (home) changed the proxy host app1.example.com
    forward  http://app1:8080 → http://localhost:8080
`)
	})
}

// What nginx refused and was put back; and what got no clear answer is not taken
// for somebody's when it shows.
func TestHistoryOfFailures(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(1)
		w.settle()
		w.edit(1, map[string]any{"forward_host": "APP1"})
		row := string(w.npm.Snapshot()["proxy_host/1"])
		refused := strings.NewReplacer(`"APP1"`, `"app1"`, `"nginx_online":true`, `"nginx_online":false`,
			`"nginx_err":null`, `"nginx_err":"nginx: [emerg] not today in proxy_host/1.conf:7"`).Replace(row)
		var puts atomic.Int32
		w.failNPM(func(r *http.Request) *npmtest.Fault {
			switch {
			case r.Method == http.MethodPut && puts.Add(1) == 1:
				return &npmtest.Fault{Status: 200, Body: refused}
			case r.Method == http.MethodPut && puts.Load() == 3: // it is done, and the answer is lost
				return &npmtest.Fault{After: true, Drop: true}
			case r.URL.Path == "/nginx/proxy-hosts/1" && r.Method == http.MethodGet && puts.Load() == 3: // but in the list
				return &npmtest.Fault{Drop: true}
			}
			return nil
		})
		pass(3 * time.Minute)
		if puts.Load() != 3 {
			t.Fatalf("%d writes", puts.Load())
		}
		w.failNPM(nil)
		pass(3 * time.Minute)
		w.wantForward(1, "http://app1:8080")
		w.wantHistory("app1.example.com", `somebody in NPM changed the proxy host app1.example.com
    forward  http://app1:8080 → http://APP1:8080
no502 changed the proxy host app1.example.com
    forward  http://APP1:8080 → http://app1:8080
    because  ForwardHostCase
    but      nginx rejects proxy host 1: nginx: [emerg] not today in
             proxy_host/1.conf:7 (restored)
no502 changed the proxy host app1.example.com
    forward  http://APP1:8080 → http://app1:8080
    because  ForwardHostCase
    but      writing proxy host 1: PUT /nginx/proxy-hosts/1 of NPM at
             http://172.18.0.2:81: EOF (what became of it is not known)
`)
	})
}

// A full disk harms nothing but the journal's file, which is said once; and the
// file goes on when there is room again, with what it lacks.
func TestFaultFullDisk(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settings.stateDir = t.TempDir()
		file := filepath.Join(w.settings.stateDir, "journal.jsonl")
		w.must(os.Symlink("/dev/full", file)) // every write there fails for want of room
		w.crowd(3)
		w.startNPM()
		g := w.guard()
		g.crowd(3)
		w.start()
		pass(time.Minute)
		for i := 1; i <= 3; i++ {
			w.edit(i, map[string]any{"forward_host": fmt.Sprintf("APP%d", i)})
			pass(time.Minute)
		}
		w.wantSaid(1, "the state directory "+w.settings.stateDir+" is full: make room")
		if got := w.history(report.Filter{}); strings.Count(got, "somebody") != 3 {
			t.Errorf("the history is\n%s", got)
		}
		w.must(os.Remove(file))
		w.edit(1, map[string]any{"forward_host": "APP1"})
		pass(time.Minute)
		w.wantSaid(1, "the journal is written again")
		entries, err := report.ReadJournal(w.settings.stateDir, report.Filter{})
		w.must(err)
		if len(entries) != 8 || entries[0].Who != api.Somebody {
			t.Errorf("in the file: %v", entries)
		}
		g.holds("a full disk")
	})
}
