package api

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Labels that Docker Compose puts on what it makes.
const (
	ComposeProject = "com.docker.compose.project"
	ComposeService = "com.docker.compose.service"
	ComposeNumber  = "com.docker.compose.container-number"
	ComposeOneOff  = "com.docker.compose.oneoff"
	ComposeNetwork = "com.docker.compose.network"

	podmanProject = "io.podman.compose.project"
	podmanService = "io.podman.compose.service"
	podmanNumber  = "io.podman.compose.container-number"
	podmanOneOff  = "io.podman.compose.oneoff"
)

// Container is one container as the Engine describes it.
type Container struct {
	ID       string // full, 64 hexadecimal digits
	Name     string // without the leading slash
	Image    string // as it was named at creation
	Hostname string
	Labels   map[string]string
	// Env holds the environment variables that a dialect reads, and no others.
	Env       map[string]string
	CreatedAt time.Time

	State       State
	NetworkMode string // "host", "none", "container:<id>", or the network it was created on
	Attachments []Attachment
	Exposed     []Port      // EXPOSEd or published ports, in order
	Published   []Published // in order

	// Read from Labels by whoever knows the label prefix: Claims are the names
	// that they claim for a host of whatever kind (see Host.Serves), Uses those
	// of other services to which they lead, and Role is what they say it is to
	// no502.
	Claims []string
	Uses   []string
	Role   string

	// Inspected tells a whole description from a row of the Engine's list,
	// which lacks aliases, the host name, the PID and the configured ports.
	Inspected bool
}

// State is a container's life, in the Engine's own words.
type State struct {
	Status    Status
	ExitCode  int
	OOMKilled bool
	StartedAt time.Time
	Pid       int // of its first process, on the Engine's machine; 0 when not running or not known
	Health    Health
	// HealthOutput is the first line of the last health check's output.
	HealthOutput string
}

// Status is the Engine's State.Status.
type Status string

// The Engine's container states.
const (
	Created    Status = "created"
	Running    Status = "running"
	Paused     Status = "paused"
	Restarting Status = "restarting"
	Removing   Status = "removing"
	Exited     Status = "exited"
	Dead       Status = "dead"
)

// Health is the Engine's State.Health.Status; empty without a HEALTHCHECK.
type Health string

// The Engine's health states.
const (
	NoHealthcheck Health = ""
	Starting      Health = "starting"
	Healthy       Health = "healthy"
	Unhealthy     Health = "unhealthy"
)

// Port is a container's port.
type Port struct {
	Number   uint16
	Protocol string // "tcp", "udp" or "sctp"
}

// Published is a port of the machine that leads to a container's port.
type Published struct {
	HostIP   netip.Addr // unspecified (0.0.0.0 or ::) when bound to every address
	HostPort uint16
	Port     Port
}

// Attachment is a container's endpoint on one network.
type Attachment struct {
	NetworkID string
	Network   string     // its name
	IPv4      netip.Addr // invalid while the container is not running
	IPv6      netip.Addr
	Pinned    netip.Addr // the address asked for when it was attached, if any
	Gateway   netip.Addr
	// Aliases are the further names by which Docker's DNS knows the container
	// there. (From API 1.44 on the Engine lists them as DNSNames, the host name
	// among them.)
	Aliases []string
	// Ours marks an attachment that no502 made and may undo.
	Ours bool
}

// Has reports whether this is an address of the endpoint now.
func (a Attachment) Has(addr netip.Addr) bool { return a.IPv4 == addr || a.IPv6 == addr }

// Up reports whether its processes run: neither stopped nor paused.
func (c *Container) Up() bool { return c.State.Status == Running }

// Attachment returns the container's endpoint on a network.
func (c *Container) Attachment(networkID string) (Attachment, bool) {
	for _, a := range c.Attachments {
		if a.NetworkID == networkID {
			return a, true
		}
	}
	return Attachment{}, false
}

// Joins returns the ID (or name) of the container whose network this one uses.
func (c *Container) Joins() (string, bool) { return strings.CutPrefix(c.NetworkMode, "container:") }

// OwnNetwork reports whether it has a network stack of its own that can be
// attached to networks: not the machine's, another container's, or none.
func (c *Container) OwnNetwork() bool {
	_, joins := c.Joins()
	return !joins && c.NetworkMode != "host" && c.NetworkMode != "none"
}

// Ports are those of the machine that lead to it. In host mode, and with
// another container's network, the Engine publishes nothing, whatever is asked.
func (c *Container) Ports() []Published {
	if !c.OwnNetwork() {
		return nil
	}
	return c.Published
}

// ShortID is the 12 digits by which Docker's DNS also knows a container.
func (c *Container) ShortID() string {
	if len(c.ID) < 12 {
		return c.ID
	}
	return c.ID[:12]
}

// OneOff tells a `docker compose run` container: it carries its service's
// labels, but is not one of its replicas.
func (c *Container) OneOff() bool {
	return strings.EqualFold(c.compose(ComposeOneOff, podmanOneOff), "true")
}

// Project and Service are what Compose calls it; empty outside Compose.
func (c *Container) Project() string { return c.compose(ComposeProject, podmanProject) }

// Service is the Compose service that it is a container of.
func (c *Container) Service() string { return c.compose(ComposeService, podmanService) }

// compose reads one of Compose's labels, Docker's or Podman's. (Portainer's
// stacks bear Docker's.) Anybody may write them, and what they say goes into
// names, NPM's meta and findings: what Compose itself never says is not read.
func (c *Container) compose(label, podman string) string {
	v, ok := c.Labels[label]
	if !ok {
		v = c.Labels[podman]
	}
	if !IsForwardHost(v) {
		return ""
	}
	return v
}

// Identity names a backend across recreates, scaling and restarts:
// "project/service" under Compose, else the container's name.
type Identity string

// Identity of the backend that this container is (one replica of).
func (c *Container) Identity() Identity {
	project, service := c.Project(), c.Service()
	if project == "" || service == "" || c.OneOff() {
		return Identity(c.Name)
	}
	return Identity(project + "/" + service)
}

// MachineProcess is the backend that listens on a port of the machine itself,
// outside Docker. No container can have such a name.
func MachineProcess(port uint16) Identity {
	return Identity("machine:" + strconv.Itoa(int(port)))
}

// OnMachine tells a MachineProcess from a container's identity.
func (id Identity) OnMachine() bool { return strings.HasPrefix(string(id), "machine:") }

// Replica is the identity of this one container among its service's replicas.
func (c *Container) Replica() string {
	if n := c.compose(ComposeNumber, podmanNumber); n != "" && !c.OneOff() {
		return string(c.Identity()) + "#" + n
	}
	return string(c.Identity())
}

// SharedAlias is the name under which all replicas of a Compose service can be
// reached and nobody else: "service.project". Empty outside Compose, and where
// the labels, which anybody may write, make no host name.
func (c *Container) SharedAlias() string {
	project, service, ok := strings.Cut(string(c.Identity()), "/")
	if alias := service + "." + project; ok && IsForwardHost(alias) {
		return alias
	}
	return ""
}

// Names are what a container may be called, in lower case: its name, short ID,
// host name, Compose service and aliases. The full ID is not among them.
func (c *Container) Names() map[string]struct{} {
	set := make(map[string]struct{}, 4+len(c.Attachments))
	put := func(name string) {
		if name != "" {
			set[strings.ToLower(name)] = struct{}{}
		}
	}
	put(c.Name)
	put(c.ShortID())
	put(c.Hostname)
	if !c.OneOff() {
		put(c.Service())
	}
	for _, a := range c.Attachments {
		for _, alias := range a.Aliases {
			put(alias)
		}
	}
	return set
}

// Addrs are the addresses that a container has or asked for.
func (c *Container) Addrs() map[netip.Addr]struct{} {
	set := make(map[netip.Addr]struct{}, 2*len(c.Attachments))
	for _, a := range c.Attachments {
		for _, addr := range []netip.Addr{a.IPv4, a.IPv6, a.Pinned} {
			if addr.IsValid() {
				set[addr] = struct{}{}
			}
		}
	}
	return set
}
