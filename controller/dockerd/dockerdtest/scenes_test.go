package dockerdtest_test

import (
	"fmt"
	"io"
	"slices"
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

// run plays every scene; each begins and ends with nothing but its marker on the Engine.
func (s *script) run() {
	for _, scene := range []struct {
		name string
		play func()
	}{
		{"networks", s.sceneNetworks},
		{"addresses", s.sceneAddresses},
		{"connecting running containers", s.sceneConnectRunning},
		{"connecting created containers", s.sceneConnectCreated},
		{"lifecycle", s.sceneLifecycle},
		{"ends", s.sceneEnds},
		{"restart policies", s.sceneRestartPolicies},
		{"network modes", s.sceneModes},
		{"published ports", s.scenePorts},
		{"health", s.sceneHealth},
		{"lists", s.sceneLists},
		{"exec and logs", s.sceneExec},
		{"names", s.sceneNames},
		{"reachability", s.sceneReachability},
		{"images", s.sceneImages},
	} {
		s.printf("# %s", scene.name)
		scene.play()
		s.happened()
		s.printf("")
	}
}

func (s *script) removeNetworks(list ...string) {
	for _, n := range list {
		s.said("network remove "+n, s.cli.NetworkRemove(s.ctx(), s.network(n)))
	}
}

func (s *script) inspectNetwork(name string) {
	n, err := s.cli.NetworkInspect(s.ctx(), s.network(name), networktypes.InspectOptions{})
	s.said("network inspect "+name, err)
	if err != nil {
		return
	}
	s.json("  ", map[string]any{
		"name": n.Name, "id": n.ID, "driver": n.Driver, "scope": n.Scope, "ipam": n.IPAM, "internal": n.Internal,
		"attachable": n.Attachable, "labels": n.Labels, "options": n.Options,
	})
	var has []string
	for id, c := range n.Containers {
		has = append(has, fmt.Sprintf("  has %s %s %s mac %t", c.Name, id, c.IPv4Address, c.MacAddress != ""))
	}
	slices.Sort(has)
	for _, line := range has {
		s.printf("%s", line)
	}
}

func (s *script) sceneNetworks() {
	s.createNetwork("plain", networktypes.CreateOptions{Labels: map[string]string{"a": "b"}})
	s.createNetwork("plain", networktypes.CreateOptions{})
	s.inspectNetwork("plain")
	s.createNetwork("own", pool("10.201.0.0/24", "", ""))
	s.inspectNetwork("own")
	s.createNetwork("over", pool("10.201.0.0/24", "", ""))
	s.createNetwork("over", pool("10.201.0.0/25", "", ""))
	s.createNetwork("range", pool("10.201.1.0/24", "10.201.1.128/25", "10.201.1.1"))
	s.inspectNetwork("range")
	s.createNetwork("bad", pool("banana", "", ""))
	s.createNetwork("bad", pool("10.201.2.0/24", "", "10.9.0.1"))
	s.createNetwork("bad", networktypes.CreateOptions{Driver: "nodriver"})
	_, err := s.cli.NetworkCreate(s.ctx(), "bridge", networktypes.CreateOptions{})
	s.said("network create bridge", err)
	_, err = s.cli.NetworkCreate(s.ctx(), "", networktypes.CreateOptions{})
	s.said("network create without a name", err)
	in := networktypes.CreateOptions{Internal: true, Options: map[string]string{"o": "1"}}
	s.createNetwork("inside", in)
	s.inspectNetwork("inside")
	s.inspectNetwork("nope")
	s.inspectNetwork("host")
	s.inspectNetwork("none")
	l, err := s.cli.NetworkList(s.ctx(), networktypes.ListOptions{Filters: filters.NewArgs(filters.Arg("label", "a=b"))})
	s.said("network list label", err)
	for _, n := range l {
		s.printf("  %s", n.Name)
	}
	s.removeNetworks("plain", "own", "range", "inside", "nope", "bridge")
}

func (s *script) sceneAddresses() {
	s.createNetwork("n", networktypes.CreateOptions{})
	for _, c := range []string{"a", "b", "c", "d"} {
		s.create(c, containertypes.Config{}, mode("n"), nil)
	}
	s.networks("a")
	s.start("b")
	s.start("a")
	s.start("c")
	s.networks("a", "b", "c", "d")
	s.stop("a")
	s.networks("a")
	s.start("d")
	s.start("a")
	s.said("restart b", s.cli.ContainerRestart(s.ctx(), names("b"), containertypes.StopOptions{}))
	s.networks("a", "b", "c", "d")
	s.remove("a", "b", "c", "d")
	s.removeNetworks("n")

	s.createNetwork("r", pool("10.201.1.0/24", "10.201.1.128/25", ""))
	s.create("a", containertypes.Config{}, mode("r"), nil)
	s.create("b", containertypes.Config{}, mode("r"), nil)
	s.create("p", containertypes.Config{}, mode("r"), &networktypes.NetworkingConfig{
		EndpointsConfig: map[string]*networktypes.EndpointSettings{names("r"): pinned("10.201.1.7", "alias")},
	})
	s.start("p")
	s.start("a")
	s.start("b")
	s.networks("a", "b", "p")
	s.stop("p")
	s.start("p")
	s.networks("p")
	s.inspectNetwork("r")
	s.remove("a", "b", "p")
	s.removeNetworks("r")

	s.createNetwork("tiny", pool("10.201.3.0/30", "", ""))
	s.create("a", containertypes.Config{}, mode("tiny"), nil)
	s.create("b", containertypes.Config{}, mode("tiny"), nil)
	s.start("a")
	s.start("b")
	s.state("b")
	s.remove("a")
	s.start("b")
	s.state("b")
	s.remove("b")
	s.removeNetworks("tiny")
}

func (s *script) sceneConnectRunning() {
	s.createNetwork("n", networktypes.CreateOptions{})
	s.createNetwork("own", pool("10.201.0.0/24", "", ""))
	s.create("a", containertypes.Config{}, mode("n"), nil)
	s.create("b", containertypes.Config{}, mode("n"), nil)
	s.start("a")
	s.start("b")
	s.connect("n", "a", nil)
	s.connect("n", "a", pinned("10.201.0.9"))
	s.connect("nope", "a", nil)
	s.connect("own", "nope", nil)
	s.connect("bridge", "a", pinned("172.17.0.200"))
	s.connect("bridge", "a", &networktypes.EndpointSettings{Aliases: []string{"x"}})
	s.connect("host", "a", nil)
	s.connect("none", "a", nil)
	opts := pinned("10.201.0.77", "al", "Big")
	opts.DriverOpts = map[string]string{"k": "v"}
	s.connect("own", "a", opts)
	s.networks("a")
	s.connect("own", "b", pinned("10.201.0.77"))
	s.networks("b")
	s.connect("own", "b", pinned("10.9.0.77"))
	s.connect("own", "b", pinned("banana"))
	s.connect("own", "b", pinned("10.201.0.1"))
	s.happened()
	s.connect("own", "b", nil)
	s.networks("b")
	s.inspectNetwork("own")
	s.removeNetworks("own")
	s.disconnect("own", "b", false)
	s.disconnect("own", "b", false)
	s.happened()
	s.disconnect("own", "a", true)
	s.disconnect("own", "a", true)
	s.disconnect("own", "nope", false)
	s.disconnect("own", "nope", true)
	s.disconnect("nope", "a", true)
	s.disconnect("host", "a", true)
	s.networks("a", "b")
	s.happened()
	s.connect("own", "a", pinned("10.201.0.77"))
	s.connect("own", "b", pinned("10.201.0.77"))
	s.stop("b")
	s.networks("b")
	s.stop("a")
	s.start("b")
	s.networks("b")
	s.start("a")
	s.networks("a")
	s.state("a")
	s.remove("a", "b")
	s.removeNetworks("own", "n")
}

func (s *script) sceneConnectCreated() {
	s.createNetwork("n", networktypes.CreateOptions{})
	s.createNetwork("own", pool("10.201.0.0/24", "", ""))
	s.create("a", containertypes.Config{}, mode("n"), nil)
	s.connect("n", "a", nil)
	s.connect("n", "a", pinned("10.201.0.9"))
	s.connect("own", "a", &networktypes.EndpointSettings{Aliases: []string{"one"}})
	s.connect("own", "a", &networktypes.EndpointSettings{Aliases: []string{"two"}})
	s.networks("a")
	s.connect("own", "a", pinned("10.9.0.7"))
	s.start("a")
	s.connect("own", "a", pinned("10.201.0.7"))
	s.disconnect("own", "a", false)
	s.connect("own", "a", pinned("10.201.0.7"))
	s.create("w", containertypes.Config{}, mode("n"), nil)
	s.connect("own", "w", pinned("10.9.0.7"))
	s.start("w")
	s.state("w")
	s.remove("w")
	s.happened()
	s.start("a")
	s.networks("a")
	s.happened()
	s.create("b", containertypes.Config{}, mode("n"), nil)
	s.connect("own", "b", pinned("10.201.0.7"))
	s.start("b")
	s.state("b")
	s.networks("b")
	s.disconnect("own", "b", false)
	s.disconnect("own", "b", false)
	s.start("b")
	s.networks("b")
	s.create("c", containertypes.Config{}, mode("own"), nil)
	s.removeNetworks("own")
	s.remove("a")
	s.removeNetworks("own")
	s.start("c")
	s.state("c")
	s.networks("c")
	s.remove("b", "c")
	s.removeNetworks("n")
}

func (s *script) sceneLifecycle() {
	s.create("a", containertypes.Config{Labels: map[string]string{"l": "1"}}, mode(""), nil)
	s.config("a")
	s.state("a")
	s.start("a")
	s.start("a")
	s.state("a")
	s.happened()
	s.said("pause a", s.cli.ContainerPause(s.ctx(), names("a")))
	s.said("pause a", s.cli.ContainerPause(s.ctx(), names("a")))
	s.state("a")
	s.start("a")
	s.said("remove a", s.cli.ContainerRemove(s.ctx(), names("a"), containertypes.RemoveOptions{}))
	s.said("unpause a", s.cli.ContainerUnpause(s.ctx(), names("a")))
	s.said("unpause a", s.cli.ContainerUnpause(s.ctx(), names("a")))
	s.happened()
	s.said("pause a", s.cli.ContainerPause(s.ctx(), names("a")))
	s.stop("a")
	s.stop("a")
	s.state("a")
	s.happened()
	s.said("pause a", s.cli.ContainerPause(s.ctx(), names("a")))
	s.said("kill a", s.cli.ContainerKill(s.ctx(), names("a"), "KILL"))
	s.start("a")
	s.said("rename a", s.cli.ContainerRename(s.ctx(), names("a"), names("b")))
	s.said("restart b", s.cli.ContainerRestart(s.ctx(), names("b"), containertypes.StopOptions{}))
	s.happened()
	s.said("kill b USR1", s.cli.ContainerKill(s.ctx(), names("b"), "USR1"))
	s.said("kill b FOO", s.cli.ContainerKill(s.ctx(), names("b"), "FOO"))
	s.said("remove b", s.cli.ContainerRemove(s.ctx(), names("b"), containertypes.RemoveOptions{}))
	s.said("kill b KILL", s.cli.ContainerKill(s.ctx(), names("b"), "KILL"))
	s.state("b")
	s.happened()
	s.start("b")
	s.remove("b", "b")
	s.start("nope")
	s.stop("nope")
}

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
