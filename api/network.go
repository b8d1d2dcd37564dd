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

// Gateway4 is the address of the machine on this network.
func (n *Network) Gateway4() netip.Addr {
	for _, s := range n.Subnets {
		if s.Gateway.Is4() {
			return s.Gateway
		}
	}
	return netip.Addr{}
}
