package plan_test

import (
	"bufio"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
)

// parse reads a world from a scenario's sections.
func (w *world) parse(sections map[string]string) error {
	w.policy = api.Policy{Instance: "test", Prefix: "no502", Scope: api.ScopeLabelled, Mode: api.ModeRepair}
	w.listens, w.cached, w.machine, w.former = map[string][]listener{}, map[int]netip.Addr{}, map[netip.Addr]bool{}, map[string]string{}
	for _, s := range []struct {
		name string
		line func(words []string) error
	}{
		{"policy", w.parsePolicy}, {"networks", w.parseNetwork}, {"containers", w.parseContainer},
		{"machine", w.parseMachine}, {"hosts", w.parseHost}, {"memory", w.parseMemory},
	} {
		lines := bufio.NewScanner(strings.NewReader(sections[s.name]))
		for lines.Scan() {
			words := fields(lines.Text())
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
		case "mode":
			w.policy.Mode = api.Mode(value)
		case "instance":
			w.policy.Instance = value
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

// parseNetwork: NAME SUBNET [range=CIDR] [internal] [driver=X] [id=X] [LABEL=VALUE…]
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
		case "id":
			n.ID = value
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

// parseMemory: NAME-OR-ADDRESS was CONTAINER-OR-IDENTITY | nginx remembers ADDRESS for DOMAIN
func (w *world) parseMemory(words []string) error {
	if words[0] != "nginx" {
		w.former[words[0]] = words[2]
		return nil
	}
	for _, h := range w.hosts {
		if h.Domains[0] == words[4] {
			w.cached[h.ID] = netip.MustParseAddr(words[2])
			return nil
		}
	}
	return fmt.Errorf("there is no host %s", words[4])
}

// parseHost: DOMAIN[,DOMAIN] -> URL [mark=on] [advanced=TEXT] [disabled] [backend=ID [wrote=URL]] [nginx_err=TEXT]
func (w *world) parseHost(words []string) error {
	online := true
	h := &api.ProxyHost{ID: len(w.hosts) + 1, Domains: strings.Split(words[0], ","), Enabled: true, Online: &online}
	var err error
	if h.Forward, err = parseEndpoint(words[2]); err != nil {
		return err
	}
	for _, word := range words[3:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "mark":
			h.Advanced += "# no502: " + value + "\n"
		case "advanced":
			h.Advanced += value + "\n"
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
			h.NginxErr = strings.ReplaceAll(value, "'", "\"")
		default:
			return fmt.Errorf("unknown word %q", word)
		}
	}
	w.hosts = append(w.hosts, h)
	return nil
}

// fields splits a line at blanks that are not within quotation marks.
func fields(line string) []string {
	quoted := false
	words := strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t')
	})
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], "\"", "")
	}
	return words
}

func parseEndpoint(url string) (api.Endpoint, error) {
	scheme, rest, _ := strings.Cut(url, "://")
	i := strings.LastIndexByte(rest, ':')
	port, err := strconv.ParseUint(rest[i+1:], 10, 16)
	return api.Endpoint{Scheme: scheme, Host: rest[:i], Port: uint16(port)}, err
}

// parseContainer: NAME, and words as testdata/README.md lists them.
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
	w.claim(c)
	w.containers = append(w.containers, c)
	return nil
}

// claim reads what the Engine is told of a container's labels.
func (w *world) claim(c *api.Container) {
	in := intent.Of(c.Labels, w.policy.Prefix)
	c.Claims, c.Role = in.Domains, in.Role
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
	case "fresh":
		c.State.StartedAt = longAgo.Add(c.State.StartedAt.Sub(time.Unix(0, 0)))
	case "started":
		after, err := strconv.Atoi(value)
		c.State.StartedAt = time.Unix(int64(after), 0)
		return err
	case "output":
		c.State.HealthOutput = value
	case "oneoff":
		c.Labels[api.ComposeOneOff] = "True"
	case "mode":
		if name, ok := strings.CutPrefix(value, "container:"); ok {
			value = "container:feedface0000" // gone, unless it is here
			if owner := w.container(name); owner != nil {
				value = "container:" + owner.ID
			}
		}
		c.NetworkMode = value
	case "expose":
		p, err := parsePort(value)
		c.Exposed = append(c.Exposed, p)
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
		c.Labels[key] = value
	}
	return nil
}

func (w *world) parseNet(c *api.Container, value string) error {
	name, aliases, _ := strings.Cut(value, "/")
	name, addr, hasAddr := strings.Cut(name, "=")
	addr, pinned := strings.CutSuffix(addr, "!")
	n := w.network(name)
	if n == nil {
		return fmt.Errorf("the scenario has no network %s", name)
	}
	if c.NetworkMode == "" {
		c.NetworkMode = name
	}
	a := w.attachment(n, c, strings.FieldsFunc(aliases, func(r rune) bool { return r == ',' }), netip.Addr{})
	if hasAddr {
		ip, err := netip.ParseAddr(addr)
		switch {
		case err != nil:
			return err
		case ip.Is6():
			a.IPv6 = ip
		case a.IPv4.IsValid():
			a.IPv4 = ip
		}
		if pinned {
			a.Pinned = ip
		}
	}
	if s := c.Labels[api.ComposeService]; s != "" && !c.OneOff() {
		a.Aliases = append(a.Aliases, s)
	}
	c.Attachments = append(c.Attachments, a)
	return nil
}

// parsePublished: [IP:]PORT:PORT[/udp]
func parsePublished(c *api.Container, value string) error {
	p := api.Published{HostIP: netip.IPv4Unspecified()}
	if rest, ok := strings.CutPrefix(value, "[::]:"); ok {
		p.HostIP, value = netip.IPv6Unspecified(), rest
	}
	parts := strings.Split(value, ":")
	if len(parts) == 3 {
		p.HostIP, parts = netip.MustParseAddr(parts[0]), parts[1:]
	}
	outer, err := strconv.ParseUint(parts[0], 10, 16)
	if err != nil {
		return err
	}
	p.HostPort = uint16(outer)
	if p.Port, err = parsePort(parts[1]); err != nil {
		return err
	}
	c.Published = append(c.Published, p)
	if !slices.Contains(c.Exposed, p.Port) {
		c.Exposed = append(c.Exposed, p.Port)
	}
	return nil
}

// parsePort: PORT[/udp]
func parsePort(value string) (api.Port, error) {
	number, protocol, ok := strings.Cut(value, "/")
	if !ok {
		protocol = "tcp"
	}
	n, err := strconv.ParseUint(number, 10, 16)
	return api.Port{Number: uint16(n), Protocol: protocol}, err
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
