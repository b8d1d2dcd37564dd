package npmtest_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/no502/no502/controller/npm/npmtest"
)

// custom makes a certificate with files for a name, and returns its id.
func (p *replay) custom(cn string) int {
	p.Helper()
	var made struct{ ID int }
	if err := decodeInto(p.do("POST", "/api/nginx/certificates", fmt.Sprintf(`{"provider":"other","nice_name":%q}`, cn)), &made); err != nil {
		p.Fatal(err)
	}
	p.upload(made.ID, cn)
	return made.ID
}

func (p *replay) upload(id int, cn string) {
	p.Helper()
	body, kind := multipartBody(p.T, cn)
	r := httptest.NewRequest("POST", fmt.Sprintf("/api/nginx/certificates/%d/upload", id), strings.NewReader(string(body)))
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Authorization", "Bearer "+p.token("admin"))
	w := httptest.NewRecorder()
	if p.api.ServeHTTP(w, r); w.Code != 200 {
		p.Fatalf("upload: %d %s", w.Code, w.Body)
	}
}

// secure asks port 443, and follows no redirect.
func (p *replay) secure(url string) (*http.Response, error) {
	transport := &http.Transport{DialContext: p.net.dialAny, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(p.Context(), "GET", url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	return resp, err
}

// presents checks the certificate that a name gets, and the HTTP version.
func (p *replay) presents(host, cn string, major int) *http.Response {
	p.Helper()
	resp, err := p.secure("https://" + host + "/")
	if err != nil {
		p.Errorf("%s: %v", host, err)
		return nil
	}
	if names := resp.TLS.PeerCertificates[0].DNSNames; len(names) != 1 || names[0] != cn {
		p.Errorf("%s presents %v, want %s", host, names, cn)
	}
	if resp.ProtoMajor != major {
		p.Errorf("%s: %s", host, resp.Proto)
	}
	return resp
}

// rejected checks that a name ends in the alert of ssl_reject_handshake.
func (p *replay) rejected(host string) {
	p.Helper()
	if _, err := p.secure("https://" + host + "/"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		p.Errorf("%s: %v, want the alert", host, err)
	}
}

// TestTLS: each host presents its own certificate, also one with a wildcard; a
// name without one is rejected.
func TestTLS(t *testing.T) {
	inBubble(t, func(p *replay) {
		if err := p.s.Start(); err != nil {
			p.Fatal(err)
		}
		p.net.serve("app", "10.0.0.2:80")
		one, wild := p.custom("a.test"), p.custom("*.wild.test")
		p.add("a.test", "10.0.0.2", 80, fmt.Sprintf(`,"certificate_id":%d,"ssl_forced":true,"http2_support":true,"hsts_enabled":true`, one))
		p.add("*.wild.test", "10.0.0.2", 80, fmt.Sprintf(`,"certificate_id":%d`, wild))
		p.add("plain.test", "10.0.0.2", 80, "")
		resp := p.presents("a.test", "a.test", 2)
		if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), "xfproto=https") {
			t.Errorf("%s", body)
		}
		if h := resp.Header.Get("Strict-Transport-Security"); h != "max-age=63072000; preload" {
			t.Errorf("HSTS: %q", h)
		}
		if h := p.presents("x.wild.test", "*.wild.test", 1).Header.Get("Strict-Transport-Security"); h != "" {
			t.Errorf("HSTS: %q", h)
		}
		p.rejected("plain.test")
		p.rejected("unknown.test")
		if w := p.get("http://a.test/x?y=1"); w.Code != 301 || w.Header().Get("Location") != "https://a.test/x?y=1" {
			t.Errorf("%d %s", w.Code, w.Header().Get("Location"))
		}
		p.want("http://x.wild.test/", 200, "backend=app ")
		p.do("PUT", "/api/nginx/proxy-hosts/1", `{"forward_port":81}`)
		if resp := p.presents("a.test", "a.test", 2); resp.StatusCode != 502 || resp.Header.Get("Strict-Transport-Security") == "" {
			t.Errorf("an error: %d %v", resp.StatusCode, resp.Header)
		}
	})
}

// TestUploadIsNotLive: nginx reads the files at its next reload, and a host keeps
// its certificate until it is written again after the certificate's deletion.
func TestUploadIsNotLive(t *testing.T) {
	inBubble(t, func(p *replay) {
		if err := p.s.Start(); err != nil {
			p.Fatal(err)
		}
		id := p.custom("old.test")
		p.add("a.test", "10.0.0.2", 80, fmt.Sprintf(`,"certificate_id":%d`, id))
		p.upload(id, "new.test")
		p.presents("a.test", "old.test", 1)
		p.do("PUT", "/api/nginx/proxy-hosts/1", `{"meta":{}}`)
		p.presents("a.test", "new.test", 1)
		p.do("DELETE", fmt.Sprintf("/api/nginx/certificates/%d", id), "")
		p.presents("a.test", "new.test", 1)
		p.do("PUT", "/api/nginx/proxy-hosts/1", `{"meta":{}}`)
		p.rejected("a.test")
	})
}

// TestCertificateWithoutFiles: a custom certificate has none before its upload,
// and takes the host offline that names it.
func TestCertificateWithoutFiles(t *testing.T) {
	inBubble(t, func(p *replay) {
		p.do("POST", "/api/nginx/certificates", `{"provider":"other","nice_name":"x"}`)
		p.add("a.test", "10.0.0.2", 80, `,"certificate_id":1`)
		p.wantOffline("proxy-hosts/1", `cannot load certificate "/data/custom_ssl/npm-1/fullchain.pem"`)
		p.upload(1, "a.test")
		p.do("PUT", "/api/nginx/proxy-hosts/1", `{"meta":{}}`)
		p.wantOffline("proxy-hosts/1", "")
	})
}

// wantOffline checks nginx_err of a row; "" means that it is online.
func (p *replay) wantOffline(path, text string) {
	p.Helper()
	var r struct {
		Meta struct {
			Online bool   `json:"nginx_online"`
			Err    string `json:"nginx_err"`
		}
	}
	p.read("/api/nginx/"+path, &r)
	if r.Meta.Online != (text == "") || !strings.Contains(r.Meta.Err, text) {
		p.Errorf("%s: %+v, want %q", path, r.Meta, text)
	}
}

// TestHSTSIsSharedByAllHosts: $hsts_header is one variable, and the file that
// nginx reads last sets it for all.
func TestHSTSIsSharedByAllHosts(t *testing.T) {
	inBubble(t, func(p *replay) {
		if err := p.s.Start(); err != nil {
			p.Fatal(err)
		}
		more := fmt.Sprintf(`,"certificate_id":%d,"ssl_forced":true,"hsts_enabled":true`, p.custom("a.test"))
		p.add("a.test", "10.0.0.2", 80, more)
		p.add("b.test", "10.0.0.2", 80, more+`,"hsts_subdomains":true`)
		if h := p.presents("a.test", "a.test", 1).Header.Get("Strict-Transport-Security"); h != "max-age=63072000;includeSubDomains; preload" {
			t.Errorf("HSTS: %q", h)
		}
	})
}

// TestForwardedProto: who lets a client through that says it came over TLS. A
// custom location of 2.15.1 does not, whatever its host trusts.
func TestForwardedProto(t *testing.T) {
	for version, want := range map[string][3]int{"2.15.1": {301, 200, 301}, "2.13.7": {200, 200, 200}} {
		synctest.Test(t, func(t *testing.T) {
			p := newReplay(t, version, true)
			p.net.serve("app", "10.0.0.2:80")
			more := fmt.Sprintf(`,"ssl_forced":true,"certificate_id":%d`, p.custom("a.test"))
			p.add("no.test", "10.0.0.2", 80, more)
			if version == "2.15.1" {
				more += `,"trust_forwarded_proto":true`
			}
			p.add("yes.test", "10.0.0.2", 80, more+`,"locations":[{"path":"/x","forward_scheme":"http","forward_host":"10.0.0.2","forward_port":80}]`)
			for i, host := range []string{"no.test/", "yes.test/", "yes.test/x"} {
				r := httptest.NewRequest("GET", "http://"+host, nil)
				r.Header.Set("X-Forwarded-Proto", "https")
				w := httptest.NewRecorder()
				if p.web.ServeHTTP(w, r); w.Code != want[i] {
					t.Errorf("%s %s: %d, want %d", version, host, w.Code, want[i])
				}
			}
		})
	}
}

// TestCertificatesSurviveTheProcess: their files are below DataDir.
func TestCertificatesSurviveTheProcess(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		change := func(o *options) {
			o.DataDir = dir
			o.LetsEncrypt = func(npmtest.LetsEncryptRequest) error { return nil }
		}
		p := newReplayWith(t, change)
		p.add("a.test", "10.0.0.2", 80, fmt.Sprintf(`,"certificate_id":%d`, p.custom("a.test")))
		p.add("b.test", "10.0.0.2", 80, `,"certificate_id":"new"`)
		p.s.Close()
		q := newReplayWith(t, change)
		if err := q.s.Start(); err != nil {
			t.Fatal(err)
		}
		q.presents("a.test", "a.test", 1)
		q.presents("b.test", "b.test", 1)
	})
}
