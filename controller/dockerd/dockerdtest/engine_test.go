package dockerdtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	containertypes "github.com/docker/docker/api/types/container"
	eventtypes "github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	networktypes "github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"go.uber.org/goleak"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newEngine is an Engine with the guest program as image "guest:1", and a client for it.
func newEngine(t testing.TB, opts dockerdtest.Options) (*dockerdtest.Engine, *client.Client) {
	t.Helper()
	e := dockerdtest.New(opts)
	e.AddImage("guest:1", dockerdtest.Image{Program: guest})
	t.Cleanup(e.Close)
	return e, clientOf(t, e)
}

func clientOf(t testing.TB, e *dockerdtest.Engine) *client.Client {
	t.Helper()
	cli, err := client.NewClientWithOpts(client.WithHTTPClient(e.Client()), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cli.Close() })
	return cli
}

// up creates and starts a container.
func up(t testing.TB, cli *client.Client, name string, cfg containertypes.Config, hc *containertypes.HostConfig, nc *networktypes.NetworkingConfig) string {
	t.Helper()
	if cfg.Image == "" {
		cfg.Image = "guest:1"
	}
	r, err := cli.ContainerCreate(t.Context(), &cfg, hc, nc, nil, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := cli.ContainerStart(t.Context(), name, containertypes.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	return r.ID
}

// stream collects an event stream's actions until it breaks.
type stream struct {
	seen []string
	err  error
	done chan struct{}
}

func follow(ctx context.Context, cli *client.Client, opts eventtypes.ListOptions) *stream {
	s := &stream{done: make(chan struct{})}
	messages, errs := cli.Events(ctx, opts)
	go func() {
		defer close(s.done)
		for {
			select {
			case m := <-messages:
				s.seen = append(s.seen, string(m.Action)+" "+m.Actor.Attributes["name"])
			case s.err = <-errs:
				return
			}
		}
	}()
	return s
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, cli := newEngine(t, dockerdtest.Options{})
		begin := time.Now()
		time.Sleep(time.Second)
		s := follow(t.Context(), cli, eventtypes.ListOptions{Filters: filters.NewArgs(
			filters.Arg("type", "container"), filters.Arg("event", "start"), filters.Arg("event", "health_status"), filters.Arg("label", "on"))})
		synctest.Wait()
		cfg := sleeping
		cfg.Labels = map[string]string{"on": "yes"}
		cfg.Healthcheck = &containertypes.HealthConfig{Test: []string{"CMD", "exit", "0"}, Interval: time.Minute}
		up(t, cli, "aa", cfg, nil, nil)
		up(t, cli, "bb", sleeping, nil, nil)
		if err := e.SetHealth("aa", "unhealthy"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := fmt.Sprint(s.seen); got != "[start aa health_status: unhealthy aa]" {
			t.Error(got)
		}
		if n := e.EventStreams(); n != 1 {
			t.Errorf("%d streams", n)
		}
		e.CutEvents()
		<-s.done
		if s.err == nil || errors.Is(s.err, context.Canceled) {
			t.Errorf("a cut stream ends with %v", s.err)
		}

		for i := range 300 {
			if err := cli.ContainerRename(t.Context(), "bb", fmt.Sprint("b", i)); err != nil {
				t.Fatal(err)
			}
			if err := cli.ContainerRename(t.Context(), fmt.Sprint("b", i), "bb"); err != nil {
				t.Fatal(err)
			}
		}
		past := func(since, until time.Time) []string {
			opts := eventtypes.ListOptions{Since: stampOf(since), Until: stampOf(until)}
			s := follow(t.Context(), cli, opts)
			<-s.done
			if !errors.Is(s.err, io.EOF) {
				t.Errorf("a stream until now ends with %v", s.err)
			}
			return s.seen
		}
		time.Sleep(time.Second)
		if got := past(begin, time.Now()); len(got) != 256 || got[255] != "rename bb" {
			t.Errorf("%d events since the beginning", len(got))
		}
		now := time.Now()
		time.Sleep(time.Second)
		if err := cli.ContainerPause(t.Context(), "aa"); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(past(now, time.Now())); got != "[pause aa]" {
			t.Errorf("since a second ago: %s", got)
		}
		e.Restart()
		if got := past(begin, time.Now()); len(got) != 0 {
			t.Errorf("events from before the Engine's restart: %v", got)
		}
	})
}

func stampOf(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }

func policy(name string, retries int) *containertypes.HostConfig {
	return &containertypes.HostConfig{RestartPolicy: containertypes.RestartPolicy{
		Name: containertypes.RestartPolicyMode(name), MaximumRetryCount: retries,
	}}
}

// The restart policy's delays double from 100 ms to a minute, and begin anew after a run of 10 seconds.
func TestRestartPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, cli := newEngine(t, dockerdtest.Options{})
		var starts []time.Time
		life := 0 * time.Second
		e.Register("flaky", func(ctx context.Context, box *dockerdtest.Box) int {
			starts = append(starts, time.Now())
			if len(starts) == 13 {
				life = 10 * time.Second
			}
			select {
			case <-time.After(life):
			case <-ctx.Done():
			}
			return 1
		})
		up(t, cli, "ff", containertypes.Config{Image: "flaky"}, policy("always", 0), nil)
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		var delays []string
		for i := range 12 {
			delays = append(delays, starts[i+1].Sub(starts[i]).String())
		}
		want := "[100ms 200ms 400ms 800ms 1.6s 3.2s 6.4s 12.8s 25.6s 51.2s 1m0s 1m0s]"
		if got := fmt.Sprint(delays); got != want {
			t.Errorf("delays %s, want %s", got, want)
		}
		if d := starts[13].Sub(starts[12]); d != 10*time.Second+100*time.Millisecond {
			t.Errorf("after a run of 10 seconds: %v", d)
		}
		if err := cli.ContainerStop(t.Context(), "ff", containertypes.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		n := len(starts)
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(starts) != n {
			t.Error("a stopped container was started")
		}
	})
}

// After a restart of the Engine those run whose policy says so, and addresses are handed out anew.
func TestEngineRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, cli := newEngine(t, dockerdtest.Options{})
		addNetwork(t, cli, "own", pool("10.1.0.0/24", "", ""))
		with := func(name string) *containertypes.HostConfig {
			hc := policy(name, 0)
			hc.NetworkMode = "own"
			return hc
		}
		up(t, cli, "aa", sleeping, with("always"), nil)
		up(t, cli, "bb", sleeping, with("unless-stopped"), nil)
		up(t, cli, "cc", sleeping, with("unless-stopped"), nil)
		up(t, cli, "dd", sleeping, with("no"), nil)
		if err := cli.ContainerStop(t.Context(), "cc", containertypes.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		s := follow(t.Context(), cli, eventtypes.ListOptions{})
		synctest.Wait()
		e.Restart("bb")
		<-s.done
		want := map[string]string{"aa": "running 10.1.0.3", "bb": "running 10.1.0.2", "cc": "exited ", "dd": "exited "}
		for name, want := range want {
			c, err := cli.ContainerInspect(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.State.Status + " " + c.NetworkSettings.Networks["own"].IPAddress; got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	})
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, cli := newEngine(t, dockerdtest.Options{})
		up(t, cli, "old", sleeping, nil, nil)
		fault := func(f dockerdtest.Fault) {
			e.SetFault(func(r *http.Request) *dockerdtest.Fault {
				if strings.HasSuffix(r.URL.Path, "/rename") {
					return &f
				}
				return nil
			})
		}
		rename := func(to string) error { return cli.ContainerRename(t.Context(), "old", to) }
		// A name that is no hexadecimal number: it would be a prefix of some id now and then.
		exists := func(name string) bool {
			_, err := cli.ContainerInspect(t.Context(), name)
			return err == nil
		}
		fault(dockerdtest.Fault{Status: 500, Message: "broken"})
		if err := rename("new"); err == nil || !strings.Contains(err.Error(), "broken") || exists("new") {
			t.Errorf("an error before: %v", err)
		}
		fault(dockerdtest.Fault{Drop: true})
		if err := rename("new"); err == nil || exists("new") {
			t.Errorf("a drop before: %v", err)
		}
		fault(dockerdtest.Fault{Drop: true, After: true})
		if err := rename("new"); err == nil || !exists("new") {
			t.Errorf("a drop after: %v", err)
		}
		begin := time.Now()
		fault(dockerdtest.Fault{Delay: time.Minute})
		if err := cli.ContainerRename(t.Context(), "new", "old"); err != nil || time.Since(begin) != time.Minute {
			t.Errorf("a delay: %v after %v", err, time.Since(begin))
		}
		e.SetFault(nil)
		e.ResetCalls()
		exists("old")
		calls := e.Calls()
		if len(calls) != 1 || calls[0].Method != "GET" || calls[0].Path != "/containers/old/json" || calls[0].Version != "1.41" {
			t.Errorf("calls: %+v", calls)
		}
		if err := e.SetOOMKilled("old"); err != nil {
			t.Fatal(err)
		}
		c, err := cli.ContainerInspect(t.Context(), "old")
		if err != nil || !c.State.OOMKilled || c.State.ExitCode != 137 || c.State.Status != "exited" {
			t.Errorf("after an OOM kill: %+v, %v", c.State, err)
		}
	})
}

// TCP is tunnelled through an exec, as it is to look at a real Engine's networks from outside of them.
func TestExecTunnel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, cli := newEngine(t, dockerdtest.Options{})
		e.Register("tunnel", func(ctx context.Context, box *dockerdtest.Box) int {
			if len(box.Args) < 3 {
				<-ctx.Done()
				return 0
			}
			c, err := box.DialContext(ctx, "tcp", box.Args[2])
			if err != nil {
				return 1
			}
			go io.Copy(c, box.Stdin)
			io.Copy(box.Stdout, c)
			return 0
		})
		addNetwork(t, cli, "own", pool("10.1.0.0/24", "", ""))
		up(t, cli, "web", serving(":80"), hostConfig("own"), nil)
		up(t, cli, "visitor", containertypes.Config{Image: "tunnel"}, hostConfig("own"), nil)
		synctest.Wait()
		x, err := cli.ContainerExecCreate(t.Context(), "visitor", containertypes.ExecOptions{
			Cmd: []string{"/program", "tunnel", "web:80"}, AttachStdin: true, AttachStdout: true, Tty: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		h, err := cli.ContainerExecAttach(t.Context(), x.ID, containertypes.ExecAttachOptions{Tty: true})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		io.WriteString(h.Conn, "hello\n")
		if line, err := h.Reader.ReadString('\n'); line != "saw hello from 10.1.0.3\n" {
			t.Errorf("got %q, %v", line, err)
		}
	})
}

func TestServe(t *testing.T) {
	e := dockerdtest.New(dockerdtest.Options{})
	sock := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- e.Serve(l) }()
	cli, err := client.NewClientWithOpts(client.WithHost("unix://"+sock), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	defer cli.Close()
	v, err := cli.ServerVersion(t.Context())
	if err != nil || v.APIVersion != "1.41" || cli.ClientVersion() != "1.41" {
		t.Errorf("%+v, %v", v, err)
	}
	e.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// seed fills an Engine with running containers.
func seed(t testing.TB, e *dockerdtest.Engine, n int) {
	t.Helper()
	for i := range n {
		_, err := e.AddContainer(fmt.Sprint("c", i), containertypes.CreateRequest{
			Config:     &containertypes.Config{Image: "seed", Labels: map[string]string{"no502.enable": "true"}},
			HostConfig: hostConfig("own"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAddContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, cli := newEngine(t, dockerdtest.Options{})
		addNetwork(t, cli, "own", networktypes.CreateOptions{})
		seed(t, e, 1000)
		answer(t, e.Box("c500"), ":80")
		if got := dial(t.Context(), e.Box("c3"), "c500:80"); got != "saw hello from 172.18.0.5" {
			t.Error(got)
		}
		if err := cli.ContainerStop(t.Context(), "c500", containertypes.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := e.Exit("c3", 5); err != nil {
			t.Fatal(err)
		}
		list, err := cli.ContainerList(t.Context(), containertypes.ListOptions{})
		if err != nil || len(list) != 998 {
			t.Errorf("%d containers, %v", len(list), err)
		}
	})
}

func BenchmarkList(b *testing.B) {
	e, cli := newEngine(b, dockerdtest.Options{})
	if _, err := cli.NetworkCreate(b.Context(), "own", networktypes.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
	seed(b, e, 10_000)
	for b.Loop() {
		if _, err := cli.ContainerList(b.Context(), containertypes.ListOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
