package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/npm/npmtest"
	"github.com/no502/no502/reconcile/intent"
	"github.com/no502/no502/reconcile/intent/dialect"
	"github.com/no502/no502/reconcile/plan"
	"github.com/no502/no502/reconcile/resolve"
)

// FuzzLabel: whatever a label is called and says, what comes of it tells nginx
// the same, word for word, as what comes of a harmless label. Nothing stands
// between the plan and NPM here: neither the client's last check nor a person.
func FuzzLabel(f *testing.F) {
	n := newRawNPM(f)
	seeds := append(attempts(f), "app.example.com", "/api", "8080", "https", "web", "true", "25565/tcp+udp", "5m")
	for i, seed := range seeds {
		if len(seed) < 1000 {
			f.Add("no502."+append(append([]string{"host", "parked", "stream"}, refining...), "r.redirect-from")[i%(len(refining)+4)], seed)
			f.Add("no502.redirect-to", seed)
			f.Add("no502.location.b.path", seed)
		}
	}
	for label, value := range foreign {
		f.Add(label, fmt.Sprintf(value, "a.example.com"))
	}
	f.Add("VIRTUAL_HOST", "a.example.com")
	f.Add(api.ComposeProject, "shop")
	f.Fuzz(func(t *testing.T, label, value string) {
		for _, a := range planFor(label, value) {
			if a.Op != api.OpCreate {
				continue
			}
			got, want := n.conf(t, a.Host.Kind, a.To, a.Ownership), n.conf(t, a.Host.Kind, harmlessFields(t, a.To), nil)
			if shape(got) != shape(want) {
				t.Errorf("%q=%q makes\n%s\nand not\n%s", label, value, got, want)
			}
		}
	})
}

// planFor is what no502 would do about one label of one container.
func planFor(label, value string) []api.Action {
	network := &api.Network{ID: "p", Name: "proxy", Driver: "bridge", Subnets: []api.Subnet{{Prefix: netip.MustParsePrefix("172.20.0.0/16")}}}
	on := func(addr string) []api.Attachment {
		return []api.Attachment{{NetworkID: "p", Network: "proxy", IPv4: netip.MustParseAddr(addr)}}
	}
	up := api.State{Status: api.Running, StartedAt: time.Unix(1, 0)}
	labels := map[string]string{
		"no502.host": "web.example.com", "no502.port": "8080", "no502.scheme": "http", "no502.redirect-from": "www.example.com",
		"no502.location.b.path": "/b", "no502.location.b.port": "80", "no502.location.b.scheme": "http", "no502.location.b.strip-prefix": "true",
		api.ComposeProject: "shop", api.ComposeService: "web", label: value,
	}
	p := api.Policy{Instance: "no502", Prefix: "no502", Scope: api.ScopeLabelled, Mode: api.ModeRepair, Dialects: dialect.Names(), TakeOver: true}
	web := &api.Container{
		ID: strings.Repeat("a", 64), Name: "web", Labels: labels, Env: map[string]string{label: value}, State: up, NetworkMode: "proxy",
		Attachments: on("172.20.0.3"), Exposed: []api.Port{{Number: 8080, Protocol: "tcp"}}, Inspected: true,
	}
	in := intent.Of(web, p)
	web.Claims, web.Uses, web.Role = resolve.Claimed(in), resolve.Uses(in), in.Role
	npm := &api.Container{
		ID: strings.Repeat("b", 64), Name: "npm", Image: "jc21/nginx-proxy-manager:2", State: up, NetworkMode: "proxy", Attachments: on("172.20.0.2"), Inspected: true,
	}
	rows := api.NewNPM(nil)
	rows.Certificates = []api.Certificate{}
	return plan.Build(&api.Snapshot{
		Engine: api.NewEngine([]*api.Container{npm, web}, []*api.Network{network}), NPM: rows,
		Probes:     map[api.Target]api.Probe{{Container: web.ID, StartedAt: 1e9, Addr: netip.MustParseAddrPort("172.20.0.3:8080")}: {Port: api.PortOpen, Plain: true}},
		FreshSince: time.Unix(1000, 0), Now: time.Unix(2000, 0),
	}, p).Actions
}

// harmlessFields are fields with the same switches, and nobody's words in them.
func harmlessFields(t *testing.T, to api.Fields) api.Fields {
	words := map[string]any{
		api.FieldHost: "web", api.FieldRedirectTo: "b.example.com", api.FieldStreamHost: "10.0.0.1",
	}
	out := to.With(nil)
	for name, value := range to {
		switch v := value.(type) {
		case bool, int:
		case []string:
			domains := make([]string, len(v))
			for i := range v {
				domains[i] = fmt.Sprintf("a%d.example.com", i)
			}
			out[name] = domains
		case []api.Location:
			locations := slices.Clone(v)
			for i := range locations {
				l := &locations[i]
				l.Path, l.Host = fmt.Sprintf("/x%d", i), "$no502_x"
				if l.Advanced != "" {
					l.Advanced = "set $no502_x \"web\";" + strings.Repeat("\nrewrite ^/x(?:/(.*))?$ /$1 break;", strings.Count(l.Advanced, "\n"))
				}
			}
			out[name] = locations
		case string:
			if out[name] = words[name]; words[name] == nil {
				if out[name] = v; !slices.Contains([]string{"http", "https", "auto"}, v) {
					t.Errorf("%s is %q", name, v)
				}
			}
		}
	}
	return out
}

// rawNPM is an NPM that is given hosts by hand.
type rawNPM struct {
	*npmtest.Server
	token string
}

func newRawNPM(f *testing.F) *rawNPM {
	n := &rawNPM{Server: npmtest.New(npmtest.Options{AdminEmail: testEmail, AdminPassword: testPassword})}
	f.Cleanup(n.Close)
	var got struct{ Token string }
	if err := json.Unmarshal(n.ask(http.MethodPost, "/tokens", map[string]string{"identity": testEmail, "secret": testPassword}).Body.Bytes(), &got); err != nil {
		f.Fatal(err)
	}
	n.token = got.Token
	return n
}

func (n *rawNPM) ask(method, path string, body any) *httptest.ResponseRecorder {
	var data []byte
	if body != nil {
		data, _ = json.Marshal(body)
	}
	r := httptest.NewRequest(method, "/api"+path, bytes.NewReader(data))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+n.token)
	got := httptest.NewRecorder()
	n.API().ServeHTTP(got, r)
	return got
}

// conf is what NPM tells nginx about a host, which is gone afterwards.
func (n *rawNPM) conf(t *testing.T, kind api.Kind, to api.Fields, own *api.Ownership) string {
	t.Helper()
	dir := map[api.Kind]string{
		api.KindHost: "proxy_host", api.KindRedirection: "redirection_host", api.KindDeadHost: "dead_host", api.KindStream: "stream",
	}[kind]
	path := "/nginx/" + strings.ReplaceAll(dir, "_", "-") + "s"
	got := n.ask(http.MethodPost, path, to.With(api.Fields{"meta": map[string]any{"no502": own}}))
	var made struct{ ID int }
	if err := json.Unmarshal(got.Body.Bytes(), &made); err != nil || got.Code != http.StatusCreated {
		t.Fatalf("NPM does not take %v: %d %s", to, got.Code, got.Body)
	}
	conf, _ := n.Conf(fmt.Sprintf("%s/%d.conf", dir, made.ID))
	if got := n.ask(http.MethodDelete, fmt.Sprintf("%s/%d", path, made.ID), nil); got.Code != http.StatusOK {
		t.Fatalf("NPM does not delete %v: %d %s", to, got.Code, got.Body)
	}
	return conf
}
