package dockerdtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	containertypes "github.com/docker/docker/api/types/container"
	networktypes "github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
)

// on is a networking configuration: an endpoint with aliases on one network.
func on(network string, ep *networktypes.EndpointSettings) *networktypes.NetworkingConfig {
	return &networktypes.NetworkingConfig{EndpointsConfig: map[string]*networktypes.EndpointSettings{network: ep}}
}

func addNetwork(t *testing.T, cli *client.Client, name string, opts networktypes.CreateOptions) {
	t.Helper()
	if _, err := cli.NetworkCreate(t.Context(), name, opts); err != nil {
		t.Fatal(err)
	}
}

func hostConfig(network string) *containertypes.HostConfig {
	return &containertypes.HostConfig{NetworkMode: containertypes.NetworkMode(network)}
}

func serving(addr string) containertypes.Config {
	return containertypes.Config{Cmd: []string{"serve", addr}}
}

var sleeping = containertypes.Config{Cmd: []string{"sleep"}}

// world is what the reachability and name tests look at:
//
//	own 10.1.0.0/24: web .10 (alias Alias; publishes 8080 everywhere, 8081 on the host's loopback), near, loop
//	in  10.2.0.0/24: internal: inside, inweb .3
//	default bridge:  def
//	host mode:       hosted (:9000); the host itself serves :9001, its loopback :9002
//	machine 10.20.0.50 on the host's network
func world(t *testing.T) *dockerdtest.Engine {
	t.Helper()
	e, cli := newEngine(t, dockerdtest.Options{})
	addNetwork(t, cli, "own", pool("10.1.0.0/24", "", ""))
	addNetwork(t, cli, "other", pool("10.3.0.0/24", "", ""))
	addNetwork(t, cli, "in", networktypes.CreateOptions{Internal: true, IPAM: pool("10.2.0.0/24", "", "").IPAM})
	web := ports("80/tcp", "81/tcp")
	web.Cmd = serving(":80").Cmd
	hc := publish("80/tcp", "", "8080")
	hc.PortBindings["81/tcp"] = publish("81/tcp", "127.0.0.1", "8081").PortBindings["81/tcp"]
	hc.NetworkMode = "own"
	hc.ExtraHosts = []string{"host.docker.internal:host-gateway", "elsewhere:192.0.2.1"}
	up(t, cli, "web", web, &hc, on("own", pinned("10.1.0.10", "Alias")))
	up(t, cli, "near", sleeping, hostConfig("own"), nil)
	up(t, cli, "loop", serving("127.0.0.1:80"), hostConfig("own"), nil)
	up(t, cli, "far", sleeping, hostConfig("other"), nil)
	up(t, cli, "def", sleeping, nil, nil)
	up(t, cli, "inside", sleeping, hostConfig("in"), nil)
	up(t, cli, "inweb", serving(":80"), hostConfig("in"), nil)
	up(t, cli, "hosted", serving(":9000"), hostConfig("host"), nil)
	up(t, cli, "joined", serving(":81"), hostConfig("container:web"), nil)
	up(t, cli, "none", sleeping, hostConfig("none"), nil)
	answer(t, e.Host(), ":9001")
	answer(t, e.Host(), "127.0.0.1:9002")
	answer(t, e.Machine(machine), ":7000")
	synctest.Wait()
	return e
}

var machine = netip.MustParseAddr("10.20.0.50")

// answer serves on a box until the test's end.
func answer(t *testing.T, box *dockerdtest.Box, addr string) {
	t.Helper()
	l, err := box.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			fmt.Fprintf(c, "saw hello from %s\n", host)
			c.Close()
		}
	}()
}

func TestReachability(t *testing.T) {
	for _, c := range []struct{ from, addr, want string }{
		{"near", "web:80", "saw hello from 10.1.0.2"},
		{"near", "10.1.0.10:80", "saw hello from 10.1.0.2"},
		{"near", "web:82", "refused"},
		{"near", "loop:80", "refused"},
		{"loop", "127.0.0.1:80", "saw hello from 127.0.0.1"},
		{"loop", "localhost:80", "saw hello from 127.0.0.1"},
		{"near", "10.1.0.99:80", "no route to host"},
		{"near", "10.1.0.1:8080", "saw hello from 10.1.0.1"},
		{"near", "10.1.0.1:8081", "refused"},
		{"near", "10.1.0.1:9000", "saw hello from 10.1.0.2"},
		{"near", "10.1.0.1:9001", "saw hello from 10.1.0.2"},
		{"near", "10.1.0.1:9002", "refused"},
		{"near", "10.20.0.10:8080", "saw hello from 10.1.0.1"},
		{"near", "10.20.0.50:7000", "saw hello from 10.20.0.10"},
		{"near", "10.20.0.51:7000", "no route to host"},
		{"near", "192.0.2.9:80", "timeout"},
		{"near", "10.2.0.3:80", "timeout"},
		{"near", "far:80", "no such host"},
		{"near", "joined:81", "no such host"},
		{"near", "web:81", "saw hello from 10.1.0.2"},
		{"joined", "127.0.0.1:80", "saw hello from 127.0.0.1"},
		{"far", "10.1.0.10:80", "timeout"},
		{"far", "10.3.0.1:8080", "saw hello from 10.1.0.1"},
		{"def", "web:80", "no such host"},
		{"def", "172.17.0.1:8080", "saw hello from 10.1.0.1"},
		{"inside", "inweb:80", "saw hello from 10.2.0.2"},
		{"inside", "10.1.0.10:80", "timeout"},
		{"inside", "10.2.0.1:8080", "timeout"},
		{"inside", "10.2.0.1:9001", "saw hello from 10.2.0.2"},
		{"inside", "192.0.2.9:80", "timeout"},
		{"none", "10.1.0.10:80", "network is unreachable"},
		{"hosted", "127.0.0.1:9002", "saw hello from 127.0.0.1"},
		{"hosted", "127.0.0.1:8081", "saw hello from 10.1.0.1"},
		{"HOST", "127.0.0.1:8080", "saw hello from 10.1.0.1"},
		{"HOST", "10.1.0.10:80", "saw hello from 10.1.0.1"},
		{"HOST", "10.2.0.3:80", "saw hello from 10.2.0.1"},
		{"HOST", "localhost:9000", "saw hello from 127.0.0.1"},
		{"HOST", "localhost:9003", "refused"},
		{"HOST", "web:80", "no such host"},
		{"LAN", "10.20.0.10:8080", "saw hello from 10.20.0.50"},
		{"LAN", "10.20.0.10:9001", "saw hello from 10.20.0.50"},
		{"LAN", "10.20.0.10:8081", "refused"},
		{"LAN", "10.1.0.10:80", "timeout"},
		{"LAN", "127.0.0.1:7000", "saw hello from 127.0.0.1"},
	} {
		t.Run(c.from+" "+c.addr, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := world(t)
				box := e.Box(c.from)
				switch c.from {
				case "HOST":
					box = e.Host()
				case "LAN":
					box = e.Machine(machine)
				}
				if got := dial(t.Context(), box, c.addr); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			})
		})
	}
}

func TestNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := world(t)
		for _, c := range []struct{ from, name, want string }{
			{"near", "web", "[10.1.0.10]"},
			{"near", "WEB.", "[10.1.0.10]"},
			{"near", "aLIAS", "[10.1.0.10]"},
			{"near", "web.own", "[10.1.0.10]"},
			{"near", "alias.OWN", "[10.1.0.10]"},
			{"near", "web.other", "no such host"},
			{"near", "near", "[10.1.0.2]"},
			{"near", "localhost", "no such host"},
			{"near", "10.9.8.7", "[10.9.8.7]"},
			{"web", "host.docker.internal", "no such host"},
			{"inside", "inweb", "[10.2.0.3]"},
			{"def", "def", "no such host"},
			{"far", "web", "no such host"},
			{"joined", "near", "[10.1.0.2]"},
			{"none", "web", "no such host"},
			{"hosted", "web", "no such host"},
		} {
			got := "no such host"
			if addrs, err := e.Box(c.from).LookupHost(t.Context(), c.name); err == nil {
				got = fmt.Sprint(addrs)
			}
			if got != c.want {
				t.Errorf("%s looks %s up: got %s, want %s", c.from, c.name, got, c.want)
			}
		}
		for name, want := range map[string]string{
			"localhost": "[127.0.0.1]", "host.docker.internal": "[172.17.0.1]", "Elsewhere": "[192.0.2.1]", "near": "[]",
		} {
			if got := fmt.Sprint(e.Box("web").LookupEtcHosts(name)); got != want {
				t.Errorf("/etc/hosts says %s of %s, want %s", got, name, want)
			}
		}
	})
}

// A shared alias answers with every address; a stopped container leaves it; newer Engines know hostnames.
func TestSharedAlias(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, cli := newEngine(t, dockerdtest.Options{APIVersion: "1.48", MinAPIVersion: "1.24"})
		addNetwork(t, cli, "own", pool("10.1.0.0/24", "", ""))
		for _, n := range []string{"a", "b", "c"} {
			cfg := sleeping
			cfg.Hostname = "h-" + n
			up(t, cli, "svc-"+n, cfg, hostConfig("own"), on("own", &networktypes.EndpointSettings{Aliases: []string{"svc"}}))
		}
		if got := lookup(t.Context(), e.Box("svc-a"), "svc"); got != "[10.1.0.2 10.1.0.3 10.1.0.4]" {
			t.Error(got)
		}
		if err := cli.ContainerStop(t.Context(), "svc-b", containertypes.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := lookup(t.Context(), e.Box("svc-a"), "svc"); got != "[10.1.0.2 10.1.0.4]" {
			t.Error(got)
		}
		if got := lookup(t.Context(), e.Box("svc-a"), "h-c"); got != "[10.1.0.4]" {
			t.Error(got)
		}
	})
}

// How long attempts last, and that a paused container's connections stand still.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := world(t)
		near := e.Box("near")
		took := func(addr string) (time.Duration, error) {
			begin := time.Now()
			c, err := near.DialContext(t.Context(), "tcp", addr)
			if err == nil {
				c.Close()
			}
			return time.Since(begin), err
		}
		if d, err := took("10.1.0.99:80"); d != 3*time.Second || !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("an address nobody has: %v after %v", err, d)
		}
		if d, err := took("web:80"); d != 0 || err != nil {
			t.Fatalf("%v after %v", err, d)
		}
		cli := clientOf(t, e)
		if err := cli.ContainerPause(t.Context(), "web"); err != nil {
			t.Fatal(err)
		}
		if got := dial(t.Context(), near, "web:80"); got != "connected, timeout" {
			t.Errorf("a paused container: %s", got)
		}
		if err := cli.ContainerUnpause(t.Context(), "web"); err != nil {
			t.Fatal(err)
		}
		if got := dial(t.Context(), near, "web:80"); got != "saw hello from 10.1.0.2" {
			t.Errorf("an unpaused container: %s", got)
		}
		if err := cli.ContainerStop(t.Context(), "web", containertypes.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		if d, err := took("10.1.0.10:80"); d != 71*time.Second || !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("an address that was just reached: %v after %v", err, d)
		}
		if d, _ := took("10.1.0.10:80"); d != 3*time.Second {
			t.Errorf("the second time: %v", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := near.DialContext(ctx, "tcp", "10.2.0.3:80"); !isTimeout(err) {
			t.Errorf("a dropped packet: %v", err)
		}
	})
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// A write does not wait for a peer that is not reading, up to the window; deadlines and half-closes work.
func TestConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := newEngine(t, dockerdtest.Options{})
		l, err := e.Host().Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c, err := e.Host().DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(make([]byte, 60<<10)); err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(time.Second))
		if n, err := c.Write(make([]byte, 60<<10)); !isTimeout(err) || n != 4<<10 {
			t.Errorf("a full window: %d, %v", n, err)
		}
		if _, err := c.Read(make([]byte, 1)); !isTimeout(err) {
			t.Errorf("reading after the deadline: %v", err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Time{})
		c.(interface{ CloseWrite() error }).CloseWrite()
		if b, err := io.ReadAll(s); len(b) != 64<<10 || err != nil {
			t.Errorf("read %d bytes, %v", len(b), err)
		}
		io.WriteString(s, "still")
		s.Close()
		if b, err := io.ReadAll(c); string(b) != "still" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
		if s.RemoteAddr().String() != c.LocalAddr().String() || s.LocalAddr().String() != c.RemoteAddr().String() {
			t.Errorf("addresses: %v-%v, %v-%v", c.LocalAddr(), c.RemoteAddr(), s.LocalAddr(), s.RemoteAddr())
		}
		if _, err := e.Host().Listen("tcp", l.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) {
			t.Error(err)
		}
		if _, err := e.Host().Listen("tcp", "10.9.9.9:80"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Error(err)
		}
	})
}

// An HTTP server in a container answers an HTTP client in another, and not once it is stopped.
func TestHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, cli := newEngine(t, dockerdtest.Options{})
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
		addNetwork(t, cli, "proxy", networktypes.CreateOptions{})
		up(t, cli, "web", containertypes.Config{Image: "web", Hostname: "w"}, hostConfig("proxy"), nil)
		up(t, cli, "npm", sleeping, hostConfig("proxy"), nil)
		synctest.Wait()
		hc := &http.Client{Transport: &http.Transport{DialContext: e.Box("npm").DialContext}}
		defer hc.CloseIdleConnections()
		resp, err := hc.Get("http://web:8080/")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != "hello from w" {
			t.Errorf("got %q", body)
		}
		if err := cli.ContainerStop(t.Context(), "web", containertypes.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := hc.Get("http://web:8080/"); err == nil || !strings.Contains(err.Error(), "no such host") {
			t.Errorf("a stopped container: %v", err)
		}
	})
}
