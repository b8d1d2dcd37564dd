package api

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func container(id, name string, edit func(*Container)) *Container {
	c := &Container{ID: id + strings.Repeat("0", 64-len(id)), Name: name, Image: "app:1", Labels: map[string]string{}, State: State{Status: Running}}
	if edit != nil {
		edit(c)
	}
	return c
}

func ids(cs []*Container) string {
	var s []string
	for _, c := range cs {
		s = append(s, strings.TrimRight(c.ID, "0"))
	}
	return strings.Join(s, " ")
}

func TestEngineIndices(t *testing.T) {
	addr := netip.MustParseAddr("172.20.0.5")
	full := func(c *Container) {
		c.Hostname, c.Image = "Vault", "ghcr.io/jc21/nginx-proxy-manager:2@sha256:ab"
		c.Labels = map[string]string{ComposeProject: "shop", ComposeService: "web", ComposeNumber: "1"}
		c.Claims, c.Role = []string{"a.example.com", "a.example.com"}, RoleProxy
		c.Attachments = []Attachment{{NetworkID: "n", Network: "proxy", IPv4: addr, Aliases: []string{"Front"}}}
		c.Published = []Published{{HostPort: 3000, Port: Port{80, "tcp"}}, {HostPort: 3000, Port: Port{81, "tcp"}}, {HostPort: 53, Port: Port{53, "udp"}}}
	}
	one := container("a1", "shop-web-1", full)
	two := container("b2", "other", func(c *Container) {
		c.NetworkMode, c.Exposed, c.Published = "host", []Port{{8123, "tcp"}}, []Published{{HostPort: 3000, Port: Port{80, "tcp"}}}
	})
	three := container("c3", "third", func(c *Container) { c.NetworkMode = "container:" + one.ID })
	e := NewEngine([]*Container{three, two, one}, nil)
	look := func() map[string]string {
		return map[string]string{
			"name": ids(e.Named("SHOP-web-1")), "alias": ids(e.Named("front")), "host name": ids(e.Named("vault")), "service": ids(e.Named("Web")),
			"short ID": ids(e.Named(one.ShortID())), "ID": ids(e.Named(strings.ToUpper(one.ID))), "address": ids(e.At(netip.MustParseAddr("::ffff:172.20.0.5"))),
			"port": ids(e.Publishing(3000)), "UDP": ids(e.Publishing(53)), "backend": ids(e.Replicas("shop/web")), "claim": ids(e.Claiming("A.example.com")),
			"image": ids(e.OfImage("jc21/nginx-proxy-manager")), "role": ids(e.WithRole(RoleProxy)), "host mode": ids(e.ListeningOnMachine(8123)),
			"joining": ids(e.Joining(one.ID)), "all": ids(e.Containers()),
		}
	}
	want := map[string]string{
		"name": "a1", "alias": "a1", "host name": "a1", "service": "a1", "short ID": "a1", "ID": "a1", "address": "a1", "port": "a1", "UDP": "", "backend": "a1",
		"claim": "a1", "image": "a1", "role": "a1", "host mode": "b2", "joining": "c3", "all": "a1 b2 c3",
	}
	if diff := cmp.Diff(want, look()); diff != "" {
		t.Error("added:", diff)
	}
	e.SetContainer(container("a1", "shop-web-1", full))
	if diff := cmp.Diff(want, look()); diff != "" {
		t.Error("replaced by the same:", diff)
	}
	e.SetContainer(container("a1", "renamed", nil))
	for what := range want {
		want[what] = ""
	}
	want["short ID"], want["ID"], want["host mode"], want["joining"], want["all"] = "a1", "a1", "b2", "c3", "a1 b2 c3"
	if diff := cmp.Diff(want, look()); diff != "" {
		t.Error("replaced:", diff)
	}
	for _, c := range []*Container{one, two, three} {
		e.RemoveContainer(c.ID)
		e.RemoveContainer(c.ID)
	}
	for what := range want {
		want[what] = ""
	}
	if diff := cmp.Diff(want, look()); diff != "" {
		t.Error("removed:", diff)
	}
	for _, x := range []int{len(e.byName), len(e.byAddr), len(e.byPort), len(e.byIdentity), len(e.byClaim), len(e.byImage), len(e.byRole), len(e.byHostMode), len(e.joined)} {
		if x != 0 {
			t.Error("an index is not empty")
		}
	}
}

func TestFormer(t *testing.T) {
	at := func(addr string) func(*Container) {
		return func(c *Container) { c.Attachments = []Attachment{{NetworkID: "n", IPv4: netip.MustParseAddr(addr)}} }
	}
	check := func(what string, e *Engine, word string, want Identity) {
		t.Helper()
		if got, ok := e.Former(word); got != want || ok != (want != "") {
			t.Errorf("%s: %s was %q, want %q", what, word, got, want)
		}
	}
	e := NewEngine([]*Container{container("a1", "web", at("172.20.0.5"))}, nil)
	check("nothing has happened", e, "web", "")
	e.SetContainer(container("a1", "web", at("172.20.0.6")))
	check("another address", e, "172.20.0.5", "web")
	check("the present one", e, "172.20.0.6", "")
	e.SetContainer(container("a1", "web-old", at("172.20.0.6")))
	check("renamed", e, "WEB", "web-old")
	e.SetContainer(container("b2", "blog", at("172.20.0.5")))
	check("somebody else has it", e, "172.20.0.5", "web")
	e.RemoveContainer(container("a1", "", nil).ID)
	check("removed", e, "web-old", "web-old")
	e.SetContainer(container("c3", "web-old", at("172.20.0.9")))
	check("back again", e, "web-old", "")
	check("its old address", e, "172.20.0.6", "web-old")
	if diff := cmp.Diff([]string{"172.20.0.6"}, e.FormerlyOf("web-old"), cmp.Transformer("addr", func(s []string) []string {
		var addrs []string
		for _, word := range s {
			if strings.HasPrefix(word, "172.20.0.6") {
				addrs = append(addrs, word)
			}
		}
		return addrs
	})); diff != "" {
		t.Error(diff)
	}

	again := NewEngine([]*Container{container("b2", "blog", at("172.20.0.7"))}, nil)
	again.Inherit(e)
	again.Inherit(nil)
	check("inherited", again, "172.20.0.6", "web-old")
	check("gone meanwhile", again, "web-old", "web-old")
	check("moved meanwhile", again, "172.20.0.5", "blog")
	check("still so", again, "blog", "")
}

func TestFormerIsBounded(t *testing.T) {
	e := NewEngine(nil, nil)
	for i := range 3 * formerLimit {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		name := "web" + strconv.Itoa(i/1000*1000+min(i%1000, 800))
		e.SetContainer(container("a1", name, func(c *Container) { c.Attachments = []Attachment{{IPv4: addr}} }))
	}
	if n := len(e.former.whose); n > formerLimit || n < formerLimit-1 {
		t.Errorf("%d remembered", n)
	}
	if n := len(e.FormerlyOf("web29800")); n != formerOfEach {
		t.Errorf("%d remembered of one", n)
	}
}

func TestNetworks(t *testing.T) {
	subnet := func(cidr, gateway string) []Subnet {
		return []Subnet{{Prefix: netip.MustParsePrefix(cidr), Gateway: netip.MustParseAddr(gateway)}}
	}
	gw, router := netip.MustParseAddr("172.20.0.1"), netip.MustParseAddr("192.168.1.1")
	e := NewEngine(nil, []*Network{
		{ID: "2", Name: "proxy", Driver: "bridge", Subnets: subnet("172.20.0.0/16", "172.20.0.1")},
		{ID: "1", Name: "lan", Driver: "macvlan", Subnets: subnet("192.168.1.0/24", "192.168.1.1")},
	})
	if !e.IsGateway(gw) || e.IsGateway(router) || e.Network("2").Gateway4() != gw || e.Network("1").Gateway4().IsValid() {
		t.Error("only a bridge's gateway is this machine")
	}
	e.SetNetwork(&Network{ID: "3", Name: "proxy", Driver: "bridge"})
	if e.NetworkByName("proxy") != nil || e.NetworksNamed("proxy") != 2 || e.NetworkByName("lan").ID != "1" {
		t.Error("two of a name are not one")
	}
	e.RemoveNetwork("2")
	e.RemoveNetwork("2")
	if e.IsGateway(gw) || e.NetworkByName("proxy").ID != "3" || len(e.Networks()) != 2 {
		t.Error("a removed network is still there")
	}
}

func TestNPMIndices(t *testing.T) {
	n := NewNPM([]*Host{
		{ID: 2, Domains: []string{"A.example.com", "b.example.com"}, Forward: Endpoint{"http", "WEB.", 80}, Ownership: &Ownership{Backend: "web"}},
		{ID: 1, Forward: Endpoint{"http", "http://LocalHost/", 3000}},
		{ID: 3, Forward: Endpoint{"http", "[FD00::0:5]", 3000}},
	})
	serving := func(domain string) []int {
		if h := n.Serving(domain); h != nil {
			return []int{h.ID}
		}
		return nil
	}
	look := func() []any {
		return []any{serving("a.EXAMPLE.com"), n.ByForward("web"), n.ByForward("fd00::5"), n.ByMachinePort(3000), n.ByMachinePort(80), n.ByBackend("web"), len(n.Hosts())}
	}
	if diff := cmp.Diff([]any{[]int{2}, []int{2}, []int{3}, []int{1, 3}, []int(nil), []int{2}, 3}, look()); diff != "" {
		t.Error(diff)
	}
	n.SetHost(&Host{ID: 2, Forward: Endpoint{"http", "127.0.0.1", 3000}})
	n.Remove(HostKey(3))
	n.Remove(HostKey(3))
	if diff := cmp.Diff([]any{[]int(nil), []int(nil), []int(nil), []int{1, 2}, []int(nil), []int(nil), 2}, look()); diff != "" {
		t.Error(diff)
	}
}

func TestIdentity(t *testing.T) {
	for _, test := range []struct {
		project, service, number, oneoff string
		identity                         Identity
		replica, alias                   string
	}{
		{"", "", "", "", "box", "box", ""},
		{"shop", "", "", "", "box", "box", ""},
		{"shop", "web", "2", "False", "shop/web", "shop/web#2", "web.shop"},
		{"shop", "web", "1", "True", "box", "box", ""},
		{"sh;op", "web", "1", "", "box", "box#1", ""}, // nothing that Compose says
		{"shop", "web", "1;", "", "shop/web", "shop/web", "web.shop"},
	} {
		c := container("a1", "box", func(c *Container) {
			c.Labels = map[string]string{ComposeProject: test.project, ComposeService: test.service, ComposeNumber: test.number, ComposeOneOff: test.oneoff}
		})
		if c.Identity() != test.identity || c.Replica() != test.replica || c.SharedAlias() != test.alias {
			t.Errorf("%+v: %s, %s, %s", test, c.Identity(), c.Replica(), c.SharedAlias())
		}
	}
	if id := MachineProcess(9000); id != "machine:9000" || !id.OnMachine() || Identity("web").OnMachine() {
		t.Error(id)
	}
}

func TestRepository(t *testing.T) {
	for image, want := range map[string]string{
		"nginx": "nginx", "nginx:1": "nginx", "jc21/nginx-proxy-manager:2.15.1": "jc21/nginx-proxy-manager",
		"docker.io/jc21/nginx-proxy-manager": "jc21/nginx-proxy-manager", "localhost/a/b": "a/b", "localhost:5000/a/b:1": "a/b",
		"ghcr.io/x/y:1@sha256:abc": "x/y", "x/y@sha256:abc": "x/y", "": "",
	} {
		if got := repository(image); got != want {
			t.Errorf("%s: %s, want %s", image, got, want)
		}
	}
}

func TestForward(t *testing.T) {
	for host, want := range map[string]string{
		"Web.": "web", "http://web/": "web", "https://web": "web", "[::1]": "::1", "::FFFF:10.0.0.1": "10.0.0.1", "": "", "web:80": "web:80",
	} {
		if got := BareHost(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
	for host, want := range map[string]bool{
		"web": true, "web_1.proxy": true, "10.0.0.1": true, "": false, "-web": false, "w b": false, "x\"; return 200": false, "::1": false,
		"$server": false, strings.Repeat("a", 254): false, "wéb": false,
	} {
		if got := IsForwardHost(host); got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
	for to, want := range map[Endpoint]string{
		{"http", "web", 80}: "http://web:80", {"https", "fd00::5", 443}: "https://[fd00::5]:443", {"http", "[::1]", 80}: "http://[::1]:80",
	} {
		if got := to.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

var marks = map[string]Mark{
	"": MarkNone, "proxy_read_timeout 90;": MarkNone, "# no502: on": MarkOn, "#no502:ON": MarkOn, "  ## No502 on\r\n": MarkOn, "# no502: on, please": MarkOn,
	"# no502: observe": MarkObserve, "# no502: off": MarkOff, "# no502 off": MarkOff, "# no502:": MarkOff, "# no502: maybe": MarkOff, "# no502: on/off": MarkOff,
	"# no502 repaired this": MarkNone, "# no501: off": MarkNone, "# no502: on\n# no502: observe": MarkObserve, "# no502: off\n# no502: on": MarkOff,
	"# no502: observe\n# no502: off\n": MarkOff, "set $x 1; # no502: off": MarkOff, "return 200 \"# no502: on\";": MarkOff, "#\tno502:\toff\tnow": MarkOff,
}

func TestMark(t *testing.T) {
	for text, want := range marks {
		if got := (&Host{Advanced: text}).Mark(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzMark: a line that restrains does so, whatever stands above and below it.
func FuzzMark(f *testing.F) {
	for text := range marks {
		f.Add(text, "# no502: on")
	}
	f.Fuzz(func(t *testing.T, above, below string) {
		mark := func(text string) Mark { return (&Host{Advanced: text}).Mark() }
		for _, text := range []string{above, below} {
			switch mark(text) {
			case MarkNone, MarkOn, MarkObserve, MarkOff:
			default:
				t.Errorf("%q: %q", text, mark(text))
			}
		}
		if m := mark(above + "\n# no502: off\n" + below); m != MarkOff {
			t.Errorf("off among others: %q", m)
		}
		if m := mark(above + "\n# no502: observe\n" + below); m != MarkObserve && m != MarkOff {
			t.Errorf("observe among others: %q", m)
		}
		if m := mark(strings.ReplaceAll(above, "#", "")); m != MarkNone {
			t.Errorf("no comment at all: %q", m)
		}
	})
}

func TestCovers(t *testing.T) {
	for _, test := range []struct {
		names          []string
		domain         string
		exact, covered bool
	}{
		{[]string{"a.example.com"}, "a.example.com", true, true},
		{[]string{"A.Example.com"}, "a.example.com", true, true},
		{[]string{"*.example.com"}, "a.example.com", false, true},
		{[]string{"*.example.com", "a.example.com"}, "a.example.com", true, true},
		{[]string{"*.example.com"}, "example.com", false, false},     // not the domain itself
		{[]string{"*.example.com"}, "a.b.example.com", false, false}, // one level
		{[]string{"*.example.com"}, "*.example.com", true, true},
		{[]string{"*.example.com"}, "*.a.example.com", false, false},
		{[]string{"example.com"}, "a.example.com", false, false},
		{[]string{"*.com"}, "example.com", false, true},
		{[]string{"*."}, "localhost", false, false},
		{nil, "a.example.com", false, false},
	} {
		covered, exact := (&Certificate{Domains: test.names}).Covers(test.domain)
		if exact != test.exact || covered != test.covered {
			t.Errorf("%v covers %s: %t, exactly: %t", test.names, test.domain, covered, exact)
		}
	}
}

// Raw nginx configuration is told apart, and not shown: people keep passwords in it.
func TestRawConfigurationIsNotShown(t *testing.T) {
	const secret = "proxy_set_header Authorization \"Basic c2VjcmV0\";\nallow all;"
	row := Fields{FieldAdvanced: secret, FieldLocations: []Location{{Path: "/a", Scheme: "http", Host: "a", Port: 80, Advanced: secret}}}
	for name, value := range row {
		if got := Show(name, value); strings.Contains(got, "c2VjcmV0") || !strings.Contains(got, "59 bytes of nginx configuration (") {
			t.Errorf("%s: %s", name, got)
		}
		if got := Show(name, row.Shown()[name]); strings.Contains(got, "c2VjcmV0") {
			t.Errorf("%s: %s", name, got)
		}
	}
	if row.Text(FieldAdvanced) != secret || row.Locations()[0].Advanced != secret {
		t.Error("the fields themselves are changed")
	}
	if Show(FieldAdvanced, "a;") == Show(FieldAdvanced, "b;") {
		t.Error("two texts look the same")
	}
	if got := Show(FieldLocations, []Location{{Path: "/a", Scheme: "http", Host: "$no502_a", Port: 80, Advanced: `set $no502_a "web";`}}); !strings.Contains(got, `set $no502_a "web";`) {
		t.Errorf("what no502 itself writes: %s", got)
	}
}
