package api

import "net/netip"

// Network is one Docker network.
type Network struct {
	ID       string
	Name     string
	Driver   string
	Internal bool
	Labels   map[string]string
	Subnets  []Subnet
}

// Subnet is one address pool of a network.
type Subnet struct {
	Prefix  netip.Prefix
	Gateway netip.Addr
	// Range is where the Engine hands out addresses by itself. Valid only
	// where somebody configured it; without it no address can be chosen.
	Range netip.Prefix
}

// UserDefined tells a network with Docker's DNS from bridge, host and none.
func (n *Network) UserDefined() bool {
	switch n.Name {
	case "bridge", "host", "none", "podman":
		return false
	}
	return n.Driver != "host" && n.Driver != "null"
}

// Gateway4 is the address of the machine on this network; invalid where its
// gateway is not the machine.
func (n *Network) Gateway4() netip.Addr {
	for _, addr := range n.machineAddrs() {
		if addr.Is4() {
			return addr
		}
	}
	return netip.Addr{}
}

// machineAddrs are the machine's own addresses on a network. The gateway of a
// macvlan or ipvlan network is the LAN's router.
func (n *Network) machineAddrs() []netip.Addr {
	if n.Driver != "bridge" {
		return nil
	}
	var addrs []netip.Addr
	for _, s := range n.Subnets {
		if s.Gateway.IsValid() {
			addrs = append(addrs, s.Gateway.Unmap())
		}
	}
	return addrs
}
