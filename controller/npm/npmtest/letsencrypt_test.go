package npmtest_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/controller/npm/npmtest"
)

// withLetsEncrypt runs a test on an NPM whose certbot is f.
func withLetsEncrypt(t *testing.T, version string, test func(*replay), f func(*replay, npmtest.LetsEncryptRequest) error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var p *replay
		p = newReplayWith(t, func(o *options) {
			o.Version = version
			o.LetsEncrypt = func(q npmtest.LetsEncryptRequest) error { return f(p, q) }
		})
		if err := p.s.Start(); err != nil {
			t.Fatal(err)
		}
		test(p)
	})
}

// TestLetsEncrypt: what certbot is asked, the row that is there meanwhile, the
// answer, and the certificate on the data plane.
func TestLetsEncrypt(t *testing.T) {
	for _, version := range versions {
		var asked npmtest.LetsEncryptRequest
		pending := 0
		withLetsEncrypt(t, version, func(p *replay) {
			w := p.do("POST", "/api/nginx/certificates", `{"provider":"letsencrypt","domain_names":["z.test","a.test"],"meta":{"dns_challenge":true,
				"dns_provider":"acmedns","dns_provider_credentials":"secret","propagation_seconds":30,"key_type":"ecdsa"}}`)
			if w.Code != 201 {
				p.Fatalf("%d %s", w.Code, w.Body)
			}
			if diff := cmp.Diff(npmtest.LetsEncryptRequest{CertificateID: 1, DomainNames: []string{"a.test", "z.test"},
				Email: "admin@example.com", DNSChallenge: true, DNSProvider: "acmedns", DNSProviderCredentials: "secret",
				PropagationSeconds: 30, KeyType: "ecdsa"}, asked); diff != "" {
				p.Error(diff)
			}
			if pending != 1 {
				p.Errorf("%d rows while certbot runs", pending)
			}
			info := map[string]any{"cn": "a.test", "issuer": "CN=a.test", "dates": map[string]any{"days": 90.0}}
			if version == "2.13.7" {
				delete(info, "cn")
			}
			want := map[string]any{"id": 1.0, "created_on": "<time>", "modified_on": "<time>", "owner_user_id": 1.0,
				"provider": "letsencrypt", "nice_name": "z.test, a.test", "domain_names": []any{"a.test", "z.test"}, "expires_on": "<time>",
				"meta": map[string]any{"dns_challenge": true, "dns_provider": "acmedns", "propagation_seconds": 30.0,
					"key_type": "ecdsa", "letsencrypt_certificate": info}}
			if diff := cmp.Diff(want, normalise(decode(t, w.Body.Bytes()))); diff != "" {
				p.Errorf("answer (-want +got):\n%s", diff)
			}
			delete(want["meta"].(map[string]any), "letsencrypt_certificate") // that was for the answer only
			row := p.do("GET", "/api/nginx/certificates/1", "")
			if diff := cmp.Diff(want, normalise(decode(t, row.Body.Bytes()))); diff != "" {
				p.Errorf("row (-want +got):\n%s", diff)
			}
			p.expiresIn(90 * 24 * time.Hour)
			p.add("z.test", "10.0.0.2", 80, `,"certificate_id":1,"ssl_forced":true`)
			if resp, err := p.secure("https://z.test/"); err != nil || !slices.Contains(resp.TLS.PeerCertificates[0].DNSNames, "z.test") {
				p.Errorf("%v %v", resp, err)
			}
		}, func(p *replay, q npmtest.LetsEncryptRequest) error {
			asked, pending = q, len(p.s.Rows("certificates"))
			return nil
		})
	}
}

func (p *replay) expiresIn(d time.Duration) {
	p.Helper()
	var r struct {
		Expires string `json:"expires_on"`
	}
	p.read("/api/nginx/certificates/1", &r)
	if want := time.Now().Add(d).Format(time.DateTime); r.Expires != want {
		p.Errorf("expires %s, want %s", r.Expires, want)
	}
}

// TestLetsEncryptFails: the answer shows what certbot said, and the row is gone.
func TestLetsEncryptFails(t *testing.T) {
	withLetsEncrypt(t, "2.15.1", func(p *replay) {
		w := p.do("POST", "/api/nginx/certificates", `{"provider":"letsencrypt","domain_names":["a.test"]}`)
		if w.Code != 500 || !strings.Contains(w.Body.String(), `"stack":["Error: too many certificates"]`) {
			p.Errorf("%d %s", w.Code, w.Body)
		}
		if w := p.do("POST", "/api/nginx/certificates", `{"provider":"letsencrypt"}`); w.Code != 500 {
			p.Errorf("without names: %d %s", w.Code, w.Body)
		}
		if rows := p.s.Rows("certificates"); len(rows) != 0 {
			p.Errorf("%s", rows)
		}
	}, func(*replay, npmtest.LetsEncryptRequest) error { return errors.New("too many certificates") })
}

// TestLetsEncryptTakesHostsDown: the hosts with one of its names are off while
// certbot runs, off after its success until something is written, and then without
// their own certificate and access list, until a PUT.
func TestLetsEncryptTakesHostsDown(t *testing.T) {
	var fail error
	during := map[bool]int{}
	overDNS := func(yes string) string {
		return `{"provider":"letsencrypt","domain_names":["A.test"],"meta":{"dns_challenge":` + yes + `}}`
	}
	withLetsEncrypt(t, "2.15.1", func(p *replay) {
		p.net.serve("app", "10.0.0.2:80")
		p.custom("a.test")
		p.do("POST", "/api/nginx/access-lists", `{"name":"l","items":[{"username":"bob","password":"secret1"}]}`)
		p.add("a.test", "10.0.0.2", 80, `,"certificate_id":1,"access_list_id":1`)
		p.want("http://a.test/", 401, "<html>")
		for _, yes := range []string{"false", "true"} {
			if w := p.do("POST", "/api/nginx/certificates", overDNS(yes)); w.Code != 201 {
				p.Fatalf("%d %s", w.Code, w.Body)
			}
			p.want("http://a.test/", 200, "<!DOCTYPE html>") // not reloaded
		}
		if during[false] != 404 || during[true] != 200 { // the conf for the challenge; the default site
			p.Errorf("while certbot runs: %v", during)
		}
		p.add("b.test", "10.0.0.2", 80, "")
		p.want("http://a.test/", 200, "backend=app ")
		p.rejected("a.test")
		p.do("PUT", "/api/nginx/proxy-hosts/1", `{"meta":{}}`)
		p.want("http://a.test/", 401, "<html>")
		p.presents("a.test", "a.test", 1)
		fail = errors.New("no")
		p.do("POST", "/api/nginx/certificates", overDNS("false"))
		p.want("http://a.test/", 200, "backend=app ") // reloaded, and open
	}, func(p *replay, q npmtest.LetsEncryptRequest) error {
		during[q.DNSChallenge] = p.get("http://a.test/").Code
		return fail
	})
}

// TestLetsEncryptLetsOthersWrite: a request that waits for certbot holds up none.
func TestLetsEncryptLetsOthersWrite(t *testing.T) {
	withLetsEncrypt(t, "2.15.1", func(p *replay) {
		p.do("POST", "/api/nginx/certificates", `{"provider":"letsencrypt","domain_names":["a.test"]}`)
		if n := len(p.s.Rows("proxy-hosts")); n != 1 {
			p.Errorf("%d hosts", n)
		}
	}, func(p *replay, _ npmtest.LetsEncryptRequest) error {
		p.add("b.test", "10.0.0.2", 80, "")
		return nil
	})
}

// TestNewCertificateOfAHost: certificate_id "new" on all kinds; ssl_forced of a
// POST is lost, that of a PUT is not.
func TestNewCertificateOfAHost(t *testing.T) {
	seconds := 0
	withLetsEncrypt(t, "2.15.1", func(p *replay) {
		for path, body := range map[string]string{
			"proxy-hosts":       `"forward_scheme":"http","forward_host":"10.0.0.2","forward_port":80,"ssl_forced":true`,
			"redirection-hosts": `"forward_scheme":"auto","forward_http_code":301,"forward_domain_name":"x.test"`,
			"dead-hosts":        `"meta":{}`,
			"streams":           `"incoming_port":5000,"forwarding_host":"10.0.0.2","forwarding_port":80,"tcp_forwarding":true`,
		} {
			name := path + ".test"
			w := p.do("POST", "/api/nginx/"+path, `{"certificate_id":"new","domain_names":["`+name+`"],`+body+`}`)
			var row struct {
				Certificate struct {
					Names []string `json:"domain_names"`
				}
				Forced bool `json:"ssl_forced"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &row); err != nil || !slices.Equal(row.Certificate.Names, []string{name}) || row.Forced {
				p.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
			if path != "streams" {
				p.presents(name, name, 1)
			}
		}
		p.do("PUT", "/api/nginx/proxy-hosts/1", `{"certificate_id":"new","ssl_forced":true,"meta":{"propagation_seconds":7}}`)
		if seconds != 7 {
			p.Errorf("certbot waits for %d s", seconds)
		}
		if w := p.get("http://proxy-hosts.test/"); w.Code != 301 {
			p.Errorf("after a PUT: %d", w.Code)
		}
	}, func(_ *replay, q npmtest.LetsEncryptRequest) error {
		seconds = q.PropagationSeconds
		return nil
	})
}

// TestRenewAndRevoke: renewing shows everything, and is not reloaded; deleting a
// certificate that is in use removes its files, and poisons NPM as a dead name does
// (FACTS 3).
func TestRenewAndRevoke(t *testing.T) {
	withLetsEncrypt(t, "2.15.1", func(p *replay) {
		p.do("POST", "/api/nginx/certificates", `{"provider":"letsencrypt","domain_names":["a.test"],"meta":{"dns_provider_credentials":"x"}}`)
		p.add("a.test", "10.0.0.2", 80, `,"certificate_id":1`)
		time.Sleep(60 * 24 * time.Hour)
		clear(p.tokens) // of a day
		if w := p.do("POST", "/api/nginx/certificates/1/renew", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"dns_provider_credentials":"x"`) {
			p.Errorf("%d %s", w.Code, w.Body)
		}
		p.expiresIn(90 * 24 * time.Hour)
		p.do("DELETE", "/api/nginx/certificates/1", "")
		p.presents("a.test", "a.test", 1)
		if w := p.do("PUT", "/api/nginx/proxy-hosts/1", `{"certificate_id":0}`); w.Code != 500 {
			p.Errorf("PUT of the host: %d", w.Code)
		}
		if w := p.do("POST", "/api/nginx/proxy-hosts/1/disable", ""); w.Code != 200 {
			p.Errorf("disable: %d", w.Code)
		}
		if w := p.do("POST", "/api/nginx/proxy-hosts/1/enable", ""); w.Code != 200 {
			p.Errorf("enable: %d", w.Code)
		}
		p.wantOffline("proxy-hosts/1", "")
	}, func(*replay, npmtest.LetsEncryptRequest) error { return nil })
}
