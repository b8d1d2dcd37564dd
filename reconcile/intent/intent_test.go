package intent

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/api"
)

func container(s string) *api.Container {
	m := map[string]string{}
	for label := range strings.SplitSeq(s, ";") {
		if key, value, ok := strings.Cut(label, "="); ok {
			m[key] = value
		}
	}
	return &api.Container{Labels: m}
}

func policy() api.Policy { return api.Policy{Prefix: "no502"} }

func codes(findings []api.Finding) (list []api.Code) {
	for _, f := range findings {
		list = append(list, f.Code)
	}
	return list
}

func TestWhoIsOptedIn(t *testing.T) {
	invalid, unknown := []api.Code{api.InvalidLabel}, []api.Code{api.UnknownLabel}
	for name, test := range map[string]struct {
		labels string // KEY=VALUE, separated by semicolons
		want   Intent // but for routes and findings
		codes  []api.Code
	}{
		"nothing":                    {"", Intent{}, nil},
		"other prefixes":             {"no502x.enable=true;no502=true;com.no502.enable=true", Intent{}, nil},
		"nothing under the prefix":   {"no502.=true", Intent{}, nil},
		"enabled":                    {"no502.enable=true", Intent{Enabled: true}, nil},
		"enabled in other words":     {"no502.enable= On ", Intent{Enabled: true}, nil},
		"denied":                     {"no502.enable=false", Intent{Denied: true}, nil},
		"denied in other words":      {"no502.enable=0", Intent{Denied: true}, nil},
		"unreadable denies":          {"no502.enable=perhaps", Intent{Denied: true, Unclear: true}, invalid},
		"empty denies":               {"no502.enable=", Intent{Denied: true, Unclear: true}, invalid},
		"host enables":               {"no502.host=a.example.com", Intent{Enabled: true}, nil},
		"a route's host enables":     {"no502.web.host=a.example.com", Intent{Enabled: true}, nil},
		"redirection enables":        {"no502.redirect-from=a.example.com;no502.redirect-to=b.example.com", Intent{Enabled: true}, nil},
		"stream enables":             {"no502.stream=25565", Intent{Enabled: true}, nil},
		"parked enables":             {"no502.parked=a.example.com", Intent{Enabled: true}, nil},
		"port does not":              {"no502.port=80", Intent{}, nil},
		"host and denied":            {"no502.host=a.example.com;no502.enable=no", Intent{Denied: true}, nil},
		"unreadable host":            {"no502.host=https://a.example.com", Intent{Unclear: true}, invalid},
		"egress":                     {"no502.egress=yes", Intent{Egress: true}, nil},
		"egress that is unreadable":  {"no502.egress=y", Intent{Unclear: true}, invalid},
		"role":                       {"no502.role=proxy", Intent{Role: api.RoleProxy}, nil},
		"role that is none":          {"no502.role=Proxy", Intent{Unclear: true}, invalid},
		"unknown":                    {"no502.enabled=true", Intent{Unclear: true}, unknown},
		"capitals are another label": {"no502.Enable=true", Intent{Unclear: true}, unknown},
		"several findings, in order": {"no502.zebra=1;no502.port=x;no502.enable=true", Intent{Enabled: true, Unclear: true}, []api.Code{api.InvalidLabel, api.UnknownLabel}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Of(container(test.labels), policy())
			found := codes(got.Findings)
			got.Findings, got.Routes = nil, nil
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.codes, found); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestWhichValuesAreAllowed reads each value by itself.
func TestWhichValuesAreAllowed(t *testing.T) {
	long := strings.Repeat("a", 64)
	for name, test := range map[string]struct{ good, bad []string }{
		"enable": {[]string{"true", "FALSE", "1", "0", "yes", "No", "on", "off"}, []string{"", "y", "2", "truee"}},
		"host": {
			[]string{"a.example.com", "localhost", "*.example.com", "a,b c\td\ne", "A.B.", "xn--bcher-kva.example", "1.2.3.4.example"},
			[]string{"", " , ", "https://a.example.com", "a.example.com:443", "10.0.0.1", "*.1", "*", "*.", "a.*.b", "a..b", long + ".example.com",
				"a.example.com b$.example.com", "a_b.example.com", "::1", "\uFFFD", strings.Repeat("abc.", 64) + "de", "\xff", strings.Repeat("ü", 1000), strings.Repeat("a ", 101)},
		},
		"port":   {[]string{"1", "8080", "65535"}, []string{"0", "65536", "-1", "+80", "0x50", "80/tcp", "80 81"}},
		"scheme": {[]string{"http", "HTTPS"}, []string{"", "h2c", "https://"}},
		"upstream": {[]string{"web", "project/web", "Web_1", "a.b-c", "9web"},
			[]string{"", "/", "a/", "/a", "a/b/c", "a b", "a:80", "http://a", "-a", "a/-b", ".a", "_a", `a"`, "ü", strings.Repeat("a", 300)}},
		"certificate": {[]string{"auto", "None", "letsencrypt", "12", "My wildcard (2026)", "bücher"}, []string{"", "a\nb", "a\x00", "\xff", strings.Repeat("a", 256)}},
		"letsencrypt.email": {[]string{"you@example.com", "you+npm@example.com"},
			[]string{"", "you", "You <you@example.com>", `"a b"@example.com`, "$(id)@example.com", "`id`@example.com", "-x@example.com", "a@[10.0.0.1]", "a@example.com,b@example.com"}},
		"letsencrypt.dns-provider": {[]string{"cloudflare", "route53", "dns-multi"}, []string{"", "-x", "Cloudflare", "a b", "a;b", strings.Repeat("a", 64)}},
		"access-list":              {[]string{"family", "3", "Family & friends"}, []string{"", "a\nb", "\x1b[31m"}},
		"advanced-config":          {[]string{"", "a;\n\tb;\r\n", strings.Repeat("a", 64<<10)}, []string{"a\x00", "\xff", strings.Repeat("a", 64<<10+1)}},
		"location.n.path": {[]string{"/api", "/api/", "/a/b~c_d.e-f/G", "/.well-known/x"},
			[]string{"", "/", "api", "//", "/a//b", "/../a", "/a b", "/a{", "/a;", "/ä", "~ /a", "/a%20", "/a?b", "/.well-known/acme-challenge", "/" + strings.Repeat("a", 255)}},
		"location.n.strip-prefix": {[]string{"true"}, []string{"/api"}},
		"redirect-to": {[]string{"example.com", "http://example.com", "HTTPS://Example.com", "example.com:8443", "https://bücher.example/"},
			[]string{"", "https://", "ftp://example.com", "example.com/a", "example.com?a", "*.example.com", "example.com:0", "example.com:", "a", "a@b.c", "10.0.0.1", "a b", "example.com;"}},
		"redirect-code":      {[]string{"301", "302", "303", "307", "308"}, []string{"", "200", "299", "300", "304", "305", "306", "309", "+301", "0301"}},
		"redirect-keep-path": {[]string{"no"}, []string{"keep"}},
		"stream": {[]string{"25565", "53/udp", "22/TCP", "5432/tcp+udp", "5432/udp+tcp"},
			[]string{"", "0", "80", "443", "81/udp", "53/", "53/sctp", "53/udp+udp", "53/tcp+udp+tcp", "53:53", "65536", "1-2"}},
		"on-stop":   {[]string{"keep", "Disable", "delete"}, []string{"", "stop"}},
		"on-remove": {[]string{"keep", "disable", "DELETE"}, []string{"", "remove"}},
		"grace":     {[]string{"30", "5", "5s", "90m", "1h30m", "720h"}, []string{"", "4", "4s", "721h", "-30s", "1d", "99999999999999999999", "0", "2592001"}},
	} {
		t.Run(name, func(t *testing.T) {
			at, ok := locate(name)
			if !ok {
				t.Fatal("not in the table")
			}
			f := fields[at.field]
			read := func(v string) error {
				return f.read(target{in: &Intent{}, route: &draft{}, loc: &Location{}}, f.trim(v))
			}
			for _, v := range test.good {
				if err := read(v); err != nil {
					t.Errorf("%q: %v", v, err)
				}
			}
			for _, v := range test.bad {
				if read(v) == nil {
					t.Errorf("%q is allowed", v)
				}
			}
		})
	}
}

func TestFindingsNameWhatIsAllowed(t *testing.T) {
	for _, f := range fields {
		name := "my.prefix." + strings.Replace(f.name, "<n>", "x", 1)
		in := Of(&api.Container{Labels: map[string]string{name: "\x00"}}, api.Policy{Prefix: "my.prefix"})
		if bad := in.Findings; len(bad) != 1 || !strings.Contains(bad[0].Message, name) || !strings.Contains(bad[0].Message, `"\x00"`) ||
			!strings.Contains(bad[0].Fix, f.values) || !in.Unclear {
			t.Errorf("%s: %+v", f.name, bad)
		}
	}
}

func TestWhatWasMeant(t *testing.T) {
	for name, want := range map[string]string{
		"enabled": "enable", "Enable": "enable", "hosts": "host", "domain": "host", "prot": "port", "ports": "port", "shceme": "scheme",
		"egres": "egress", "roles": "role", "hots": "host", "forcessl": "force-ssl", "tls": "certificate", "letsencrypt.mail": "letsencrypt.email",
		"web.fource-ssl": "web.force-ssl", "web.domain": "web.host", "web.role": "role", "Web.Host": "web.host", "location.api": "location.api.path",
		"location.api.stripprefix": "location.api.strip-prefix", "web.locations.api.path": "web.location.api.path", "port.web": "port",
	} {
		if got := nearest(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := nearest(strings.Repeat("port.", 1000)); got == "" {
		t.Error("a long name is near to nothing")
	}
}

func TestWhatOnesLabelsCanMakeNo502SayIsBounded(t *testing.T) {
	c := &api.Container{Labels: map[string]string{}}
	for i := range 10_000 {
		c.Labels["no502."+strings.Repeat("x", i)+"y"] = "1"
	}
	found := Of(c, policy()).Findings
	if len(found) != maxFindings+1 || !strings.Contains(found[maxFindings].Message, "9950 more") {
		t.Errorf("%d findings, the last %v", len(found), found[len(found)-1])
	}
	for _, f := range found {
		if len(f.Message)+len(f.Fix) > 1000 {
			t.Errorf("%d bytes: %s", len(f.Message), f.Message)
		}
	}
}

func TestConcerns(t *testing.T) {
	foreign := api.Policy{Prefix: "no502", Dialects: []string{"plugnpin"}}
	environment := api.Policy{Prefix: "no502", Dialects: []string{"nginx-proxy"}}
	for name, test := range map[string]struct {
		labels string
		policy api.Policy
		want   bool
	}{
		"under the prefix":           {"no502.x=1", policy(), true},
		"the prefix alone":           {"no502=1;no502.=1;other=1", policy(), false},
		"of a dialect":               {"plugNPiN.url=a.example.com", foreign, true},
		"of a dialect not enabled":   {"plugNPiN.url=a.example.com", policy(), false},
		"of none":                    {"other=1", foreign, false},
		"perhaps in the environment": {"", environment, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Concerns(container(test.labels).Labels, test.policy); got != test.want {
				t.Errorf("%t, want %t", got, test.want)
			}
		})
	}
}

func TestTheOtherToolSwitchedOffDoesNotMeanNo502(t *testing.T) {
	p := api.Policy{Prefix: "no502", Dialects: []string{"traefik"}}
	if in := Of(container("traefik.enable=false"), p); !in.Denied {
		t.Errorf("a container that wants no proxy: %+v", in)
	}
	if in := Of(container("traefik.enable=false;no502.host=a.example.com"), p); in.Denied || !in.Enabled {
		t.Errorf("a container that has moved: %+v", in)
	}
}

func TestRoutesAreFound(t *testing.T) {
	in := Of(container("no502.z.host=z.example.com,y.example.com;no502.a.parked=p.example.com;no502.a.redirect-from=r.example.com;"+
		"no502.a.redirect-to=z.example.com;no502.port=80;no502.a-b.stream=99"), policy())
	var names []string
	for _, r := range in.Routes {
		names = append(names, r.Name)
	}
	if diff := cmp.Diff([]string{"", "a", "a-b", "z"}, names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"p.example.com", "r.example.com", "y.example.com", "z.example.com"}, slices.Sorted(slices.Values(domainsOf(in)))); diff != "" {
		t.Error(diff)
	}
	if r, ok := in.Route(""); !ok || r.Port != 80 || r.Grace != 30*time.Second || r.OnStop != Keep || r.OnRemove != Disable {
		t.Errorf("%+v", r)
	}
	if _, ok := in.Route("b"); ok {
		t.Error("there is no such route")
	}
}

// domainsOf are all domains that labels claim, for whatever kind of host.
func domainsOf(in Intent) (all []string) {
	for _, r := range in.Routes {
		all = append(append(all, r.Domains...), r.Parked...)
		if r.Redirect != nil {
			all = append(all, r.Redirect.From...)
		}
	}
	return all
}
