package dockerd

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"github.com/no502/no502/api"
)

// attachedOpt marks an endpoint that no502 made: the Engine keeps an
// endpoint's driver options and gives them back when it is inspected.
const attachedOpt = "no502.attached"

// healthOutputLimit bounds what is kept of a health check's output, in
// characters.
const healthOutputLimit = 200

// networkNames finds a network by its ID or, if only one has it, its name.
type networkNames func(ref string) (id, name string, ok bool)

// fromSummary reads a row of the Engine's list. It lacks aliases, the PID, the
// host name, the configured ports and who made an attachment.
func fromSummary(row container.Summary, nets networkNames) *api.Container {
	status := statusOf(row.State)
	exit, health := parseStatus(row.Status)
	c := &api.Container{
		ID:     row.ID,
		Name:   nameOf(row.Names),
		Image:  row.Image,
		Labels: row.Labels,
		State:  api.State{Status: status, ExitCode: exit, Health: health},

		CreatedAt: time.Unix(row.Created, 0),
	}
	c.NetworkMode = networkMode(row.HostConfig.NetworkMode, nets)
	if row.NetworkSettings != nil {
		c.Attachments = attachments(row.NetworkSettings.Networks, status, nets)
	}
	for _, p := range row.Ports {
		port, ok := portOf(strconv.Itoa(int(p.PrivatePort)), p.Type)
		if !ok {
			continue
		}
		c.Exposed = append(c.Exposed, port)
		if p.PublicPort != 0 {
			c.Published = append(c.Published, api.Published{HostIP: hostIP(p.IP), HostPort: p.PublicPort, Port: port})
		}
	}
	sortPorts(c)
	return c
}

// fromInspect reads a whole description. Any part of it may be missing.
func fromInspect(in container.InspectResponse, nets networkNames) *api.Container {
	c := &api.Container{Inspected: true}
	if in.ContainerJSONBase == nil {
		return c
	}
	c.ID = in.ID
	c.Name = strings.TrimPrefix(in.Name, "/")
	c.State = stateOf(in.State)
	c.CreatedAt, _ = time.Parse(time.RFC3339Nano, in.Created) // zero where it is not said
	if in.HostConfig != nil {
		c.NetworkMode = networkMode(string(in.HostConfig.NetworkMode), nets)
	}
	if in.Config != nil {
		c.Image = in.Config.Image
		c.Hostname = in.Config.Hostname
		c.Labels = in.Config.Labels
		for p := range in.Config.ExposedPorts {
			if port, ok := parsePort(string(p)); ok {
				c.Exposed = append(c.Exposed, port)
			}
		}
	}
	if in.NetworkSettings != nil {
		c.Attachments = attachments(in.NetworkSettings.Networks, c.State.Status, nets)
	}
	publish(c, in)
	sortPorts(c)
	return c
}

// publish reads the ports of the machine: those in use while it runs, else
// those configured. A port that the Engine is to choose is left out.
func publish(c *api.Container, in container.InspectResponse) {
	add := func(p, ip, hostPort string) {
		port, ok := parsePort(p)
		if !ok {
			return
		}
		c.Exposed = append(c.Exposed, port)
		n, err := strconv.ParseUint(hostPort, 10, 16)
		if err != nil || n == 0 {
			return
		}
		c.Published = append(c.Published, api.Published{HostIP: hostIP(ip), HostPort: uint16(n), Port: port})
	}
	switch {
	case has(c.State.Status, api.Running, api.Paused):
		if in.NetworkSettings == nil {
			return
		}
		for p, bindings := range in.NetworkSettings.Ports {
			for _, b := range bindings {
				add(string(p), b.HostIP, b.HostPort)
			}
		}
	case in.HostConfig != nil:
		for p, bindings := range in.HostConfig.PortBindings {
			for _, b := range bindings {
				add(string(p), b.HostIP, b.HostPort)
			}
		}
	}
}

func sortPorts(c *api.Container) {
	byPort := func(a, b api.Port) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Protocol, b.Protocol))
	}
	slices.SortFunc(c.Exposed, byPort)
	c.Exposed = slices.Compact(c.Exposed)
	slices.SortFunc(c.Published, func(a, b api.Published) int {
		return cmp.Or(byPort(a.Port, b.Port), cmp.Compare(a.HostPort, b.HostPort), a.HostIP.Compare(b.HostIP))
	})
	c.Published = slices.Compact(c.Published)
}

func stateOf(s *container.State) api.State {
	if s == nil {
		return api.State{}
	}
	state := api.State{
		Status:    statusOf(s.Status),
		ExitCode:  s.ExitCode,
		OOMKilled: s.OOMKilled,
		Pid:       s.Pid,
	}
	// A container that never started has the year 1.
	if at, err := time.Parse(time.RFC3339Nano, s.StartedAt); err == nil && at.Year() > 1 {
		state.StartedAt = at
	}
	if s.Health == nil {
		return state
	}
	state.Health = healthOf(s.Health.Status)
	if n := len(s.Health.Log); n > 0 && s.Health.Log[n-1] != nil {
		state.HealthOutput = firstLine(s.Health.Log[n-1].Output)
	}
	return state
}

// statusOf reads the Engine's state; Podman has more of them.
func statusOf(s string) api.Status {
	switch s = strings.ToLower(s); s {
	case "configured", "initialized":
		return api.Created
	case "stopped":
		return api.Exited
	case "stopping":
		return api.Running
	}
	return api.Status(s)
}

func healthOf(s string) api.Health {
	switch h := api.Health(s); h {
	case api.Starting, api.Healthy, api.Unhealthy:
		return h
	}
	return api.NoHealthcheck
}

// firstLine is the first line that says something, without what could confuse
// a terminal or a page.
func firstLine(s string) string {
	for line := range strings.Lines(s[:min(len(s), 16*healthOutputLimit)]) {
		line = strings.Map(func(r rune) rune {
			if r == '\t' {
				return ' '
			}
			if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
				return -1
			}
			return r
		}, line)
		if line = strings.TrimSpace(line); line != "" {
			runes := []rune(line)
			return string(runes[:min(len(runes), healthOutputLimit)])
		}
	}
	return ""
}

// nameOf is a container's own name among those that links gave it, which
// look like "/other/alias".
func nameOf(names []string) string {
	for _, n := range names {
		if n = strings.TrimPrefix(n, "/"); n != "" && !strings.Contains(n, "/") {
			return n
		}
	}
	return ""
}

// networkMode is the network that a container was created on. The Engine
// itself replaces the name in "container:<name>" by the full ID.
func networkMode(mode string, nets networkNames) string {
	switch mode {
	case "default":
		return "bridge"
	case "", "host", "none", "bridge":
		return mode
	}
	if strings.Contains(mode, ":") {
		return mode
	}
	if _, name, ok := nets(mode); ok {
		return name
	}
	return mode
}

// attachments reads a container's endpoints, by name of the network.
func attachments(endpoints map[string]*network.EndpointSettings, s api.Status, nets networkNames) []api.Attachment {
	all := make([]api.Attachment, 0, len(endpoints))
	up := has(s, api.Running, api.Paused)
	for key, es := range endpoints {
		if es == nil {
			es = &network.EndpointSettings{}
		}
		if up && es.NetworkID == "" && es.EndpointID == "" && es.IPAddress == "" {
			// What a failed connect to a running container leaves behind
			// (Engine 20.10): it has no interface there.
			continue
		}
		all = append(all, attachment(key, es, up, nets))
	}
	slices.SortFunc(all, byNetwork)
	return all
}

func attachment(key string, es *network.EndpointSettings, up bool, nets networkNames) api.Attachment {
	a := api.Attachment{
		NetworkID: es.NetworkID,
		Network:   key,
		Aliases:   unique(es.Aliases, es.DNSNames),
		Ours:      es.DriverOpts[attachedOpt] == "true",
	}
	// A container that never ran has no IDs of its networks, only names.
	if id, name, ok := nets(cmp.Or(es.NetworkID, key)); ok {
		a.NetworkID, a.Network = id, name
	}
	if es.IPAMConfig != nil {
		a.Pinned = parseAddr(es.IPAMConfig.IPv4Address)
	}
	if up { // a container that just died, or failed to start, shows what it had
		a.IPv4 = parseAddr(es.IPAddress)
		a.IPv6 = parseAddr(es.GlobalIPv6Address)
		a.Gateway = parseAddr(es.Gateway)
	}
	return a
}

func unique(lists ...[]string) []string {
	var all []string
	for _, list := range lists {
		for _, s := range list {
			if s != "" && !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// parsePort reads "80/tcp".
func parsePort(s string) (api.Port, bool) {
	number, protocol, _ := strings.Cut(s, "/")
	return portOf(number, protocol)
}

func portOf(number, protocol string) (api.Port, bool) {
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 {
		return api.Port{}, false
	}
	switch protocol = strings.ToLower(protocol); protocol {
	case "":
		protocol = "tcp"
	case "tcp", "udp", "sctp":
	default:
		return api.Port{}, false
	}
	return api.Port{Number: uint16(n), Protocol: protocol}, true
}

// hostIP is the address that a port is bound to; empty means all of IPv4.
func hostIP(s string) netip.Addr {
	if addr := parseAddr(s); addr.IsValid() {
		return addr
	}
	return netip.IPv4Unspecified()
}

// parseAddr reads an address, with or without a prefix length; invalid if it
// is none.
func parseAddr(s string) netip.Addr {
	s, _, _ = strings.Cut(s, "/")
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

func has(s api.Status, among ...api.Status) bool { return slices.Contains(among, s) }

func byNetwork(a, b api.Attachment) int { return cmp.Compare(a.Network, b.Network) }
