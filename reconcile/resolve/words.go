package resolve

import (
	"fmt"
	"net/netip"
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

// Words judges the words of a forward host, given the backend that it means
// (at is who is reached for it: the backend's replicas, or the container whose
// network they use). Nil means that they are good: NPM resolves them to this
// backend, to nobody else, and they outlive a recreate.
func Words(s *api.Snapshot, t Topology, m Meaning, host string, at []*api.Container) *api.Finding {
	name := at[0].Name
	found := func(code api.Code, format string, args ...any) *api.Finding {
		return &api.Finding{Code: code, Message: fmt.Sprintf(format, args...)}
	}
	if addr, err := netip.ParseAddr(trimHost(host)); err == nil {
		return addressWords(s, m, addr.Unmap(), at, found)
	}
	lower := strings.ToLower(host)
	var exact, reached bool
	for _, c := range at {
		if strings.HasPrefix(strings.ToLower(c.ID), lower) && len(lower) >= 12 {
			return found(api.ForwardHostID, "NPM forwards to the container ID %s, which changes when %s is recreated", host, c.Name)
		}
		if t.Answers(c, host) {
			reached = true
			exact = exact || spelt(c, host)
		}
	}
	switch {
	case api.IsMachineName(host):
		return found(api.ForwardHostLoopback, "NPM forwards to %s, which inside NPM's container is not the machine; %s is meant", host, name)
	case !reached && m.Rule == ByMemory:
		return found(api.ForwardHostOld, "NPM forwards to %s, a name that %s no longer has", host, name)
	case !reached:
		return found(api.ForwardHostUnresolvable, "NPM forwards to %s, a name that none of NPM's networks knows; %s is meant", host, name)
	case sharedWithOthers(s, t, m, host):
		return found(api.ForwardHostShared, "NPM forwards to %s, a name that other containers on its networks answer to as well; %s is meant", host, name)
	case !exact:
		return found(api.ForwardHostCase, "NPM forwards to %s, but the name is written %s", host, name)
	}
	return nil
}

func addressWords(s *api.Snapshot, m Meaning, addr netip.Addr, at []*api.Container, found func(api.Code, string, ...any) *api.Finding) *api.Finding {
	name := at[0].Name
	for _, c := range s.Engine.At(addr) {
		if c.Identity() == m.Backend || c.ID == at[0].ID {
			return found(api.ForwardHostAddress, "NPM forwards to %s, which is %s only until it is recreated", addr, name)
		}
	}
	switch {
	case addr.IsLoopback():
		return found(api.ForwardHostLoopback, "NPM forwards to %s, which inside NPM's container is NPM itself; %s is meant", addr, name)
	case m.Machine:
		return found(api.ForwardHostMachine, "NPM forwards to %s, this machine's address, instead of to the container %s", addr, name)
	}
	return found(api.ForwardHostOld, "NPM forwards to %s, an address that %s no longer has", addr, name)
}

// spelt reports whether the name is written as Docker writes it.
func spelt(c *api.Container, name string) bool {
	for _, a := range c.Attachments {
		bare, _ := cutSuffixFold(name, "."+a.Network)
		if bare == c.Name || name == c.Name {
			return true
		}
		for _, alias := range a.Aliases {
			if bare == alias || name == alias {
				return true
			}
		}
	}
	return false
}

// sharedWithOthers: a name to which a container of another backend answers too.
func sharedWithOthers(s *api.Snapshot, t Topology, m Meaning, name string) bool {
	for _, c := range s.Engine.Named(name) {
		if c.Identity() != m.Backend && c.Up() && t.Answers(c, name) {
			return true
		}
	}
	return false
}

// Name is the forward host that a backend should have: the container's name;
// for several running replicas an alias that they all have and nobody else.
// Where NPM shares several networks with it, the name is qualified, so that
// the answer is the network that is meant.
func Name(s *api.Snapshot, t Topology, m Meaning, at []*api.Container) string {
	name := at[0].Name
	if alias := commonAlias(s, t, m, at); len(at) > 1 && alias != "" {
		name = alias
	}
	if shared := t.SharedWith(at[0]); len(shared) > 1 {
		return name + "." + shared[0].Network
	}
	return name
}

func commonAlias(s *api.Snapshot, t Topology, m Meaning, at []*api.Container) string {
	service := at[0].Labels[api.ComposeService]
	for _, alias := range []string{at[0].SharedAlias(), service} {
		if alias == "" || sharedWithOthers(s, t, m, alias) {
			continue
		}
		all := true
		for _, c := range at {
			all = all && t.Answers(c, alias)
		}
		if all {
			return alias
		}
	}
	return ""
}
