package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/dockerdtest"
	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/controller/npm/npmtest"
	"github.com/no502/no502/controller/report"
	"github.com/no502/no502/reconcile/intent/dialect"
)

// attempts are the lines of testdata/injections.txt.
func attempts(t testing.TB) (all []string) {
	t.Helper()
	f, err := os.Open("testdata/injections.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		times, text := 1, line
		if line[0] != '"' {
			if _, err := fmt.Sscanf(line, "%d * %q", &times, &text); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		} else if text, err = strconv.Unquote(line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, strings.Repeat(text, times))
	}
	if len(all) < 100 {
		t.Fatalf("there are %d attempts", len(all))
	}
	return all
}

// refining are the labels that say more about a host that is made without them.
var refining = strings.Fields(`port scheme certificate letsencrypt.email letsencrypt.dns-provider force-ssl http2 hsts
	hsts-subdomains websockets block-exploits cache trust-forwarded-proto location.a.path location.a.port
	location.a.scheme location.a.upstream location.a.strip-prefix on-stop on-remove grace egress role`)

// declaring are the labels that make a host by themselves, or decide whether one
// is made, each with what else its route says.
var declaring = map[string]string{
	"host": "", "redirect-from": "redirect-to", "parked": "", "stream": "",
	"redirect-to": "redirect-from", "upstream": "host", "access-list": "host", "advanced-config": "host",
}

// foreign are other tools' labels and variables, in which the attempt stands for %s.
var foreign = map[string]string{
	"npm.proxy.0.domains": "%s", "npm.proxy.0.host": "%s", "npm.proxy.0.port": "%s", "npm.proxy.0.advanced.config": "%s",
	"npm.stream.0.incoming.port": "%s", "npm.stream.0.forward.host": "%s",
	"plugNPiN.url": "%s", "plugNPiN.ip": "%s", "plugNPiN.npmOptions.advancedConfig": "%s",
	"traefik.http.routers.x.rule": "Host(`%s`)", "traefik.http.routers.y.rule": "PathPrefix(`%s`)",
	"traefik.http.services.x.loadbalancer.server.port": "%s", "traefik.http.middlewares.x.replacepath.path": "%s",
	"caddy": "%s", "caddy.reverse_proxy": "%s", "caddy_1": "a.example.com", "caddy_1.handle_path": "%s",
	"com.github.nginx-proxy.nginx-proxy.loadbalance": "%s",
}

// declares is the container that has one attempt in each of no502's labels, in
// Compose's, and in an alias.
func declares(i int, attempt string) stage.Container {
	c := anApp(fmt.Sprintf("hostile%d", i), "proxy")
	domain := fmt.Sprintf("hostile%d.example.com", i)
	c.Labels = map[string]string{"no502.host": domain, api.ComposeProject: attempt, api.ComposeService: attempt, api.ComposeNumber: attempt}
	for _, field := range refining {
		c.Labels["no502."+field] = attempt
	}
	for field, beside := range declaring {
		c.Labels["no502."+field+"-route."+field] = attempt
		if beside != "" {
			c.Labels["no502."+field+"-route."+beside] = field + "." + domain
		}
	}
	if attempt != "" && utf8.ValidString(attempt) {
		c.Aliases = []string{attempt}
	}
	return c
}

// speaks is the container that has it in what other tools read, and in the
// names of labels. It is not started.
func speaks(i int, attempt string) stage.Container {
	c := stage.Container{Name: fmt.Sprintf("foreign%d", i), Image: appImage, Network: "proxy", Labels: map[string]string{}}
	for label, value := range foreign {
		c.Labels[label] = fmt.Sprintf(value, attempt)
	}
	for _, name := range []string{"VIRTUAL_HOST", "VIRTUAL_PORT", "VIRTUAL_PROTO", "VIRTUAL_PATH", "VIRTUAL_DEST", "LETSENCRYPT_HOST", "LETSENCRYPT_EMAIL"} {
		c.Env = append(c.Env, name+"="+attempt)
	}
	return c
}

// names is the container that has it in the names of labels, and in the label
// that decides about all others.
func names(i int, attempt string) stage.Container {
	return stage.Container{Name: fmt.Sprintf("names%d", i), Image: appImage, Network: "proxy", Labels: map[string]string{
		"no502." + attempt: "true", "no502." + attempt + ".host": "evil.example.com", "no502.x.location." + attempt + ".path": "/x",
		"no502.enable": attempt,
	}}
}

// off are harmless labels of all kinds of hosts.
func off() map[string]string {
	return map[string]string{
		"no502.host": "hostile-off.example.com", "no502.websockets": "0", "no502.block-exploits": "0",
		"no502.d.host": "d.example.com, e.example.com", "no502.a.redirect-from": "a.example.com", "no502.a.redirect-to": "b.example.com",
		"no502.b.parked": "c.example.com", "no502.c.stream": "54/udp",
	}
}

// sick is a container whose health check says one attempt after the other, and
// that all is well in between, so that each is news.
func (w *world) sick(all []string) {
	w.t.Helper()
	var checks atomic.Int64
	w.docker.Register("sick:1", func(ctx context.Context, box *dockerdtest.Box) int {
		if slices.Contains(box.Args, "check") {
			n := int(checks.Add(1))
			fmt.Fprintln(box.Stdout, all[n/2%len(all)])
			return n % 2
		}
		return embeddedProgram(ctx, w.docker, box)
	})
	w.app("sick", "proxy", func(c *stage.Container) { c.Image, c.Health = "sick:1", []string{"check"} })
}

// Nobody who writes labels writes nginx's configuration, or on the terminal of
// whoever reads the log.
func TestInjections(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settings.dialects = dialect.Names()
		w.settings.resync = 30 * time.Minute // which reads much here
		all := attempts(t)
		w.crowd(2)
		w.startNPM()
		g := w.guard()
		g.crowd(2)
		// What nginx lets somebody type into NPM.
		w.npm.AddHost(npmtest.ProxyHost{ID: 800, DomainNames: []string{"t\u009b31myped\u202e.example.com"},
			ForwardHost: "w\x1b[31mb\u009b2J\u202e", ForwardPort: 80, AdvancedConfig: "# no502: on"})
		w.sick(all)
		w.app("hostile", "proxy", func(c *stage.Container) { c.Labels = map[string]string{"no502.host": "hostile.example.com"} })
		w.app("hostile-off", "proxy", func(c *stage.Container) { c.Labels = off() })
		g.expects("hostile.example.com", "hostile")
		w.start()
		pass(time.Minute)
		shapes, texts := w.confs()

		for i, attempt := range all {
			c := declares(i, attempt)
			_, err := w.people.Run(t.Context(), c)
			w.must(err)
			for _, c := range []stage.Container{speaks(i, attempt), names(i, attempt)} {
				_, err = w.people.Create(t.Context(), c)
				w.must(err)
			}
			g.expects(c.Name+".example.com", c.Name)
		}
		g.holds("injections")

		w.wantHarmlessConfs(shapes, texts)
		_, body := w.get("/api/v1/verdicts")
		harmless(t, "the verdicts", body)
		w.wantLabelsNamed(all, body)

		log := w.log.everything()
		harmless(t, "the log", log)
		for line := range strings.Lines(log) {
			if !json.Valid([]byte(line)) {
				t.Errorf("a line of the log is no JSON: %s", line)
			}
		}
		var text, asJSON strings.Builder
		plan, err := lookOnce(t.Context(), w.settings, w.place, io.Discard)
		w.must(err)
		w.must(printPlan(&text, plan))
		w.must(printJSON(&asJSON, plan))
		harmless(t, "the plan", text.String())
		harmless(t, "the plan's JSON", asJSON.String())
		if !json.Valid([]byte(asJSON.String())) {
			t.Error("the plan's JSON is none")
		}
	})
}

// confs are what NPM's files tell nginx, and their texts, without what tells one
// container's from another's.
func (w *world) confs() (shapes, texts map[string]string) {
	shapes, texts = map[string]string{}, map[string]string{}
	own := regexp.MustCompile(`hostile(-off)?[0-9]*|-host-[0-9]+_`)
	for _, path := range w.npm.ConfFiles() {
		conf, _ := w.npm.Conf(path)
		shapes[shape(conf)] = path
		texts[own.ReplaceAllString(conf, "hostile")] = path
	}
	return shapes, texts
}

// wantHarmlessConfs fails unless NPM's files tell nginx nothing that they did
// not tell it before, and those of hostile containers' own hosts say just that.
func (w *world) wantHarmlessConfs(shapes, texts map[string]string) {
	w.t.Helper()
	nowShapes, nowTexts := w.confs()
	for shape, path := range nowShapes {
		if shapes[shape] == "" {
			conf, _ := w.npm.Conf(path)
			w.t.Errorf("%s tells nginx something else than a harmless one:\n%s", path, conf)
		}
	}
	for conf, path := range nowTexts {
		if strings.Contains(conf, "\n# hostile.example.com\n") && texts[conf] == "" {
			w.t.Errorf("%s says something else than a harmless one:\n%s", path, conf)
		}
	}
}

// wantLabelsNamed fails unless what was found names each label that holds an
// attempt. testdata/inert.txt has those that may say it, with nothing wrong.
func (w *world) wantLabelsNamed(all []string, verdicts string) {
	w.t.Helper()
	var views []report.View
	w.must(json.Unmarshal([]byte(verdicts), &views))
	found := map[string]string{}
	for _, v := range views {
		for _, f := range v.Findings {
			found[v.Name] += f.Message + "\n" + f.Fix + "\n"
		}
	}
	var inert []string
	for i, attempt := range all {
		c := declares(i, attempt)
		said := found[c.Name] + found[c.Name+".example.com"]
		for label, value := range c.Labels {
			field := label[strings.LastIndexByte(label, '.')+1:]
			if value == attempt && strings.HasPrefix(label, "no502.") && !strings.Contains(said, label) && !strings.Contains(said, "the label "+field) {
				inert = append(inert, fmt.Sprintf("%s: %.80q", label, attempt))
			}
		}
		if name := names(i, attempt).Name; found[name] == "" {
			w.t.Errorf("nothing is found about the labels of %s: %.80q", name, attempt)
		}
	}
	slices.Sort(inert)
	want, err := os.ReadFile("testdata/inert.txt")
	w.must(err)
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(string(want)), "\n"), inert); diff != "" {
		w.t.Errorf("labels that may say what somebody tries: testdata/inert.txt has others:\n%s", diff)
	}
}

// harmless fails where a text holds what a terminal obeys, or no UTF-8.
func harmless(t *testing.T, what, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%s is no UTF-8", what)
	}
	for _, r := range text {
		if r != '\n' && !unicode.IsGraphic(r) {
			t.Errorf("%s holds %q", what, r)
			return
		}
	}
}
