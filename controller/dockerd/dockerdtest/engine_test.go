package dockerdtest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"

	containertypes "github.com/docker/docker/api/types/container"
	networktypes "github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"go.uber.org/goleak"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newEngine is an Engine with the guest program as image "guest:1", and a client for it.
func newEngine(t *testing.T, opts dockerdtest.Options) (*dockerdtest.Engine, *client.Client) {
	t.Helper()
	e := dockerdtest.New(opts)
	e.AddImage("guest:1", dockerdtest.Image{Program: guest})
	hc := e.Client()
	cli, err := client.NewClientWithOpts(client.WithHTTPClient(hc), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close()
		cli.Close()
		hc.CloseIdleConnections()
	})
	return e, cli
}

// up creates and starts a container.
func up(t *testing.T, cli *client.Client, name string, cfg containertypes.Config, hc *containertypes.HostConfig, nc *networktypes.NetworkingConfig) string {
	t.Helper()
	id := create(t, cli, name, cfg, hc, nc)
	if err := cli.ContainerStart(t.Context(), name, containertypes.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	return id
}

func create(t *testing.T, cli *client.Client, name string, cfg containertypes.Config, hc *containertypes.HostConfig, nc *networktypes.NetworkingConfig) string {
	t.Helper()
	if cfg.Image == "" {
		cfg.Image = "guest:1"
	}
	r, err := cli.ContainerCreate(t.Context(), &cfg, hc, nc, nil, name)
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

func TestNginxStyle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, cli := newEngine(t, dockerdtest.Options{})
		ctx := t.Context()
		e.Register("web", func(ctx context.Context, box *dockerdtest.Box) int {
			l, err := box.Listen("tcp", ":8080")
			if err != nil {
				return 1
			}
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "hello from %s", box.Hostname)
			})}
			context.AfterFunc(ctx, func() { srv.Close() })
			srv.Serve(l)
			return 0
		})
		if _, err := cli.NetworkCreate(ctx, "proxy", networktypes.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		up(t, cli, "web", containertypes.Config{Image: "web", Hostname: "w"}, &containertypes.HostConfig{NetworkMode: "proxy"}, nil)
		up(t, cli, "npm", containertypes.Config{Cmd: []string{"sleep"}}, &containertypes.HostConfig{NetworkMode: "proxy"}, nil)
		synctest.Wait()
		hc := &http.Client{Transport: &http.Transport{DialContext: e.Box("npm").DialContext}}
		resp, err := hc.Get("http://WEB:8080/")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != "hello from w" {
			t.Errorf("got %q", body)
		}
		hc.CloseIdleConnections()
		if err := cli.ContainerStop(ctx, "web", containertypes.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := hc.Get("http://web:8080/"); err == nil {
			t.Error("a stopped container answers")
		}
	})
}

var _ = bufio.NewReader
var _ net.Conn
