package resolve

import (
	"fmt"
	"slices"
	"strings"

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
	if t.NPM.NetworkMode == "host" {
		t.Findings = append(t.Findings, api.Finding{
			Code:    api.NPMHostMode,
			Message: fmt.Sprintf("NPM's container %s uses the host's network, where Docker's names do not resolve", t.NPM.Name),
			Fix:     "run NPM on a user-defined network and publish ports 80, 443 and 81",
		})
		t.NPM = nil
		return t
	}
	for _, a := range t.NPM.Attachments {
		if n := s.Engine.Network(a.NetworkID); n != nil && n.UserDefined() {
			t.shared[n.ID] = n
		}
	}
	t.Proxy = proxyNetwork(s.Engine, p, t.NPM, t.shared)
	if t.Proxy.ID != "" {
		t.shared[t.Proxy.ID] = s.Engine.Network(t.Proxy.ID) // NPM is attached to it before anyone else
	}
	return t
}

func (t *Topology) findNPM(e *api.Engine, p api.Policy) {
	var found []*api.Container
	hint := "set NO502_NPM_CONTAINER to its name, or label it " + p.Prefix + ".role=" + api.RoleProxy
	if p.NPM != "" {
		found = slices.DeleteFunc(e.Named(p.NPM), func(c *api.Container) bool {
			return !strings.EqualFold(c.Name, p.NPM) && !strings.HasPrefix(c.ID, strings.ToLower(p.NPM))
		})
		hint = "NO502_NPM_CONTAINER is " + p.NPM + ": give the name of a container that exists"
	} else if found = e.WithRole(api.RoleProxy); len(found) == 0 {
		for _, image := range images {
			found = append(found, e.OfImage(image)...)
		}
	}
	if up := slices.DeleteFunc(slices.Clone(found), func(c *api.Container) bool { return !c.Up() }); len(up) > 0 {
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

// proxyNetwork decides to which network backends are attached: the operator's
// choice; else the one that NPM is on and that is labelled; else the only one
// that NPM is on and that is not merely its own Compose project's; else no502's
// own.
func proxyNetwork(e *api.Engine, p api.Policy, npm *api.Container, on map[string]*api.Network) api.Network {
	if p.Network != "" {
		return existing(e, p.Network)
	}
	var labelled, plain []*api.Network
	for _, n := range on {
		switch {
		case n.Labels[p.Prefix+"."+api.RoleLabel] == api.RoleProxy && n.Name != api.ManagedNetwork:
			labelled = append(labelled, n)
		case n.Name != api.ManagedNetwork && !ownDefault(n, npm) && (n.Driver == "bridge" || n.Driver == "overlay"):
			plain = append(plain, n)
		}
	}
	if len(labelled) == 1 {
		return *labelled[0]
	}
	if len(labelled) == 0 && len(plain) == 1 {
		return *plain[0]
	}
	return existing(e, api.ManagedNetwork)
}

func existing(e *api.Engine, name string) api.Network {
	if n := e.NetworkByName(name); n != nil {
		return *n
	}
	return api.Network{Name: name}
}

func ownDefault(n *api.Network, npm *api.Container) bool {
	return n.Labels[api.ComposeNetwork] == "default" &&
		n.Labels[api.ComposeProject] == npm.Labels[api.ComposeProject]
}

// Shares reports whether NPM can reach this container by name.
func (t Topology) Shares(c *api.Container) bool {
	return len(t.SharedWith(c)) > 0
}

// SharedWith returns the container's attachments to networks that NPM is on:
// the proxy network first, then by name.
func (t Topology) SharedWith(c *api.Container) []api.Attachment {
	var list []api.Attachment
	for _, a := range c.Attachments {
		if t.shared[a.NetworkID] != nil {
			list = append(list, a)
		}
	}
	if len(list) > 1 {
		slices.SortFunc(list, func(a, b api.Attachment) int {
			if (a.NetworkID == t.Proxy.ID) != (b.NetworkID == t.Proxy.ID) {
				if a.NetworkID == t.Proxy.ID {
					return -1
				}
				return 1
			}
			return strings.Compare(a.Network, b.Network)
		})
	}
	return list
}

// Networks are the networks by whose names NPM reaches containers, by name.
func (t Topology) Networks() []*api.Network {
	list := make([]*api.Network, 0, len(t.shared))
	for _, n := range t.shared {
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b *api.Network) int { return strings.Compare(a.Name, b.Name) })
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
