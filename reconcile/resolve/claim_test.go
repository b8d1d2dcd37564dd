package resolve

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
)

var policy = api.Policy{Instance: "test", Prefix: "no502", TakeOver: true}

// container makes one of a Compose service ("shop/web"), or of none ("web"), that
// was created at a second, with labels "host=a.example.com" and so on.
func container(name string, created int64, labels ...string) *api.Container {
	c := &api.Container{ID: name, Name: name, CreatedAt: time.Unix(created, 0), Labels: map[string]string{}, Inspected: true}
	if project, service, ok := strings.Cut(name, "/"); ok {
		service, _, _ = strings.Cut(service, "#")
		c.Name = strings.ReplaceAll(name, "/", "-")
		c.Labels[api.ComposeProject], c.Labels[api.ComposeService] = project, service
	}
	for _, label := range labels {
		key, value, _ := strings.Cut(label, "=")
		if key == "oneoff" {
			c.Labels[api.ComposeOneOff] = "True"
			continue
		}
		c.Labels["no502."+key] = value
	}
	in := intent.Of(c, policy)
	c.Claims, c.Uses = Claimed(in), Uses(in)
	return c
}

// host makes a proxy host, of whose meta the owner is "shop/web#route"; empty: it
// was made by hand.
func host(id int, owner string, domains ...string) *api.Host {
	h := &api.Host{ID: id, Domains: domains, Enabled: true}
	h.Raw, _ = json.Marshal(api.Fields{api.FieldDomains: domains})
	if owner != "" {
		service, route, _ := strings.Cut(owner, "#")
		h.Ownership = &api.Ownership{Instance: "test", Origin: api.OriginDeclared, Service: api.Identity(service), Route: route, Readers: []string{"no502"}}
	}
	return h
}

func world(containers []*api.Container, hosts ...*api.Host) *api.Snapshot {
	return &api.Snapshot{Engine: api.NewEngine(containers, nil), NPM: api.NewNPM(hosts)}
}

func TestClaimant(t *testing.T) {
	young, old := container("b/web", 2, "host=a.example.com"), container("a/web", 1, "host=a.example.com")
	for _, test := range []struct {
		name       string
		containers []*api.Container
		hosts      []*api.Host
		want       api.Identity
	}{
		{"nobody", []*api.Container{container("c/web", 1)}, nil, ""},
		{"one", []*api.Container{young}, nil, "b/web"},
		{"the older", []*api.Container{young, old}, nil, "a/web"},
		{"whose host serves it", []*api.Container{young, old}, []*api.Host{host(1, "b/web", "a.example.com")}, "b/web"},
		{"not by a host of another service", []*api.Container{young, old}, []*api.Host{host(1, "c/web", "a.example.com")}, "a/web"},
		{"older by its oldest replica", []*api.Container{young, container("c/web#1", 1, "host=a.example.com"), container("c/web#2", 9, "host=a.example.com")}, nil, "c/web"},
		{"the labels of the newest replica count", []*api.Container{container("c/web#1", 1, "host=a.example.com"), container("c/web#2", 9), young}, nil, "b/web"},
		{"denied", []*api.Container{young, container("a/web", 1, "host=a.example.com", "enable=false")}, nil, "b/web"},
		{"one-off", []*api.Container{young, container("a/web", 1, "host=a.example.com", "oneoff")}, nil, "b/web"},
		{"another kind of host", []*api.Container{young, container("a/web", 1, "parked=a.example.com")}, nil, "a/web"},
		{"of one age: by name", []*api.Container{young, container("a/web", 2, "host=a.example.com")}, nil, "a/web"},
	} {
		c, ok := Claimant(world(test.containers, test.hosts...), policy, "a.example.com")
		if got := identity(c.Lead); got != test.want || ok != (test.want != "") {
			t.Errorf("%s: %q has it, and not %q", test.name, got, test.want)
		}
	}
}

func identity(c *api.Container) api.Identity {
	if c == nil {
		return ""
	}
	return c.Identity()
}

func TestPermitted(t *testing.T) {
	patterns := []api.DomainPattern{{Pattern: "*.example.com"}, {Project: "shop", Pattern: "shop.example.com"}, {Project: "all", Pattern: "*"}}
	for _, test := range []struct {
		service, name string
		patterns      []api.DomainPattern
		want          bool
	}{
		{"blog/web", "a.example.org", nil, true},
		{"blog/web", "a.example.com", patterns, true},
		{"blog/web", "a.b.example.com", patterns, true},
		{"blog/web", "example.com", patterns, false},
		{"blog/web", "badexample.com", patterns, false},
		{"blog/web", "*.example.com", patterns, true},
		{"web", "a.example.com", patterns, true},
		{"shop/web", "shop.example.com", patterns, true},
		{"shop/web", "a.example.com", patterns, false}, // it has patterns of its own
		{"blog/web", "shop.example.com", patterns, true},
		{"all/web", "a.example.org", patterns, true},
		{"shop/web", "port 53/udp", patterns, true},
	} {
		p := policy
		p.AllowedDomains = test.patterns
		if got := Permitted(p, container(test.service, 1), test.name); got != test.want {
			t.Errorf("%s may claim %s: %t", test.service, test.name, got)
		}
	}
}

func TestRowOf(t *testing.T) {
	web := container("shop/web", 1, "host=a.example.com b.example.com", "admin.host=c.example.com")
	other := container("blog/web", 2, "host=d.example.com")
	foreign := host(1, "", "a.example.com")
	foreign.Meta = json.RawMessage(`{"managed_by":"sync"}`)
	marked := host(1, "", "a.example.com")
	marked.Advanced = "# no502: off"
	instance := host(1, "shop/web", "a.example.com")
	instance.Ownership.Instance = "nas"
	unread := host(1, "gone/web", "a.example.com")
	unread.Ownership.Readers = []string{"acme"}
	redirection := host(1, "", "a.example.com")
	redirection.Kind = api.KindRedirection
	for _, test := range []struct {
		name  string
		hosts []*api.Host
		never bool
		want  int // its ID; 0: none
	}{
		{"none", nil, false, 0},
		{"its own, whatever it serves", []*api.Host{host(1, "", "a.example.com"), host(2, "shop/web", "x.example.com")}, false, 2},
		{"not another route's", []*api.Host{host(1, "shop/web#admin", "a.example.com")}, false, 0},
		{"a route's that is gone", []*api.Host{host(1, "shop/web#old", "a.example.com")}, false, 1},
		{"a service's that is gone", []*api.Host{host(1, "gone/web", "b.example.com")}, false, 1},
		{"not another service's", []*api.Host{host(1, "blog/web", "a.example.com")}, false, 0},
		{"a service's that is gone, but read otherwise", []*api.Host{unread}, false, 0},
		{"made by hand", []*api.Host{host(1, "", "A.example.com")}, false, 1},
		{"made by hand, and never taken over", []*api.Host{host(1, "", "a.example.com")}, true, 0},
		{"its own, though nothing is taken over", []*api.Host{host(1, "shop/web", "a.example.com")}, true, 1},
		{"a service's that is gone, though nothing is taken over", []*api.Host{host(1, "gone/web", "a.example.com")}, true, 1},
		{"another tool's", []*api.Host{foreign}, false, 0},
		{"another instance's", []*api.Host{instance}, false, 0},
		{"left alone by its mark", []*api.Host{marked}, false, 0},
		{"of another kind", []*api.Host{redirection}, false, 0},
		{"the first of two", []*api.Host{host(2, "", "b.example.com"), host(3, "", "a.example.com")}, false, 3},
	} {
		p := policy
		p.TakeOver = !test.never
		s := world([]*api.Container{web, other}, test.hosts...)
		claim, ok := ClaimOf(s, p, api.Owner{Kind: api.KindHost, Service: "shop/web"})
		if !ok {
			t.Fatal("no claim")
		}
		got := 0
		if h := RowOf(s, p, claim); h != nil {
			got = h.ID
			if by := DeclaredBy(s, p, h); by == nil || by.Owner() != claim.Owner() {
				t.Errorf("%s: the host is not about the claim, but %v", test.name, by)
			}
		}
		if got != test.want {
			t.Errorf("%s: host %d, and not %d", test.name, got, test.want)
		}
	}
}

func TestDoubtful(t *testing.T) {
	for _, test := range []struct {
		name string
		c    *api.Container
		want bool
	}{
		{"gone", container("other/web", 1), false},
		{"no longer declared", container("shop/web", 1, "enable=true"), false},
		{"misspelt", container("shop/web", 1, "hots=a.example.com"), true},
		{"unreadable", container("shop/web", 1, "host=http://a.example.com"), true},
		{"opted out", container("shop/web", 1, "enable=false"), true},
		{"not looked at yet", &api.Container{ID: "x", Name: "x", Labels: map[string]string{api.ComposeProject: "shop", api.ComposeService: "web"}}, true},
	} {
		h := host(1, "shop/web", "a.example.com")
		if got := Doubtful(world([]*api.Container{test.c}, h), policy, h); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}

func TestUpstream(t *testing.T) {
	lead := container("shop/front", 1, "host=a.example.com", "upstream=web")
	all := []*api.Container{
		lead, container("shop/web#2", 2, "enable=true"), container("shop/web#1", 3, "enable=true"), container("blog/web", 4, "enable=true"),
		container("blog/db", 5), container("nas", 6, "enable=true"), container("shop/once", 7, "enable=true", "oneoff"),
		container("mixed/web#1", 8, "enable=true"), container("mixed/web#2", 9, "enable=false"),
	}
	for name, want := range map[string]string{
		"":           "shop-front",
		"web":        "shop-web#1 shop-web#2",
		"shop/web":   "shop-web#1 shop-web#2",
		"blog/web":   "blog-web",
		"blog/db":    "", // not opted in
		"nas":        "nas",
		"blog-web":   "blog-web", // a container's name
		"once":       "",
		"mixed/web":  "", // one of them is opted out
		"none":       "",
		"other/none": "",
	} {
		var got []string
		for _, c := range Upstream(world(all).Engine, policy, lead, name) {
			got = append(got, c.Name)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("upstream %q: %v, and not %q", name, got, want)
		}
	}
}

// Raw configuration in labels is the operator's to allow; what the operator says
// for everybody needs no permission.
func TestSnippetsPermitted(t *testing.T) {
	c := container("shop/web", 1, "host=a.example.com", "advanced-config=evil;")
	for _, test := range []struct {
		allowed  bool
		own      string
		want     any
		withheld bool
	}{
		{true, "", "evil;", false}, {true, "gzip on;", "evil;", false}, {false, "", nil, true}, {false, "gzip on;", "gzip on;", true},
	} {
		p := policy
		if p.Snippets = test.allowed; test.own != "" {
			p.Defaults = map[string]string{intent.SnippetLabel: test.own}
		}
		r := Claims(c, p)[0].Route
		if got := r.Claims[api.FieldAdvanced]; got != test.want || r.Withheld != test.withheld || SnippetRefused(p, r) == test.allowed {
			t.Errorf("%+v: %v, withheld %t", test, got, r.Withheld)
		}
	}
	p := policy
	p.Defaults = map[string]string{intent.SnippetLabel: "gzip on;"}
	if r := Claims(container("web", 1, "host=a.example.com"), p)[0].Route; r.Claims[api.FieldAdvanced] != "gzip on;" || r.Withheld {
		t.Errorf("the operator's own: %+v", r)
	}
}
