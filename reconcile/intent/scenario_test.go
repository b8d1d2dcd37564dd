package intent

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/no502/no502/api"
)

var update = flag.Bool("update", false, "write what labels come to into testdata")

// TestWhatLabelsComeTo holds testdata/*.txtar: labels as in a Compose file, and
// what they ask for. A section "operator" has NO502_ settings, "environment"
// the container's variables.
func TestWhatLabelsComeTo(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sections := map[string]string{}
			for _, f := range archive.Files {
				sections[f.Name] = string(f.Data)
			}
			c := &api.Container{Labels: pairs(t, sections["labels"]), Env: pairs(t, sections["environment"])}
			p := operator(t, sections["operator"])
			got := describe(Of(c, p))
			if *update {
				archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == "means" })
				archive.Files = append(archive.Files, txtar.File{Name: "means", Data: []byte(got)})
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(sections["means"], got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// pairs reads lines of "key: value", quoted or not.
func pairs(t *testing.T, text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			t.Fatalf("no label: %q", line)
		}
		m[key] = strings.Trim(strings.TrimSpace(value), `"`)
	}
	return m
}

func operator(t *testing.T, text string) api.Policy {
	p := api.Policy{Prefix: "no502", Defaults: map[string]string{}}
	settings := pairs(t, text)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		field, isDefault := DefaultName(name)
		switch {
		case isDefault:
			p.Defaults[field] = settings[name]
		case name == "NO502_DIALECTS":
			p.Dialects = strings.Split(settings[name], ",")
		default:
			t.Fatalf("no setting: %s", name)
		}
	}
	if err := CheckDefaults(p.Defaults); err != nil {
		t.Fatal(err)
	}
	return p
}

func describe(in Intent) string {
	var b strings.Builder
	line := func(on bool, format string, args ...any) {
		if on {
			fmt.Fprintf(&b, format+"\n", args...)
		}
	}
	line(in.Enabled, "opted in")
	line(in.Denied, "never touched")
	line(in.Egress, "egress allowed")
	line(in.Role != "", "role %s", in.Role)
	line(in.Unclear, "unclear: nothing is removed")
	for _, r := range in.Routes {
		describeRoute(line, r)
	}
	for _, f := range in.Findings {
		line(true, "%s: %s\n  fix: %s", f.Code, f.Message, f.Fix)
	}
	return b.String()
}

func describeRoute(line func(on bool, format string, args ...any), r Route) {
	line(true, "route %q", r.Name)
	line(len(r.Domains) > 0, "  proxy host %s", strings.Join(r.Domains, " "))
	line(r.Port > 0, "  port %d", r.Port)
	line(r.Scheme != "", "  scheme %s", r.Scheme)
	line(r.Upstream != "", "  upstream %s", r.Upstream)
	line(r.Certificate != "", "  certificate %s", r.Certificate)
	line(r.Email+r.DNSProvider != "", "  Let's Encrypt: e-mail %q, DNS provider %q", r.Email, r.DNSProvider)
	line(r.AccessList != "", "  access list %s", r.AccessList)
	line(len(r.Claims) > 0, "  enforced:%s", list(r.Claims))
	line(len(r.Initial) > 0, "  at first:%s", list(r.Initial))
	for _, l := range r.Locations {
		line(true, "  location %s: port %d, scheme %q, upstream %q, strip prefix %t", l.Path, l.Port, l.Scheme, l.Upstream, l.StripPrefix)
	}
	if to := r.Redirect; to != nil {
		line(true, "  redirection %s to %s, scheme %s, code %d, keep path %t", strings.Join(to.From, " "), to.To, to.Scheme, to.Code, to.KeepPath)
	}
	if s := r.Stream; s != nil {
		line(true, "  stream %d, tcp %t, udp %t", s.Port, s.TCP, s.UDP)
	}
	line(len(r.Parked) > 0, "  parked %s", strings.Join(r.Parked, " "))
	line(r.OnStop != Keep || r.OnRemove != Disable || r.Grace.Seconds() != 30, "  when stopped %s, when removed %s, after %s", r.OnStop, r.OnRemove, r.Grace)
}

func list(f api.Fields) (s string) {
	for _, name := range f.Names() {
		s += fmt.Sprintf(" %s=%v", name, f[name])
	}
	return s
}
