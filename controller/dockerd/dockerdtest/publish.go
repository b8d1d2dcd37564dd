package dockerdtest

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"

	containertypes "github.com/docker/docker/api/types/container"
	"github.com/docker/go-connections/nat"
)

// binding is one published port.
type binding struct {
	endpoint *endpoint
	port     uint16 // inside
	proto    string
	hostIP   netip.Addr
	hostPort uint16
	v6       bool // was asked for without an address, so the Engine lists it for "::" as well
}

// publish binds the container's published ports on the host. Only ports that are exposed are published, as in
// the Engine, where the command line exposes whatever it publishes. e.mu is held.
func (c *container) publish(ep *endpoint) error {
	e := c.e
	for port := range c.config.ExposedPorts {
		for _, want := range c.hostConfig.PortBindings[port] {
			b := binding{endpoint: ep, port: uint16(port.Int()), proto: port.Proto()}
			b.hostIP, b.v6 = netip.IPv4Unspecified(), want.HostIP == ""
			if a, err := netip.ParseAddr(want.HostIP); err == nil && a.Is4() {
				b.hostIP = a
			}
			n, _ := strconv.ParseUint(want.HostPort, 10, 16)
			b.hostPort = uint16(n)
			if b.hostPort == 0 {
				b.hostPort = e.freePort()
			}
			if why := e.portTaken(b); why != "" {
				return errf(http.StatusInternalServerError, "driver failed programming external connectivity on endpoint %s (%s): %s",
					c.name, ep.id, why)
			}
			e.published, c.bound = append(e.published, &b), append(c.bound, &b)
		}
	}
	return nil
}

// gatewayWish is the endpoint that will be the gateway endpoint once the container runs.
func (c *container) gatewayWish() *endpoint {
	var best *endpoint
	for _, ep := range c.sorted() {
		nw := c.e.network(ep.networkName)
		if nw == nil || !nw.bridge() || nw.internal {
			continue
		}
		if best == nil || ep.settings.GwPriority > best.settings.GwPriority {
			best = ep
		}
	}
	return best
}

// gatewayEndpoint is the endpoint through which published ports arrive; nil if the container has none.
func (c *container) gatewayEndpoint() *endpoint {
	var best *endpoint
	for _, ep := range c.sorted() {
		if !ep.active || !ep.network.bridge() || ep.network.internal {
			continue
		}
		if best == nil || ep.settings.GwPriority > best.settings.GwPriority {
			best = ep
		}
	}
	return best
}

func (e *Engine) portTaken(b binding) string {
	bind := netip.AddrPortFrom(b.hostIP, b.hostPort).String()
	for _, o := range e.published {
		if o.proto == b.proto && o.hostPort == b.hostPort && overlap(o.hostIP, b.hostIP) {
			return "Bind for " + bind + " failed: port is already allocated"
		}
	}
	if b.proto != "tcp" {
		return ""
	}
	e.host.mu.Lock()
	defer e.host.mu.Unlock()
	for _, l := range e.host.listeners {
		if l.port == b.hostPort && overlap(l.ip, b.hostIP) {
			return "Error starting userland proxy: listen tcp4 " + bind + ": bind: address already in use"
		}
	}
	return ""
}

func overlap(a, b netip.Addr) bool { return a == b || a.IsUnspecified() || b.IsUnspecified() }

// isPublished says whether the Engine listens on a host address for a container.
func (e *Engine) isPublished(ip netip.Addr, port uint16) bool {
	return slices.ContainsFunc(e.published, func(b *binding) bool {
		return b.proto == "tcp" && b.hostPort == port && overlap(b.hostIP, ip)
	})
}

// freePort picks the next port of the ephemeral range that nobody publishes.
func (e *Engine) freePort() uint16 {
	for range 65536 - firstEphemeral {
		p := e.nextPort
		if e.nextPort++; e.nextPort < firstEphemeral {
			e.nextPort = firstEphemeral
		}
		if !slices.ContainsFunc(e.published, func(b *binding) bool { return b.hostPort == p }) {
			return p
		}
	}
	return 0
}

// unpublish frees the container's ports.
func (c *container) unpublish() {
	if len(c.bound) > 0 {
		c.e.published = slices.DeleteFunc(c.e.published, func(b *binding) bool { return b.endpoint.container == c })
		c.bound = nil
	}
}

// unpublishOn frees the ports that arrive through an endpoint that goes away, and moves them to another.
func (c *container) unpublishOn(ep *endpoint) {
	if len(c.bound) == 0 || c.bound[0].endpoint != ep {
		return
	}
	ep.active = false
	other := c.gatewayEndpoint()
	ep.active = true
	if other == nil {
		c.unpublish()
		return
	}
	for _, b := range c.bound {
		b.endpoint = other
	}
}

// portMap is NetworkSettings.Ports: every exposed port, with its bindings while the container runs.
func (c *container) portMap() nat.PortMap {
	ports := nat.PortMap{}
	if c.run == nil {
		return ports
	}
	if c.gatewayEndpoint() != nil {
		for p := range c.config.ExposedPorts {
			ports[p] = nil
		}
	}
	for _, b := range c.bound {
		p := nat.Port(strconv.Itoa(int(b.port)) + "/" + b.proto)
		hostPort := strconv.Itoa(int(b.hostPort))
		ports[p] = append(ports[p], nat.PortBinding{HostIP: b.hostIP.String(), HostPort: hostPort})
		if b.v6 {
			ports[p] = append(ports[p], nat.PortBinding{HostIP: "::", HostPort: hostPort})
		}
	}
	return ports
}

// portList is the list's view of portMap.
func (c *container) portList() []containertypes.Port {
	list := []containertypes.Port{}
	for p, bindings := range c.portMap() {
		port := containertypes.Port{PrivatePort: uint16(p.Int()), Type: p.Proto()}
		if len(bindings) == 0 {
			list = append(list, port)
		}
		for _, b := range bindings {
			n, _ := strconv.ParseUint(b.HostPort, 10, 16)
			port.IP, port.PublicPort = b.HostIP, uint16(n)
			list = append(list, port)
		}
	}
	slices.SortFunc(list, func(a, b containertypes.Port) int {
		if a.PrivatePort != b.PrivatePort {
			return int(a.PrivatePort) - int(b.PrivatePort)
		}
		if a.PublicPort != b.PublicPort {
			return int(a.PublicPort) - int(b.PublicPort)
		}
		return len(a.IP) - len(b.IP)
	})
	return list
}
