package npm

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/npm/npmtest"
)

const canary = "canary-private-key-55d1"

// withCertificates shows a certificate with its private key wherever NPM does:
// in the list, and in the answer to a PUT of a host that has it.
func withCertificates(h http.Handler, expires string) http.Handler {
	row := `{"id":3,"created_on":"x","provider":"other","nice_name":"mine","domain_names":["a.test",null],"expires_on":` + expires +
		`,"meta":{"certificate":"` + canary + `","certificate_key":"` + canary + `","dns_provider_credentials":"` + canary + `"}}`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		body := rec.Body.String()
		switch {
		case strings.HasSuffix(r.URL.Path, certificatesPath):
			body = "[" + row + "]"
		case r.Method == http.MethodPut:
			body = strings.Replace(body, `"certificate":null`, `"certificate":`+row, 1)
			if !strings.Contains(body, canary) {
				body = `{"no certificate":"in the answer"}`
			}
		}
		w.Header().Set("ETag", fmt.Sprintf(`W/"%x"`, len(body)))
		w.WriteHeader(rec.Code)
		_, _ = w.Write([]byte(body))
	})
}

// Of certificates nothing is kept that is secret, from whichever answer.
func TestPrivateKeysAreNotKept(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		b := newBed(t, withCertificates(s.API(), `"2027-01-02 03:04:05"`))
		b.run()
		synctest.Wait()
		if err := b.forward(t.Context(), 1, was(1), web); err != nil {
			t.Fatal(err)
		}
		b.View(func(n *api.NPM) {
			eq(t, "certificates", n.Certificates, []api.Certificate{{ID: 3, Name: "mine", Provider: "other", Domains: []string{"a.test"},
				Expires: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)}})
			for _, held := range []any{n.Certificates, n.Host(1), string(n.Host(1).Raw), string(n.Host(1).Meta), *n, b.lines} {
				if text := fmt.Sprintf("%+v", held); strings.Contains(text, canary) {
					t.Errorf("kept: %s", text)
				}
			}
		})
	})
}

func TestCertificatesLeniently(t *testing.T) {
	far := time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	for expires, want := range map[string]time.Time{
		`"2027-01-02 03:04:05"`:      time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC),
		`"2027-01-02T03:04:05.000Z"`: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC), // as other databases than SQLite
		`null`:                       far, `7`: far, `""`: far,
	} {
		all, err := readCertificates(strings.NewReader(`[{"id":"3","expires_on":` + expires + `}]`))
		if err != nil || len(*all) != 1 || !(*all)[0].Expires.Equal(want) {
			t.Errorf("%s: %v, %v", expires, all, err)
		}
	}
	for _, bad := range []string{`[{"nice_name":"` + canary + `"}]`, `[7]`, `[{"id":1}`, `{}`, ``} {
		if _, err := readCertificates(strings.NewReader(bad)); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", bad, err)
		}
		if _, err := readAccessLists(strings.NewReader(bad)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

func letsEncrypt(f func(npmtest.LetsEncryptRequest) error) func(*npmtest.Options) {
	return func(o *npmtest.Options) { o.LetsEncrypt = f }
}

// What NPM asks Let's Encrypt for is asked once, takes its time, and is known
// afterwards; the hosts that it concerns are saved again, since NPM takes the
// rules of their access lists out of nginx's configuration meanwhile.
func TestRequestCertificate(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		var asked []npmtest.LetsEncryptRequest
		s := newNPM(t, 1, version(v), letsEncrypt(func(r npmtest.LetsEncryptRequest) error {
			asked = append(asked, r)
			time.Sleep(10 * time.Minute)
			return nil
		}))
		s.AddHost(npmtest.ProxyHost{DomainNames: []string{"other.test"}, ForwardHost: "x", ForwardPort: 1})
		b := newBed(t, s.API())
		b.run()
		synctest.Wait()
		b.heard()
		b.calls()
		domains, credentials := []string{"*.example.com", "example.com"}, "dns_x_token = "+canary
		for range 2 {
			if err := b.RequestCertificate(t.Context(), domains, "x", credentials); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.RequestCertificate(t.Context(), []string{"app1.example.com"}, "", ""); err != nil {
			t.Fatal(err)
		}
		calls := slices.DeleteFunc(b.calls(), func(c string) bool { return !strings.Contains(c, certificatesPath) })
		eq(t, "calls", calls[:5], []string{"GET /nginx/certificates 304", "POST /nginx/certificates 201", "GET /nginx/certificates 200",
			"GET /nginx/certificates 304", "GET /nginx/certificates 304"})
		eq(t, "asked", len(asked), 1)
		eq(t, "for", asked[0].DomainNames, domains)
		eq(t, "how", []any{asked[0].DNSChallenge, asked[0].DNSProvider, asked[0].DNSProviderCredentials}, []any{true, "x", credentials})
		b.View(func(n *api.NPM) { eq(t, "known", n.Certificates[0].Domains, domains) })
		eq(t, "notified", strings.Contains(b.heard(), "system"), true)

		if err := b.RequestCertificate(t.Context(), []string{"other.test", "app1.example.com"}, "", ""); err != nil {
			t.Fatal(err)
		}
		eq(t, "by HTTP", []any{len(asked), asked[1].DNSChallenge, asked[1].DNSProvider}, []any{2, false, ""})
		eq(t, "saved again", []any{count(b.calls(), "PUT /nginx/proxy-hosts/"), b.isUnsure(api.HostKey(1)), b.isUnsure(api.HostKey(2))}, []any{2, false, false})
	})
}

// Why it failed is told, without the credentials, however certbot repeats them.
func TestRequestCertificateFails(t *testing.T) {
	const credentials = "# ours\ndns_x_token = " + canary + "\ndns_x_user=canary-user\n" + `{"private_key": "-----BEGIN KEY-----\ncanaryMIIE+/==\n"}`
	said := map[string]string{
		"by name":  "Saving debug log to /data/logs/letsencrypt.log\nThe token " + canary + " is wrong",
		"as whole": "could not run: echo '" + credentials + "' > /etc/x",
		"in parts": "bad user canary-user with key canaryMIIE+/==, token=" + canary,
	}
	for name, text := range said {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, v string) {
				s := newNPM(t, 0, version(v), letsEncrypt(func(npmtest.LetsEncryptRequest) error { return errors.New(text) }))
				b := newBed(t, s.API())
				b.run()
				synctest.Wait()
				b.calls()
				err := b.RequestCertificate(t.Context(), []string{"a.test"}, "x", credentials)
				if err == nil || !strings.Contains(err.Error(), "(redacted)") {
					t.Fatalf("error: %v", err)
				}
				// After a 500 NPM is looked at as well.
				calls := slices.DeleteFunc(b.calls(), func(c string) bool { return !strings.Contains(c, certificatesPath) })
				eq(t, "calls", calls, []string{"GET /nginx/certificates 304", "POST /nginx/certificates 500", "GET /nginx/certificates 304"})
				for _, text := range append(b.lines, err.Error()) {
					if strings.Contains(text, "canary") {
						t.Errorf("a secret in: %s", text)
					}
				}
			})
		})
	}
	t.Run("without a network", func(t *testing.T) {
		bubble(t, func(t *testing.T, v string) {
			b := newBed(t, newNPM(t, 0, version(v)).API())
			err := b.RequestCertificate(t.Context(), []string{"a.test"}, "", "")
			if err == nil || !strings.HasPrefix(err.Error(), "asking Let's Encrypt for a certificate for a.test: POST /nginx/certificates: "+
				"NPM answered 500 Internal Server Error: An unexpected error occurred: requests.exceptions.ConnectionError") {
				t.Errorf("error: %v", err)
			}
		})
	})
}

// An answer that is lost does not hide what came of the request.
func TestRequestCertificateAnswerLost(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 0, version(v), letsEncrypt(func(npmtest.LetsEncryptRequest) error { return nil }),
			fault(func(r *http.Request) *npmtest.Fault {
				if r.Method == http.MethodPost && r.URL.Path == certificatesPath {
					return &npmtest.Fault{After: true, Drop: true}
				}
				return nil
			}))
		b := newBed(t, s.API())
		if err := b.RequestCertificate(t.Context(), []string{"a.test"}, "", ""); err != nil {
			t.Error(err)
		}
	})
}

// Where another asks already, no502 does not; a certificate that ended long ago
// is none.
func TestRequestCertificatePending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		s := newNPM(t, 0)
		var row string
		b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, certificatesPath) {
				_, _ = w.Write([]byte(row))
				return
			}
			s.API().ServeHTTP(w, r)
		}))
		for _, c := range []struct {
			provider string
			expires  time.Time
			asks     bool
		}{
			{"letsencrypt", now.Add(time.Hour), false},
			{"letsencrypt", now.Add(-time.Hour), false},
			{"letsencrypt", now.Add(-48 * time.Hour), true},
			{"other", now.Add(time.Hour), true},
		} {
			row = fmt.Sprintf(`[{"id":1,"provider":%q,"domain_names":["a.test"],"expires_on":%q}]`, c.provider, c.expires.UTC().Format(time.DateTime))
			b.calls()
			err := b.RequestCertificate(t.Context(), []string{"a.test"}, "", "")
			eq(t, fmt.Sprintf("%+v asks", c), []any{count(b.calls(), "POST /nginx/certificates"), err != nil}, []any{map[bool]int{true: 1}[c.asks], c.asks})
		}
	})
}
