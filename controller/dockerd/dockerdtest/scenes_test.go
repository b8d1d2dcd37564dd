package dockerdtest_test

import (
	"fmt"
	"slices"

	containertypes "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	networktypes "github.com/docker/docker/api/types/network"
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
	s.remove("a", "b")

	s.happened()
	// The default bridge comes first at a start; the order of further networks is random.
	s.create("c", containertypes.Config{}, mode(""), nil)
	s.create("d", containertypes.Config{}, mode(""), nil)
	s.start("c")
	s.start("d")
	s.connect("own", "c", pinned("10.201.0.77"))
	s.stop("c")
	s.connect("own", "d", pinned("10.201.0.77"))
	s.start("c")
	s.networks("c")
	s.state("c")
	s.stop("d")
	s.start("c")
	s.networks("c")
	s.remove("c", "d")
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
	s.create("w", containertypes.Config{}, mode(""), nil)
	s.connect("own", "w", pinned("10.9.0.7"))
	s.start("w")
	s.state("w")
	s.remove("w")
	s.happened()
	s.start("a")
	s.networks("a")
	s.happened()
	s.create("b", containertypes.Config{}, mode(""), nil)
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
