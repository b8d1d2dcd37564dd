package dockerd

import (
	"net/netip"

	"github.com/docker/docker/api/types/network"

	"github.com/no502/no502/api"
)

// fromNetwork reads a network's description.
func fromNetwork(in network.Inspect) *api.Network {
	n := &api.Network{
		ID:       in.ID,
		Name:     in.Name,
		Driver:   in.Driver,
		Internal: in.Internal,
		Labels:   in.Labels,
	}
	for _, pool := range in.IPAM.Config {
		prefix, err := netip.ParsePrefix(pool.Subnet)
		if err != nil {
			continue
		}
		prefix = prefix.Masked()
		s := api.Subnet{Prefix: prefix, Range: dynamicRange(in, pool, prefix)}
		if hasGateway(in) {
			s.Gateway = gateway(pool, prefix)
		}
		n.Subnets = append(n.Subnets, s)
	}
	return n
}

// hasGateway tells a network whose gateway, if it has one, is as Docker shows
// it from a bridge that Docker was told to give no address.
func hasGateway(in network.Inspect) bool {
	return in.Options["com.docker.network.bridge.gateway_mode_ipv4"] != "isolated" &&
		in.Options["com.docker.network.bridge.inhibit_ipv4"] != "true"
}

// dynamicRange is where the Engine itself hands out addresses, if it is known
// that somebody configured the pool; only there may an address be chosen.
//
// The Engine does not say who chose a pool. An IPRange was configured for
// certain. For a pool that it chose itself the Engine shows the gateway; for
// a configured one only a configured gateway, up to Engine 28 at least: so a
// pool without a gateway was configured, except the default bridge's, where no
// address can be chosen. A pool with a gateway but no range may be either and
// counts as not configured. So does one in which addresses are reserved: a
// container that asks for such a one does not start.
func dynamicRange(in network.Inspect, pool network.IPAMConfig, prefix netip.Prefix) netip.Prefix {
	if len(pool.AuxAddress) > 0 {
		return netip.Prefix{}
	}
	if r, err := netip.ParsePrefix(pool.IPRange); err == nil && prefix.Overlaps(r) {
		return r.Masked()
	}
	if pool.Gateway == "" && in.Driver == "bridge" && in.Name != network.NetworkBridge {
		return prefix
	}
	return netip.Prefix{}
}

// gateway is a pool's gateway. Where the Engine does not show it, it took the first one that is free, from the range if there is one.
func gateway(pool network.IPAMConfig, prefix netip.Prefix) netip.Addr {
	if pool.Gateway != "" {
		return parseAddr(pool.Gateway)
	}
	addr := prefix.Addr()
	if r, err := netip.ParsePrefix(pool.IPRange); err == nil && prefix.Overlaps(r) {
		addr = r.Masked().Addr()
	}
	reserved := map[netip.Addr]bool{prefix.Addr(): true}
	for _, aux := range pool.AuxAddress {
		if taken := parseAddr(aux); taken.IsValid() {
			reserved[taken] = true
		}
	}
	for reserved[addr] {
		addr = addr.Next()
	}
	if !prefix.Contains(addr) {
		return netip.Addr{}
	}
	return addr
}
