package dialect_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent/dialect"
)

var update = flag.Bool("update", false, "write what is translated into the scenarios")

// TestTranslations reads testdata/*.txtar: the labels that somebody has from
// another tool, the no502 labels that say the same, and what cannot be said.
func TestTranslations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { play(t, file) })
	}
}

func play(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, f := range archive.Files {
		want[f.Name] = string(f.Data)
	}
	names := strings.Fields(want["dialects"])
	if len(names) == 0 {
		t.Fatal("the scenario names no dialects")
	}
	labels, findings := dialect.Translate(names, pairs(t, want["labels"]), pairs(t, want["environment"]))
	sections := []txtar.File{{Name: "no502", Data: []byte(lines(labels))}, {Name: "says", Data: []byte(sentences(findings))}}
	if *update {
		archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == "no502" || f.Name == "says" })
		archive.Files = append(archive.Files, sections...)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, s := range sections {
		if diff := cmp.Diff(want[s.Name], string(s.Data)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.Name, diff)
		}
	}
}

// pairs reads lines of NAME: VALUE.
func pairs(t *testing.T, text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if !ok {
			t.Fatalf("%q is not NAME: VALUE", line)
		}
		m[key] = strings.TrimSpace(value)
	}
	return m
}

func lines(m map[string]string) string {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&text, "%s: %s\n", key, m[key])
	}
	return text.String()
}

func sentences(findings []api.Finding) string {
	var text strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&text, "%s\n  fix: %s\n", f.Message, f.Fix)
	}
	return text.String()
}

func TestTheDialectsAreNamedInAlphabeticalOrder(t *testing.T) {
	if names := dialect.Names(); !slices.IsSorted(names) || len(names) != 6 {
		t.Error(names)
	}
}

func TestOnlyNginxProxyReadsTheEnvironment(t *testing.T) {
	for _, name := range dialect.Names() {
		if got := dialect.NeedsEnv([]string{"plugnpin", name}); got != (name == "nginx-proxy") {
			t.Errorf("%s: %t", name, got)
		}
	}
	for name, want := range map[string]bool{
		"VIRTUAL_HOST": true, "VIRTUAL_PORT": true, "VIRTUAL_PROTO": true, "LETSENCRYPT_HOST": true, "LETSENCRYPT_EMAIL": true,
		"DB_PASSWORD": false, "ACMESH_DNS_API_CONFIG": false, "ZEROSSL_API_KEY": false, "virtual_host": false, "": false,
	} {
		if got := dialect.ReadsEnv(name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestAContainerIsConcernedByTheDialectsThatAreOn(t *testing.T) {
	for label, names := range map[string][]string{
		"caddy": {"caddy"}, "caddy_1.reverse_proxy": {"caddy"}, "caddy_ingress_network": nil, "caddyx": nil,
		"npm.proxy.domain": {"npm-docker-auto-proxy", "npm-docker-sync"}, "npm-stream.incoming.port": {"npm-docker-sync"},
		"npm.version": nil, "plugNPiN.url": {"plugnpin"}, "plugnpin.url": nil, "Traefik.Enable": {"traefik"}, "traefikish": nil,
		"com.github.nginx-proxy.nginx-proxy.http2.enable": {"nginx-proxy"}, "com.github.nginx-proxy.nginx-proxy": nil, "no502.host": nil,
	} {
		for _, name := range dialect.Names() {
			if got := dialect.Concerns([]string{name}, map[string]string{label: "x", "other": "y"}); got != slices.Contains(names, name) {
				t.Errorf("%s, %s: %t", label, name, got)
			}
		}
	}
	if dialect.Concerns(nil, map[string]string{"caddy": "a.example.com"}) || dialect.Concerns([]string{"unknown"}, map[string]string{"caddy": ""}) {
		t.Error("no dialect is on")
	}
}

var wellFormed = regexp.MustCompile(`^([a-z0-9-]+\.)?(enable|host|port|scheme|upstream|certificate|letsencrypt\.(email|dns-provider)|` +
	`force-ssl|http2|hsts|hsts-subdomains|websockets|block-exploits|cache|access-list|location\.[0-9]+\.(path|port|scheme|upstream|strip-prefix)|` +
	`advanced-config|redirect-from|redirect-to|redirect-code|redirect-keep-path|stream|on-stop|on-remove)$`)

// FuzzTranslate: whatever the labels say, there are no502 labels or findings,
// the same each time, and no domain twice.
func FuzzTranslate(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var text strings.Builder
		for _, s := range archive.Files {
			if s.Name == "labels" || s.Name == "environment" {
				text.Write(s.Data)
			}
		}
		f.Add(text.String())
	}
	f.Add("caddy: a.example.com\ncaddy..: {{\ncaddy.\\.: \"\ncaddy.1__2: `\n")
	f.Add("traefik.http.routers.x.rule: ((((Host(`a`)&&!Path(`b`)\ntraefik.http.: 1\nTRAEFIK.: 2\n")
	f.Add("npm.proxy.99.domains: a.example.com, b{}\nnpm-proxy.1.port: 0\nnpm.stream.0.incoming.port: 99999\n")
	f.Fuzz(func(t *testing.T, text string) {
		labels := map[string]string{}
		for line := range strings.SplitSeq(text, "\n") {
			key, value, _ := strings.Cut(line, ":")
			labels[key] = strings.TrimSpace(value)
		}
		names := dialect.Names()
		check(t, names, labels)
		slices.Reverse(names)
		check(t, names, labels)
	})
}

func check(t *testing.T, names []string, labels map[string]string) {
	got, findings := dialect.Translate(names, labels, labels)
	domains := map[string]string{}
	for key, value := range got {
		m := wellFormed.FindStringSubmatch(key)
		if m == nil || value == "" {
			t.Errorf("%q: %q", key, value)
			continue
		}
		if name := strings.TrimSuffix(m[1], "."); name != "" && wellFormed.MatchString(name) {
			t.Errorf("the route %q is named like a field", name)
		}
		if m[2] == "host" || m[2] == "redirect-from" {
			for d := range strings.SplitSeq(value, ",") {
				if before, twice := domains[d]; twice || d == "" || strings.ContainsAny(d, " {};$\"'`\\/\n") {
					t.Errorf("the domain %q of %s, %s", d, key, before)
				}
				domains[d] = key
			}
		}
		if m[2] == "upstream" && !api.IsForwardHost(value) {
			t.Errorf("the upstream %q", value)
		}
	}
	for _, finding := range findings {
		if text := finding.Message + finding.Fix; !utf8.ValidString(text) || strings.ContainsAny(text, "\n\x00") || finding.Code != api.NotTranslated || finding.Fix == "" {
			t.Errorf("%q", text)
		}
	}
	again, more := dialect.Translate(names, maps.Clone(labels), maps.Clone(labels))
	if !cmp.Equal(got, again) || !cmp.Equal(findings, more) {
		t.Error("not the same twice")
	}
}
