package resolve

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/no502/no502/api"
)

// Answers reports whether Docker's DNS, asked by NPM, gives this container for
// a name: its own, its aliases, its short ID, or one of these with ".network".
func (t Topology) Answers(c *api.Container, name string) bool {
	for _, a := range c.Attachments {
		n := t.shared[a.NetworkID]
		if n == nil {
			continue
		}
		bare := name
		if rest, ok := cutSuffixFold(name, "."+n.Name); ok {
			bare = rest
		}
		for _, is := range []string{bare, name} {
			if strings.EqualFold(is, c.Name) || strings.EqualFold(is, c.ShortID()) {
				return true
			}
			for _, alias := range a.Aliases {
				if strings.EqualFold(is, alias) {
					return true
				}
			}
		}
	}
	return false
}

func cutSuffixFold(s, suffix string) (string, bool) {
	if len(s) > len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix) {
		return s[:len(s)-len(suffix)], true
	}
	return s, false
}

// CheckForwardHost judges a forward host, given the backend that it means
// (at is who is reached for it: the backend's replicas, or the container whose
// network they use). Nil means that it is good: NPM resolves it to this backend,
// to nobody else, and it outlives a recreate.
func CheckForwardHost(s *api.Snapshot, t Topology, m Resolution, host string, at []*api.Container) *api.Finding {
	name := at[0].Name
	found := func(code api.Code, format string, args ...any) *api.Finding {
		return &api.Finding{Code: code, Message: fmt.Sprintf(format, args...)}
	}
	if addr, ok := api.HostAddr(host); ok {
		if addr.Is6() && !strings.HasPrefix(host, "[") {
			return found(api.InvalidForward, "NPM forwards to %s, an IPv6 address, which nginx takes in brackets only (%s is meant)", host, name)
		}
		return checkAddress(t, m, addr, at, found)
	}
	word := strings.TrimSuffix(host, ".")
	if !api.IsForwardHost(word) {
		return found(api.InvalidForward, "NPM forwards to %q, which is neither a host name nor an address (%s is meant)", host, name)
	}
	var reached bool
	written := word
	for _, c := range at {
		if len(word) >= 12 && strings.HasPrefix(c.ID, strings.ToLower(word)) {
			return found(api.ForwardHostID, "NPM forwards to the container ID %s, which changes when %s is recreated", host, c.Name)
		}
		if t.Answers(c, word) {
			reached, written = true, spelling(c, word)
		}
	}
	switch {
	case !reached && api.IsMachineName(word):
		return found(api.ForwardHostLoopback, "NPM forwards to %s, which inside NPM's container is not the machine (%s is meant)", host, name)
	case !reached && m.Was:
		return found(api.ForwardHostOld, "NPM forwards to %s, a name that %s no longer has", host, name)
	case !reached && known(s, t, word):
		return found(api.ForwardHostUnresolvable, "NPM forwards to %s, which is another container's name (%s is meant)", host, name)
	case !reached:
		return found(api.ForwardHostUnresolvable, "NPM forwards to %s, a name that none of NPM's networks knows (%s is meant)", host, name)
	case sharer(s, t, at, word) != nil:
		return found(api.ForwardHostShared, "NPM forwards to %s, a name to which %s answers as well (%s is meant)", host, sharer(s, t, at, word).Name, name)
	case written != word:
		return found(api.ForwardHostCase, "NPM forwards to %s, but the name is written %s", host, written)
	}
	return nil
}

// known: NPM resolves the name, to whomever.
func known(s *api.Snapshot, t Topology, name string) bool {
	return slices.ContainsFunc(s.Engine.Named(name), func(c *api.Container) bool { return t.Answers(c, name) })
}

func checkAddress(t Topology, m Resolution, addr netip.Addr, at []*api.Container, found func(api.Code, string, ...any) *api.Finding) *api.Finding {
	name := at[0].Name
	for _, c := range at {
		for _, a := range c.Attachments {
			switch {
			case !a.Has(addr) && a.Pinned != addr:
			case t.shared[a.NetworkID] == nil:
				return found(api.ForwardHostAddress, "NPM forwards to %s, the address of %s on the network %s, which NPM is not on", addr, c.Name, a.Network)
			case a.Pinned == addr:
				return nil // given on purpose, and kept at a recreate
			default:
				return found(api.ForwardHostAddress, "NPM forwards to %s, which is the address of %s only until it is recreated", addr, c.Name)
			}
		}
	}
	switch {
	case addr.IsLoopback():
		return found(api.ForwardHostLoopback, "NPM forwards to %s, which inside NPM's container is NPM itself (%s is meant)", addr, name)
	case m.Machine:
		return found(api.ForwardHostMachine, "NPM forwards to %s, this machine's address, instead of to the container %s", addr, name)
	case m.Rule == ByLabel:
		return found(api.ForwardHostOld, "NPM forwards to %s, which is not an address of %s", addr, name)
	}
	return found(api.ForwardHostOld, "NPM forwards to %s, an address that %s no longer has", addr, name)
}

// spelling is how Docker writes a name that it answers to.
func spelling(c *api.Container, name string) string {
	for _, a := range c.Attachments {
		bare, _ := cutSuffixFold(name, "."+a.Network)
		for _, is := range append([]string{c.Name}, a.Aliases...) {
			if strings.EqualFold(is, name) {
				return is
			}
			if strings.EqualFold(is, bare) {
				return is + "." + a.Network
			}
		}
	}
	return name
}

// sharer is a container of another backend that answers to a name too.
func sharer(s *api.Snapshot, t Topology, at []*api.Container, name string) *api.Container {
	for _, c := range s.Engine.Named(name) {
		if c.Up() && t.Answers(c, name) && !slices.ContainsFunc(at, func(one *api.Container) bool {
			return one == c || one.Identity() == c.Identity()
		}) {
			return c
		}
	}
	return nil
}

// Shared reports whether NPM gets others too by a name.
func Shared(s *api.Snapshot, t Topology, at []*api.Container, name string) bool {
	return sharer(s, t, at, name) != nil
}

// Name is the forward host that a backend should have: the container's name;
// for several replicas, running or not, an alias that they all have and nobody
// else. Where NPM shares several networks with it, the name is qualified, so
// that the answer is the network that is meant. A name to which others answer
// too is the last resort.
func Name(s *api.Snapshot, t Topology, m Resolution, at []*api.Container) string {
	alias := commonAlias(s, t, at)
	name := at[0].Name
	for _, c := range at {
		if sharer(s, t, at, c.Name) == nil {
			name = c.Name
			break
		}
	}
	if alias != "" && (len(m.Containers) > 1 || sharer(s, t, at, name) != nil) {
		name = alias
	}
	if shared := t.SharedWith(at[0]); len(shared) > 1 {
		return name + "." + shared[0].Network
	}
	return name
}

func commonAlias(s *api.Snapshot, t Topology, at []*api.Container) string {
	service := at[0].Service()
	for _, alias := range []string{at[0].SharedAlias(), service} {
		if !api.IsForwardHost(alias) || sharer(s, t, at, alias) != nil {
			continue
		}
		if !slices.ContainsFunc(at, func(c *api.Container) bool { return !t.Answers(c, alias) }) {
			return alias
		}
	}
	return ""
}
