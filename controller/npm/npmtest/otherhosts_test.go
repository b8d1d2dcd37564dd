package npmtest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func (p *replay) redirection(domain, more string) {
	p.Helper()
	w := p.do("POST", "/api/nginx/redirection-hosts", fmt.Sprintf(`{"domain_names":[%q],"forward_domain_name":"new.test"%s}`, domain, more))
	if w.Code != 201 {
		p.Fatalf("%d %s", w.Code, w.Body)
	}
}

// TestRedirectionHosts: the code, the scheme and the path; what block_exploits
// refuses; and TLS, which comes first.
func TestRedirectionHosts(t *testing.T) {
	inBubble(t, func(p *replay) {
		if err := p.s.Start(); err != nil {
			p.Fatal(err)
		}
		p.redirection("auto.test", `,"forward_scheme":"auto","forward_http_code":301,"preserve_path":true`)
		p.redirection("http.test", `,"forward_scheme":"http","forward_http_code":302`)
		p.redirection("https.test", `,"forward_scheme":"https","forward_http_code":308,"preserve_path":true,"block_exploits":true`)
		p.redirection("300.test", `,"forward_scheme":"http","forward_http_code":300`)
		p.redirection("tls.test", fmt.Sprintf(`,"forward_scheme":"auto","forward_http_code":307,"certificate_id":%d,"ssl_forced":true,"hsts_enabled":true`, p.custom("tls.test")))
		for url, want := range map[string]string{
			"http://auto.test/a%20b/?x=1":            "301 http://new.test/a%20b/?x=1",
			"http://http.test/a?x=1":                 "302 http://new.test",
			"http://https.test/":                     "308 https://new.test/",
			"http://https.test/?x=http://evil.test/": "403 ",
			"http://tls.test/x":                      "301 https://tls.test/x",
			"http://300.test/x":                      "300 ", // to nginx the URL is a text then
		} {
			w := p.get(url)
			if got := fmt.Sprint(w.Code, " ", w.Header().Get("Location")); got != want {
				p.Errorf("%s: %s, want %s", url, got, want)
			}
		}
		resp := p.presents("tls.test", "tls.test", 1)
		if resp.StatusCode != 307 || resp.Header.Get("Location") != "https://new.test" || resp.Header.Get("Strict-Transport-Security") == "" {
			p.Errorf("%d %v", resp.StatusCode, resp.Header)
		}
	})
}

// TestOwnLocation: NPM leaves its own out where advanced_config has one for "/".
func TestOwnLocation(t *testing.T) {
	inBubble(t, func(p *replay) {
		p.redirection("a.test", `,"forward_scheme":"http","forward_http_code":302,"advanced_config":"location / { return 418; }"`)
		p.do("POST", "/api/nginx/dead-hosts", `{"domain_names":["b.test"],"advanced_config":"location / { return 418; }"}`)
		for _, url := range []string{"http://a.test/", "http://b.test/"} {
			if w := p.get(url); w.Code != http.StatusTeapot {
				p.Errorf("%s: %d", url, w.Code)
			}
		}
	})
}

// TestDeadHostPut: the conf file of a PUT is made from the row as it was before,
// without its certificate. Its meta is too, though the answer says otherwise; and
// the TLS switches are not cleaned.
func TestDeadHostPut(t *testing.T) {
	inBubble(t, func(p *replay) {
		if err := p.s.Start(); err != nil {
			p.Fatal(err)
		}
		p.do("POST", "/api/nginx/dead-hosts", `{"domain_names":["a.test"],"meta":{"mark":1}}`)
		id := p.custom("b.test")
		w := p.do("PUT", "/api/nginx/dead-hosts/1", fmt.Sprintf(`{"domain_names":["b.test"],"certificate_id":%d,"ssl_forced":true,"meta":{"mark":2}}`, id))
		if !strings.Contains(w.Body.String(), `"meta":{"mark":2}`) {
			p.Errorf("%d %s", w.Code, w.Body)
		}
		p.want("http://a.test/", 404, "<html>") // still
		p.want("http://b.test/", 200, "<!DOCTYPE html>")
		if row := string(p.s.Rows("dead-hosts")[0]); !strings.Contains(row, `"mark":1`) || !strings.Contains(row, `"b.test"`) {
			p.Errorf("%s", row)
		}
		p.do("PUT", "/api/nginx/dead-hosts/1", `{"advanced_config":""}`)
		p.want("http://b.test/", 404, "<html>")
		p.rejected("b.test")
		p.do("POST", "/api/nginx/dead-hosts/1/disable", "")
		p.want("http://b.test/", 200, "<!DOCTYPE html>")
		p.do("POST", "/api/nginx/dead-hosts/1/enable", "")
		if resp := p.presents("b.test", "b.test", 1); resp.StatusCode != 404 {
			p.Errorf("%d", resp.StatusCode)
		}
		w = p.do("PUT", "/api/nginx/dead-hosts/1", `{"certificate_id":0,"hsts_subdomains":true}`)
		var row map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &row); err != nil || row["ssl_forced"] != true || row["hsts_subdomains"] != true {
			p.Errorf("%s", w.Body)
		}
	})
}

// TestHostsComeAndGo: disabled, enabled and deleted hosts of the three kinds that
// answer HTTP; for streams see TestStreamProtocols.
func TestHostsComeAndGo(t *testing.T) {
	inBubble(t, func(p *replay) {
		p.net.serve("app", "10.0.0.2:80")
		p.add("proxy-hosts.test", "10.0.0.2", 80, "")
		p.redirection("redirection-hosts.test", `,"forward_scheme":"http","forward_http_code":302`)
		p.do("POST", "/api/nginx/dead-hosts", `{"domain_names":["dead-hosts.test"]}`)
		for kind, on := range map[string]int{"proxy-hosts": 200, "redirection-hosts": 302, "dead-hosts": 404} {
			url := "http://" + kind + ".test/"
			defaultSite := func(after string) {
				p.Helper()
				if w := p.get(url); !strings.HasPrefix(w.Body.String(), "<!DOCTYPE html>") {
					p.Errorf("%s after %s: %d %s", kind, after, w.Code, w.Body)
				}
			}
			p.do("POST", "/api/nginx/"+kind+"/1/disable", "")
			defaultSite("disable")
			p.do("PUT", "/api/nginx/"+kind+"/1", `{"meta":{}}`)
			defaultSite("a PUT while disabled")
			p.do("POST", "/api/nginx/"+kind+"/1/enable", "")
			if w := p.get(url); w.Code != on {
				p.Errorf("%s: %d, want %d", kind, w.Code, on)
			}
			p.do("DELETE", "/api/nginx/"+kind+"/1", "")
			defaultSite("delete")
		}
		if diff := cmp.Diff(map[string]int{"proxy-hosts": 5, "redirection-hosts": 5, "dead-hosts": 5}, p.s.Writes()); diff != "" {
			p.Error(diff)
		}
	})
}

// TestAccessListWithCertificate: a list's deletion opens its hosts, and takes them
// off port 443 until their next PUT.
func TestAccessListWithCertificate(t *testing.T) {
	inBubble(t, func(p *replay) {
		if err := p.s.Start(); err != nil {
			p.Fatal(err)
		}
		p.net.serve("app", "10.0.0.2:80")
		p.do("POST", "/api/nginx/access-lists", `{"name":"l","items":[{"username":"bob","password":"secret1"}]}`)
		p.add("a.test", "10.0.0.2", 80, fmt.Sprintf(`,"access_list_id":1,"certificate_id":%d`, p.custom("a.test")))
		p.want("http://a.test/", 401, "<html>")
		if resp := p.presents("a.test", "a.test", 1); resp.StatusCode != 401 {
			p.Errorf("%d", resp.StatusCode)
		}
		r := httptest.NewRequest("GET", "http://a.test/", nil)
		r.SetBasicAuth("bob", "secret1")
		w := httptest.NewRecorder()
		if p.web.ServeHTTP(w, r); w.Code != 200 {
			p.Errorf("with the password: %d", w.Code)
		}
		p.do("DELETE", "/api/nginx/access-lists/1", "")
		p.want("http://a.test/", 200, "backend=app ")
		p.rejected("a.test")
		p.do("PUT", "/api/nginx/proxy-hosts/1", `{"meta":{}}`)
		p.presents("a.test", "a.test", 1)
	})
}
