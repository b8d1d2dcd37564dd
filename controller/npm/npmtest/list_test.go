package npmtest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/controller/npm/npmtest"
)

func (p *replay) seed(n int) {
	for i := range n {
		p.s.AddHost(npmtest.ProxyHost{
			DomainNames: []string{fmt.Sprintf("app%d.example.test", i)}, ForwardHost: fmt.Sprintf("app%d", i), ForwardPort: 8080,
			Meta: map[string]any{"seed": i},
		})
	}
}

// TestAddHost: a seeded host is as one that was made through the API.
func TestAddHost(t *testing.T) {
	inBubble(t, func(p *replay) {
		p.net.serve("app", "10.0.0.2:80")
		p.add("api.test", "10.0.0.2", 80, `,"locations":[{"path":"/x","forward_scheme":"http","forward_host":"10.0.0.2","forward_port":80}]`)
		id := p.s.AddHost(npmtest.ProxyHost{DomainNames: []string{"seeded.test"}, ForwardHost: "10.0.0.2", ForwardPort: 80,
			Locations: []npmtest.Location{{Path: "/x", ForwardHost: "10.0.0.2", ForwardPort: 80}}})
		p.want("http://seeded.test/", 200, "backend=app ")
		p.want("http://seeded.test/x", 200, "backend=app ")
		var made, seeded map[string]any
		p.read("/api/nginx/proxy-hosts/1", &made)
		p.read(fmt.Sprintf("/api/nginx/proxy-hosts/%d", id), &seeded)
		made["id"], made["domain_names"] = seeded["id"], seeded["domain_names"]
		delete(seeded["locations"].([]any)[0].(map[string]any), "advanced_config")
		if diff := cmp.Diff(made, seeded); diff != "" {
			t.Error(diff)
		}
		if w := p.do("POST", "/api/nginx/proxy-hosts", `{"domain_names":["SEEDED.test"],"forward_scheme":"http","forward_host":"x","forward_port":80}`); w.Code != 400 {
			t.Errorf("taken domain: %d", w.Code)
		}
	})
}

// TestSnapshot: only what was written differs.
func TestSnapshot(t *testing.T) {
	inBubble(t, func(p *replay) {
		p.seed(50)
		before := p.s.Snapshot()
		p.do("PUT", "/api/nginx/proxy-hosts/7", `{"forward_port":81}`)
		p.do("DELETE", "/api/nginx/proxy-hosts/8", "")
		after := p.s.Snapshot()
		maps.DeleteFunc(after, func(k string, v json.RawMessage) bool { return string(before[k]) == string(v) })
		if len(after) != 1 || after["proxy_host/7"] == nil {
			t.Errorf("changed: %v", after)
		}
		if len(before) != 50 || before["proxy_host/8"] == nil {
			t.Errorf("%d rows before", len(before))
		}
	})
}

// TestDNSProviders: what is served of NPM's catalogue is as recorded.
func TestDNSProviders(t *testing.T) {
	for _, version := range versions {
		p := newReplay(t, version, true)
		for _, e := range recording(t, version, "certificates") {
			if e.Name != "dns-providers" {
				continue
			}
			var got []any
			p.read("/api/nginx/certificates/dns-providers", &got)
			for _, provider := range got {
				if !containsEqual(e.Response.Body.([]any), provider) {
					t.Errorf("%s: %v was not recorded", version, provider)
				}
			}
		}
	}
}

func containsEqual(list []any, v any) bool {
	for _, x := range list {
		if cmp.Equal(x, v) {
			return true
		}
	}
	return false
}

// benchmark runs one request against 10,000 hosts.
func benchmark(b *testing.B, request func(*replay, int) int) {
	p := &replay{T: &testing.T{}, net: newFakeNet(), tokens: map[string]string{}, emails: map[string]string{"admin": "admin@example.com"}}
	p.s = npmtest.New(options{Network: p.net, AdminEmail: "admin@example.com", AdminPassword: "changeme123"})
	p.api, p.web = p.s.API(), p.s.DataPlane()
	p.seed(10_000)
	p.token("admin")
	for i := 0; b.Loop(); i++ {
		if status := request(p, i); status >= 400 {
			b.Fatal(status)
		}
	}
}

func BenchmarkListUnchanged(b *testing.B) {
	benchmark(b, func(p *replay, _ int) int { return p.list("") })
}

func BenchmarkListNotModified(b *testing.B) {
	tag := ""
	benchmark(b, func(p *replay, _ int) int {
		if tag == "" {
			tag = p.do("GET", "/api/nginx/proxy-hosts", "").Header().Get("ETag")
		}
		return p.list(tag)
	})
}

func BenchmarkPut(b *testing.B) {
	benchmark(b, func(p *replay, i int) int {
		return p.do("PUT", fmt.Sprintf("/api/nginx/proxy-hosts/%d", i%10_000+1), `{"forward_port":8081}`).Code
	})
}

func BenchmarkPutThenList(b *testing.B) {
	benchmark(b, func(p *replay, i int) int {
		p.do("PUT", fmt.Sprintf("/api/nginx/proxy-hosts/%d", i%10_000+1), `{"forward_port":8081}`)
		return p.list("")
	})
}

// list fetches all hosts and throws the answer away, as it came.
func (p *replay) list(etag string) int {
	r := httptest.NewRequest("GET", "http://172.25.0.2:81/api/nginx/proxy-hosts", nil)
	r.Header.Set("Authorization", "Bearer "+p.token("admin"))
	r.Header.Set("If-None-Match", etag)
	w := discard{http.Header{}, 0}
	p.api.ServeHTTP(&w, r)
	return w.status
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

func BenchmarkAddHost(b *testing.B) {
	s := npmtest.New(options{Network: newFakeNet()})
	for i := 0; b.Loop(); i++ {
		s.AddHost(npmtest.ProxyHost{DomainNames: []string{fmt.Sprintf("app%d.test", i)}, ForwardHost: "app", ForwardPort: 80})
	}
}
