package plan_test

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/no502/no502/api"
)

// served tells who answers a request to a host as nginx sends it: identities
// of containers, "machine", "npm" or "elsewhere". Empty where nobody does.
// It knows nothing of how plans are made.
func (w *world) served(h *api.Host) string {
	npm := w.net(w.container("npm"))
	if npm == nil || npm.NetworkMode == "host" {
		return ""
	}
	host := strings.TrimSuffix(h.Forward.Host, ".")
	addr, err := netip.ParseAddr(host)
	switch {
	case err == nil && addr.Is6():
		return "" // no brackets
	case err == nil && addr.IsLoopback():
		return w.inside(npm, h.Forward)
	case err == nil && w.isMachine(addr):
		return w.onMachine(addr, h.Forward)
	case err == nil:
		return w.atAddress(npm, addr, h.Forward)
	case strings.ContainsAny(host, "/;\" "):
		return ""
	}
	var who []string
	for _, c := range w.containers {
		if !w.resolves(npm, c, host) {
			continue
		}
		is := w.inside(c, h.Forward)
		if is == "" {
			return "" // round robin: every other request fails
		}
		if !slices.Contains(who, is) {
			who = append(who, is)
		}
	}
	if len(who) == 0 && strings.HasSuffix(host, ".example.org") {
		return "elsewhere"
	}
	slices.Sort(who)
	return strings.Join(who, "+")
}

// net is the container whose network this one uses; nil where it is gone.
func (w *world) net(c *api.Container) *api.Container {
	for range 8 {
		if c == nil {
			return nil
		}
		id, joins := strings.CutPrefix(c.NetworkMode, "container:")
		if !joins {
			return c
		}
		i := slices.IndexFunc(w.containers, func(o *api.Container) bool { return o.ID == id })
		if i < 0 {
			return nil
		}
		c = w.containers[i]
	}
	return nil
}

// resolves: Docker's DNS, asked by NPM, gives this container for a name. An NPM
// that was started on the default bridge asks nobody.
func (w *world) resolves(npm, c *api.Container, name string) bool {
	if npm.NetworkMode == "bridge" || c.State.Status != api.Running && c.State.Status != api.Paused {
		return false
	}
	for _, a := range c.Attachments {
		n := w.byNetworkID(a.NetworkID)
		if _, both := npm.Attachment(a.NetworkID); !both || !n.UserDefined() {
			continue
		}
		for _, is := range append([]string{c.Name, c.ShortID()}, a.Aliases...) {
			if strings.EqualFold(is, name) || strings.EqualFold(is+"."+n.Name, name) {
				return true
			}
		}
	}
	return false
}

func (w *world) atAddress(npm *api.Container, addr netip.Addr, to api.Endpoint) string {
	for _, c := range w.containers {
		for _, a := range c.Attachments {
			if a.IPv4 != addr || !c.Up() {
				continue
			}
			if _, both := npm.Attachment(a.NetworkID); both {
				return w.inside(c, to)
			}
			return ""
		}
	}
	if slices.ContainsFunc(w.networks, func(n *api.Network) bool { return n.Subnets[0].Prefix.Contains(addr) }) {
		return ""
	}
	return "elsewhere"
}

// inside: who listens on a port in a container's network.
func (w *world) inside(owner *api.Container, to api.Endpoint) string {
	if !owner.Up() {
		return ""
	}
	for _, c := range w.containers {
		if w.net(c) == owner && c.Up() && speaksTo(w.listens[c.Name], to.Port, to.Scheme) {
			return string(c.Identity())
		}
	}
	return ""
}

func (w *world) isMachine(addr netip.Addr) bool {
	if w.machine[addr] || slices.Contains(w.policy.MachineAddrs, addr) {
		return true
	}
	return slices.ContainsFunc(w.networks, func(n *api.Network) bool { return n.Driver == "bridge" && n.Gateway4() == addr })
}

func (w *world) onMachine(addr netip.Addr, to api.Endpoint) string {
	for _, c := range w.containers {
		if !c.Up() {
			continue
		}
		for _, p := range c.Ports() {
			if p.HostPort == to.Port && p.Port.Protocol == "tcp" && (p.HostIP.IsUnspecified() || p.HostIP == addr) {
				return w.inside(c, api.Endpoint{Scheme: to.Scheme, Port: p.Port.Number})
			}
		}
	}
	for _, c := range w.containers {
		if c.Up() && c.NetworkMode == "host" && speaksTo(w.listens[c.Name], to.Port, to.Scheme) {
			return string(c.Identity())
		}
	}
	if speaksTo(w.listens["machine"], to.Port, to.Scheme) {
		return "machine"
	}
	return ""
}

func speaksTo(ls []listener, port uint16, scheme string) bool {
	return slices.ContainsFunc(ls, func(l listener) bool {
		return l.port == port && !l.loopback && !l.silent && (scheme == "https" && l.tls || scheme == "http" && l.plain)
	})
}

func (w *world) byNetworkID(id string) *api.Network {
	i := slices.IndexFunc(w.networks, func(n *api.Network) bool { return n.ID == id })
	return w.networks[i]
}
