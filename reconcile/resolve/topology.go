package resolve

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/no502/no502/api"
)

// Images by which NPM's container is recognised.
var images = []string{
	"jc21/nginx-proxy-manager",
	"jlesage/nginx-proxy-manager",
	"zoeyvid/npmplus",
}

// Topology is where NPM stands among the Engine's networks.
type Topology struct {
	NPM *api.Container // nil while it is not known
	// NetOwner is whose network NPM uses, as the function of that name has it.
	NetOwner *api.Container
	// Nameless: NPM was made for the default bridge, so that names may resolve
	// only after a restart. What works by address is better left.
	Nameless bool
	// Proxy is the network to which backends are attached. It may not exist
	// yet: then its ID is empty.
	Proxy api.Network
	// shared are the networks by whose names NPM can reach a container.
	shared   map[string]*api.Network
	Findings []api.Finding
}

// Locate finds NPM and the proxy network.
func Locate(s *api.Snapshot, p api.Policy) Topology {
	t := Topology{shared: map[string]*api.Network{}}
	t.findNPM(s.Engine, p)
	if t.NPM == nil {
		return t
	}
	if t.NetOwner = NetOwner(s.Engine, t.NPM); t.NetOwner == nil {
		t.lose(api.CannotAttach, "recreate it: docker compose up -d --force-recreate",
			"NPM's container %s uses the network of a container that no longer exists", t.NPM.Name)
		return t
	}
	if t.NetOwner.NetworkMode == "host" {
		t.lose(api.NPMHostMode, "run NPM on a user-defined network and publish ports 80, 443 and 81",
			"NPM's container %s uses the machine's own network, where Docker's names do not resolve", t.NPM.Name)
		return t
	}
	for _, a := range t.NetOwner.Attachments {
		if n := s.Engine.Network(a.NetworkID); n != nil && n.UserDefined() {
			t.shared[n.ID] = n
		}
	}
	t.Nameless = len(t.shared) == 0 || t.NetOwner.NetworkMode == "bridge" || t.NetOwner.NetworkMode == "default"
	t.findProxy(s.Engine, p)
	if t.Proxy.ID != "" {
		t.shared[t.Proxy.ID] = s.Engine.Network(t.Proxy.ID) // NPM is attached to it before anyone else
	}
	return t
}

// lose gives up on an NPM that was found: nothing is planned without.
func (t *Topology) lose(code api.Code, fix, format string, args ...any) {
	t.Findings = append(t.Findings, api.Finding{Code: code, Message: fmt.Sprintf(format, args...), Fix: fix})
	t.NPM, t.NetOwner = nil, nil
}

// NetOwner is whose network a container uses: its own, or with network_mode
// "container:X" (Compose: "service:x") X's. Nil when X is gone.
func NetOwner(e *api.Engine, c *api.Container) *api.Container {
	for range 8 { // a chain is legal, a ring is not
		name, joins := c.Joins()
		if !joins {
			return c
		}
		if c = e.Container(name); c == nil {
			named := e.Named(name)
			if len(named) != 1 {
				return nil
			}
			c = named[0]
		}
	}
	return nil
}

// Started is when a container's processes and the network that they use were
// both there: owner is whose network it uses.
func Started(c, owner *api.Container) time.Time {
	if owner.State.StartedAt.After(c.State.StartedAt) {
		return owner.State.StartedAt
	}
	return c.State.StartedAt
}

func (t *Topology) findNPM(e *api.Engine, p api.Policy) {
	var found []*api.Container
	hint := "set NO502_NPM_CONTAINER to its name; where it publishes port 80 or 443 the label " + p.Prefix + ".role=" + api.RoleProxy + " does as well"
	if p.NPM != "" {
		found = slices.DeleteFunc(e.Named(p.NPM), func(c *api.Container) bool {
			return !strings.EqualFold(c.Name, p.NPM) && !strings.HasPrefix(c.ID, strings.ToLower(p.NPM))
		})
		hint = "NO502_NPM_CONTAINER is " + p.NPM + ": give the name of a container that exists"
	} else {
		for _, image := range images {
			found = append(found, e.OfImage(image)...)
		}
		if len(found) == 0 {
			found = slices.DeleteFunc(e.WithRole(api.RoleProxy), func(c *api.Container) bool { return !isFront(e, c) })
		}
	}
	if up := running(found); len(up) > 0 {
		found = up // a stopped NPM beside a running one is a leftover
	}
	switch len(found) {
	case 1:
		t.NPM = found[0]
	case 0:
		t.Findings = append(t.Findings, api.Finding{
			Code:    api.NPMNotFound,
			Message: "no container is recognised as Nginx Proxy Manager",
			Fix:     hint,
		})
	default:
		t.Findings = append(t.Findings, api.Finding{
			Code:       api.NPMAmbiguous,
			Message:    fmt.Sprintf("%d containers look like Nginx Proxy Manager", len(found)),
			Fix:        "set NO502_NPM_CONTAINER to the name of the one to look after",
			Candidates: containerNames(found),
		})
	}
}

// isFront reports whether the machine's port 80 or 443 leads to the same port of
// a container. Neither labels nor an image give it that, and NPM receives no502's
// password.
func isFront(e *api.Engine, c *api.Container) bool {
	owner := NetOwner(e, c)
	return owner != nil && slices.ContainsFunc(owner.Ports(), func(p api.Published) bool {
		return p.Port.Protocol == "tcp" && p.Port.Number == p.HostPort && (p.HostPort == 80 || p.HostPort == 443)
	})
}

// findProxy decides to which network backends are attached: the operator's
// choice; else the one that NPM is on and that is labelled; else the only one
// that NPM is on and that is not merely its own Compose project's; else no502's
// own.
func (t *Topology) findProxy(e *api.Engine, p api.Policy) {
	if p.Network != "" {
		t.choose(e, p.Network)
		return
	}
	var labelled, plain []*api.Network
	for _, n := range t.shared {
		switch {
		case n.Name == api.ManagedNetwork:
		case n.Labels[p.Prefix+"."+api.RoleLabel] == api.RoleProxy:
			labelled = append(labelled, n)
		case !ownDefault(n, t.NPM) && (n.Driver == "bridge" || n.Driver == "overlay"):
			plain = append(plain, n)
		}
	}
	switch {
	case len(labelled) == 1:
		t.Proxy = *labelled[0]
	case len(labelled) == 0 && len(plain) == 1:
		t.Proxy = *plain[0]
	default:
		t.choose(e, api.ManagedNetwork)
	}
}

// choose takes the network of a name, or plans to make it. Of several with the
// name it takes the one that NPM is on.
func (t *Topology) choose(e *api.Engine, name string) {
	t.Proxy = api.Network{Name: name}
	if n := e.NetworkByName(name); n != nil {
		t.Proxy = *n
	}
	if !t.Proxy.UserDefined() {
		t.lose(api.NoProxyNetwork, "set NO502_NETWORK to a network made with docker network create, or leave it unset",
			"NO502_NETWORK is %s, on which Docker's names do not resolve", name)
		return
	}
	count := e.NetworksNamed(name)
	if count < 2 {
		return
	}
	var on []*api.Network
	for _, n := range t.shared {
		if n.Name == name {
			on = append(on, n)
		}
	}
	if len(on) == 1 {
		t.Proxy = *on[0]
		return
	}
	t.lose(api.NetworkAmbiguous, "remove the one that is not used: docker network ls, docker network rm ID",
		"%d networks are called %s", count, name)
}

func ownDefault(n *api.Network, npm *api.Container) bool {
	return n.Labels[api.ComposeNetwork] == "default" &&
		n.Labels[api.ComposeProject] == npm.Project()
}

// Shares reports whether NPM can reach this container by name.
func (t Topology) Shares(c *api.Container) bool {
	return slices.ContainsFunc(c.Attachments, func(a api.Attachment) bool { return t.shared[a.NetworkID] != nil })
}

// SharedWith returns the container's attachments to networks that NPM is on:
// the proxy network first, then by name.
func (t Topology) SharedWith(c *api.Container) []*api.Attachment {
	var list []*api.Attachment
	for i := range c.Attachments {
		if a := &c.Attachments[i]; t.shared[a.NetworkID] != nil {
			list = append(list, a)
		}
	}
	if len(list) > 1 {
		slices.SortFunc(list, func(a, b *api.Attachment) int {
			if (a.NetworkID == t.Proxy.ID) != (b.NetworkID == t.Proxy.ID) {
				if a.NetworkID == t.Proxy.ID {
					return -1
				}
				return 1
			}
			return cmp.Or(strings.Compare(a.Network, b.Network), strings.Compare(a.NetworkID, b.NetworkID))
		})
	}
	return list
}

// Fingerprint is the topology for comparison: all on which depends what NPM
// reaches, and how.
func (t Topology) Fingerprint() string {
	if t.NPM == nil {
		return ""
	}
	f := fmt.Sprintf("%s %s %s %q %t", t.NPM.ID, t.NetOwner.ID, t.Proxy.ID, t.Proxy.Name, t.Nameless)
	for _, n := range t.Networks() {
		f += " " + n.ID
	}
	return f
}

// Reaches reports whether NPM shares the network on which a container has this
// address.
func (t Topology) Reaches(c *api.Container, addr netip.Addr) bool {
	return slices.ContainsFunc(c.Attachments, func(a api.Attachment) bool {
		return t.shared[a.NetworkID] != nil && a.Has(addr)
	})
}

// Networks are the networks by whose names NPM reaches containers, by name.
func (t Topology) Networks() []*api.Network {
	list := make([]*api.Network, 0, len(t.shared))
	for _, n := range t.shared {
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b *api.Network) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	return list
}

func containerNames(cs []*api.Container) []string {
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = c.Name
	}
	slices.Sort(names)
	return names
}
