package intent

import (
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/api"
)

func TestOf(t *testing.T) {
	long := strings.Repeat("a", 64) + ".example.com"
	for name, test := range map[string]struct {
		labels string // KEY=VALUE, separated by semicolons
		want   Intent // but for the findings
		codes  []api.Code
	}{
		"nothing":                    {"", Intent{}, nil},
		"other prefixes":             {"no502x.enable=true;no502=true;com.no502.enable=true", Intent{}, nil},
		"nothing under the prefix":   {"no502.=true", Intent{}, nil},
		"enabled":                    {"no502.enable=true", Intent{Enabled: true}, nil},
		"enabled in other words":     {"no502.enable= On ", Intent{Enabled: true}, nil},
		"denied":                     {"no502.enable=false", Intent{Denied: true}, nil},
		"denied in other words":      {"no502.enable=0", Intent{Denied: true}, nil},
		"unreadable denies":          {"no502.enable=perhaps", Intent{Denied: true}, []api.Code{api.InvalidLabel}},
		"empty denies":               {"no502.enable=", Intent{Denied: true}, []api.Code{api.InvalidLabel}},
		"host enables":               {"no502.host=a.example.com", Intent{Enabled: true, Domains: []string{"a.example.com"}}, nil},
		"host and denied":            {"no502.host=a.example.com;no502.enable=no", Intent{Denied: true, Domains: []string{"a.example.com"}}, nil},
		"several hosts":              {"no502.host=B.example.com, a.example.com a.example.com.,*.example.com", Intent{Enabled: true, Domains: []string{"b.example.com", "a.example.com", "*.example.com"}}, nil},
		"host in Unicode":            {"no502.host=bücher.example", Intent{Enabled: true, Domains: []string{"xn--bcher-kva.example"}}, nil},
		"host is a URL":              {"no502.host=https://a.example.com", Intent{}, []api.Code{api.InvalidLabel}},
		"host with a port":           {"no502.host=a.example.com:443", Intent{}, []api.Code{api.InvalidLabel}},
		"host is an address":         {"no502.host=10.0.0.1", Intent{}, []api.Code{api.InvalidLabel}},
		"host is a wildcard only":    {"no502.host=*", Intent{}, []api.Code{api.InvalidLabel}},
		"host with an empty part":    {"no502.host=a..example.com", Intent{}, []api.Code{api.InvalidLabel}},
		"host with a long part":      {"no502.host=" + long, Intent{}, []api.Code{api.InvalidLabel}},
		"host that is empty":         {"no502.host= , ", Intent{}, []api.Code{api.InvalidLabel}},
		"one bad host spoils all":    {"no502.host=a.example.com b$.example.com", Intent{}, []api.Code{api.InvalidLabel}},
		"port":                       {"no502.port= 8080 ", Intent{Port: 8080}, nil},
		"port 0":                     {"no502.port=0", Intent{}, []api.Code{api.InvalidLabel}},
		"port too large":             {"no502.port=65536", Intent{}, []api.Code{api.InvalidLabel}},
		"port with a sign":           {"no502.port=+80", Intent{}, []api.Code{api.InvalidLabel}},
		"scheme":                     {"no502.scheme=HTTPS", Intent{Scheme: "https"}, nil},
		"scheme that is none":        {"no502.scheme=h2c", Intent{}, []api.Code{api.InvalidLabel}},
		"egress":                     {"no502.egress=yes", Intent{Egress: true}, nil},
		"egress that is unreadable":  {"no502.egress=y", Intent{}, []api.Code{api.InvalidLabel}},
		"role":                       {"no502.role=proxy", Intent{Role: api.RoleProxy}, nil},
		"role that is none":          {"no502.role=Proxy", Intent{}, []api.Code{api.InvalidLabel}},
		"unknown":                    {"no502.enabled=true", Intent{}, []api.Code{api.UnknownLabel}},
		"capitals are another label": {"no502.Enable=true", Intent{}, []api.Code{api.UnknownLabel}},
		"several findings, in order": {"no502.zebra=1;no502.port=x;no502.enable=true", Intent{Enabled: true}, []api.Code{api.InvalidLabel, api.UnknownLabel}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Of(labels(test.labels), "no502")
			var codes []api.Code
			for _, f := range got.Findings {
				codes = append(codes, f.Code)
			}
			got.Findings = nil
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.codes, codes); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func labels(s string) map[string]string {
	m := map[string]string{}
	for _, label := range strings.Split(s, ";") {
		if key, value, ok := strings.Cut(label, "="); ok {
			m[key] = value
		}
	}
	return m
}

func TestFindingsNameWhatIsAllowed(t *testing.T) {
	for _, f := range fields {
		bad := Of(map[string]string{"my.prefix." + f.name: "\x00"}, "my.prefix").Findings
		if len(bad) != 1 || !strings.Contains(bad[0].Message, "my.prefix."+f.name) || !strings.Contains(bad[0].Message, `"\x00"`) ||
			!strings.Contains(bad[0].Fix, f.allowed) {
			t.Errorf("%s: %+v", f.name, bad)
		}
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{
		"enabled": "enable", "Enable": "enable", "hosts": "host", "domain": "host", "prot": "port", "ports": "port", "shceme": "scheme",
		"egres": "egress", "roles": "role", strings.Repeat("port", 100): "port",
	} {
		if got := nearest(name); got != want {
			t.Errorf("%s: %s, want %s", name[:min(len(name), 20)], got, want)
		}
	}
}

func TestConcerns(t *testing.T) {
	if !Concerns(labels("no502.x=1"), "no502") || Concerns(labels("no502=1;no502.=1;other=1"), "no502") {
		t.Error("a label under the prefix concerns no502, and no other")
	}
}

// FuzzOf: whatever the labels say, what is read of them may be used.
func FuzzOf(f *testing.F) {
	for _, seed := range []string{"true", "false", "", "8080", "https", "proxy", "a.example.com", "*.x, y", "bücher.de", "\x00\xff", "xn--", "a b,c\nd", "1.2.3.4", "*.1"} {
		for _, known := range fields {
			f.Add(known.name, seed, "other", "1")
		}
		f.Add("enalbe", seed, "host", seed)
	}
	f.Fuzz(func(t *testing.T, a, av, b, bv string) {
		ls := map[string]string{"no502." + a: av, "no502." + b: bv}
		in := Of(ls, "no502")
		if in.Enabled && in.Denied {
			t.Error("enabled and denied")
		}
		if in.Scheme != "" && in.Scheme != "http" && in.Scheme != "https" || in.Role != "" && in.Role != api.RoleProxy {
			t.Errorf("%+v", in)
		}
		for _, d := range in.Domains {
			rest := strings.TrimPrefix(d, "*.")
			if !api.IsForwardHost(rest) || rest != strings.ToLower(rest) || strings.Contains(rest, "..") || len(d) > 255 {
				t.Errorf("domain %q", d)
			}
		}
		for _, finding := range in.Findings {
			if !utf8.ValidString(finding.Message+finding.Fix) || strings.ContainsAny(finding.Message, "\n\x00") {
				t.Errorf("%q", finding.Message)
			}
		}
		if again := Of(maps.Clone(ls), "no502"); !cmp.Equal(in, again) {
			t.Errorf("not the same twice: %+v %+v", in, again)
		}
	})
}
