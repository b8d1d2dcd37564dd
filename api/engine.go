package api

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Engine is what one Docker Engine holds, indexed by everything that a
// forward host may say. Not safe for use while it is being changed.
type Engine struct {
	containers map[string]*Container
	networks   map[string]*Network
	byName     index[string, string]
	byAddr     index[netip.Addr, string]
	byPort     index[uint16, string]
	byIdentity index[Identity, string]
	byClaim    index[string, string]
	byImage    index[string, string]
	byRole     index[string, string]
	byUse      index[string, string]
	netByName  index[string, string]
	gateways   index[netip.Addr, string]
	// byHostMode: containers on the machine's own network, by exposed port.
	byHostMode index[uint16, string]
	// joined: containers that use another one's network, by its ID.
	joined index[string, string]
	former memory
	// Since is when the Engine was listed; since then its events were followed
	// without a break.
	Since time.Time
}

// NewEngine returns an Engine that holds these containers and networks.
func NewEngine(containers []*Container, networks []*Network) *Engine {
	e := &Engine{
		containers: make(map[string]*Container, len(containers)),
		networks:   make(map[string]*Network, len(networks)),
		byName:     make(index[string, string], 4*len(containers)),
		byAddr:     make(index[netip.Addr, string], len(containers)),
		byPort:     index[uint16, string]{},
		byIdentity: make(index[Identity, string], len(containers)),
		byClaim:    index[string, string]{},
		byImage:    index[string, string]{},
		byRole:     index[string, string]{},
		byUse:      index[string, string]{},
		netByName:  index[string, string]{},
		gateways:   index[netip.Addr, string]{},
		byHostMode: index[uint16, string]{},
		joined:     index[string, string]{},
		former:     newMemory(),
	}
	for _, n := range networks {
		e.SetNetwork(n)
	}
	for _, c := range containers {
		e.SetContainer(c)
	}
	return e
}

// Container by its full ID; nil if there is none.
func (e *Engine) Container(id string) *Container { return e.containers[id] }

// Network by its ID; nil if there is none.
func (e *Engine) Network(id string) *Network { return e.networks[id] }

// Fingerprint tells one Engine from another, across its restarts: the ID of the
// network "none", which each makes once and for good. Empty where there is none.
func (e *Engine) Fingerprint() string {
	if n := e.NetworkByName("none"); n != nil {
		return n.ID
	}
	return ""
}

// NetworkByName finds a network; nil unless exactly one has that name.
func (e *Engine) NetworkByName(name string) *Network {
	if ids := e.netByName[name]; len(ids) == 1 {
		return e.networks[ids[0]]
	}
	return nil
}

// NetworksNamed counts the networks of this name: the Engine allows several.
func (e *Engine) NetworksNamed(name string) int { return len(e.netByName[name]) }

// Containers returns all containers, by ID.
func (e *Engine) Containers() []*Container {
	all := make([]*Container, 0, len(e.containers))
	for _, c := range e.containers {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *Container) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// Networks returns all networks, by name and ID.
func (e *Engine) Networks() []*Network {
	all := make([]*Network, 0, len(e.networks))
	for _, n := range e.networks {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b *Network) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	return all
}

// Named finds the containers that are or are called this, case-blind: name,
// alias on any network, Compose service, ID (short or full) or host name.
func (e *Engine) Named(name string) []*Container {
	name = strings.ToLower(name)
	if len(name) == 64 {
		if c := e.containers[name]; c != nil {
			return []*Container{c}
		}
	}
	return e.pick(e.byName[name])
}

// At finds the containers that have this address now.
func (e *Engine) At(addr netip.Addr) []*Container { return e.pick(e.byAddr[addr.Unmap()]) }

// Publishing finds the containers that publish this TCP port of the machine,
// or are configured to.
func (e *Engine) Publishing(port uint16) []*Container { return e.pick(e.byPort[port]) }

// ListeningOnMachine finds the containers that use the machine's own network
// and expose this TCP port. What is exposed need not be what listens.
func (e *Engine) ListeningOnMachine(port uint16) []*Container { return e.pick(e.byHostMode[port]) }

// Joining finds the containers that use this container's network.
func (e *Engine) Joining(id string) []*Container { return e.pick(e.joined[id]) }

// Replicas finds a backend's containers.
func (e *Engine) Replicas(id Identity) []*Container { return e.pick(e.byIdentity[id]) }

// Claiming finds the containers whose labels claim a domain or a stream's port.
func (e *Engine) Claiming(domain string) []*Container {
	return e.pick(e.byClaim[strings.ToLower(domain)])
}

// Using finds the containers whose labels lead to a service of this name.
func (e *Engine) Using(name string) []*Container { return e.pick(e.byUse[name]) }

// OfImage finds the containers of a repository, whatever the registry and tag:
// "jc21/nginx-proxy-manager".
func (e *Engine) OfImage(repository string) []*Container { return e.pick(e.byImage[repository]) }

// WithRole finds the containers whose role label has this value.
func (e *Engine) WithRole(role string) []*Container { return e.pick(e.byRole[role]) }

// IsGateway reports whether the address is this machine's on a Docker network.
func (e *Engine) IsGateway(addr netip.Addr) bool { return len(e.gateways[addr.Unmap()]) > 0 }

// AddressTaken reports whether anyone but this replica uses, or asked for, an
// address of a network.
func (e *Engine) AddressTaken(networkID string, addr netip.Addr, replica string) bool {
	for _, id := range e.byAddr[addr] {
		c := e.containers[id]
		a, ok := c.Attachment(networkID)
		if ok && (a.IPv4 == addr || a.Pinned == addr) && c.Replica() != replica {
			return true
		}
	}
	return false
}

func (e *Engine) pick(ids []string) []*Container {
	if len(ids) == 0 {
		return nil
	}
	found := make([]*Container, len(ids))
	for i, id := range ids {
		found[i] = e.containers[id]
	}
	slices.SortFunc(found, func(a, b *Container) int { return strings.Compare(a.ID, b.ID) })
	return found
}

// SetContainer adds a container or replaces what was known of it.
func (e *Engine) SetContainer(c *Container) {
	if old := e.containers[c.ID]; old != nil {
		e.unfile(old)
		e.former.recall(old, c)
	}
	e.containers[c.ID] = c
	e.former.renew(c)
	for name := range c.Names() {
		e.byName.add(name, c.ID)
	}
	for addr := range c.Addrs() {
		e.byAddr.add(addr, c.ID)
	}
	for _, p := range c.Ports() {
		if p.Port.Protocol == "tcp" {
			e.byPort.add(p.HostPort, c.ID)
		}
	}
	if owner, joins := c.Joins(); joins {
		e.joined.add(owner, c.ID)
	}
	if c.NetworkMode == "host" {
		for _, p := range c.Exposed {
			if p.Protocol == "tcp" {
				e.byHostMode.add(p.Number, c.ID)
			}
		}
	}
	e.byIdentity.add(c.Identity(), c.ID)
	for _, d := range c.Claims {
		e.byClaim.add(d, c.ID)
	}
	for _, name := range c.Uses {
		e.byUse.add(name, c.ID)
	}
	e.byImage.add(repository(c.Image), c.ID)
	if c.Role != "" {
		e.byRole.add(c.Role, c.ID)
	}
}

// RemoveContainer forgets a container, but remembers whose its names and
// addresses were.
func (e *Engine) RemoveContainer(id string) {
	if old := e.containers[id]; old != nil {
		e.unfile(old)
		delete(e.containers, id)
		e.former.recall(old, nil)
	}
}

func (e *Engine) unfile(old *Container) {
	for name := range old.Names() {
		e.byName.remove(name, old.ID)
	}
	for addr := range old.Addrs() {
		e.byAddr.remove(addr, old.ID)
	}
	for _, p := range old.Published {
		e.byPort.remove(p.HostPort, old.ID)
	}
	if owner, joins := old.Joins(); joins {
		e.joined.remove(owner, old.ID)
	}
	for _, p := range old.Exposed {
		e.byHostMode.remove(p.Number, old.ID)
	}
	e.byIdentity.remove(old.Identity(), old.ID)
	for _, d := range old.Claims {
		e.byClaim.remove(d, old.ID)
	}
	for _, name := range old.Uses {
		e.byUse.remove(name, old.ID)
	}
	e.byImage.remove(repository(old.Image), old.ID)
	e.byRole.remove(old.Role, old.ID)
}

// SetNetwork adds a network or replaces what was known of it.
func (e *Engine) SetNetwork(n *Network) {
	e.RemoveNetwork(n.ID)
	e.networks[n.ID] = n
	e.netByName.add(n.Name, n.ID)
	for _, addr := range n.machineAddrs() {
		e.gateways.add(addr, n.ID)
	}
}

// RemoveNetwork forgets a network.
func (e *Engine) RemoveNetwork(id string) {
	old := e.networks[id]
	if old == nil {
		return
	}
	delete(e.networks, id)
	e.netByName.remove(old.Name, id)
	for _, addr := range old.machineAddrs() {
		e.gateways.remove(addr, id)
	}
}

// repository is an image's name without registry, tag and digest.
func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		image = image[:i]
	}
	if host, rest, ok := strings.Cut(image, "/"); ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
		image = rest
	}
	return image
}
