package dockerdtest_test

import (
	"fmt"
	"io"
	"strings"
	"time"

	containertypes "github.com/docker/docker/api/types/container"
	eventtypes "github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	imagetypes "github.com/docker/docker/api/types/image"
	networktypes "github.com/docker/docker/api/types/network"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/docker/go-connections/nat"
)

func (s *script) sceneEnds() {
	s.create("a", containertypes.Config{}, mode(""), nil)
	s.start("a")
	s.ready("a")
	s.said("kill a TERM", s.cli.ContainerKill(s.ctx(), names("a"), "TERM"))
	s.wait("a", containertypes.WaitConditionNotRunning)
	s.until(func(m eventtypes.Message) bool { return m.Action == "disconnect" })
	s.state("a")
	s.create("e", containertypes.Config{Cmd: []string{"/guest", "exit", "3"}}, containertypes.HostConfig{AutoRemove: true}, nil)
	s.start("e")
	s.until(func(m eventtypes.Message) bool { return m.Action == "destroy" })
	s.state("e")
	s.create("s", containertypes.Config{Cmd: []string{"/guest", "stubborn"}}, mode(""), nil)
	s.start("s")
	s.ready("s")
	one := 1
	s.said("stop s", s.cli.ContainerStop(s.ctx(), names("s"), containertypes.StopOptions{Timeout: &one}))
	s.state("s")
	s.wait("s", containertypes.WaitConditionNotRunning)
	s.remove("a", "s")
}

// ready waits for a program's first line in the log.
func (s *script) ready(name string) {
	rc, err := s.raw.ContainerLogs(s.ctx(), names(name), containertypes.LogsOptions{ShowStdout: true, Follow: true})
	if err != nil {
		s.t.Fatal(err)
	}
	defer rc.Close()
	if _, err := io.ReadFull(rc, make([]byte, 8+len("ready\n"))); err != nil {
		s.t.Fatal(err)
	}
}

func (s *script) sceneRestartPolicies() {
	policy := func(name string, n int) containertypes.HostConfig {
		return containertypes.HostConfig{RestartPolicy: containertypes.RestartPolicy{Name: containertypes.RestartPolicyMode(name), MaximumRetryCount: n}}
	}
	s.create("f", containertypes.Config{Cmd: []string{"/guest", "exit", "3"}}, policy("on-failure", 2), nil)
	s.start("f")
	for range 3 {
		s.until(func(m eventtypes.Message) bool { return m.Action == "disconnect" })
	}
	s.state("f")
	s.create("z", containertypes.Config{Cmd: []string{"/guest", "exit", "0"}}, policy("on-failure", 0), nil)
	s.start("z")
	s.until(func(m eventtypes.Message) bool { return m.Action == "disconnect" })
	s.state("z")
	s.create("a", containertypes.Config{}, policy("always", 0), nil)
	s.start("a")
	s.ready("a")
	s.said("kill a TERM", s.cli.ContainerKill(s.ctx(), names("a"), "TERM"))
	s.until(func(m eventtypes.Message) bool { return m.Action == "disconnect" })
	s.state("a")
	s.start("a")
	s.stop("a")
	s.state("a")
	s.remove("f", "z", "a")
}

func (s *script) sceneModes() {
	s.createNetwork("n", networktypes.CreateOptions{})
	s.create("x", containertypes.Config{}, mode("n"), nil)
	s.create("j", containertypes.Config{}, mode("container:"+names("x")), nil)
	s.start("j")
	s.state("j")
	s.start("x")
	s.start("j")
	s.config("j")
	s.networks("j")
	s.connect("n", "j", nil)
	s.create("k", containertypes.Config{}, mode("container:"+names("x")), nil)
	s.connect("n", "k", nil)
	s.networks("k")
	s.create("l", containertypes.Config{}, mode("container:nope"), nil)
	s.create("h", containertypes.Config{}, mode("host"), nil)
	s.connect("n", "h", nil)
	s.start("h")
	s.connect("n", "h", nil)
	s.disconnect("host", "h", false)
	s.networks("h")
	s.create("z", containertypes.Config{}, mode("none"), nil)
	s.connect("n", "z", nil)
	s.start("z")
	s.connect("n", "z", nil)
	s.networks("z")
	s.create("m", containertypes.Config{}, mode("missing"), nil)
	s.start("m")
	s.state("m")
	s.start("l")
	s.state("l")
	s.remove("j", "k", "l", "h", "z", "m", "x")
	s.removeNetworks("n")
}

func ports(list ...string) containertypes.Config {
	c := containertypes.Config{ExposedPorts: nat.PortSet{}}
	for _, p := range list {
		c.ExposedPorts[nat.Port(p)] = struct{}{}
	}
	return c
}

func publish(port, ip, hostPort string) containertypes.HostConfig {
	return containertypes.HostConfig{PortBindings: nat.PortMap{nat.Port(port): {{HostIP: ip, HostPort: hostPort}}}}
}

func (s *script) scenePorts() {
	s.create("a", ports("80/tcp", "53/udp"), publish("80/tcp", "", "28180"), nil)
	s.config("a")
	s.start("a")
	s.config("a")
	s.list(containertypes.ListOptions{})
	s.create("b", ports("80/tcp"), publish("80/tcp", "", "28180"), nil)
	s.happened()
	s.start("b")
	s.state("b")
	s.create("c", ports("80/tcp"), publish("80/tcp", "127.0.0.1", "28181"), nil)
	s.start("c")
	s.config("c")
	s.create("d", containertypes.Config{}, publish("80/tcp", "", "28182"), nil)
	s.start("d")
	s.config("d")
	s.stop("a")
	s.config("a")
	s.start("b")
	s.state("b")
	s.remove("a", "b", "c", "d")
}

func (s *script) sceneHealth() {
	check := func(code string) *containertypes.HealthConfig {
		return &containertypes.HealthConfig{Test: []string{"CMD", "/guest", "exit", code}, Interval: 500 * time.Millisecond, Retries: 1}
	}
	marked := map[string]string{"health": "yes"}
	s.create("g", containertypes.Config{Healthcheck: check("0"), Labels: marked}, mode(""), nil)
	s.state("g")
	s.start("g")
	s.state("g")
	s.until(func(m eventtypes.Message) bool { return strings.HasPrefix(string(m.Action), "health_status") })
	s.state("g")
	s.stop("g")
	s.state("g")
	s.create("b", containertypes.Config{Healthcheck: check("1"), Labels: marked}, mode(""), nil)
	s.start("b")
	s.until(func(m eventtypes.Message) bool { return strings.HasPrefix(string(m.Action), "health_status") })
	c, err := s.raw.ContainerInspect(s.ctx(), names("b"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.printf("  b: %s", c.State.Health.Status)
	s.remove("g", "b")
}

func (s *script) sceneLists() {
	s.createNetwork("n", networktypes.CreateOptions{})
	s.create("a", containertypes.Config{Labels: map[string]string{"x": "1"}}, mode("n"), nil)
	s.create("b", containertypes.Config{Labels: map[string]string{"x": "2"}}, mode("n"), nil)
	s.create("c", containertypes.Config{Cmd: []string{"/guest", "exit", "4"}}, mode("n"), nil)
	s.start("a")
	s.start("c")
	s.wait("c", containertypes.WaitConditionNotRunning)
	s.until(func(m eventtypes.Message) bool { return m.Action == "disconnect" })
	for _, f := range [][]filters.KeyValuePair{
		nil,
		{filters.Arg("label", "x")},
		{filters.Arg("label", "x=2")},
		{filters.Arg("status", "exited")},
		{filters.Arg("status", "running")},
		{filters.Arg("network", names("n"))},
		{filters.Arg("exited", "4")},
		{filters.Arg("health", "none")},
		{filters.Arg("banana", "1")},
	} {
		s.printf("filters %v", f)
		s.list(containertypes.ListOptions{All: true, Filters: filters.NewArgs(f...)})
	}
	s.list(containertypes.ListOptions{})
	s.remove("a", "b", "c")
	s.removeNetworks("n")
}

func (s *script) sceneExec() {
	s.execs = true
	defer func() {
		s.happened()
		s.execs = false
	}()
	s.create("a", containertypes.Config{}, mode(""), nil)
	s.exec("a", "", "/guest", "say", "early")
	s.start("a")
	s.ready("a")
	s.exec("a", "", "/guest", "say", "hello")
	s.exec("a", "some input", "/guest", "cat")
	s.exec("a", "", "/guest", "exit", "7")
	s.happened()
	_, err := s.cli.ContainerExecInspect(s.ctx(), "nope")
	s.said("exec inspect", err)
	s.said("pause a", s.cli.ContainerPause(s.ctx(), names("a")))
	s.exec("a", "", "/guest", "say", "paused")
	s.said("unpause a", s.cli.ContainerUnpause(s.ctx(), names("a")))
	s.create("l", containertypes.Config{Cmd: []string{"/guest", "say", "logged"}}, mode(""), nil)
	s.start("l")
	s.wait("l", containertypes.WaitConditionNotRunning)
	rc, err := s.cli.ContainerLogs(s.ctx(), names("l"), containertypes.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: true})
	s.said("logs l", err)
	var out, errs strings.Builder
	stdcopy.StdCopy(&out, &errs, rc)
	rc.Close()
	s.printf("  %q %q", out.String(), errs.String())
	_, err = s.cli.ContainerLogs(s.ctx(), names("l"), containertypes.LogsOptions{})
	s.said("logs l", err)
	_, err = s.cli.ContainerLogs(s.ctx(), names("nope"), containertypes.LogsOptions{ShowStdout: true})
	s.said("logs nope", err)
	s.wait("nope", containertypes.WaitConditionNotRunning)
	s.remove("a", "l")
}

func (s *script) sceneNames() {
	s.create("a", containertypes.Config{}, mode(""), nil)
	s.create("a", containertypes.Config{}, mode(""), nil)
	s.create("b", containertypes.Config{}, mode(""), nil)
	for _, n := range []string{names("b"), "", names("b/d"), names("a")} {
		s.said("rename a "+n, s.cli.ContainerRename(s.ctx(), names("a"), n))
	}
	s.create("c/d", containertypes.Config{}, mode(""), nil)
	c, err := s.raw.ContainerInspect(s.ctx(), names("a"))
	if err != nil {
		s.t.Fatal(err)
	}
	for i, ref := range []string{c.ID, c.ID[:12], c.ID[:20], c.Name, c.ID[:12] + "g"} {
		c, err := s.cli.ContainerInspect(s.ctx(), ref)
		s.said(fmt.Sprintf("inspect by reference %d", i), err)
		if err == nil {
			s.printf("  %s", c.Name)
		}
	}
	s.createNetwork("n", networktypes.CreateOptions{})
	s.createNetwork("o", networktypes.CreateOptions{})
	nc := &networktypes.NetworkingConfig{EndpointsConfig: map[string]*networktypes.EndpointSettings{
		names("n"): {Aliases: []string{"x"}},
	}}
	s.create("e", containertypes.Config{}, mode(""), nc)
	s.create("f", containertypes.Config{}, mode("o"), nc)
	s.start("e")
	s.start("f")
	s.networks("e", "f")
	s.remove("e", "f")
	nc.EndpointsConfig[names("o")] = &networktypes.EndpointSettings{}
	_, err = s.cli.ContainerCreate(s.ctx(), &containertypes.Config{Image: guestRef, Cmd: []string{"/guest"}}, nil, nc, nil, names("two"))
	said, _, _ := strings.Cut(err.Error(), prefix) // the networks come in random order
	s.printf("create two: %d %s", s.status.status, said)
	s.removeNetworks("n", "o")
	s.create("i", containertypes.Config{Image: "no502dt/none:1"}, mode(""), nil)
	s.create("i", containertypes.Config{Cmd: []string{}}, mode(""), nil)
	s.remove("a", "b")
}

func (s *script) sceneReachability() {
	s.createNetwork("n", networktypes.CreateOptions{})
	s.createNetwork("own", pool("10.201.0.0/24", "", ""))
	s.createNetwork("in", networktypes.CreateOptions{Internal: true, IPAM: pool("10.201.1.0/24", "", "").IPAM})
	serve := ports("80/tcp")
	serve.Cmd = []string{"/guest", "serve", ":80"}
	published := publish("80/tcp", "", "28180")
	published.NetworkMode = containertypes.NetworkMode(names("own"))
	s.create("web", serve, published, &networktypes.NetworkingConfig{
		EndpointsConfig: map[string]*networktypes.EndpointSettings{names("own"): pinned("10.201.0.10", "Alias", "a.b")},
	})
	s.create("near", containertypes.Config{}, mode("own"), nil)
	s.create("far", containertypes.Config{}, mode("n"), nil)
	s.create("def", containertypes.Config{}, mode(""), nil)
	s.create("loop", containertypes.Config{Cmd: []string{"/guest", "serve", "127.0.0.1:81"}}, mode("own"), nil)
	s.create("inside", containertypes.Config{}, mode("in"), nil)
	s.create("inweb", containertypes.Config{Cmd: []string{"/guest", "serve", ":80"}}, mode("in"), nil)
	for _, c := range []string{"web", "loop", "inweb"} {
		s.start(c)
		s.ready(c)
	}
	s.start("near")
	s.start("far")
	s.start("def")
	s.start("inside")
	web, err := s.raw.ContainerInspect(s.ctx(), names("web"))
	if err != nil {
		s.t.Fatal(err)
	}
	dials := func(from string, addrs ...string) {
		for _, a := range addrs {
			s.exec(from, "", "/guest", "dial", a)
		}
	}
	dials("near", names("web")+":80", strings.ToUpper(names("web"))+":80", "alias:80", "a.b:80", "a.b."+names("own")+":80",
		web.ID[:12]+":80", web.ID+":80", names("web")+"."+names("own")+":80", names("web")+"."+names("n")+":80", names("web")+":81",
		"10.201.0.10:80", "10.201.0.99:80", "10.201.0.1:28180", "10.201.0.1:28199", names("loop")+":81", "10.201.1.2:80", names("far")+":80")
	dials("far", names("web")+":80", "10.201.0.10:80", "10.201.0.1:28180", "10.201.0.99:80")
	dials("def", names("web")+":80", "10.201.0.10:80", "10.201.0.1:28180", names("def")+":80")
	dials("inside", names("inweb")+":80", "10.201.0.10:80", "10.201.0.1:28180", "10.201.1.1:28180", "10.201.1.1:28199", "10.201.0.1:28199", "10.201.1.99:80")
	s.networks("inside")
	dials("loop", "127.0.0.1:81", "localhost:81", "10.201.0.99:80")
	for _, n := range []string{names("web"), "alias", "localhost", names("loop") + ".", "nope.example."} {
		s.exec("near", "", "/guest", "lookup", n)
	}
	s.said("pause web", s.cli.ContainerPause(s.ctx(), names("web")))
	dials("near", names("web")+":80")
	s.said("unpause web", s.cli.ContainerUnpause(s.ctx(), names("web")))
	s.stop("web")
	dials("near", names("web")+":80", "10.201.0.10:80", "10.201.0.1:28180")
	s.create("joined", containertypes.Config{Cmd: []string{"/guest", "serve", ":82"}}, mode("container:"+names("loop")), nil)
	s.start("joined")
	s.ready("joined")
	dials("near", names("loop")+":82")
	dials("joined", "127.0.0.1:81")
	s.said("restart loop", s.cli.ContainerRestart(s.ctx(), names("loop"), containertypes.StopOptions{}))
	dials("near", names("loop")+":82")
	dials("joined", names("near")+":80", "127.0.0.1:82")
	s.remove("web", "near", "far", "def", "loop", "joined", "inside", "inweb")
	s.removeNetworks("n", "own", "in")
}

func (s *script) sceneImages() {
	_, err := s.cli.ImageInspect(s.ctx(), "no502dt/none")
	s.said("image inspect", err)
	_, err = s.cli.ImageRemove(s.ctx(), "no502dt/none", imagetypes.RemoveOptions{})
	s.said("image remove", err)
	_, err = s.cli.ImageRemove(s.ctx(), guestRef, imagetypes.RemoveOptions{})
	s.said("image remove in use", err)
	l, err := s.cli.ImageList(s.ctx(), imagetypes.ListOptions{Filters: filters.NewArgs(filters.Arg("reference", guestRef))})
	s.said("image list", err)
	for _, i := range l {
		s.printf("  %v", i.RepoTags)
	}
}
