package plan_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/plan"
)

// longAgo is later than the start of every container that is not fresh.
var longAgo = time.Unix(1_000_000, 0)

// world is a machine with containers and an NPM, as far as a plan can see or
// change it. It is written down in a txtar file; see testdata/README.md.
type world struct {
	policy     api.Policy
	self       string
	containers []*api.Container
	networks   []*api.Network
	hosts      []*api.Host
	listens    map[string][]listener // by container name; "machine" for processes outside Docker
	machine    map[netip.Addr]bool
	cached     map[int]netip.Addr
	former     map[string]string // what was once called or addressed so: container name

	certificates []api.Certificate
	accessLists  []api.AccessList
	made         map[string]int // containers, certificates and access lists so far
	hidden       []api.Kind
	version      string
	now          time.Time
	since        time.Time // when the Engine was listed
	idle         map[api.Key]api.IdleSince
	landslide    bool
	loaded       map[api.Key]api.Loaded
	stranded     bool

	probes map[api.Target]api.Probe
	next   int // the next address to be handed out
	writes map[api.Key]int
}

type listener struct {
	port     uint16
	loopback bool
	tls      bool
	plain    bool
	silent   bool
}

func (w *world) snapshot() *api.Snapshot {
	e := api.NewEngine(w.containers, w.networks)
	for _, what := range slices.Sorted(maps.Keys(w.former)) {
		name := w.former[what]
		// It was another container of the same backend, or of one that is gone.
		ghost := api.Container{Name: name}
		if c := w.container(name); c != nil {
			ghost = api.Container{Name: c.Name, Labels: c.Labels}
		}
		ghost.ID = "ghost-" + what
		if addr, err := netip.ParseAddr(what); err == nil {
			ghost.Attachments = []api.Attachment{{IPv4: addr}}
		} else {
			ghost.Hostname = what
		}
		e.SetContainer(&ghost)
		e.RemoveContainer(ghost.ID)
	}
	if w.probes == nil {
		w.probes = map[api.Target]api.Probe{}
	}
	e.Since = w.since
	n := api.NewNPM(slices.DeleteFunc(slices.Clone(w.hosts), func(h *api.Host) bool { return slices.Contains(w.hidden, h.Key().Kind) }))
	n.Certificates, n.AccessLists, n.Version = w.certificates, w.accessLists, w.version
	for _, kind := range w.hidden {
		n.Hide(kind, true)
	}
	n.Stranded = w.stranded
	return &api.Snapshot{
		Engine: e, NPM: n, Self: w.self,
		Probes: w.probes, Machine: w.machine, Cached: w.cached, FreshSince: longAgo,
		Now: w.now, Idle: w.idle, Landslide: w.landslide, Loaded: w.loaded,
	}
}

// row is the key of the host that an action has changed, or made.
func (w *world) row(a api.Action) api.Key {
	if a.Op != api.OpCreate {
		return a.Host
	}
	return w.hosts[len(w.hosts)-1].Key()
}

// another number, which never comes again.
func (w *world) another(what string) int {
	if w.made == nil {
		w.made = map[string]int{}
	}
	w.made[what]++
	return w.made[what]
}

func (w *world) container(name string) *api.Container {
	for _, c := range w.containers {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func (w *world) byID(id string) *api.Container {
	i := slices.IndexFunc(w.containers, func(c *api.Container) bool { return c.ID == id })
	return w.containers[i]
}

func (w *world) network(name string) *api.Network {
	for _, n := range w.networks {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// observe answers what a plan wants to know.
func (w *world) observe(wants api.Wants) {
	for _, t := range wants.Probes {
		w.probes[t] = w.answer(t)
	}
	for _, a := range wants.Addresses {
		if w.machine == nil {
			w.machine = map[netip.Addr]bool{}
		}
		if _, known := w.machine[a]; !known {
			w.machine[a] = false
		}
	}
}

func (w *world) answer(t api.Target) api.Probe {
	var listeners []listener
	if t.Container != "" {
		listeners = w.listens[w.byID(t.Container).Name]
	} else {
		listeners = slices.Clone(w.listens["machine"])
		for _, c := range w.containers {
			if c.Up() && c.NetworkMode == "host" {
				listeners = append(listeners, w.listens[c.Name]...)
			}
		}
	}
	for _, l := range listeners {
		switch {
		case l.port != t.Port():
		case l.loopback:
			return api.Probe{Port: api.PortLoopback}
		case l.silent:
			return api.Probe{Port: api.PortSilent}
		default:
			return api.Probe{Port: api.PortOpen, TLS: l.tls, Plain: l.plain}
		}
	}
	return api.Probe{Port: api.PortClosed}
}

// apply does what Docker and NPM would do, and refuses what they would refuse.
func (w *world) apply(a api.Action) error {
	switch a.Op {
	case api.OpCreateNetwork:
		if w.network(a.Network) != nil {
			return fmt.Errorf("network %s exists", a.Network)
		}
		w.networks = append(w.networks, &api.Network{
			ID: "net-" + a.Network, Name: a.Network, Driver: "bridge", Internal: true,
			Subnets: []api.Subnet{a.Subnet},
		})
	case api.OpAttach:
		return w.attach(a)
	default:
		return w.applyNPM(a)
	}
	return nil
}

func (w *world) attach(a api.Action) error {
	n, c := w.network(a.Network), *w.byID(a.Container)
	if n == nil {
		return fmt.Errorf("there is no network %s", a.Network)
	}
	_, joins := c.Joins()
	_, on := c.Attachment(n.ID)
	subnet := n.Subnets[0]
	switch {
	case joins, on, c.NetworkMode == "host", c.NetworkMode == "none":
		return fmt.Errorf("%s cannot be connected to %s", c.Name, n.Name)
	case !a.Address.IsValid():
	case !subnet.Range.IsValid():
		return fmt.Errorf("addresses of %s cannot be chosen", n.Name)
	case !subnet.Prefix.Contains(a.Address) || subnet.Range.Contains(a.Address) || a.Address == subnet.Gateway:
		return fmt.Errorf("%s is no address to choose on %s", a.Address, n.Name)
	}
	for _, other := range w.containers {
		if c.State.Status != api.Running && c.State.Status != api.Paused {
			break // the Engine takes the address when it starts
		}
		if at, on := other.Attachment(n.ID); on && a.Address.IsValid() && (at.IPv4 == a.Address || at.Pinned == a.Address) {
			return fmt.Errorf("%s has the address %s", other.Name, a.Address)
		}
	}
	c.Attachments = append(slices.Clone(c.Attachments), w.attachment(n, &c, a.Aliases, a.Address))
	w.put(&c)
	return nil
}

func (w *world) put(c *api.Container) {
	i := slices.IndexFunc(w.containers, func(o *api.Container) bool { return o.ID == c.ID })
	w.containers[i] = c
}

func (w *world) attachment(n *api.Network, c *api.Container, aliases []string, pinned netip.Addr) api.Attachment {
	a := api.Attachment{NetworkID: n.ID, Network: n.Name, Gateway: n.Gateway4(), Pinned: pinned, Aliases: append(slices.Clone(aliases), c.ShortID())}
	if c.State.Status != api.Running && c.State.Status != api.Paused {
		return a
	}
	if a.IPv4 = pinned; !pinned.IsValid() && len(n.Subnets) > 0 {
		w.next++
		a.IPv4 = n.Subnets[0].Prefix.Addr()
		for range w.next + 1 {
			a.IPv4 = a.IPv4.Next()
		}
	}
	if a.IPv4.Is6() {
		a.IPv4, a.IPv6 = netip.Addr{}, a.IPv4
	}
	return a
}

// converge observes, plans and applies until nothing is left to do. It returns
// what was done, and the last plan. In observe mode nothing is applied: what is
// returned is what would be done.
func (w *world) converge(t testing.TB) (done []api.Action, last api.Plan) {
	if w.policy.Mode == api.ModeObserve {
		for range 5 {
			last = plan.Build(w.snapshot(), w.policy)
			w.observe(last.Wants)
		}
		return last.Actions, last
	}
	written := map[api.Key]int{}
	for range 20 {
		last = plan.Build(w.snapshot(), w.policy)
		if !last.Wants.Empty() {
			w.observe(last.Wants)
		}
		w.remember(last)
		for _, a := range last.Actions {
			if err := w.apply(a); err != nil {
				t.Fatalf("%s: %v", a, err)
			}
			if written[w.row(a)]++; a.Op == api.OpCertificate {
				written[a.Host] = 0 // a certificate is a cause of its own
			} else if a.Host.Kind != "" && a.Op != api.OpResave && written[w.row(a)] > 1 {
				t.Errorf("%s: the second write for one cause", a)
			}
		}
		done = append(done, last.Actions...)
		if last.Wants.Empty() && len(last.Actions) == 0 {
			return done, last
		}
	}
	t.Fatalf("after 20 rounds there is still something to do: %v %v", last.Actions, last.Wants)
	return nil, api.Plan{}
}
