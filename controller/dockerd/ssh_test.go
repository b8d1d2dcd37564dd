package dockerd

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/dockerdtest"
)

// engineSocket tells the fake ssh which socket the "docker system dial-stdio" of
// the other machine leads to.
const engineSocket = "FAKE_SSH_SOCKET"

// fakeSSH is this test's program under the name ssh: it runs docker's command to
// connect standard input and output with the Engine, and knows one machine.
func fakeSSH(args []string) int {
	if !slices.Contains(args, "engine.example") || !strings.HasSuffix(strings.Join(args, " "), "docker system dial-stdio") {
		fmt.Fprintf(os.Stderr, "ssh: Could not resolve hostname: %v\n", args)
		return 255
	}
	conn, err := net.Dial("unix", os.Getenv(engineSocket))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		_, _ = io.Copy(conn, os.Stdin)
		_ = conn.(*net.UnixConn).CloseWrite()
	}()
	_, _ = io.Copy(os.Stdout, conn) // ends with the Engine's side
	return 0
}

// useFakeSSH makes fakeSSH the only program there is, in a directory of its own.
func useFakeSSH(t *testing.T) (dir string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "ssh")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	return dir
}

// An Engine on another machine is followed through the program ssh, as Docker's
// command line does it.
func TestSSH(t *testing.T) {
	dir := useFakeSSH(t)
	double := dockerdtest.New(dockerdtest.Options{})
	defer double.Close()
	socket := filepath.Join(dir, "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go double.Serve(l) //nolint:errcheck // ends with the double
	t.Setenv(engineSocket, socket)

	engine, err := Open(Options{Host: "ssh://me@engine.example:2222"})
	if err != nil {
		t.Fatal(err)
	}
	if engine.Host() != "ssh://me@engine.example:2222" {
		t.Errorf("the Engine is said to be at %s", engine.Host())
	}
	news := make(chan api.Key, 100)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- engine.Run(ctx, func(key api.Key) { news <- key }) }()
	wait := func(want func(api.Key) bool) {
		t.Helper()
		for {
			select {
			case key := <-news:
				if want(key) {
					return
				}
			case <-time.After(10 * time.Second):
				t.Fatal("nothing is heard of the Engine")
			}
		}
	}
	wait(func(key api.Key) bool { return key.Kind == api.KindSystem })
	id, err := double.AddApp("web", dockerdtest.App{Labels: yes})
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Look(ctx, id); err != nil || !engine.View(func(now *api.Engine) {
		if c := now.Container(id); c == nil || c.Name != "web" {
			t.Errorf("cached: %v", c)
		}
	}) {
		t.Errorf("look: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := engine.Close(); err != nil {
		t.Error(err)
	}
}

// What is missing for ssh:// is said in one sentence.
func TestSSHIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	engine, err := Open(Options{Host: "ssh://engine.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	if err := engine.refresh(); err == nil || remedy(err) == "" || !strings.Contains(err.Error(), "no program ssh here: no502's image has none") {
		t.Errorf("without ssh: %v", err)
	}
	if _, err := Open(Options{Host: "ssh://engine.example?x=y"}); err == nil || !strings.Contains(err.Error(), "ssh://[USER@]HOST[:PORT]") {
		t.Errorf("a bad address: %v", err)
	}
}

// The other machine's word is passed on.
func TestSSHFails(t *testing.T) {
	useFakeSSH(t)
	engine, err := Open(Options{Host: "ssh://nobody.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	if err := engine.refresh(); err == nil || !strings.Contains(err.Error(), "Could not resolve hostname") {
		t.Errorf("an unknown machine: %v", err)
	}
}
