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
		"no502.host=a.example.com", "no502.host=b.example.com c.example.com", "no502.x.host=c.example.com", "no502.x.host=n.example.com o.example.com",
		"no502.redirect-from=a.example.com d.example.com", "no502.redirect-from=n.example.com", "no502.redirect-to=e.example.com", "no502.redirect-to=x\";}",
		"no502.redirect-code=302", "no502.parked=e.example.com", "no502.parked=p.example.com a.example.com",
		"no502.stream=25565", "no502.stream=25565/udp", "no502.stream=53/tcp+udp", "no502.x.stream=53",
		"no502.upstream=web", "no502.upstream=shop/app", "no502.upstream=x;y", "no502.x.upstream=app",
		"no502.certificate=auto", "no502.certificate=none", "no502.certificate=letsencrypt", "no502.certificate=wild", "no502.certificate=2", "no502.certificate=x\";",
		"no502.access-list=family", "no502.access-list=9", "no502.access-list=\x00", "no502.force-ssl=true", "no502.hsts=yes", "no502.hsts-subdomains=1", "no502.http2=on",
		"no502.websockets=false", "no502.cache=true", "no502.trust-forwarded-proto=true", "no502.advanced-config=deny all;",
		"no502.location.api.path=/api", "no502.location.api.path=/a;b", "no502.location.api.upstream=web", "no502.location.api.port=9000",
		"no502.location.api.strip-prefix=true", "no502.location.x-y.path=/x", "no502.location.x-y.upstream=app",
		"no502.on-stop=disable", "no502.on-stop=delete", "no502.on-remove=delete", "no502.on-remove=keep", "no502.grace=10m",
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
		"policy": rapid.SampledFrom([]string{"", "scope=all", "network=proxy", "network=edge", "machine=192.168.1.10"}).Draw(t, "policy") + " " +
			rapid.SampledFrom([]string{"", "take-over=never", "snippets", "allowed=*.example.com allowed=shop:a.example.com", "default=force-ssl:true default=on-remove:delete", "max-deletes=1"}).Draw(t, "rules"),
		"npm": rapid.SampledFrom([]string{"", "", "version=2.13.7", "hidden=certificates", "hidden=access-lists", "hidden=redirection-host"}).Draw(t, "npm holds") +
			rapid.SampledFrom([]string{"", "\naccess-list=family"}).Draw(t, "access list") +
			rapid.SampledFrom([]string{"", "\ncertificate=a|a.example.com|60", "\ncertificate=wild|*.example.com|60\ncertificate=b|b.example.com,c.example.com|5|letsencrypt"}).Draw(t, "certificates"),
	}
	if err := w.parse(sections); err != nil {
		t.Fatal(err)
	}
	names := rapid.Permutation(someNames).Draw(t, "names")
	for _, name := range names[:rapid.IntRange(0, len(names)).Draw(t, "containers")] {
		w.randomContainer(t, name)
	}
	if len(w.containers) > 1 && rapid.Bool().Draw(t, "self") {
		self := w.containers[1]
		w.listens["no502"] = w.listens[self.Name]
		w.self, self.Name = self.ID, "no502" // which is nobody else's, or it could not be attached
	}
	w.machine = map[netip.Addr]bool{netip.MustParseAddr("192.168.1.10"): rapid.Bool().Draw(t, "LAN address")}
	for i := range rapid.IntRange(0, 6).Draw(t, "hosts") {
		w.randomHost(t, i+1)
	}
	for i, kind := range api.HostKinds() {
		if rapid.IntRange(0, 2).Draw(t, string(kind)) == 0 {
			w.declaredHost(t, 10+i, kind)
		}
	}
	// NPM would refuse a domain that a host has which no502 may not see.
	w.hosts = slices.DeleteFunc(w.hosts, func(h *api.Host) bool { return slices.Contains(w.hidden, h.Key().Kind) })
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
	w.randomLabels(t, c)
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
		number := 10 + len(w.containers) // which no other has
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
	h := &api.Host{
		ID: id, Domains: []string{string(rune('`'+id)) + ".example.com"}, Enabled: rapid.IntRange(0, 9).Draw(t, "enabled") > 0,
		Advanced: rapid.SampledFrom([]string{"", "", "", "# no502: on", "# no502: observe", "# no502: off", "# no502: ?"}).Draw(t, "advanced"),
	}
	row := api.Endpoint{
		Scheme: rapid.SampledFrom([]string{"http", "https"}).Draw(t, "scheme"),
		Host:   rapid.SampledFrom(append(slices.Clone(someNames), someHosts...)).Draw(t, "host"),
		Port:   rapid.SampledFrom(somePorts).Draw(t, "port"),
	}.Fields()
	row[api.FieldDomains], row[api.FieldAdvanced] = h.Domains, h.Advanced
	setRow(h, row)
	switch rapid.IntRange(0, 5).Draw(t, "memory") {
	case 0:
		h.Ownership = &api.Ownership{Instance: "test", Backend: "shop/web", Wrote: h.Forward.Fields()}
	case 1:
		h.Ownership = &api.Ownership{Instance: "test", Backend: "app", Wrote: api.Endpoint{Scheme: "http", Host: "elsewhere", Port: 80}.Fields()}
	case 2:
		online := false
		h.Online, h.NginxErr = &online, `[emerg] host not found in upstream "web"`
	case 3:
		w.cached[id] = netip.MustParseAddr("172.20.0.99")
	}
	w.hosts = append(w.hosts, h)
}

func (w *world) randomLabels(t *rapid.T, c *api.Container) {
	for _, label := range rapid.SliceOfN(rapid.SampledFrom(someLabels), 0, 6).Draw(t, "labels") {
		key, value, _ := strings.Cut(label, "=")
		c.Labels[key] = value
	}
	w.claim(c)
}

// declaredHost draws a host that labels declared once: to this instance, or to
// another one.
func (w *world) declaredHost(t *rapid.T, id int, kind api.Kind) {
	h := &api.Host{ID: id, Kind: kind, Enabled: rapid.Bool().Draw(t, "enabled")}
	row := api.Fields{
		api.FieldDomains:     []string{rapid.SampledFrom([]string{"n.example.com", "o.example.com", "p.example.com"}).Draw(t, "domain")},
		api.FieldCertificate: rapid.IntRange(0, 2).Draw(t, "certificate"), api.FieldCache: rapid.Bool().Draw(t, "cache"),
	}
	switch kind {
	case api.KindHost:
		row = row.With(api.Endpoint{Scheme: "http", Host: rapid.SampledFrom(someNames).Draw(t, "host"), Port: 8080}.Fields())
		row[api.FieldAccessList] = rapid.IntRange(0, 1).Draw(t, "access list")
		row[api.FieldLocations] = rapid.SampledFrom([][]api.Location{{}, {{Path: "/api", Scheme: "http", Host: "$no502_api", Port: 80}},
			{{Path: "/x", Scheme: "http", Host: "nas.lan", Port: 80}}}).Draw(t, "locations")
	case api.KindStream:
		row = api.Fields{api.FieldIncoming: rapid.SampledFrom([]int{25565, 53}).Draw(t, "port"), api.FieldTCP: true, api.FieldUDP: rapid.Bool().Draw(t, "udp"),
			api.FieldStreamHost: "172.20.0.3", api.FieldStreamPort: 25565}
	}
	for _, other := range w.hosts {
		if slices.ContainsFunc(other.Domains, func(d string) bool { return slices.Contains(row.Strings(api.FieldDomains), d) }) {
			return
		}
	}
	h.Ownership = &api.Ownership{
		Instance: rapid.SampledFrom([]string{"test", "test", "test", "nas"}).Draw(t, "instance"),
		Origin:   rapid.SampledFrom([]string{api.OriginDeclared, api.OriginDeclared, api.OriginRepaired}).Draw(t, "origin"),
		Service:  rapid.SampledFrom([]api.Identity{"shop/web", "shop/app", "web", "app", "gone"}).Draw(t, "service"),
		Route:    rapid.SampledFrom([]string{"", "x"}).Draw(t, "route"),
		Readers:  rapid.SampledFrom([][]string{{"no502"}, {"acme"}}).Draw(t, "readers"),
		OnRemove: rapid.SampledFrom([]string{"", "delete", "keep"}).Draw(t, "on-remove"),
		Wrote:    row.With(api.Fields{api.FieldCertificate: rapid.IntRange(0, 2).Draw(t, "wrote")}),
	}
	if !h.Enabled {
		h.Ownership.Disabled = rapid.SampledFrom([]string{"", api.DisabledStopped, api.DisabledRemoved, api.DisabledAccessList}).Draw(t, "disabled")
	}
	setRow(h, row)
	w.hosts = append(w.hosts, h)
}

// randomEvent is something that happens to a container, or to a host in NPM.
func (w *world) randomEvent(t *rapid.T) {
	w.now = w.now.Add(rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute, time.Hour}).Draw(t, "wait"))
	if i := rapid.IntRange(0, 2*len(w.hosts)).Draw(t, "host"); i < len(w.hosts) {
		h := *w.hosts[i]
		row := h.Fields()
		switch rapid.IntRange(0, 4).Draw(t, "edit") {
		case 0:
			h.Enabled = !h.Enabled
		case 1:
			row[api.FieldCertificate] = rapid.IntRange(0, 2).Draw(t, "certificate")
		case 2:
			row[api.FieldWebsockets], row[api.FieldCache] = false, true
		case 3:
			row[api.FieldAccessList] = rapid.IntRange(0, 1).Draw(t, "access list")
		case 4:
			w.hosts = slices.Delete(slices.Clone(w.hosts), i, i+1)
			return
		}
		setRow(&h, row)
		w.hosts[i] = &h
		return
	}
	if len(w.containers) == 1 {
		return
	}
	c := *w.containers[rapid.IntRange(1, len(w.containers)-1).Draw(t, "container")]
	switch rapid.IntRange(0, 3).Draw(t, "event") {
	case 0:
		w.containers = slices.DeleteFunc(slices.Clone(w.containers), func(o *api.Container) bool { return o.ID == c.ID })
		return
	case 1:
		w.stop(&c)
	case 2:
		w.start(&c)
	case 3:
		c.Labels = maps.Clone(c.Labels)
		maps.DeleteFunc(c.Labels, func(k, _ string) bool { return strings.HasPrefix(k, "no502.") })
		w.randomLabels(t, &c)
	}
	w.containers = slices.Clone(w.containers)
	w.put(&c)
}
