package intent

import (
	"maps"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/api"
)

// FuzzOf: whatever the labels say, what is read of them may be used.
func FuzzOf(f *testing.F) {
	for _, seed := range []string{"true", "", "8080", "a.example.com", "*.x, y", "bücher.de", "\x00\xff", "xn--", "a b,c\nd", "1.2.3.4", "/a", "53/tcp+udp"} {
		for _, known := range fields {
			name := strings.Replace(known.name, "<n>", "a", 1)
			f.Add(name, seed, "web."+name, known.example, "x.host", seed)
		}
		f.Add("enalbe", seed, "host", seed, "redirect-from", seed)
	}
	f.Fuzz(func(t *testing.T, a, av, b, bv, c, cv string) {
		labels := map[string]string{"no502." + a: av, "no502." + b: bv, "no502." + c: cv, "npm.proxy.host": av, "caddy": bv, "caddy.reverse_proxy": cv}
		p := api.Policy{Prefix: "no502", Dialects: []string{"npm-docker-sync", "caddy", "nginx-proxy"}, Defaults: map[string]string{"force-ssl": av}}
		env := map[string]string{"VIRTUAL_HOST": cv}
		in := Of(&api.Container{Labels: labels, Env: env}, p)
		if in.Enabled && in.Denied || in.Role != "" && in.Role != api.RoleProxy {
			t.Errorf("%+v", in)
		}
		seen := map[string]bool{}
		for _, d := range domainsOf(in) {
			if !isLookup(d) || seen[d] {
				t.Errorf("domain %q", d)
			}
			seen[d] = true
		}
		for i, r := range in.Routes {
			if i > 0 && r.Name <= in.Routes[i-1].Name {
				t.Errorf("route %q after %q", r.Name, in.Routes[i-1].Name)
			}
			checkRoute(t, r)
		}
		for _, finding := range in.Findings {
			if !utf8.ValidString(finding.Message+finding.Fix) || strings.ContainsAny(finding.Message+finding.Fix, "\n\x00") {
				t.Errorf("%q", finding)
			}
		}
		if again := Of(&api.Container{Labels: maps.Clone(labels), Env: env}, p); !cmp.Equal(in, again) {
			t.Errorf("not the same twice: %s", cmp.Diff(in, again))
		}
	})
}

// isLookup tells a lower-case A-label, perhaps a wildcard.
func isLookup(d string) bool {
	rest := strings.TrimPrefix(d, "*.")
	same, ok := domain(d)
	return ok && same == d && api.IsForwardHost(rest) && rest == strings.ToLower(rest) && !strings.Contains(rest, "..") && len(d) <= 255
}

func checkRoute(t *testing.T, r Route) {
	for _, fields := range []api.Fields{r.Claims, r.Initial} {
		for name, value := range fields {
			if got := reflect.TypeOf(value); got != reflect.TypeFor[bool]() && (name != api.FieldAdvanced || got.Kind() != reflect.String) {
				t.Errorf("%s is %v", name, got)
			}
		}
	}
	if r.Scheme != "" && r.Scheme != "http" && r.Scheme != "https" || r.Name != "" && !isName(r.Name) {
		t.Errorf("%+v", r)
	}
	if r.Upstream != "" && !api.IsForwardHost(strings.Replace(r.Upstream, "/", "-", 1)) {
		t.Errorf("upstream %q", r.Upstream)
	}
	for _, l := range r.Locations {
		if l.Path[0] != '/' || strings.ContainsAny(l.Path, "{};$\"'\\ \n") || !isName(l.Name) {
			t.Errorf("%+v", l)
		}
	}
	if to := r.Redirect; to != nil {
		host, _, _ := strings.Cut(to.To, ":")
		if !isLookup(host) || strings.HasPrefix(host, "*") || len(to.From) == 0 || to.Code < 301 || to.Code > 308 {
			t.Errorf("%+v", to)
		}
	}
	if s := r.Stream; s != nil && (s.Port == 0 || !s.TCP && !s.UDP) {
		t.Errorf("%+v", s)
	}
	if r.Grace < minGrace || r.Grace > maxGrace || r.OnStop == "" || r.OnRemove == "" {
		t.Errorf("%+v", r)
	}
}
