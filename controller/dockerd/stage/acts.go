package stage

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/docker/go-connections/nat"
)

// What follows are the things people do with docker on the command line. A
// container is named by its name or ID.

// Start starts a container.
func (s *Stage) Start(ctx context.Context, name string) error {
	return s.docker.ContainerStart(ctx, name, container.StartOptions{})
}

// Stop stops a container at once.
func (s *Stage) Stop(ctx context.Context, name string) error {
	now := 0
	return s.docker.ContainerStop(ctx, name, container.StopOptions{Timeout: &now})
}

// Restart stops a container at once and starts it.
func (s *Stage) Restart(ctx context.Context, name string) error {
	now := 0
	return s.docker.ContainerRestart(ctx, name, container.StopOptions{Timeout: &now})
}

// Kill sends a signal to a container's first process.
func (s *Stage) Kill(ctx context.Context, name, signal string) error {
	return s.docker.ContainerKill(ctx, name, signal)
}

// Pause freezes a container's processes.
func (s *Stage) Pause(ctx context.Context, name string) error {
	return s.docker.ContainerPause(ctx, name)
}

// Unpause lets them go on.
func (s *Stage) Unpause(ctx context.Context, name string) error {
	return s.docker.ContainerUnpause(ctx, name)
}

// Rename gives a container another name.
func (s *Stage) Rename(ctx context.Context, name, to string) error {
	return s.docker.ContainerRename(ctx, name, to)
}

// Remove kills and removes a container.
func (s *Stage) Remove(ctx context.Context, name string) error {
	return s.docker.ContainerRemove(ctx, name, container.RemoveOptions{Force: true, RemoveVolumes: true})
}

// Connect attaches a container to a network.
func (s *Stage) Connect(ctx context.Context, net, name string) error {
	return s.docker.NetworkConnect(ctx, net, name, &network.EndpointSettings{})
}

// Disconnect detaches it.
func (s *Stage) Disconnect(ctx context.Context, net, name string) error {
	return s.docker.NetworkDisconnect(ctx, net, name, true)
}

// RemoveNetwork removes a network on which nobody is.
func (s *Stage) RemoveNetwork(ctx context.Context, name string) error {
	return s.docker.NetworkRemove(ctx, name)
}

// Address is a container's IPv4 address on a network.
func (s *Stage) Address(ctx context.Context, name, net string) (string, error) {
	c, err := s.docker.ContainerInspect(ctx, name)
	if err != nil {
		return "", err
	}
	e := c.NetworkSettings.Networks[net]
	if e == nil {
		return "", fmt.Errorf("%s is not on %s", name, net)
	}
	return e.IPAddress, nil
}

// Networks are the names of the networks that a container is on.
func (s *Stage) Networks(ctx context.Context, name string) (names []string, err error) {
	c, err := s.docker.ContainerInspect(ctx, name)
	if err != nil {
		return nil, err
	}
	for n := range c.NetworkSettings.Networks {
		names = append(names, n)
	}
	return names, nil
}

// Published is the machine's port that leads to a container's TCP port.
func (s *Stage) Published(ctx context.Context, name, port string) (int, error) {
	c, err := s.docker.ContainerInspect(ctx, name)
	if err != nil {
		return 0, err
	}
	for _, b := range c.NetworkSettings.Ports[nat.Port(port+"/tcp")] {
		return strconv.Atoi(b.HostPort)
	}
	return 0, fmt.Errorf("%s does not publish port %s", name, port)
}

// State is a container's state in the Engine's words.
func (s *Stage) State(ctx context.Context, name string) (*container.State, error) {
	c, err := s.docker.ContainerInspect(ctx, name)
	if err != nil {
		return nil, err
	}
	return c.State, nil
}

// Memory is what a container takes, in bytes: the files that it reads, which the
// kernel may drop, and without them.
func (s *Stage) Memory(ctx context.Context, name string) (all, anonymous uint64, err error) {
	answer, err := s.docker.ContainerStatsOneShot(ctx, name)
	if err != nil {
		return 0, 0, err
	}
	defer answer.Body.Close()
	var stats container.StatsResponse
	if err := json.NewDecoder(answer.Body).Decode(&stats); err != nil {
		return 0, 0, err
	}
	m := stats.MemoryStats
	return m.Usage, max(m.Stats["rss"], m.Stats["anon"]), nil // control groups of version 1, or 2
}

// Put writes a file into a container.
func (s *Stage) Put(ctx context.Context, name, path, text string) error {
	var file bytes.Buffer
	t := tar.NewWriter(&file)
	err := t.WriteHeader(&tar.Header{Name: strings.TrimPrefix(path, "/"), Mode: 0o644, Size: int64(len(text))})
	if err == nil {
		_, err = io.WriteString(t, text)
	}
	if err := errors.Join(err, t.Close()); err != nil {
		return err
	}
	return s.docker.CopyToContainer(ctx, name, "/", &file, container.CopyToContainerOptions{})
}

// Exec runs a command in a container to its end.
func (s *Stage) Exec(ctx context.Context, name string, cmd ...string) (code int, output string, err error) {
	made, err := s.docker.ContainerExecCreate(ctx, name, container.ExecOptions{Cmd: cmd, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return 0, "", err
	}
	stream, err := s.docker.ContainerExecAttach(ctx, made.ID, container.ExecAttachOptions{})
	if err != nil {
		return 0, "", err
	}
	defer stream.Close()
	var text bytes.Buffer
	if _, err := stdcopy.StdCopy(&text, &text, stream.Reader); err != nil {
		return 0, "", err
	}
	done, err := s.docker.ContainerExecInspect(ctx, made.ID)
	return done.ExitCode, text.String(), err
}

// Gateway is the machine's address on a network.
func (s *Stage) Gateway(ctx context.Context, net string) (string, error) {
	n, err := s.docker.NetworkInspect(ctx, net, network.InspectOptions{})
	if err != nil {
		return "", err
	}
	for _, c := range n.IPAM.Config {
		if c.Gateway != "" {
			return c.Gateway, nil
		}
	}
	return "", fmt.Errorf("network %s has no gateway", net)
}

// Logs is what a container has printed.
func (s *Stage) Logs(ctx context.Context, name string) (string, error) {
	r, err := s.docker.ContainerLogs(ctx, name, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	_, err = stdcopy.StdCopy(&text, &text, r)
	return text.String(), errors.Join(err, r.Close())
}

// Strike removes the stage's containers, networks and volumes, and the network
// that no502 made meanwhile, if nobody else uses it.
func (s *Stage) Strike(ctx context.Context, networks ...string) error {
	mine := filters.NewArgs(filters.Arg("label", label+"="+s.name))
	list, err := s.docker.ContainerList(ctx, container.ListOptions{All: true, Filters: mine})
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range list {
		errs = append(errs, s.Remove(ctx, c.ID))
	}
	nets, err := s.docker.NetworkList(ctx, network.ListOptions{Filters: mine})
	errs = append(errs, err)
	for _, n := range nets {
		networks = append(networks, n.ID)
	}
	for _, n := range networks {
		if _, err := s.docker.NetworkInspect(ctx, n, network.InspectOptions{}); err == nil {
			errs = append(errs, s.docker.NetworkRemove(ctx, n))
		}
	}
	volumes, err := s.docker.VolumeList(ctx, volume.ListOptions{Filters: mine})
	if errdefs.IsNotFound(err) {
		return errors.Join(errs...) // an Engine in this process has none
	}
	errs = append(errs, err)
	for _, v := range volumes.Volumes {
		errs = append(errs, s.docker.VolumeRemove(ctx, v.Name, true))
	}
	return errors.Join(errs...)
}
