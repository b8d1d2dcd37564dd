package npmtest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/controller/npm/npmtest"
)

var versions = []string{"2.15.1", "2.13.7"}

// groups are the scenarios that were recorded on one instance each, in order.
// The recordings' own page names the first four; the ids and times in the
// exchanges tell the rest apart.
var groups = [][]string{
	{"setup_first_run"},
	{"auth", "permissions", "two_factor"},
	{"proxy_hosts_crud", "proxy_hosts_validation"},
	{"certificate_id_zero_coercion", "meta", "enable_disable", "locations", "advanced_config", "injection"},
	{"modified_on_and_cursor", "access_lists", "certificates", "streams", "redirection_hosts", "dead_hosts",
		"settings_misc", "reload_stuck_by_port_conflict", "dead_host_double_disable_crash"},
	{"locations_resolution", "broken_nginx_cascade", "restart_with_unresolvable_location"},
	{"dataplane_502_causes"},
}

// normalised are the parts of a body that no second run can repeat. Everything
// else is compared as it is.
var normalised = []struct {
	why string
	re  *regexp.Regexp
	to  string
}{
	{"clock of the run", regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$`), "<time>"},
	{"clock of the run, in tokens", regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`), "<iso time>"},
	{"clock and process id of nginx -t", regexp.MustCompile(`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[emerg\] \d+#\d+:`), "<nginx -t>"},
	{"signatures (recorded as <JWT> too)", regexp.MustCompile(`^[\w-]+\.[\w-]+\.[\w-]+$|^<JWT>$`), "<JWT>"},
	{"secrets (recorded as <SECRET> too)", regexp.MustCompile(`\b[A-Z2-7]{32}\b|^[0-9A-F]{8}$`), "<SECRET>"},
	{"PEM blocks", regexp.MustCompile(`(?s)^-----BEGIN CERTIFICATE-----.*`), "<CERT>"},
	{"PEM blocks", regexp.MustCompile(`(?s)^-----BEGIN PRIVATE KEY-----.*`), "<KEY>"},
	{"an address in certbot's memory", regexp.MustCompile(`object at 0x[0-9a-f]+`), "object at <address>"},
}

// skipped exchanges cannot be reproduced.
var skipped = map[string]string{
	"certificates/dns-providers": "86 entries of NPM's own catalogue; compared as a subset in TestDNSProviders",
}

// entry is one exchange or observation of a recording.
type entry struct {
	Name    string
	Request *struct {
		Method  string
		Path    string
		Body    any
		Auth    string
		RawBody *string `json:"raw_body"`
		Headers map[string]string
	}
	Response struct {
		Status  int
		Body    any
		Headers map[string]string
	}
	Observation any
}

func recording(t *testing.T, version, scenario string) []entry {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "recordings", version, scenario+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var entries []entry
	if err := json.Unmarshal(text, &entries); err != nil {
		t.Fatal(err)
	}
	return entries
}

// TestReplay sends every recorded request, in order, and compares the answers.
func TestReplay(t *testing.T) {
	for _, version := range versions {
		for _, group := range groups {
			t.Run(version+"/"+group[0], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { replayGroup(t, version, group) })
			})
		}
	}
}

func replayGroup(t *testing.T, version string, group []string) {
	newReplay(t, version, group[0] != "setup_first_run").play(group)
}

// play sends the exchanges of a group of scenarios, with what happened between
// them.
func (p *replay) play(group []string) {
	steps, checks := maps.Clone(between), maps.Clone(observations)
	maps.Copy(steps, causesSteps)
	maps.Copy(checks, resolutionObservations)
	maps.Copy(checks, causesObservations())
	for _, scenario := range group {
		p.scenario = scenario
		for _, e := range recording(p.T, p.version, scenario) {
			key := scenario + "/" + e.Name
			if step, found := steps[key]; found {
				step(p)
			}
			switch check, found := checks[key]; {
			case e.Request != nil:
				p.exchange(e)
			case found:
				check(p, e)
			case scenario == "injection" && strings.HasPrefix(e.Name, "result"):
				injectionResult(p, e)
			}
		}
	}
}

// replay is one instance under replay, with the logins of the recording.
type replay struct {
	*testing.T
	version  string
	net      *fakeNet
	s        *npmtest.Server
	api      http.Handler
	web      http.Handler
	scenario string
	tokens   map[string]string
	emails   map[string]string
	totp     string
	backup   string
	lastID   int            // of the host created last
	hosts    map[string]int // ids by domain name
	onAnswer func(e entry, got *httptest.ResponseRecorder)
}

type options = npmtest.Options

func newReplay(t *testing.T, version string, setUp bool) *replay {
	return newReplayWith(t, func(o *options) {
		o.Version = version
		if !setUp {
			o.AdminEmail, o.AdminPassword = "", ""
		}
	})
}

// newReplayWith makes a server with an administrator and other options.
func newReplayWith(t *testing.T, change func(*options)) *replay {
	p := &replay{T: t, net: newFakeNet(), tokens: map[string]string{
		"invalid": "a.b.c", "garbage": "garbage",
	}, emails: map[string]string{"admin": "admin@example.com"}, hosts: map[string]int{}}
	opt := options{Network: p.net, AdminEmail: "admin@example.com", AdminPassword: "changeme123"}
	change(&opt)
	p.version = opt.Version
	p.s = npmtest.New(opt)
	t.Cleanup(p.net.close)
	t.Cleanup(p.s.Close)
	p.api, p.web = p.s.API(), p.s.DataPlane()
	return p
}

func (p *replay) exchange(e entry) {
	p.Helper()
	if _, skip := skipped[p.scenario+"/"+e.Name]; skip {
		return
	}
	got := p.send(e)
	p.learn(e, got)
	if got.Code != e.Response.Status {
		p.Errorf("%s/%s: status %d, recorded %d: %s", p.scenario, e.Name, got.Code, e.Response.Status, got.Body)
		return
	}
	var body any = got.Body.String()
	if strings.HasPrefix(got.Header().Get("Content-Type"), "application/json") && got.Body.Len() > 0 {
		body = decode(p.T, got.Body.Bytes())
	}
	if diff := cmp.Diff(normalise(e.Response.Body), normalise(body)); diff != "" {
		p.Errorf("%s/%s (-recorded +got):\n%s", p.scenario, e.Name, diff)
	}
	for _, name := range []string{"content-type", "cache-control", "location"} {
		if want, got := e.Response.Headers[name], got.Header().Get(name); e.Response.Headers != nil && want != got {
			p.Errorf("%s/%s: %s is %q, recorded %q", p.scenario, e.Name, name, got, want)
		}
	}
	p.compareLength(e, got)
	if p.onAnswer != nil {
		p.onAnswer(e, got)
	}
}

// variable are bodies whose length depends on the run.
var variable = regexp.MustCompile(`<JWT>|<SECRET>|<CERT>|<nginx -t>|certbot|"certificate_key"`)

// compareLength compares the body's length, which leads its ETag: so answers are
// the same down to the spelling of each value.
func (p *replay) compareLength(e entry, got *httptest.ResponseRecorder) {
	p.Helper()
	body, _ := json.Marshal(e.Response.Body)
	want, _, found := strings.Cut(e.Response.Headers["etag"], "-")
	if !found || variable.Match(bytes.ReplaceAll(bytes.ReplaceAll(body, []byte(`\u003c`), []byte("<")), []byte(`\u003e`), []byte(">"))) || p.scenario == "setup_first_run" {
		return
	}
	if have, _, _ := strings.Cut(got.Header().Get("ETag"), "-"); have != want {
		p.Errorf("%s/%s: ETag %s…, recorded %s…: %s", p.scenario, e.Name, have, want, got.Body)
	}
}

// send makes the recorded request, with this run's tokens, codes and files.
func (p *replay) send(e entry) *httptest.ResponseRecorder {
	var body []byte
	kind := "application/json"
	switch {
	case e.Request.RawBody != nil:
		body = []byte(*e.Request.RawBody)
	case e.Request.Body == "<multipart>":
		body, kind = multipartBody(p.T, "cert.test")
	case e.Request.Body != nil:
		body, _ = json.Marshal(p.substitute(e.Request.Body))
	}
	r := httptest.NewRequest(e.Request.Method, e.Request.Path, bytes.NewReader(body))
	if len(body) > 0 {
		r.Header.Set("Content-Type", kind)
	}
	for k, v := range e.Request.Headers {
		r.Header.Set(k, v)
	}
	if u := strings.TrimPrefix(e.Response.Headers["location"], "http://"); u != "" {
		r.Host, _, _ = strings.Cut(u, "/")
	}
	if token := p.token(e.Request.Auth); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	p.api.ServeHTTP(w, r)
	return w
}

// substitute replaces what was written instead of secrets and long texts.
func (p *replay) substitute(v any) any {
	m, isMap := v.(map[string]any)
	if !isMap {
		return expandText(v)
	}
	out := map[string]any{}
	for k, x := range m {
		switch {
		case x == "<JWT>":
			x = p.tokens["challenge"]
		case k == "code" && x == "<SECRET>":
			x = p.backup
		case k == "code" && p.totp != "" && !slices.Contains([]any{"000000", "123456", "123"}, x):
			x = npmtest.TOTP(p.totp, time.Now())
		default:
			x = p.substitute(x)
		}
		out[k] = x
	}
	return out
}

var longText = regexp.MustCompile(`^(# \+ )?(\d+) x$`)

// expandText undoes the recordings' shorthand "# + 90000 x" and "60000 x".
func expandText(v any) any {
	switch x := v.(type) {
	case string:
		if m := longText.FindStringSubmatch(x); m != nil {
			n, _ := strconv.Atoi(m[2])
			return strings.TrimSuffix(m[1], "+ ") + strings.Repeat("x", n)
		}
	case []any:
		for i := range x {
			x[i] = expandText(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = expandText(x[k])
		}
	}
	return v
}

func (p *replay) token(auth string) string {
	if auth == "none" || auth == "" {
		return ""
	}
	if auth == "tampered" {
		return p.token("admin")[:40] + "x" + p.token("admin")[41:]
	}
	if p.tokens[auth] == "" {
		password := "password1"
		if auth == "admin" {
			password = "changeme123"
		}
		r := httptest.NewRequest("POST", "/api/tokens",
			strings.NewReader(fmt.Sprintf(`{"identity":%q,"secret":%q}`, p.emails[auth], password)))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		p.api.ServeHTTP(w, r)
		var answer struct{ Token string }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Token == "" {
			p.Fatalf("no login for %s: %s", auth, w.Body)
		}
		p.tokens[auth] = answer.Token
	}
	return p.tokens[auth]
}

// learn keeps what later requests of the recording need.
func (p *replay) learn(e entry, got *httptest.ResponseRecorder) {
	var answer struct {
		Token          string
		ChallengeToken string `json:"challenge_token"`
		Secret         string
		BackupCodes    []string `json:"backup_codes"`
		Email          string
		ID             int
		DomainNames    []string `json:"domain_names"`
	}
	if json.Unmarshal(got.Body.Bytes(), &answer) != nil {
		return
	}
	switch {
	case answer.ChallengeToken != "":
		p.tokens["challenge"] = answer.ChallengeToken
	case answer.Secret != "":
		p.totp = answer.Secret
	case answer.BackupCodes != nil:
		p.backup = answer.BackupCodes[0]
	case answer.ID != 0 && got.Code == 201:
		p.lastID = answer.ID
		for _, d := range answer.DomainNames {
			p.hosts[d] = answer.ID
		}
	}
	switch {
	case strings.HasPrefix(e.Name, "create user "):
		p.emails[strings.TrimPrefix(e.Name, "create user ")] = answer.Email
	case e.Name == "refresh with expiry 3s":
		p.tokens["short"] = answer.Token
	}
}

// decode keeps numbers as they are in the recordings: float64.
func decode(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Errorf("not JSON: %v: %s", err, text)
	}
	return v
}

func normalise(v any) any {
	switch x := expandText(v).(type) {
	case string:
		for _, n := range normalised {
			x = n.re.ReplaceAllString(x, n.to)
		}
		return x
	case []any:
		for i := range x {
			x[i] = normalise(x[i])
		}
		return x
	case map[string]any:
		if x["from"] != nil && x["to"] != nil { // validity of a certificate made for the run
			return map[string]any{"days": (x["to"].(float64) - x["from"].(float64)) / 86400}
		}
		for k := range x {
			x[k] = normalise(x[k])
		}
		return x
	default:
		return v
	}
}
