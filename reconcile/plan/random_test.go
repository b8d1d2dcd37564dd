package plan_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/no502/no502/api"
)

// The words of random worlds are few, so that they meet.
var (
	someNames    = []string{"web", "app", "db", "Blog", "shop-web-1", "gluetun", "web_1", "host.lan"}
	someAliases  = []string{"web", "app", "frontend", "host.docker.internal", "localhost", "x;y"}
	someProjects = []string{"shop", "blog", "sh;op", ""}
	somePorts    = []uint16{80, 81, 443, 3000, 8080, 9000}
	someSpeech   = []string{"http", "http", "http", "tls", "both", "tcp", "loopback", "silent"}
	someStates   = []api.Status{api.Running, api.Running, api.Running, api.Running, api.Running, api.Paused, api.Exited, api.Created, api.Restarting, api.Dead, api.Removing}
	someHealth   = []api.Health{"", "", "", api.Healthy, api.Starting, api.Unhealthy}
	someLabels   = []string{
		"no502.enable=true", "no502.enable=true", "no502.enable=true", "no502.enable=false", "no502.enable=\x00", "no502.port=8080",
		"no502.port=99999", "no502.scheme=https", "no502.host=a.example.com", "no502.host=b.example.com c.example.com", "no502.host=\";}",
		"no502.egress=true", "no502.role=x", "no502.=", "no502.enabel=true", "other=1",
	}
	someHosts = []string{
		"localhost", "127.0.0.1", "::1", "host.docker.internal", "192.168.1.10", "192.168.1.20", "172.17.0.1", "172.20.0.1", "172.20.0.3",
		"172.21.0.4", "172.20.0.99", "10.224.0.1", "c0ffee000002", "http://web", "WEB", "web.", "web.proxy", "web.shop", "frontend",
		"x\"; return 200", "", "nas.example.org", "shop-web-1", "former",
	}
)

// randomWorld draws a machine with an NPM, containers and proxy hosts.
func randomWorld(t *rapid.T) *world {
	var w world
	sections := map[string]string{
		"networks": "proxy 172.20.0.0/16" + rapid.SampledFrom([]string{"", " range=172.20.1.0/24", " internal", " driver=macvlan"}).Draw(t, "proxy") +
			"\nshop_default 172.21.0.0/16" + rapid.SampledFrom([]string{"", " internal"}).Draw(t, "shop_default") +
			"\nbridge 172.17.0.0/16\n" + rapid.SampledFrom([]string{"", "no502 10.224.0.0/20 range=10.224.0.0/21\n"}).Draw(t, "managed"),
		"containers": "npm image=jc21/nginx-proxy-manager:2 listens=81/http publish=81:81 " +
			rapid.SampledFrom([]string{"net=proxy", "net=proxy", "net=proxy net=shop_default", "net=bridge", "mode=host"}).Draw(t, "npm") + "\n",
		"policy": rapid.SampledFrom([]string{"", "scope=all", "network=proxy", "network=edge", "machine=192.168.1.10"}).Draw(t, "policy"),
	}
	if err := w.parse(sections); err != nil {
		t.Fatal(err)
	}
	names := rapid.Permutation(someNames).Draw(t, "names")
	for _, name := range names[:rapid.IntRange(0, len(names)).Draw(t, "containers")] {
		w.randomContainer(t, name)
	}
	if len(w.containers) > 1 && rapid.Bool().Draw(t, "self") {
		w.self = w.containers[1].ID
	}
	w.machine = map[netip.Addr]bool{netip.MustParseAddr("192.168.1.10"): rapid.Bool().Draw(t, "LAN address")}
	for i := range rapid.IntRange(0, 6).Draw(t, "hosts") {
		w.randomHost(t, i+1)
	}
	for _, what := range []string{"former", "172.20.0.99", "172.20.0.3"} {
		if rapid.IntRange(0, 3).Draw(t, "former") == 0 {
			w.former[what] = rapid.SampledFrom(append([]string{"gone"}, names...)).Draw(t, what)
		}
	}
	for range rapid.IntRange(0, 2).Draw(t, "processes") {
		w.randomListener(t, "machine")
	}
	return &w
}

func (w *world) randomContainer(t *rapid.T, name string) {
	line := []string{name}
	add := func(format string, args ...any) { line = append(line, fmt.Sprintf(format, args...)) }
	one := func(of []string, what string) string { return rapid.SampledFrom(of).Draw(t, what) }
	mode := rapid.IntRange(0, 12).Draw(t, "mode")
	switch {
	case mode == 0:
		add("mode=host")
	case mode == 1:
		add("mode=none")
	case mode == 2:
		add("mode=container:%s", one(someNames, "owner"))
	default:
		for _, n := range []string{"proxy", "shop_default", "bridge"} {
			if rapid.Bool().Draw(t, n) {
				add("net=%s/%s", n, one(append([]string{""}, someAliases...), "alias"))
			}
		}
	}
	if project := one(someProjects, "project"); project != "" {
		add("service=%s/%s#%d", project, one([]string{"web", "app"}, "service"), rapid.IntRange(1, 3).Draw(t, "number"))
	}
	for range rapid.IntRange(0, 2).Draw(t, "published") {
		add("publish=%s%d:%d%s", one([]string{"", "", "127.0.0.1:", "192.168.1.10:"}, "on"), rapid.SampledFrom(somePorts).Draw(t, "outer"),
			rapid.SampledFrom(somePorts).Draw(t, "inner"), one([]string{"", "", "", "/udp"}, "protocol"))
	}
	for range rapid.IntRange(0, 2).Draw(t, "exposed") {
		add("expose=%d", rapid.SampledFrom(somePorts).Draw(t, "port"))
	}
	if one([]string{"", "", "", "", "oneoff"}, "oneoff") != "" {
		add("oneoff")
	}
	if err := w.parseContainer(line); err != nil {
		t.Fatal(err)
	}
	c := w.containers[len(w.containers)-1]
	if w.asReplica(c) {
		return
	}
	c.State.Status, c.State.Health = rapid.SampledFrom(someStates).Draw(t, "state"), rapid.SampledFrom(someHealth).Draw(t, "health")
	if rapid.IntRange(0, 4).Draw(t, "fresh") == 0 {
		c.State.StartedAt = longAgo.Add(time.Second)
	}
	if c.State.Status != api.Running && c.State.Status != api.Paused {
		for i := range c.Attachments {
			c.Attachments[i].IPv4 = netip.Addr{}
		}
	}
	for _, label := range rapid.SliceOfN(rapid.SampledFrom(someLabels), 0, 3).Draw(t, "labels") {
		key, value, _ := strings.Cut(label, "=")
		c.Labels[key] = value
	}
	w.claim(c)
	for range rapid.IntRange(0, 3).Draw(t, "listeners") {
		w.randomListener(t, name)
	}
}

// asReplica makes a container like the one that is of the same backend already.
func (w *world) asReplica(c *api.Container) bool {
	for _, first := range w.containers[:len(w.containers)-1] {
		if first.Identity() != c.Identity() {
			continue
		}
		number := len(w.containers)
		c.Labels = maps.Clone(first.Labels)
		c.Labels[api.ComposeNumber] = strconv.Itoa(number)
		c.NetworkMode, c.Exposed, c.Published, c.Attachments = first.NetworkMode, first.Exposed, nil, nil
		for _, a := range first.Attachments {
			aliases := slices.DeleteFunc(slices.Clone(a.Aliases), func(s string) bool { return s == first.ShortID() })
			c.Attachments = append(c.Attachments, w.attachment(w.byNetworkID(a.NetworkID), c, aliases, netip.Addr{}))
		}
		w.listens[c.Name] = w.listens[first.Name]
		w.claim(c)
		return true
	}
	return false
}

func (w *world) randomListener(t *rapid.T, name string) {
	l, err := parseListener(fmt.Sprintf("%d/%s", rapid.SampledFrom(somePorts).Draw(t, "port"), rapid.SampledFrom(someSpeech).Draw(t, "speech")))
	if err != nil {
		t.Fatal(err)
	}
	for other := range w.listens {
		if w.oneNetwork(name, other) && slices.ContainsFunc(w.listens[other], func(o listener) bool { return o.port == l.port }) {
			return // there, a port is one process's
		}
	}
	w.listens[name] = append(w.listens[name], l)
}

// oneNetwork: both see the same ports.
func (w *world) oneNetwork(a, b string) bool {
	owner := func(name string) string {
		c := w.net(w.container(name))
		if c == nil || c.NetworkMode == "host" {
			return "machine"
		}
		return c.Name
	}
	return owner(a) == owner(b)
}

func (w *world) randomHost(t *rapid.T, id int) {
	h := &api.ProxyHost{
		ID: id, Domains: []string{string(rune('`'+id)) + ".example.com"}, Enabled: rapid.IntRange(0, 9).Draw(t, "enabled") > 0,
		Forward: api.Endpoint{
			Scheme: rapid.SampledFrom([]string{"http", "https"}).Draw(t, "scheme"),
			Host:   rapid.SampledFrom(append(slices.Clone(someNames), someHosts...)).Draw(t, "host"),
			Port:   rapid.SampledFrom(somePorts).Draw(t, "port"),
		},
		Advanced: rapid.SampledFrom([]string{"", "", "", "# no502: on", "# no502: observe", "# no502: off", "# no502: ?"}).Draw(t, "advanced"),
	}
	switch rapid.IntRange(0, 5).Draw(t, "memory") {
	case 0:
		h.Ownership = &api.Ownership{Instance: "test", Backend: "shop/web", Wrote: h.Forward}
	case 1:
		h.Ownership = &api.Ownership{Instance: "test", Backend: "app", Wrote: api.Endpoint{Scheme: "http", Host: "elsewhere", Port: 80}}
	case 2:
		online := false
		h.Online, h.NginxErr = &online, `[emerg] host not found in upstream "web"`
	case 3:
		w.cached[id] = netip.MustParseAddr("172.20.0.99")
	}
	w.hosts = append(w.hosts, h)
}
