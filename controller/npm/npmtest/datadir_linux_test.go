package npmtest_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDataDir: a watcher sees the recorded events of performance_and_concurrency
// for PUT, disable, enable, a rejected PUT and a good one; logs are files too.
func TestDataDir(t *testing.T) {
	dir := t.TempDir()
	p := newReplayWith(t, func(o *options) { o.DataDir = dir })
	hosts := filepath.Join(dir, "nginx", "proxy_host")
	p.add("a.test", "10.0.0.2", 80, "")
	events := watch(t, hosts)
	written := []string{"DELETE 1.conf", "CREATE 1.conf", "MODIFY 1.conf", "CLOSE_WRITE 1.conf"}
	for _, step := range []struct {
		method, path, body string
		want               []string
	}{
		{"PUT", "", `{"forward_port":80}`, written},
		{"POST", "/disable", "", written[:1]},
		{"POST", "/enable", "", written[1:]},
		{"PUT", "", `{"advanced_config":"bogus on;"}`, slices.Concat(written, written[:1])},
		{"PUT", "", `{"advanced_config":""}`, written[1:]},
	} {
		p.do(step.method, "/api/nginx/proxy-hosts/1"+step.path, step.body)
		if got := events(); !slices.Equal(got, step.want) {
			t.Errorf("%s %s %s: %v, want %v", step.method, step.path, step.body, got, step.want)
		}
	}
	p.add("b.test", "nobody", 80, "")
	p.want("http://b.test/", 502, "<html>")
	log, err := os.ReadFile(filepath.Join(dir, "logs", "proxy-host-2_error.log"))
	if err != nil || !strings.Contains(string(log), "nobody could not be resolved (3: Host not found)") {
		t.Errorf("log: %v %s", err, log)
	}
	if err := os.Remove(filepath.Join(hosts, "2.conf")); err != nil { // by hand
		t.Fatal(err)
	}
	p.s.Restart(0)
	p.want("http://b.test/", 200, "<!DOCTYPE html>")
	p.want("http://a.test/x", 502, "<html>")

	var before, after, audit, auditAfter []map[string]any // the process ends, another begins
	p.read("/api/nginx/proxy-hosts", &before)
	p.read("/api/audit-log", &audit)
	p.s.Close()
	token := p.tokens["admin"]
	p = newReplayWith(t, func(o *options) { o.DataDir = dir })
	p.tokens["admin"] = token
	p.read("/api/nginx/proxy-hosts", &after)
	p.read("/api/audit-log", &auditAfter)
	if diff := cmp.Diff(before, after) + cmp.Diff(audit, auditAfter); diff != "" || len(after) != 2 {
		t.Error(diff)
	}
	p.want("http://b.test/", 200, "<!DOCTYPE html>")
	p.want("http://a.test/x", 502, "<html>")
	p.do("PUT", "/api/nginx/proxy-hosts/2", `{"forward_port":81}`)
	p.want("http://b.test/", 502, "<html>")
	p.add("c.test", "x", 80, "")
	if p.lastHost() != 3 {
		t.Errorf("next id is %d", p.lastHost())
	}
}

func (p *replay) lastHost() (id int) {
	var rows []struct{ ID int }
	p.read("/api/nginx/proxy-hosts?query=c.test", &rows)
	return rows[0].ID
}

// watch returns a function that lists the events of a folder since its last
// call, equal ones in a row once.
func watch(t *testing.T, dir string) func() []string {
	t.Helper()
	fd, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	names := map[uint32]string{syscall.IN_CREATE: "CREATE", syscall.IN_DELETE: "DELETE", syscall.IN_MODIFY: "MODIFY",
		syscall.IN_CLOSE_WRITE: "CLOSE_WRITE", syscall.IN_MOVED_TO: "MOVED_TO"}
	mask := uint32(0)
	for m := range names {
		mask |= m
	}
	if _, err := syscall.InotifyAddWatch(fd, dir, mask); err != nil {
		t.Fatal(err)
	}
	return func() (events []string) {
		buf := make([]byte, 1<<16)
		n, err := syscall.Read(fd, buf)
		if err != nil {
			return nil // EAGAIN: nothing happened
		}
		for b := buf[:n]; len(b) > 0; {
			size := binary.NativeEndian.Uint32(b[12:])
			name, _, _ := bytes.Cut(b[syscall.SizeofInotifyEvent:syscall.SizeofInotifyEvent+size], []byte{0})
			events = append(events, names[binary.NativeEndian.Uint32(b[4:])]+" "+string(name))
			b = b[syscall.SizeofInotifyEvent+size:]
		}
		return slices.Compact(events)
	}
}
