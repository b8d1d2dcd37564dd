package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"

	"github.com/no502/no502/api"
)

// moved is host id forwarded from one port to another.
func moved(id, from, to int) api.Change {
	at := func(port int) api.Fields {
		return api.Fields{api.FieldScheme: "http", api.FieldHost: "app", api.FieldPort: port}
	}
	return api.Change{By: api.No502, Instance: "no502", Action: api.Action{
		Op: api.OpPatch, Host: api.HostKey(id), Domain: fmt.Sprintf("app%d.example.com", id),
		From: at(from), To: at(to), Because: []api.Code{api.ForwardPortWrong},
	}}
}

func wrote(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, journalFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The lines that programs read: their names are a promise.
func TestJournalJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		j := NewJournal(logr.Discard())
		j.Keep(dir)
		time.Sleep(1234567 * time.Microsecond)
		c := moved(7, 80, 8080)
		c.Domains, c.Err = []string{"app7.example.com", "www.example.com"}, errors.New("nginx\nrejects it")
		j.Record(c)
		j.Record(api.Change{By: api.No502, Instance: "no502", Action: api.Action{
			Op: api.OpAttach, Container: strings.Repeat("a", 64), Name: "app", Network: "proxy"}})
		const want = `{"time":"2000-01-01T00:00:01.234Z","who":"no502","instance":"no502","op":"patch","host":"proxy-host/7",` +
			`"domain":"app7.example.com","domains":["app7.example.com","www.example.com"],"from":{"forward":"http://app:80"},` +
			`"to":{"forward":"http://app:8080"},"because":["ForwardPortWrong"],"error":"nginx rejects it"}` + "\n" +
			`{"time":"2000-01-01T00:00:01.234Z","who":"no502","instance":"no502","op":"attach","container":"app","network":"proxy"}` + "\n"
		if got := wrote(t, dir); got != want {
			t.Errorf("wrote\n%swant\n%s", got, want)
		}
	})
}

// A row's meta and what NPM shows beside it never get there; long texts are cut.
func TestJournalIsBounded(t *testing.T) {
	j := NewJournal(logr.Discard())
	c := moved(1, 1, 2)
	c.To[api.FieldAdvanced] = strings.Repeat("ü", 5000)
	c.To[api.FieldDomains] = strings.Fields(strings.Repeat("a.example.com ", 100))
	c.Err = errors.New(strings.Repeat("x", 5000))
	c.Ownership = &api.Ownership{Instance: "canary-of-the-meta"}
	j.Record(c)
	text := fmt.Sprint(j.Entries(Filter{}))
	if len(text) > 2000 || strings.Contains(text, "canary") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

// The file stays below a size, with one old one, and memory below a number.
func TestJournalRotates(t *testing.T) {
	dir := t.TempDir()
	j := NewJournal(logr.Discard())
	j.Keep(dir)
	const n = 4_000
	for i := range n {
		c := moved(i, 1, 2)
		c.Err = errors.New(strings.Repeat("x", errorLimit))
		j.Record(c)
	}
	var total int64
	for _, name := range []string{journalFile, journalOld} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if total += info.Size(); info.Size() > rotateAt+1000 {
			t.Errorf("%s has %d bytes", name, info.Size())
		}
	}
	entries, err := ReadJournal(dir, Filter{})
	if err != nil || len(entries) < n/4 || entries[len(entries)-1].Domain != fmt.Sprintf("app%d.example.com", n-1) {
		t.Errorf("%d entries in %d bytes, %v", len(entries), total, err)
	}
	for i, e := range entries[1:] {
		if before := entries[i]; e.Host != api.HostKey(id(t, before)+1).String() {
			t.Fatalf("%s follows on %s", e.Host, before.Host)
		}
	}
	if got := j.Entries(Filter{}); len(got) != remembered || got[0].Domain != fmt.Sprintf("app%d.example.com", n-remembered) {
		t.Errorf("%d entries in memory", len(got))
	}
	again := NewJournal(logr.Discard())
	again.Keep(dir)
	if got := again.Entries(Filter{}); len(got) != remembered {
		t.Errorf("%d entries after a restart", len(got))
	}
}

func id(t *testing.T, e Entry) (n int) {
	t.Helper()
	if _, err := fmt.Sscanf(e.Host, "proxy-host/%d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A crash in the middle of a line spoils neither what was before nor after it.
func TestJournalSurvivesATornLine(t *testing.T) {
	for _, torn := range []string{`{"time":"2026-01-31T`, `{"time":"2026-01-31T12:00:00Z","who":"no502"}`, "\x00\x00\x00", "[]\n{}\n17\nnonsense\n"} {
		dir := t.TempDir()
		j := NewJournal(logr.Discard())
		j.Keep(dir)
		j.Record(moved(1, 1, 2))
		whole := wrote(t, dir)
		if err := os.WriteFile(filepath.Join(dir, journalFile), []byte(whole+torn), 0o600); err != nil {
			t.Fatal(err)
		}
		next := NewJournal(logr.Discard())
		next.Keep(dir)
		next.Record(moved(2, 1, 2))
		entries, err := ReadJournal(dir, Filter{Name: "app2.example.com"})
		if err != nil || len(entries) != 1 {
			t.Errorf("after %q: %v, %v", torn, entries, err)
		}
		if entries, _ = ReadJournal(dir, Filter{Name: "app1.example.com"}); len(entries) != 1 {
			t.Errorf("before %q: %v", torn, entries)
		}
	}
}

// Two processes write into one file: all lines stay whole, and what both have
// seen is shown once.
func TestJournalOfTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	var both sync.WaitGroup
	for p := range 2 {
		j := NewJournal(logr.Discard())
		j.Keep(dir)
		both.Go(func() {
			for i := range 500 {
				j.Record(moved(1000*p+i, 1, 2))
			}
		})
	}
	both.Wait()
	if entries, err := ReadJournal(dir, Filter{}); err != nil || len(entries) != 1000 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	a, b := NewJournal(logr.Discard()), NewJournal(logr.Discard())
	a.Keep(dir)
	b.Keep(dir)
	for _, ports := range [][2]int{{5, 6}, {6, 5}, {5, 6}} {
		a.Record(moved(1, ports[0], ports[1]))
		b.Record(moved(1, ports[0], ports[1]))
	}
	entries, err := ReadJournal(dir, Filter{Name: "app1.example.com"})
	if err != nil || len(entries) != 4 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

// A state directory that is not as it should be is said once, with the cure,
// and the journal goes on in memory.
func TestBadStateDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, sentence := range map[string]string{
		"/nonexistent/state": "there is no state directory /nonexistent/state: mount one there",
		file:                 "not a directory",
	} {
		var lines []string
		j := NewJournal(funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{}))
		j.Keep(dir)
		j.Record(moved(1, 1, 2))
		j.Record(moved(2, 1, 2))
		if len(lines) != 1 || !strings.Contains(lines[0], sentence) {
			t.Errorf("%s: logged %q", dir, lines)
		}
		if got := j.Entries(Filter{}); len(got) != 2 {
			t.Errorf("%s: %d entries in memory", dir, len(got))
		}
	}
}

func TestStateErrors(t *testing.T) {
	own := fmt.Sprintf("user %d may not write to the state directory /state: run `chown -R %d:%d`", os.Getuid(), os.Getuid(), os.Getgid())
	for err, sentence := range map[error]string{
		syscall.ENOSPC: "the state directory /state is full: make room",
		syscall.EDQUOT: "the state directory /state is full: make room",
		syscall.EROFS:  "the state directory /state is mounted read-only: mount it writable",
		syscall.EACCES: own,
		syscall.EPERM:  own,
		syscall.EIO:    "the state directory /state: open /state/journal.jsonl: input/output error",
	} {
		got := stateError("/state", &fs.PathError{Op: "open", Path: "/state/journal.jsonl", Err: err})
		if !strings.HasPrefix(got.Error(), sentence) {
			t.Errorf("%v is said as %q, want %q", err, got, sentence)
		}
	}
}
