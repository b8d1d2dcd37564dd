package dockerdtest

import (
	"net/http"
	"net/netip"
	"slices"

	networktypes "github.com/docker/docker/api/types/network"
)

// attach gives an endpoint its address and makes it reachable.
func (nw *network) attach(ep *endpoint) error {
	c := ep.container
	ep.named = ep.named || nw.userDefined()
	if nw.active[c.id] != nil {
		return errf(http.StatusForbidden, "endpoint with name %s already exists in network %s", c.name, nw.name)
	}
	if nw.bridge() {
		a, err := nw.address(ep)
		if err != nil {
			return err
		}
		ep.addr = a
		nw.byAddr[a] = ep
	}
	ep.network, ep.id, ep.active = nw, newID(), true
	nw.active[c.id] = ep
	return nil
}

// address takes the endpoint's pinned address, or the next free one.
func (nw *network) address(ep *endpoint) (netip.Addr, error) {
	cfg := ep.settings.IPAMConfig
	if cfg == nil || cfg.IPv4Address == "" {
		a, ok := nw.ipam.next()
		if !ok {
			return a, errf(http.StatusInternalServerError, "no available IPv4 addresses on this network's address pools: %s (%s)", nw.name, nw.id)
		}
		return a, nil
	}
	if !nw.chosen {
		return netip.Addr{}, errf(http.StatusBadRequest, "user specified IP address is supported only when connecting to networks with user configured subnets")
	}
	a, err := netip.ParseAddr(cfg.IPv4Address)
	switch {
	case err != nil:
		return a, errf(http.StatusInternalServerError, "Invalid IPv4 address: %s)", cfg.IPv4Address)
	case !nw.subnet.Contains(a):
		return a, errf(http.StatusInternalServerError, "Invalid address %s: It does not belong to any of this network's subnets", a)
	case !nw.ipam.take(a):
		return a, errf(http.StatusForbidden, "Address already in use")
	}
	return a, nil
}

// detach releases what attach took.
func (ep *endpoint) detach() {
	if !ep.active {
		return
	}
	nw := ep.network
	delete(nw.active, ep.container.id)
	if ep.addr.IsValid() {
		delete(nw.byAddr, ep.addr)
		nw.ipam.release(ep.addr)
	}
	ep.id, ep.active, ep.addr = "", false, netip.Addr{}
}

// join gives a starting container its namespace, its endpoints and its published ports.
func (c *container) join() error {
	mode := c.hostConfig.NetworkMode
	switch {
	case mode.IsContainer():
		other, err := c.e.find(mode.ConnectedContainer())
		if err != nil {
			return err
		}
		if other.run == nil {
			return errf(http.StatusConflict, "cannot join network of a non running container: %s", other.id)
		}
		c.ns = other.ns
		return nil
	case mode.IsHost():
		c.ns = c.e.host
	default:
		c.ns = &netns{e: c.e, container: c}
	}
	gateway := c.gatewayWish()
	for _, ep := range c.sorted() {
		nw, err := c.e.findNetwork(ep.networkName)
		if err != nil {
			return err
		}
		if err := nw.attach(ep); err != nil {
			return err
		}
		if ep == gateway {
			if err := c.publish(ep); err != nil {
				return err
			}
		}
		nw.event("connect", c)
	}
	return nil
}

// leave undoes join.
func (c *container) leave() {
	c.unpublish()
	c.ns = nil
	if c.hostConfig.NetworkMode.IsContainer() {
		return
	}
	eps := c.sorted()
	if !slices.ContainsFunc(eps, func(ep *endpoint) bool { return ep.active }) {
		return
	}
	for _, ep := range eps {
		ep.detach()
		if nw := c.e.network(ep.networkName); nw != nil {
			nw.event("disconnect", c) // measured: also for one that never got an address
		}
	}
}

// checkEndpoint refuses what the default networks do not offer.
func checkEndpoint(network string, s *networktypes.EndpointSettings) error {
	if s == nil || (network != "bridge" && network != "host" && network != "none") {
		return nil
	}
	if s.IPAMConfig != nil && (s.IPAMConfig.IPv4Address != "" || s.IPAMConfig.IPv6Address != "") {
		return errf(http.StatusBadRequest, "user specified IP address is supported on user defined networks only")
	}
	if len(s.Aliases) > 0 {
		return errf(http.StatusBadRequest, "network-scoped alias is supported only for containers in user defined networks")
	}
	return nil
}

const (
	sharedMode = "container sharing network namespace with another container or host cannot be connected to any other network"
	noneMode   = "container cannot be connected to multiple networks with one of the networks in private (none) mode"
	hostMode   = "container cannot be disconnected from host network or connected to host network"
)

// connect attaches a container to a network: at once if it runs, else at its next start. e.mu is held.
func (e *Engine) connect(nw *network, c *container, s *networktypes.EndpointSettings) error {
	mode := c.hostConfig.NetworkMode
	switch {
	case mode.IsHost() || (mode.IsContainer() && c.run != nil):
		return errf(http.StatusBadRequest, sharedMode)
	case nw.driver == "host":
		return errf(http.StatusBadRequest, hostMode)
	case mode.IsNone() || nw.driver == "null":
		return errf(http.StatusBadRequest, noneMode)
	}
	if err := checkEndpoint(nw.name, s); err != nil {
		return err
	}
	if s != nil && s.IPAMConfig != nil && s.IPAMConfig.IPv4Address != "" && !nw.chosen {
		return errf(http.StatusBadRequest, "user specified IP address is supported only when connecting to networks with user configured subnets")
	}
	if nw.active[c.id] != nil {
		return errf(http.StatusForbidden, "endpoint with name %s already exists in network %s", c.name, nw.name)
	}
	if c.run == nil && c.endpoints[nw.name] != nil {
		return nil // measured: the first settings stand, those of a second call are ignored
	}
	ep := c.wish(nw.name, s)
	ep.named = nw.userDefined()
	if c.run == nil {
		return nil
	}
	if err := nw.attach(ep); err != nil {
		return err // measured: an endpoint without address stays behind
	}
	nw.event("connect", c)
	return nil
}

// disconnect detaches a container. e.mu is held.
func (e *Engine) disconnect(nw *network, c *container) error {
	ep := c.endpoints[nw.name]
	switch {
	case c.hostConfig.NetworkMode.IsHost() && nw.driver == "host":
		return errf(http.StatusBadRequest, hostMode)
	case ep == nil && c.run != nil:
		return errf(http.StatusInternalServerError, "container %s is not connected to network %s", c.id, nw.name)
	case ep == nil:
		return errf(http.StatusInternalServerError, "container %s is not connected to the network %s", c.id, nw.name)
	}
	c.unpublishOn(ep)
	ep.detach()
	delete(c.endpoints, nw.name)
	nw.event("disconnect", c)
	if c.run != nil {
		nw.event("disconnect", c) // measured: 20.10 says it twice
	}
	return nil
}
