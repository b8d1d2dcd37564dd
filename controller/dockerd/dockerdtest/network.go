package dockerdtest

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"strings"
	"time"

	eventtypes "github.com/docker/docker/api/types/events"
	networktypes "github.com/docker/docker/api/types/network"
)

// network is one network. The Engine's mutex guards it.
type network struct {
	e        *Engine
	id, name string
	created  time.Time
	driver   string // bridge, host or null
	internal bool
	request  networktypes.CreateOptions
	subnet   netip.Prefix
	gateway  netip.Addr
	chosen   bool // the subnet was given by the user
	ipam     *ipam
	byAddr   map[netip.Addr]*endpoint
	active   map[string]*endpoint // by container id
}

func (nw *network) bridge() bool { return nw.driver == "bridge" }

// userDefined says whether the network has Docker's embedded DNS.
func (nw *network) userDefined() bool { return nw.bridge() && nw.name != "bridge" }

// predefine makes the networks that every Engine has.
func (e *Engine) predefine() {
	opts := networktypes.CreateOptions{Options: map[string]string{
		"com.docker.network.bridge.default_bridge":       "true",
		"com.docker.network.bridge.enable_icc":           "true",
		"com.docker.network.bridge.enable_ip_masquerade": "true",
		"com.docker.network.bridge.host_binding_ipv4":    "0.0.0.0",
		"com.docker.network.bridge.name":                 "docker0",
		"com.docker.network.driver.mtu":                  "1500",
	}}
	if _, err := e.addNetwork("bridge", "bridge", opts); err != nil {
		panic(fmt.Sprintf("dockerdtest: the host's addresses leave no room for the default bridge: %v", err))
	}
	_, _ = e.addNetwork("none", "null", networktypes.CreateOptions{})
	_, _ = e.addNetwork("host", "host", networktypes.CreateOptions{})
}

// network finds a network by name, id or a unique prefix of the id; nil if there is none. e.mu is held.
func (e *Engine) network(ref string) *network {
	var prefixed []*network
	for _, nw := range e.networks {
		if nw.name == ref || nw.id == ref {
			return nw
		}
		if ref != "" && strings.HasPrefix(nw.id, ref) {
			prefixed = append(prefixed, nw)
		}
	}
	if len(prefixed) == 1 {
		return prefixed[0]
	}
	return nil
}

// findNetwork is network with the Engine's error.
func (e *Engine) findNetwork(ref string) (*network, error) {
	if nw := e.network(ref); nw != nil {
		return nw, nil
	}
	return nil, errf(http.StatusNotFound, "network %s not found", ref)
}

// addNetwork makes a network. e.mu is held, or the Engine is not in use yet.
func (e *Engine) addNetwork(name, driver string, opts networktypes.CreateOptions) (*network, error) {
	nw := &network{
		e: e, id: newID(), name: name, created: now(), driver: driver, internal: opts.Internal, request: opts,
		byAddr: map[netip.Addr]*endpoint{}, active: map[string]*endpoint{},
	}
	if nw.bridge() {
		if err := nw.allocatePool(opts.IPAM); err != nil {
			return nil, err
		}
	}
	e.networks = append(e.networks, nw)
	return nw, nil
}

func (nw *network) allocatePool(cfg *networktypes.IPAM) error {
	if cfg == nil || len(cfg.Config) == 0 || cfg.Config[0].Subnet == "" {
		p, ok := nw.e.pools.next(nw.e.overlaps)
		if !ok {
			return errf(http.StatusNotFound, "could not find an available, non-overlapping IPv4 address pool "+
				"among the defaults to assign to the network")
		}
		nw.subnet, nw.ipam = p, newIPAM(p, netip.Prefix{})
		nw.gateway, _ = nw.ipam.next()
		return nil
	}
	c := cfg.Config[0]
	subnet, err := netip.ParsePrefix(c.Subnet)
	if err != nil || !subnet.Addr().Is4() {
		return errf(http.StatusInternalServerError, "Invalid subnet %s : invalid CIDR address: %s", c.Subnet, c.Subnet)
	}
	subnet = subnet.Masked()
	if nw.e.networkOverlaps(subnet) {
		return errf(http.StatusForbidden, "Pool overlaps with other one on this address space")
	}
	pool := netip.Prefix{}
	if c.IPRange != "" {
		if pool, err = netip.ParsePrefix(c.IPRange); err != nil {
			return errf(http.StatusInternalServerError, "Invalid IP range %s: %v", c.IPRange, err)
		}
	}
	nw.subnet, nw.ipam, nw.chosen = subnet, newIPAM(subnet, pool), true
	return nw.reserve(c)
}

// reserve takes the gateway's and the auxiliary addresses out of the pool.
func (nw *network) reserve(c networktypes.IPAMConfig) error {
	if c.Gateway == "" {
		nw.gateway, _ = nw.ipam.next()
	} else {
		a, err := netip.ParseAddr(c.Gateway)
		if err != nil || !nw.subnet.Contains(a) || !nw.ipam.take(a) {
			return errf(http.StatusInternalServerError, "failed to allocate gateway (%s): Requested address is out of range", c.Gateway)
		}
		nw.gateway = a
	}
	for _, s := range c.AuxAddress {
		if a, err := netip.ParseAddr(s); err == nil {
			nw.ipam.take(a)
		}
	}
	return nil
}

func (e *Engine) networkOverlaps(p netip.Prefix) bool {
	for _, nw := range e.networks {
		if nw.bridge() && nw.subnet.Overlaps(p) {
			return true
		}
	}
	return false
}

// overlaps also looks at the host's own networks, as the choice of a default pool does.
func (e *Engine) overlaps(p netip.Prefix) bool {
	for _, h := range e.opts.HostAddresses {
		if h.Overlaps(p) {
			return true
		}
	}
	return e.networkOverlaps(p)
}

// event emits a network event; the container may be nil.
func (nw *network) event(action string, c *container) {
	attrs := map[string]string{"name": nw.name, "type": nw.driver}
	if c != nil {
		attrs["container"] = c.id
	}
	nw.e.events.log(eventtypes.Message{
		Type: eventtypes.NetworkEventType, Action: eventtypes.Action(action),
		Actor: eventtypes.Actor{ID: nw.id, Attributes: attrs},
	})
}

// removeNetwork deletes a network that nobody is on.
func (e *Engine) removeNetwork(nw *network) error {
	if nw.name == "bridge" || nw.name == "host" || nw.name == "none" {
		return errf(http.StatusForbidden, "%s is a pre-defined network and cannot be removed", nw.name)
	}
	if len(nw.active) > 0 {
		return errf(http.StatusForbidden, "error while removing network: network %s id %s has active endpoints", nw.name, nw.id)
	}
	for i, other := range e.networks {
		if other == nw {
			e.networks = append(e.networks[:i:i], e.networks[i+1:]...)
			break
		}
	}
	nw.event("destroy", nil)
	return nil
}

func cloneMap(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return maps.Clone(m)
}
