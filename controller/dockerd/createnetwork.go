package dockerd

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"

	"github.com/no502/no502/api"
)

// CreateNetwork makes an attachable, internal bridge network. That one of that
// name exists already is success, whatever it is like. With an invalid
// subnet.Prefix the Engine chooses the addresses. The error is an
// api.ErrSubnetTaken where another subnet may do.
//
// Internal, because Docker takes a container's default gateway from the network
// whose name sorts first: an ordinary network would turn the backends' way out
// (measured on Engine 20.10). An internal one has none to offer, gives no
// egress, and the machine is still reachable at its gateway's address.
func (e *Engine) CreateNetwork(ctx context.Context, name string, subnet api.Subnet, labels map[string]string) error {
	options := network.CreateOptions{
		Driver:     network.NetworkBridge,
		Internal:   true,
		Attachable: true,
		IPAM:       ipam(subnet),
		Labels:     labels,
	}
	ref := name
	err := e.call(ctx, "create network "+name, func(ctx context.Context) error {
		answer, err := e.docker.NetworkCreate(ctx, name, options)
		if err == nil {
			ref = answer.ID
		}
		return err
	})
	switch {
	case says(err, "pool overlaps", "networks have overlapping"):
		return fmt.Errorf("%w: %w", api.ErrSubnetTaken, err)
	case err == nil, errdefs.IsConflict(err), says(err, "already exists"):
	default:
		return err
	}
	began := e.cache.begin()
	n, err := e.inspectNetwork(ctx, ref)
	if err != nil {
		return err
	}
	e.cache.keep(n.ID, began, func(now *api.Engine) { setNetwork(now, n) })
	return nil
}

func ipam(s api.Subnet) *network.IPAM {
	if !s.Prefix.IsValid() {
		return nil
	}
	pool := network.IPAMConfig{Subnet: s.Prefix.String()}
	if s.Gateway.IsValid() {
		pool.Gateway = s.Gateway.String()
	}
	if s.Range.IsValid() {
		pool.IPRange = s.Range.String()
	}
	return &network.IPAM{Config: []network.IPAMConfig{pool}}
}

// says reports whether an error of the Engine contains one of these texts:
// for what its status code does not tell.
func says(err error, texts ...string) bool {
	if err == nil {
		return false
	}
	message := strings.ToLower(err.Error())
	for _, text := range texts {
		if strings.Contains(message, text) {
			return true
		}
	}
	return false
}
