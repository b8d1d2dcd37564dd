// Package stage puts containers on a Docker Engine for the demo and the
// end-to-end tests: an image made of one static binary, networks, containers,
// and connections from inside a container. It speaks to the Engine through its
// API alone, so the Engine may be anywhere, or in this process.
package stage

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/nat"
)

// label marks what belongs to a stage, so that it can be struck. It is not under
// no502's prefix: there every label must mean something to no502.
const label = "no502-stage"

// Stage is a set of containers and networks on an Engine.
type Stage struct {
	docker *client.Client
	name   string
}

// Open connects to an Engine: the one at host, or for host "" that of Docker's
// environment. dial replaces the connection, for an Engine in this process.
func Open(ctx context.Context, name, host string, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (*Stage, error) {
	opts := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if host != "" {
		opts = append(opts, client.WithHost(host))
	}
	if dial != nil {
		opts = append(opts, client.WithHost("tcp://docker"), client.WithDialContext(dial))
	}
	docker, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, err
	}
	if _, err := docker.Ping(ctx); err != nil {
		return nil, errors.Join(err, docker.Close())
	}
	return &Stage{docker: docker, name: name}, nil
}

// Close ends the connection; the containers stay.
func (s *Stage) Close() error { return s.docker.Close() }

// Ping reports whether the Engine answers.
func (s *Stage) Ping(ctx context.Context) error {
	_, err := s.docker.Ping(ctx)
	return err
}

// Host is the Engine's address.
func (s *Stage) Host() string { return s.docker.DaemonHost() }

// Version describes the Engine in a few words.
func (s *Stage) Version(ctx context.Context) string {
	v, err := s.docker.ServerVersion(ctx)
	if err != nil {
		return "unknown"
	}
	return v.Version + " (API " + v.APIVersion + ")"
}

// HasImage reports whether an image is in the Engine's local store.
func (s *Stage) HasImage(ctx context.Context, ref string) bool {
	_, err := s.docker.ImageInspect(ctx, ref)
	return err == nil
}

// LocalImage finds an image of a repository in the local store, if any.
func (s *Stage) LocalImage(ctx context.Context, repository string) string {
	list, err := s.docker.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(filters.Arg("reference", repository))})
	if err != nil || len(list) == 0 || len(list[0].RepoTags) == 0 {
		return ""
	}
	return list[0].RepoTags[0]
}

// Binary is where an imported image keeps its one file.
const Binary = "/no502"

// RemoveImage removes an image from the local store.
func (s *Stage) RemoveImage(ctx context.Context, ref string) error {
	_, err := s.docker.ImageRemove(ctx, ref, image.RemoveOptions{})
	return err
}

// Import makes an image that holds nothing but one static binary, in place of
// the one that had the name before.
func (s *Stage) Import(ctx context.Context, ref, path string) error {
	if s.HasImage(ctx, ref) {
		// One that containers use stays, without a name.
		_ = s.RemoveImage(ctx, ref)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	go func() {
		t := tar.NewWriter(w)
		err := t.WriteHeader(&tar.Header{Name: strings.TrimPrefix(Binary, "/"), Mode: 0o755, Size: info.Size()})
		if err == nil {
			_, err = io.Copy(t, f)
		}
		w.CloseWithError(errors.Join(err, t.Close()))
	}()
	answer, err := s.docker.ImageImport(ctx, image.ImportSource{Source: r, SourceName: "-"}, ref, image.ImportOptions{
		Changes: []string{`ENTRYPOINT ["` + Binary + `"]`, "LABEL " + label + "=" + s.name},
	})
	if err != nil {
		return fmt.Errorf("import image %s: %w", ref, err)
	}
	_, err = io.Copy(io.Discard, answer)
	return errors.Join(err, answer.Close())
}

// Network makes a bridge network, with a subnet of its own if one is given.
func (s *Stage) Network(ctx context.Context, name, subnet string, labels map[string]string) error {
	return s.network(ctx, name, subnet, network.CreateOptions{Driver: "bridge", Labels: s.labels(labels)})
}

// InternalNetwork makes a bridge network from which nothing leads out.
func (s *Stage) InternalNetwork(ctx context.Context, name, subnet string, labels map[string]string) error {
	return s.network(ctx, name, subnet, network.CreateOptions{Driver: "bridge", Internal: true, Labels: s.labels(labels)})
}

func (s *Stage) network(ctx context.Context, name, subnet string, o network.CreateOptions) error {
	if subnet != "" {
		o.IPAM = &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet}}}
	}
	_, err := s.docker.NetworkCreate(ctx, name, o)
	return err
}

// Volume makes a volume, to which a container's Binds can refer.
func (s *Stage) Volume(ctx context.Context, name string) error {
	_, err := s.docker.VolumeCreate(ctx, volume.CreateOptions{Name: name, Labels: s.labels(nil)})
	return err
}

// Container is what is put on the stage.
type Container struct {
	Name, Image string
	Cmd         []string
	Env         []string
	Labels      map[string]string
	Network     string   // the network it is created on, or "host", "none", "container:x"
	Address     string   // on that network; empty: the Engine chooses
	Aliases     []string // on that network
	Publish     []string // "3000:8080", "127.0.0.1:3000:8080"
	Expose      []string // "8080", "53/udp"
	Binds       []string // "/host/path:/path", or a volume's name instead of a path
	User        string
	Health      []string // the HEALTHCHECK's command
	Memory      int64    // bytes; 0: no limit
	Pids        int64    // how many processes and threads; 0: no limit
	Restart     string   // "always", "on-failure"
	ReadOnly    bool     // its root file system
	CapDrop     []string
	SecurityOpt []string
}

// Create makes a container without starting it.
func (s *Stage) Create(ctx context.Context, c Container) (id string, err error) {
	exposed, bindings, err := nat.ParsePortSpecs(c.Publish)
	if err != nil {
		return "", err
	}
	for _, port := range c.Expose {
		if !strings.Contains(port, "/") {
			port += "/tcp"
		}
		exposed[nat.Port(port)] = struct{}{}
	}
	config := &container.Config{
		Image: c.Image, Cmd: c.Cmd, Env: c.Env, Labels: s.labels(c.Labels), ExposedPorts: exposed, User: c.User,
	}
	if len(c.Health) > 0 {
		config.Healthcheck = &container.HealthConfig{Test: append([]string{"CMD"}, c.Health...), Interval: 1e9, Timeout: 1e9, Retries: 1}
	}
	host := &container.HostConfig{
		NetworkMode: container.NetworkMode(c.Network), PortBindings: bindings, Binds: c.Binds,
		RestartPolicy:  container.RestartPolicy{Name: container.RestartPolicyMode(c.Restart)},
		Resources:      container.Resources{Memory: c.Memory, MemorySwap: c.Memory},
		ReadonlyRootfs: c.ReadOnly, CapDrop: c.CapDrop, SecurityOpt: c.SecurityOpt,
	}
	if c.Pids > 0 {
		host.PidsLimit = &c.Pids
	}
	var nets *network.NetworkingConfig
	if c.Address != "" || len(c.Aliases) > 0 {
		e := &network.EndpointSettings{Aliases: c.Aliases}
		if c.Address != "" {
			e.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: c.Address}
		}
		nets = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{c.Network: e}}
	}
	made, err := s.docker.ContainerCreate(ctx, config, host, nets, nil, c.Name)
	if err != nil {
		return "", fmt.Errorf("create container %s: %w", c.Name, err)
	}
	return made.ID, nil
}

// Run makes a container and starts it.
func (s *Stage) Run(ctx context.Context, c Container) (id string, err error) {
	if id, err = s.Create(ctx, c); err != nil {
		return "", err
	}
	return id, s.Start(ctx, id)
}

func (s *Stage) labels(more map[string]string) map[string]string {
	all := map[string]string{label: s.name}
	for k, v := range more {
		all[k] = v
	}
	return all
}
