package npm

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/no502/no502/api"
)

// What must not reach NPM does not, whichever field it is in, and costs no
// request.
func TestCheck(t *testing.T) {
	hosts := []string{"", "-web", "a b", "a;b", `x"; return 200 "pwned"; set $z "`, "web\n", "$host", "http://web", "web:80", "a/b",
		"2001:db8::1", "[::1]", "wéb", "a\x00b", "{{ id }}", "a\\", "a#b", "a}b", "a\tb", strings.Repeat("a", 254)}
	domains := []string{"", "a b", "a;b", "a}", "a\nb", "a\tb", "a{b", `a"b`, "a'b", "a#b", "a/b", "a:1", "$host", "a\\b", "~^x", "a,b", "(a)", "[a]", "a\u2028b"}
	location := func(change func(*api.Location)) any {
		l := api.Location{Path: "/x", Scheme: "http", Host: "web", Port: 80}
		change(&l)
		return []api.Location{l}
	}
	type field struct {
		kind  api.Kind
		name  string
		value any
	}
	bad := []field{
		{api.KindHost, api.FieldScheme, "ftp"}, {api.KindHost, api.FieldScheme, ""}, {api.KindHost, api.FieldScheme, "HTTP"},
		{api.KindHost, api.FieldScheme, "auto"}, {api.KindRedirection, api.FieldScheme, "$scheme"},
		{api.KindHost, api.FieldPort, 0}, {api.KindHost, api.FieldPort, 65536}, {api.KindStream, api.FieldIncoming, -1},
		{api.KindStream, api.FieldStreamPort, 0},
		{api.KindHost, api.FieldDomains, []string{}}, {api.KindHost, api.FieldDomains, make([]string, 101)},
		{api.KindRedirection, api.FieldRedirectTo, "*.a.b"}, {api.KindRedirection, api.FieldRedirectTo, "a..b"},
		{api.KindRedirection, api.FieldRedirectTo, "a.b."}, {api.KindRedirection, api.FieldRedirectTo, "a.b:x"},
		{api.KindHost, api.FieldLocations, location(func(l *api.Location) { l.Scheme = "x" })},
		{api.KindHost, api.FieldLocations, location(func(l *api.Location) { l.Port = 0 })},
	}
	for _, h := range hosts {
		bad = append(bad, field{api.KindHost, api.FieldHost, h}, field{api.KindStream, api.FieldStreamHost, h})
		if h != "$host" {
			bad = append(bad, field{api.KindHost, api.FieldLocations, location(func(l *api.Location) { l.Host = h })})
		}
	}
	for _, h := range []string{"$", "$a-b", "$A", "${a}", "$a;", "$a\n", "a$b"} {
		bad = append(bad, field{api.KindHost, api.FieldLocations, location(func(l *api.Location) { l.Host = h })})
	}
	for _, d := range domains {
		bad = append(bad, field{api.KindHost, api.FieldDomains, []string{"ok.test", d}})
		if d != "a:1" {
			bad = append(bad, field{api.KindRedirection, api.FieldRedirectTo, d})
		}
	}
	for _, p := range []string{"", "/x { return 200; } location /y", "/x;", "/x\n", `/"`, "/#"} {
		bad = append(bad, field{api.KindHost, api.FieldLocations, location(func(l *api.Location) { l.Path = p })})
		if p != "" {
			bad = append(bad, field{api.KindHost, api.FieldLocations, location(func(l *api.Location) { l.ForwardPath = p })})
		}
	}
	b := newBed(t, nil)
	for _, f := range bad {
		to := api.Fields{f.name: f.value}
		_, made := b.Create(t.Context(), f.kind, to, api.Ownership{})
		for what, err := range map[string]error{
			"patch":  b.Patch(t.Context(), keyOf(f.kind, 1), nil, to, nil),
			"enable": b.Enable(t.Context(), keyOf(f.kind, 1), nil, to, nil),
			"create": made,
		} {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%s %s %q: %v", what, f.name, f.value, err)
			}
		}
	}
	for _, d := range domains {
		if err := b.RequestCertificate(t.Context(), []string{d}, "", ""); !errors.Is(err, ErrInvalid) {
			t.Errorf("certificate for %q: %v", d, err)
		}
	}
	eq(t, "calls", b.calls(), nil)
}

func TestCheckAccepts(t *testing.T) {
	theirs := api.Location{Path: `~ ^/(a|b){2}`, Scheme: "http", Host: "10.0.0.9/app", Port: 80}
	ours := api.Location{Path: "/x", Scheme: "http", Host: "$loc_1", Port: 80, ForwardPath: "/y/"}
	moved := theirs
	moved.Port = 81
	for _, c := range []struct {
		kind     api.Kind
		from, to api.Fields
	}{
		{api.KindHost, nil, web.Fields()},
		{api.KindHost, nil, api.Fields{api.FieldHost: "web.shop.", api.FieldDomains: []string{"*.a.b", "a.b", "ä.test", "a.*"}}},
		{api.KindHost, nil, api.Fields{api.FieldLocations: []api.Location{ours}}},
		// What a person wrote is theirs.
		{api.KindHost, api.Fields{api.FieldLocations: []api.Location{theirs}}, api.Fields{api.FieldLocations: []api.Location{theirs, ours}}},
		{api.KindHost, api.Fields{api.FieldLocations: []api.Location{theirs}}, api.Fields{api.FieldLocations: []api.Location{moved}}},
		{api.KindHost, api.Fields{api.FieldHost: "http://x"}, api.Fields{api.FieldHost: "http://x", api.FieldPort: 1}},
		{api.KindRedirection, nil, api.Fields{api.FieldScheme: "auto", api.FieldRedirectTo: "a.b:8443"}},
		{api.KindStream, nil, api.Fields{api.FieldIncoming: 1, api.FieldStreamHost: "10.0.0.1", api.FieldStreamPort: 65535}},
	} {
		if err := check(c.kind, c.from, c.to); err != nil {
			t.Errorf("%v: %v", c.to, err)
		}
	}
}

var hostname = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,252}$`)

func FuzzForward(f *testing.F) {
	f.Add("http", "web", 80)
	f.Add("https", `x"; return 200`, 0)
	f.Fuzz(func(t *testing.T, scheme, host string, port int) {
		err := check(api.KindHost, api.Fields{api.FieldScheme: "-", api.FieldHost: "\n", api.FieldPort: -1},
			api.Fields{api.FieldScheme: scheme, api.FieldHost: host, api.FieldPort: port})
		good := (scheme == "http" || scheme == "https" || scheme == "-") && (port > 0 && port < 1<<16 || port == -1) &&
			(host == "\n" || hostname.MatchString(host) && !strings.HasSuffix(host, "\n"))
		if good != (err == nil) {
			t.Errorf("%q %q %d: %v", scheme, host, port, err)
		}
	})
}
