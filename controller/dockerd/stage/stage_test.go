package stage

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
)

// program waits to be stopped; run by Dialer in a container it sends back what it is sent.
func program(ctx context.Context, box *dockerdtest.Box) int {
	if slices.Contains(box.Args, "dial") {
		fmt.Fprintf(box.Stdout, "to %s: ", box.Args[len(box.Args)-1])
		_, _ = io.Copy(box.Stdout, box.Stdin)
		return 0
	}
	fmt.Fprintln(box.Stdout, "hello from", box.Hostname)
	<-ctx.Done()
	return 0
}

// open opens a stage on an Engine in this process, with an image "app".
func open(t *testing.T, name string, e *dockerdtest.Engine) *Stage {
	t.Helper()
	s, err := Open(t.Context(), name, "", e.DialContext)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func engine(t *testing.T) *dockerdtest.Engine {
	e := dockerdtest.New(dockerdtest.Options{Import: func(_ string, layer io.Reader) (dockerdtest.Program, error) {
		_, err := io.Copy(io.Discard, layer)
		return program, err
	}})
	t.Cleanup(e.Close)
	return e
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestAStage: an image is made, containers are put up, asked and changed as
// people do it, and all of it is struck; what belongs to another stage stays.
func TestAStage(t *testing.T) {
	ctx, e := t.Context(), engine(t)
	s, other := open(t, "one", e), open(t, "two", e)
	binary := filepath.Join(t.TempDir(), "no502")
	check(t, os.WriteFile(binary, []byte("binary"), 0o755))
	check(t, s.Import(ctx, "app:latest", binary))
	check(t, s.Import(ctx, "app:latest", binary)) // a newer one
	if !s.HasImage(ctx, "app:latest") || s.HasImage(ctx, "app:other") {
		t.Error("the image is not there under its name alone")
	}

	check(t, s.Network(ctx, "net", "10.99.0.0/24", nil))
	check(t, other.Network(ctx, "theirs", "", nil))
	_, err := s.Run(ctx, Container{
		Name: "web", Image: "app:latest", Network: "net", Address: "10.99.0.9", Publish: []string{"8080"}, Health: []string{"true"},
	})
	check(t, err)
	_, err = other.Run(ctx, Container{Name: "their-web", Image: "app:latest", Network: "theirs"})
	check(t, err)
	if addr, err := s.Address(ctx, "web", "net"); addr != "10.99.0.9" {
		t.Error(addr, err)
	}
	if gw, err := s.Gateway(ctx, "theirs"); gw == "" {
		t.Error(gw, err)
	}
	if port, err := s.Published(ctx, "web", "8080"); port == 0 {
		t.Error(port, err)
	}
	if _, err := s.Published(ctx, "web", "9999"); err == nil {
		t.Error("a port that is not published has a number")
	}
	check(t, s.Connect(ctx, "theirs", "web"))
	nets, err := s.Networks(ctx, "web")
	check(t, err)
	slices.Sort(nets)
	if diff := cmp.Diff([]string{"net", "theirs"}, nets); diff != "" {
		t.Error(diff)
	}
	check(t, s.Disconnect(ctx, "theirs", "web"))

	check(t, s.Strike(ctx, "no-such-network"))
	if _, err := s.State(ctx, "web"); err == nil {
		t.Error("the container is there after the stage was struck")
	}
	if state, err := s.State(ctx, "their-web"); err != nil || !state.Running {
		t.Error("another stage's container is gone", err)
	}
	check(t, other.Strike(ctx))
	check(t, s.RemoveImage(ctx, "app:latest"))
}

func TestActs(t *testing.T) {
	ctx, e := t.Context(), engine(t)
	e.Register("app", program)
	s := open(t, "one", e)
	id, err := s.Create(ctx, Container{Name: "web", Image: "app", Network: "bridge"})
	check(t, err)
	for _, act := range []struct {
		name string
		do   func() error
		want string
	}{
		{"create", func() error { return nil }, "created"},
		{"start", func() error { return s.Start(ctx, "web") }, "running"},
		{"pause", func() error { return s.Pause(ctx, "web") }, "paused"},
		{"unpause", func() error { return s.Unpause(ctx, "web") }, "running"},
		{"restart", func() error { return s.Restart(ctx, "web") }, "running"},
		{"kill", func() error { return s.Kill(ctx, "web", "KILL") }, "exited"},
		{"rename", func() error { return s.Rename(ctx, "web", "shop") }, "exited"},
		{"start again", func() error { return s.Start(ctx, "shop") }, "running"},
		{"stop", func() error { return s.Stop(ctx, "shop") }, "exited"},
	} {
		check(t, act.do())
		if got := settled(t, s, id, act.want); got != act.want {
			t.Errorf("after %s it is %s, want %s", act.name, got, act.want)
		}
	}
	text, err := s.Logs(ctx, "shop")
	if err != nil || !strings.Contains(text, "hello from ") {
		t.Errorf("logs %q (%v)", text, err)
	}
	check(t, s.Remove(ctx, "shop"))
}

// settled waits a little for a state: a kill takes effect when it does.
func settled(t *testing.T, s *Stage, id, want string) (status string) {
	t.Helper()
	for range 100 {
		state, err := s.State(t.Context(), id)
		check(t, err)
		if status = state.Status; status == want {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return status
}

func TestAConnectionFromInsideAContainer(t *testing.T) {
	e := engine(t)
	e.Register("app", program)
	s := open(t, "one", e)
	_, err := s.Run(t.Context(), Container{Name: "web", Image: "app", Network: "bridge"})
	check(t, err)
	conn, err := s.Dialer("web")(t.Context(), "tcp", "npm:81")
	check(t, err)
	defer conn.Close()
	if _, err := conn.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("to npm:81: ping"))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "to npm:81: ping" {
		t.Errorf("%q (%v)", got, err)
	}
	if conn.RemoteAddr().String() != "npm:81" {
		t.Error(conn.RemoteAddr())
	}
	if _, err := s.Dialer("nobody")(t.Context(), "tcp", "npm:81"); err == nil {
		t.Error("a container that is not there connects")
	}
	code, _, err := s.Exec(t.Context(), "web", "dial", "nowhere")
	if code != 0 || err != nil {
		t.Error(code, err)
	}
}

func TestNoEngineIsAnError(t *testing.T) {
	if _, err := Open(t.Context(), "one", "unix:///no/such/socket", nil); err == nil {
		t.Error("no error")
	}
}
