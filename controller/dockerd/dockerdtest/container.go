package dockerdtest

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	containertypes "github.com/docker/docker/api/types/container"
	eventtypes "github.com/docker/docker/api/types/events"
	networktypes "github.com/docker/docker/api/types/network"
)

// container is one container. The Engine's mutex guards it.
type container struct {
	e          *Engine
	id, name   string
	created    time.Time
	image      *image // nil for a container added without one
	config     *containertypes.Config
	hostConfig *containertypes.HostConfig
	endpoints  map[string]*endpoint // by network name

	run        *run
	ns         *netns
	freeze     freezer
	paused     bool
	oomKilled  bool
	removing   bool
	exitCode   int
	stateError string
	startedAt  time.Time
	finishedAt time.Time
	health     *containertypes.Health
	healthStop func()
	changed    chan struct{} // closed and replaced when the container ends a run or is removed

	exitOnNext   bool // a signal or stop came through the API: no restart after it
	manualStop   bool // as the Engine's HasBeenManuallyStopped
	wasUp        bool
	restartCount int
	restartDelay time.Duration
	restartTimer *time.Timer // running while the container is "restarting"
	bound        []*binding  // its published ports
	logs         *logBuffer
	execIDs      []string
}

// endpoint is a container's attachment to a network, or the wish for one.
type endpoint struct {
	container   *container
	networkName string
	network     *network // nil until it is resolved at connect or start
	settings    networktypes.EndpointSettings
	id          string
	addr        netip.Addr // valid while active
	active      bool
	named       bool // the short id has joined the aliases
}

func newID() string {
	for {
		var b [32]byte
		_, _ = rand.Read(b[:])
		id := hex.EncodeToString(b[:])
		if strings.IndexFunc(id[:12], func(r rune) bool { return r > '9' }) >= 0 {
			return id // as in the Engine, a short id is never all digits
		}
	}
}

func (c *container) shortID() string { return c.id[:12] }

// notify wakes whoever waits for the container's state.
func (c *container) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// sorted lists the endpoints: that of the default bridge first, the others by name, where a real Engine has a
// random order.
func (c *container) sorted() []*endpoint {
	eps := slices.Collect(maps.Values(c.endpoints))
	slices.SortFunc(eps, func(a, b *endpoint) int {
		if (a.networkName == "bridge") != (b.networkName == "bridge") {
			if a.networkName == "bridge" {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.networkName, b.networkName)
	})
	return eps
}

// modeNetwork is the name of the network that HostConfig.NetworkMode means; empty for container:X.
func (c *container) modeNetwork() string {
	mode := c.hostConfig.NetworkMode
	switch {
	case mode.IsContainer():
		return ""
	case mode.IsDefault() || mode == "":
		return "bridge"
	}
	return string(mode)
}

// find looks a container up by name, id or a unique prefix of the id. e.mu is held.
func (e *Engine) find(ref string) (*container, error) {
	ref = strings.TrimPrefix(ref, "/")
	if c := e.containers[ref]; c != nil {
		return c, nil
	}
	if c := e.names[ref]; c != nil {
		return c, nil
	}
	var found *container
	for id, c := range e.containers {
		if ref == "" || !strings.HasPrefix(id, ref) {
			continue
		}
		if found != nil {
			return nil, errf(http.StatusBadRequest, "Multiple IDs found with provided prefix: %s", ref)
		}
		found = c
	}
	if found == nil {
		return nil, errf(http.StatusNotFound, "No such container: %s", ref)
	}
	return found, nil
}

var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// checkName refuses names that are malformed or taken; shown is how the answer quotes the name.
func (e *Engine) checkName(name, shown string) *apiError {
	if !validName.MatchString(name) {
		return errf(http.StatusBadRequest, "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", shown)
	}
	if other := e.names[name]; other != nil {
		return errf(http.StatusConflict, "Conflict. The container name %q is already in use by container %q. "+
			"You have to remove (or rename) that container to be able to reuse that name.", "/"+name, other.id)
	}
	return nil
}

// create makes a container; e.mu is held. img is nil for one that runs nothing.
func (e *Engine) create(name string, req *containertypes.CreateRequest, img *image) (*container, error) {
	id := newID()
	if name == "" {
		name = "happy_" + id[:8]
	}
	name = strings.TrimPrefix(name, "/")
	if err := e.checkName(name, name); err != nil {
		return nil, err
	}
	c := &container{
		e: e, id: id, name: name, created: e.now(), image: img,
		config: req.Config, hostConfig: req.HostConfig,
		endpoints: map[string]*endpoint{}, changed: make(chan struct{}), logs: newLogBuffer(),
	}
	if c.hostConfig == nil {
		c.hostConfig = &containertypes.HostConfig{}
	}
	if err := c.complete(); err != nil {
		return nil, err
	}
	if err := c.wishEndpoints(req.NetworkingConfig); err != nil {
		return nil, err
	}
	e.containers[id], e.names[name] = c, c
	e.order = append(e.order, c)
	return c, nil
}

// complete fills the configuration in from the image and the Engine's defaults.
func (c *container) complete() error {
	if c.image != nil {
		mergeConfig(c.config, &c.image.config)
		if len(c.config.Cmd) == 0 && len(c.config.Entrypoint) == 0 {
			return errf(http.StatusBadRequest, "No command specified")
		}
	}
	if c.config.Labels == nil {
		c.config.Labels = map[string]string{}
	}
	if c.hostConfig.NetworkMode == "" {
		c.hostConfig.NetworkMode = "default"
	}
	if c.hostConfig.LogConfig.Type == "" {
		c.hostConfig.LogConfig.Type = "json-file"
	}
	mode := c.hostConfig.NetworkMode
	switch {
	case mode.IsContainer():
		other, err := c.e.find(mode.ConnectedContainer())
		if err != nil {
			return nil // measured: only its start fails
		}
		c.hostConfig.NetworkMode = containertypes.NetworkMode("container:" + other.id)
		c.config.Hostname = other.config.Hostname
	case mode.IsHost() && c.config.Hostname == "":
		c.config.Hostname = c.e.opts.Hostname
	case c.config.Hostname == "":
		c.config.Hostname = c.shortID()
	}
	return nil
}

// mergeConfig completes a container's configuration with its image's, as the Engine does.
func mergeConfig(c, img *containertypes.Config) {
	if len(c.Entrypoint) == 0 && len(c.Cmd) == 0 {
		c.Cmd = img.Cmd
	}
	if len(c.Entrypoint) == 0 {
		c.Entrypoint = img.Entrypoint
	}
	if len(img.ExposedPorts) > 0 {
		ports := maps.Clone(img.ExposedPorts)
		maps.Copy(ports, c.ExposedPorts)
		c.ExposedPorts = ports
	}
	if len(img.Labels) > 0 {
		labels := maps.Clone(img.Labels)
		maps.Copy(labels, c.Labels)
		c.Labels = labels
	}
	for _, kv := range img.Env {
		k, _, _ := strings.Cut(kv, "=")
		if !slices.ContainsFunc(c.Env, func(s string) bool { return strings.HasPrefix(s, k+"=") }) {
			c.Env = append(c.Env, kv)
		}
	}
	if c.Healthcheck == nil {
		c.Healthcheck = img.Healthcheck
	}
	if c.StopSignal == "" {
		c.StopSignal = img.StopSignal
	}
}

// wishEndpoints notes the networks that the container is to join when it starts: those of cfg, or else that of
// the network mode.
func (c *container) wishEndpoints(cfg *networktypes.NetworkingConfig) error {
	if cfg == nil || len(cfg.EndpointsConfig) == 0 {
		if mode := c.modeNetwork(); mode != "" {
			c.wish(mode, nil)
		}
		return nil
	}
	for name, s := range cfg.EndpointsConfig {
		if nw := c.e.network(name); nw != nil {
			name = nw.name // asked for by id
		}
		if name == "default" {
			name = "bridge"
		}
		if err := checkEndpoint(name, s); err != nil {
			return err
		}
		c.wish(name, s)
	}
	return nil
}

func (c *container) wish(network string, s *networktypes.EndpointSettings) *endpoint {
	ep := &endpoint{container: c, networkName: network}
	if s != nil {
		ep.settings = networktypes.EndpointSettings{
			IPAMConfig: s.IPAMConfig, Links: s.Links, Aliases: s.Aliases, DriverOpts: s.DriverOpts,
			MacAddress: s.MacAddress,
		}
		if c.e.atLeast("1.48") {
			ep.settings.GwPriority = s.GwPriority
		}
	}
	c.endpoints[network] = ep
	return ep
}

// event emits a container event: name, image and labels, and what extra says.
func (c *container) event(action string, extra map[string]string) {
	attrs := maps.Clone(c.config.Labels)
	if attrs == nil {
		attrs = map[string]string{}
	}
	attrs["image"], attrs["name"] = c.config.Image, c.name
	maps.Copy(attrs, extra)
	c.e.events.log(eventtypes.Message{
		Status: action, ID: c.id, From: c.config.Image,
		Type: eventtypes.ContainerEventType, Action: eventtypes.Action(action),
		Actor: eventtypes.Actor{ID: c.id, Attributes: attrs},
	})
}

// AddContainer puts a running container into the Engine without a request, an event or a goroutine: it runs no
// program, stays until it is stopped, and is on the networks that req names. The image need not be
// registered. It is for benchmarks with many containers.
func (e *Engine) AddContainer(name string, req containertypes.CreateRequest) (id string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if req.Config == nil {
		req.Config = &containertypes.Config{}
	}
	config := *req.Config
	req.Config = &config
	if req.HostConfig != nil {
		hostConfig := *req.HostConfig
		req.HostConfig = &hostConfig
	}
	e.events.mute(true)
	defer e.events.mute(false)
	c, err := e.create(name, &req, nil)
	if err != nil {
		return "", err
	}
	if err := e.start(c); err != nil {
		e.destroy(c)
		return "", err
	}
	return c.id, nil
}
