package plan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
	"github.com/no502/no502/reconcile/resolve"
)

// parseContainer: NAME, and words as testdata/README.md lists them.
func (w *world) parseContainer(words []string) error {
	n := w.another("container")
	c := &api.Container{
		ID: fmt.Sprintf("%012x%052x", 0xc0ffee000000+n, n), Name: words[0], Image: "app:1",
		Labels: map[string]string{}, Inspected: true,
		State: api.State{Status: api.Running, StartedAt: time.Unix(int64(n), 0), Pid: 100 + n},

		CreatedAt: time.Unix(int64(n), 0),
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
	in := intent.Of(c, w.policy)
	c.Claims, c.Uses, c.Role = resolve.Claimed(in), resolve.Uses(in), in.Role
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
		c.CreatedAt = c.State.StartedAt
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
