package dockerd

import (
	"context"
	"net/netip"
	"slices"

	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/versions"

	"github.com/no502/no502/api"
)

// gwPriority keeps the default route of a container where it is. Engines
// before API 1.48 have no such thing.
const (
	gwPriority    = -100
	gwPriorityAPI = "1.48"
)

// Attach connects a container to a network (by its ID, or a name that one
// network has) under these aliases, and at this address if it is valid. Whoever
// is attached already stays as it is, except that a stopped container's own
// attachment takes the new address: a pinned one that is in use keeps a
// container from starting.
//
// An address that cannot be had is given up: the container is attached at one
// that the Engine chooses. Afterwards the cache has the attachment.
func (e *Engine) Attach(ctx context.Context, containerID, networkID string, addr netip.Addr, aliases []string) error {
	if id, _, ok := e.cachedNames(networkID); ok {
		networkID = id
	}
	addr, done := e.admissible(containerID, networkID, addr)
	if done {
		return nil
	}
	at := endpoint{networkID, containerID}
	e.own.expect(at)
	err := e.connect(ctx, at, addr, aliases)
	if addr.IsValid() && isAddressError(err) {
		e.log.V(1).Info("an address could not be had, attaching without", "address", addr.String(),
			"container", containerID, "network", networkID, "reason", err.Error())
		// It must be repeated: a connect that failed leaves its address with a
		// running container, which then cannot start again (Engine 20.10).
		addr = netip.Addr{}
		err = e.connect(ctx, at, addr, aliases)
	}
	if err != nil {
		return e.attachFailed(ctx, at, err)
	}
	known := e.noteAttached(at, addr, aliases)
	e.own.made(at)
	if !known {
		e.lookSoon(ctx, containerID)
	}
	return nil
}

// connect makes the request.
func (e *Engine) connect(ctx context.Context, at endpoint, addr netip.Addr, aliases []string) error {
	settings := &network.EndpointSettings{
		Aliases:    aliases,
		DriverOpts: map[string]string{attachedOpt: "true"},
	}
	if addr.IsValid() {
		settings.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: addr.String()}
	}
	if versions.GreaterThanOrEqualTo(e.docker.ClientVersion(), gwPriorityAPI) {
		settings.GwPriority = gwPriority
	}
	return e.call(ctx, "attach container "+at.container+" to network "+at.network,
		func(ctx context.Context) error {
			return e.docker.NetworkConnect(ctx, at.network, at.container, settings)
		})
}

// admissible decides from the cache: whether there is nothing to do, and
// whether the address may be asked for. For a container that is not running
// the Engine checks no address until it starts, and then it does not start.
func (e *Engine) admissible(containerID, networkID string, addr netip.Addr) (allowed netip.Addr, done bool) {
	e.cache.view(func(now *api.Engine) {
		c, n := now.Container(containerID), now.Network(networkID)
		if c == nil || n == nil {
			return
		}
		if a, ok := c.Attachment(networkID); ok {
			done = !isStopped(c) || !a.Ours || a.Pinned == addr
		}
		inside := slices.ContainsFunc(n.Subnets, func(s api.Subnet) bool {
			return s.Prefix.Contains(addr) && s.Gateway != addr
		})
		if addr.IsValid() && (!inside || now.AddressTaken(networkID, addr, c.Replica())) {
			e.log.V(1).Info("an address is taken or not the network's, attaching without", "address", addr.String(),
				"container", containerID, "network", networkID)
			addr = netip.Addr{}
		}
	})
	return addr, done
}

// attachFailed sorts out an attach that the Engine refused.
func (e *Engine) attachFailed(ctx context.Context, at endpoint, err error) error {
	if e.own.failed(at) {
		e.agenda.add(task{containerTask, at.container}, 0, always)
	}
	if !says(err, "already exists in network", "already connected", "already attached") {
		return err
	}
	// The Engine says the same of an endpoint that another container of that
	// name has left behind.
	if lookErr := e.Look(ctx, at.container); lookErr != nil {
		return lookErr
	}
	attached := false
	e.cache.view(func(now *api.Engine) {
		if c := now.Container(at.container); c != nil {
			_, attached = c.Attachment(at.network)
		}
	})
	if !attached {
		return err
	}
	return nil
}

// noteAttached puts a new attachment into the cache, if all of it is known:
// the Engine's choice of an address is not.
func (e *Engine) noteAttached(at endpoint, addr netip.Addr, aliases []string) (known bool) {
	e.cache.keep(at.container, e.cache.begin(), func(now *api.Engine) {
		c, n := now.Container(at.container), now.Network(at.network)
		if c == nil || n == nil {
			return
		}
		known = true
		a := api.Attachment{NetworkID: n.ID, Network: n.Name, Pinned: addr, Aliases: unique(aliases), Ours: true}
		if !isStopped(c) {
			known = addr.IsValid()
			a.IPv4, a.Gateway = addr, gatewayOf(n, addr)
		}
		changed := *c
		changed.Attachments = slices.DeleteFunc(slices.Clone(c.Attachments),
			func(have api.Attachment) bool { return have.NetworkID == n.ID })
		changed.Attachments = append(changed.Attachments, a)
		slices.SortFunc(changed.Attachments, byNetwork)
		now.SetContainer(&changed)
	})
	return known
}

// lookSoon inspects a container whose own event was swallowed.
func (e *Engine) lookSoon(ctx context.Context, id string) {
	if !e.cache.synced() { // the first list is being made, maybe from before
		e.agenda.add(task{containerTask, id}, 0, always)
		return
	}
	if err := e.Look(ctx, id); err != nil {
		e.failed(task{containerTask, id}, err)
	}
}

// isStopped tells a container that has no interfaces now, only a
// configuration.
func isStopped(c *api.Container) bool {
	return has(c.State.Status, api.Created, api.Exited, api.Dead)
}

// isAddressError tells an error about the address from others.
func isAddressError(err error) bool {
	return says(err,
		"address already in use",
		"user specified ip address is supported only",
		"user configured subnet",
		"does not belong to any of this network's subnets",
		"no configured subnet",
		"requested address",
		"invalid address")
}

func gatewayOf(n *api.Network, addr netip.Addr) netip.Addr {
	for _, s := range n.Subnets {
		if s.Prefix.Contains(addr) {
			return s.Gateway
		}
	}
	return netip.Addr{}
}
