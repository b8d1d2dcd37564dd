package plan_test

import (
	"bufio"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
	"github.com/no502/no502/reconcile/plan"
)

// world is a machine with containers and an NPM, as far as a plan can see or
// change it. It is written down in a txtar file; see testdata/README.md.
type world struct {
	policy     api.Policy
	self       string
	containers []*api.Container
	networks   []*api.Network
	hosts      []*api.ProxyHost
	listens    map[string][]listener // by container name; "machine" for processes outside Docker
	machine    map[netip.Addr]bool
	cached     map[int]netip.Addr
	former     map[string]string // what was once called or addressed so: container name

	probes map[api.Target]api.Probe
	next   int // the next address to be handed out
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
	for what, name := range w.former {
		c := *w.container(name)
		ghost := c
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
	return &api.Snapshot{
		Engine: e, NPM: api.NewNPM(w.hosts), Self: w.self,
		Probes: w.probes, Machine: w.machine, Cached: w.cached,
	}
}

func (w *world) container(name string) *api.Container {
	for _, c := range w.containers {
		if c.Name == name {
			return c
		}
	}
	panic("the scenario has no container " + name)
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
		w.machine[a] = w.machine[a]
	}
}

func (w *world) answer(t api.Target) api.Probe {
	who := "machine"
	if t.Container != "" {
		who = w.byID(t.Container).Name
	}
	for _, l := range w.listens[who] {
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

// apply does what Docker and NPM would do.
func (w *world) apply(a api.Action) {
	switch a.Op {
	case api.OpCreateNetwork:
		w.networks = append(w.networks, &api.Network{
			ID: "net-" + a.Network, Name: a.Network, Driver: "bridge", Internal: true,
			Subnets: []api.Subnet{a.Subnet},
		})
	case api.OpAttach:
		n, c := w.network(a.Network), *w.byID(a.Container)
		c.Attachments = append(slices.Clone(c.Attachments), w.attachment(n, &c, a.Aliases, a.Address))
		w.put(&c)
	case api.OpPatch, api.OpResave:
		i := slices.IndexFunc(w.hosts, func(h *api.ProxyHost) bool { return h.ID == a.Host })
		h := *w.hosts[i]
		h.Forward = a.To
		h.Ownership = &api.Ownership{Instance: w.policy.Instance, Backend: a.Backend, Origin: api.OriginRepaired, Wrote: a.To}
		online := true
		h.Online, h.NginxErr = &online, ""
		w.hosts[i] = &h
		delete(w.cached, a.Host)
	}
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
	return a
}

// converge observes, plans and applies until nothing is left to do. It returns
// what was done, and the last plan.
func (w *world) converge(t testing.TB) (done []api.Action, last api.Plan) {
	for range 20 {
		last = plan.Build(w.snapshot(), w.policy)
		if !last.Wants.Empty() {
			w.observe(last.Wants)
		}
		for _, a := range last.Actions {
			w.apply(a)
		}
		done = append(done, last.Actions...)
		if last.Wants.Empty() && len(last.Actions) == 0 {
			return done, last
		}
	}
	t.Fatalf("after 20 rounds there is still something to do: %v %v", last.Actions, last.Wants)
	return nil, api.Plan{}
}

// parse reads a world from a scenario's sections.
func (w *world) parse(sections map[string]string) error {
	w.policy = api.Policy{Instance: "test", Prefix: "no502", Scope: api.ScopeLabelled, Mode: api.ModeRepair}
	w.listens, w.cached, w.machine, w.former = map[string][]listener{}, map[int]netip.Addr{}, map[netip.Addr]bool{}, map[string]string{}
	for _, s := range []struct {
		name string
		line func(words []string) error
	}{
		{"policy", w.parsePolicy}, {"networks", w.parseNetwork}, {"containers", w.parseContainer},
		{"machine", w.parseMachine}, {"memory", w.parseMemory}, {"hosts", w.parseHost},
	} {
		lines := bufio.NewScanner(strings.NewReader(sections[s.name]))
		for lines.Scan() {
			words := strings.Fields(lines.Text())
			if len(words) == 0 || strings.HasPrefix(words[0], "#") {
				continue
			}
			if err := s.line(words); err != nil {
				return fmt.Errorf("%s: %q: %w", s.name, lines.Text(), err)
			}
		}
	}
	return nil
}

func (w *world) parsePolicy(words []string) error {
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "scope":
			w.policy.Scope = api.Scope(value)
		case "network":
			w.policy.Network = value
		case "npm":
			w.policy.NPM = value
		case "machine":
			w.policy.MachineAddrs = append(w.policy.MachineAddrs, netip.MustParseAddr(value))
		default:
			return fmt.Errorf("unknown setting %q", key)
		}
	}
	return nil
}

// parseNetwork: NAME SUBNET [range=CIDR] [internal] [driver=X] [LABEL=VALUE…]
func (w *world) parseNetwork(words []string) error {
	prefix, err := netip.ParsePrefix(words[1])
	if err != nil {
		return err
	}
	n := &api.Network{ID: "net-" + words[0], Name: words[0], Driver: "bridge", Labels: map[string]string{}}
	subnet := api.Subnet{Prefix: prefix, Gateway: prefix.Addr().Next()}
	for _, word := range words[2:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "internal":
			n.Internal = true
		case "driver":
			n.Driver = value
		case "range":
			subnet.Range = netip.MustParsePrefix(value)
		default:
			n.Labels[key] = value
		}
	}
	n.Subnets = []api.Subnet{subnet}
	w.networks = append(w.networks, n)
	return nil
}

// parseMachine: ADDRESS… | listens PORT/…
func (w *world) parseMachine(words []string) error {
	for _, word := range words {
		if addr, err := netip.ParseAddr(word); err == nil {
			w.machine[addr] = true
			continue
		}
		l, err := parseListener(strings.TrimPrefix(word, "listens="))
		if err != nil {
			return err
		}
		w.listens["machine"] = append(w.listens["machine"], l)
	}
	return nil
}

// parseMemory: NAME-OR-ADDRESS was CONTAINER | nginx remembers ADDRESS for DOMAIN
func (w *world) parseMemory(words []string) error {
	if words[0] == "nginx" {
		w.cached[len(w.cached)+1] = netip.MustParseAddr(words[2])
		return nil
	}
	w.former[words[0]] = words[2]
	return nil
}

// parseHost: DOMAIN[,DOMAIN] -> URL [mark=on] [disabled] [wrote=URL backend=ID] [nginx_err=TEXT…]
func (w *world) parseHost(words []string) error {
	online := true
	h := &api.ProxyHost{ID: len(w.hosts) + 1, Domains: strings.Split(words[0], ","), Enabled: true, Online: &online}
	var err error
	if h.Forward, err = parseEndpoint(words[2]); err != nil {
		return err
	}
	for i, word := range words[3:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "mark":
			h.Advanced = "# no502: " + value + "\n"
		case "disabled":
			h.Enabled = false
		case "backend":
			h.Ownership = &api.Ownership{Instance: "test", Backend: api.Identity(value), Wrote: h.Forward}
		case "wrote":
			if h.Ownership.Wrote, err = parseEndpoint(value); err != nil {
				return err
			}
		case "nginx_err":
			online = false
			h.NginxErr = strings.Join(append([]string{value}, words[3+i+1:]...), " ")
			w.hosts = append(w.hosts, h)
			return nil
		default:
			return fmt.Errorf("unknown word %q", word)
		}
	}
	w.hosts = append(w.hosts, h)
	return nil
}

func parseEndpoint(url string) (api.Endpoint, error) {
	scheme, rest, _ := strings.Cut(url, "://")
	i := strings.LastIndexByte(rest, ':')
	port, err := strconv.ParseUint(rest[i+1:], 10, 16)
	return api.Endpoint{Scheme: scheme, Host: rest[:i], Port: uint16(port)}, err
}

// parseContainer: NAME [image=X] [service=PROJECT/SERVICE[#N]] [net=NAME[=ADDRESS][:ALIAS,…]]
// [mode=host|none|container:NAME] [expose=PORT] [publish=[IP:]PORT:PORT] [listens=PORT/http|tls|both|tcp|loopback|silent]
// [state=exited(137)] [health=unhealthy] [oom] [hostname=X] [self] [LABEL=VALUE]
func (w *world) parseContainer(words []string) error {
	n := len(w.containers) + 1
	c := &api.Container{
		ID: fmt.Sprintf("%012x%052x", 0xc0ffee000000+n, n), Name: words[0], Image: "app:1",
		Labels: map[string]string{}, Inspected: true,
		State: api.State{Status: api.Running, StartedAt: time.Unix(int64(n), 0), Pid: 100 + n},
	}
	c.Hostname = c.ShortID()
	var nets []string
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		if key == "net" {
			nets = append(nets, value)
			continue
		}
		if err := w.containerWord(c, key, value); err != nil {
			return err
		}
	}
	for _, net := range nets {
		if err := w.parseNet(c, net); err != nil {
			return err
		}
	}
	in := intent.Of(c.Labels, w.policy.Prefix)
	c.Claims, c.Role = in.Domains, in.Role
	w.containers = append(w.containers, c)
	return nil
}

func (w *world) containerWord(c *api.Container, key, value string) error {
	switch key {
	case "image":
		c.Image = value
	case "self":
		w.self = c.ID
	case "hostname":
		c.Hostname = value
	case "oom":
		c.State.OOMKilled = true
	case "service":
		value, number, _ := strings.Cut(value, "#")
		c.Labels[api.ComposeProject], c.Labels[api.ComposeService], _ = strings.Cut(value, "/")
		c.Labels[api.ComposeNumber] = max(number, "1")
	case "oneoff":
		c.Labels[api.ComposeOneOff] = "True"
	case "mode":
		if name, ok := strings.CutPrefix(value, "container:"); ok {
			value = "container:" + w.container(name).ID
		}
		c.NetworkMode = value
	case "expose":
		port, err := strconv.ParseUint(value, 10, 16)
		c.Exposed = append(c.Exposed, api.Port{Number: uint16(port), Protocol: "tcp"})
		return err
	case "publish":
		return parsePublished(c, value)
	case "listens":
		l, err := parseListener(value)
		w.listens[c.Name] = append(w.listens[c.Name], l)
		return err
	case "state":
		status, code, _ := strings.Cut(strings.TrimSuffix(value, ")"), "(")
		c.State.Status = api.Status(status)
		c.State.ExitCode, _ = strconv.Atoi(code)
	case "health":
		c.State.Health = api.Health(value)
	default:
		c.Labels[key] = strings.ReplaceAll(value, "+", " ")
	}
	return nil
}

func (w *world) parseNet(c *api.Container, value string) error {
	name, aliases, _ := strings.Cut(value, ":")
	name, addr, hasAddr := strings.Cut(name, "=")
	n := w.network(name)
	if n == nil {
		return fmt.Errorf("the scenario has no network %s", name)
	}
	if c.NetworkMode == "" {
		c.NetworkMode = name
	}
	a := w.attachment(n, c, strings.FieldsFunc(aliases, func(r rune) bool { return r == ',' }), netip.Addr{})
	if hasAddr && a.IPv4.IsValid() {
		a.IPv4 = netip.MustParseAddr(addr)
	}
	if s := c.Labels[api.ComposeService]; s != "" {
		a.Aliases = append(a.Aliases, s)
	}
	c.Attachments = append(c.Attachments, a)
	return nil
}

func parsePublished(c *api.Container, value string) error {
	parts := strings.Split(value, ":")
	p := api.Published{HostIP: netip.IPv4Unspecified(), Port: api.Port{Protocol: "tcp"}}
	if len(parts) == 3 {
		p.HostIP, parts = netip.MustParseAddr(parts[0]), parts[1:]
	}
	outer, err := strconv.ParseUint(parts[0], 10, 16)
	if err != nil {
		return err
	}
	inner, err := strconv.ParseUint(parts[1], 10, 16)
	p.HostPort, p.Port.Number = uint16(outer), uint16(inner)
	c.Published = append(c.Published, p)
	if !slices.Contains(c.Exposed, p.Port) {
		c.Exposed = append(c.Exposed, p.Port)
	}
	return err
}

func parseListener(value string) (listener, error) {
	number, what, _ := strings.Cut(value, "/")
	port, err := strconv.ParseUint(number, 10, 16)
	l := listener{port: uint16(port), plain: what == "http" || what == "both", tls: what == "tls" || what == "both"}
	l.loopback, l.silent = what == "loopback", what == "silent"
	if !slices.Contains([]string{"http", "tls", "both", "tcp", "loopback", "silent"}, what) {
		err = fmt.Errorf("unknown listener %q", value)
	}
	return l, err
}
