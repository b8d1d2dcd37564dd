package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/no502/no502/controller/dockerd/stage"
)

// engine is a Docker Engine of a test's own, which it can end and start again.
type engine struct {
	t      *testing.T
	dir    string
	orders io.WriteCloser
	stage  *stage.Stage
}

// privateEngine starts one; its end is the test's. Where that is not possible the
// test is skipped.
func privateEngine(t *testing.T) *engine {
	t.Helper()
	if realNPM() {
		t.Skip("SKIPPED: a private Docker Engine does not have the image of NPM")
	}
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can start a private Docker Engine")
	}
	for _, needed := range []string{"dockerd", "iptables", "unshare", "ip"} {
		if _, err := exec.LookPath(needed); err != nil {
			t.Skip("SKIPPED: a private Docker Engine cannot be started:", err)
		}
	}
	dir, err := os.MkdirTemp("/var/tmp", suite+"-") //nolint:usetesting // /tmp may be an overlay file system, which holds no other
	must(t, err)
	e := &engine{t: t, dir: dir}
	e.settings("{}")
	process := exec.Command("../private-engine", dir)
	e.orders, err = process.StdinPipe()
	must(t, err)
	must(t, process.Start())
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("the private Engine's log:\n%s", lines(string(log), "level=error", "level=fatal", "failed"))
		}
		if err := errors.Join(e.orders.Close(), process.Wait(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the private Engine answers", func(ctx context.Context) (err error) {
		e.stage, err = stage.Open(ctx, suite+"-faults", e.host(), nil)
		return err
	})
	t.Cleanup(func() { e.stage.Close() })
	return e
}

func (e *engine) host() string { return "unix://" + filepath.Join(e.dir, "docker.sock") }

// settings are those that it has when it is started the next time.
func (e *engine) settings(json string) {
	e.t.Helper()
	must(e.t, os.WriteFile(filepath.Join(e.dir, "daemon.json"), []byte(json), 0o600))
}

func (e *engine) order(what string) {
	e.t.Helper()
	_, err := fmt.Fprintln(e.orders, what)
	must(e.t, err)
}

// away ends the Engine, and starts it again.
func (e *engine) away(how string) {
	e.t.Helper()
	e.order(how)
	eventually(e.t, "the Engine is gone", func(ctx context.Context) error {
		if e.stage.Ping(ctx) == nil {
			return errors.New("it answers")
		}
		return nil
	})
	e.order("start")
	eventually(e.t, "the Engine is back", e.stage.Ping)
}

// TestFaultRealEngine: a private Engine is stopped, killed and has its socket made
// anew, with its containers and without. Whoever was served is served again, and
// nobody else's host is touched.
func TestFaultRealEngine(t *testing.T) {
	t.Parallel()
	e := privateEngine(t)
	must(t, e.stage.Import(t.Context(), appImage, program))
	w, err := setUp(t.Context(), e.stage, "faults", "", "always")
	must(t, err)
	w.controller(t)
	s := w.scene(t)
	s.run(stage.Container{Name: "app", Labels: enable, Cmd: []string{"8080/http"}, Publish: []string{"8080"}, Restart: "always"})
	s.run(stage.Container{Name: "other", Cmd: []string{"8080/http"}, Restart: "always"})
	s.given(forward("http", "localhost", s.published("app", "8080")), 200)
	s.answers("app")

	healed := func(what string) {
		t.Helper()
		must(t, w.Login(t.Context()))
		s.answers("app")
		s.ready(0)
		rows, err := w.Rows(t.Context())
		must(t, err)
		t.Logf("checked after %q: %d hosts, %d lost", what, len(rows), w.unchanged(t, rows)) // for make soak
	}
	for _, how := range []string{"stop", "kill"} {
		e.away(how)
		healed(how + ", and the containers with it")
	}

	// With live-restore the containers live on, and with them a mount of the old
	// socket. The Engine takes up the setting when it is started.
	e.settings(`{"live-restore": true}`)
	e.away("stop")
	healed("live-restore is on")
	e.away("kill")
	// Nobody takes down what a container says while the Engine is away: it is asked.
	eventually(t, "no502 says that its socket is the old one", func(ctx context.Context) error {
		_, text, err := w.Exec(ctx, w.Name("no502"), stage.Binary, "plan", "--wait=2s")
		if err == nil && !strings.Contains(text, "is still the old one: restart this container") {
			err = errors.New(text)
		}
		return err
	})
	must(t, w.Restart(t.Context(), w.Name("no502")))
	healed("the socket was made anew, and no502 restarted")
	s.again(stage.Container{Name: "app", Labels: enable, Cmd: []string{"8080/http"}, Restart: "always"})
	s.answers("app") // it sees what happens

	// With its directory mounted no502 follows without an end.
	w.dismiss(t)
	c := w.Controller("NO502_LOG_FORMAT=json", "NO502_NETWORK="+w.managed, "NO502_DOCKER_HOST=unix:///engine/docker.sock")
	c.Binds = []string{e.dir + ":/engine"}
	_, err = w.Run(t.Context(), c)
	must(t, err)
	s.ready(0)
	before, err := w.State(t.Context(), w.Name("no502"))
	must(t, err)
	e.away("kill")
	healed("the socket was made anew in its directory")
	s.again(stage.Container{Name: "app", Labels: enable, Cmd: []string{"8080/http"}, Restart: "always"})
	s.answers("app")
	if now, err := w.State(t.Context(), w.Name("no502")); err != nil || now.StartedAt != before.StartedAt {
		t.Errorf("no502 was started again at %s, after %s (%v)", now.StartedAt, before.StartedAt, err)
	}
}
