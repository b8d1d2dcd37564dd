package npm

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/npm/npmtest"
)

// A wrong password is tried again ever more rarely, whoever asks, and logged
// once.
func TestWrongPassword(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		b := newBed(t, s.API())
		b.setSecret("canary-wrong")
		b.run()
		for range 60 {
			after(time.Minute)
			err := b.Refresh(t.Context())
			var refusal *CredentialsError
			if !errors.As(err, &refusal) || refusal.User != testUser {
				t.Fatalf("error: %v", err)
			}
		}
		// 5 s, 10 s, … 160 s, and then every 5 minutes.
		if n := count(b.calls(), "POST /tokens"); n < 15 || n > 20 {
			t.Errorf("%d logins in an hour", n)
		}
		eq(t, "logged", b.logged("valid credentials"), 1)
		eq(t, "problem", b.State().Problem, "NPM refuses the password of user "+testUser+": Invalid email or password.")

		b.setSecret(testSecret)
		after(credentialsCheck)
		eq(t, "connected at once", b.State().Connected, true)
		eq(t, "logins", count(b.calls(), "POST /tokens"), 1)
	})
}

// Another wrong password is tried at once, and the pauses begin anew.
func TestWrongPasswordThenAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, newNPM(t, 1).API())
		b.setSecret("canary-wrong")
		b.run()
		after(time.Hour)
		b.calls()
		b.setSecret("canary-wrong-too")
		after(credentialsCheck)
		eq(t, "logins", count(b.calls(), "POST /tokens"), 1)
		after(5 * time.Second)
		eq(t, "logins", count(b.calls(), "POST /tokens"), 1)
	})
}

func TestCredentialsCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var missing atomic.Bool
		missing.Store(true)
		b := newBed(t, newNPM(t, 1).API(), func(o *Options) {
			o.Credentials = func() (string, string, error) {
				if missing.Load() {
					return "", "", os.ErrNotExist
				}
				return testUser, testSecret, nil
			}
		})
		b.run()
		after(time.Hour)
		eq(t, "problem", b.State().Problem, "Reading the credentials for NPM: file does not exist.")
		eq(t, "logins", count(b.calls(), "POST"), 0)
		missing.Store(false)
		after(credentialsCheck)
		eq(t, "connected", b.State().Connected, true)
	})
	for name, f := range map[string]func() (string, string, error){
		"none":  nil,
		"empty": func() (string, string, error) { return "someone", "", nil },
	} {
		c := New(Options{Credentials: f})
		c.SetURL("http://npm:81", true)
		var refusal *CredentialsError
		if err := c.Refresh(t.Context()); !errors.As(err, &refusal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecondFactor(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v), fault(func(r *http.Request) *npmtest.Fault {
			if r.Method != http.MethodPost {
				return nil
			}
			return &npmtest.Fault{Status: 200, Body: `{"requires_2fa":true,"challenge_token":"canary-challenge"}`}
		}))
		b := newBed(t, s.API())
		b.run()
		after(time.Hour)
		err := b.Refresh(t.Context())
		var second *SecondFactorError
		if !errors.As(err, &second) || second.User != testUser {
			t.Fatalf("error: %v", err)
		}
		eq(t, "problem", b.State().Problem, "NPM asks for a second factor for user "+testUser+
			"; give no502 its secret in a file (NO502_NPM_TOTP_FILE), or a user of its own without one.")
		if n := count(b.calls(), "POST /tokens"); n > 20 {
			t.Errorf("%d logins in an hour", n)
		}
		eq(t, "logged", b.logged("waiting for NPM"), 1)
	})
}

// A token is renewed before it ends: one login for three days.
func TestTokenRenewal(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		b := newBed(t, s.API(), func(o *Options) { o.Poll = 10 * time.Minute })
		b.run()
		after(72 * time.Hour)
		all := b.calls()
		eq(t, "logins", count(all, "POST /tokens"), 1)
		if n := count(all, "GET /tokens 200"); n < 3 || n > 5 {
			t.Errorf("%d renewals", n)
		}
		eq(t, "refused", count(all, "GET /nginx/proxy-hosts 4"), 0)
	})
}

// A renewal that fails leaves the old token in use until it ends.
func TestTokenRenewalFails(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v), fault(func(r *http.Request) *npmtest.Fault {
			if r.Method == http.MethodGet && r.URL.Path == "/tokens" {
				return &npmtest.Fault{Status: 500, Body: internal}
			}
			return nil
		}))
		b := newBed(t, s.API())
		b.run()
		after(25 * time.Hour)
		all := b.calls()
		eq(t, "logins", count(all, "POST /tokens"), 2)
		if n := count(all, "GET /tokens 500"); n < 100 || n > 370 { // once a minute for a quarter of a day
			t.Errorf("%d renewals", n)
		}
		eq(t, "connected", b.State().Connected, true)
	})
}

// A token that NPM ended: one request, one login, the same request again.
func TestTokenExpiredUnseen(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		b := newBed(t, s.API())
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.session.mu.Lock()
		b.session.expires = b.session.expires.Add(48 * time.Hour) // a clock that is wrong
		b.session.life = time.Hour
		b.session.mu.Unlock()
		after(25 * time.Hour)
		b.calls()
		if err := b.forward(t.Context(), 1, was(1), web); err != nil {
			t.Fatal(err)
		}
		eq(t, "calls", b.calls(), []string{"GET /nginx/proxy-hosts/1 400", "POST /tokens 200",
			"GET /nginx/proxy-hosts/1 200", "PUT /nginx/proxy-hosts/1 200"})
	})
}

// The shapes that a bad token takes, each answered by one login.
func TestBadTokenShapes(t *testing.T) {
	for name, answer := range map[string]npmtest.Fault{
		"401":                  {Status: 401, Body: `{"error":{"code":401,"message":"Unauthorized"}}`},
		"403":                  {Status: 403, Body: `{"error":{"code":403,"message":"Permission Denied"}}`},
		"404 with the path":    {Status: 404, Body: `{"error":{"code":404,"message":"Not Found - /nginx/proxy-hosts"}}`},
		"500 of 2.13.7":        {Status: 500, Body: `{"error":{"message":"Internal Error"}}`},
		"500 of 2.15.1":        {Status: 500, Body: internal},
		"400 on expiry":        {Status: 400, Body: `{"error":{"code":400,"message":"Token has expired","message_i18n":{"name":"TokenExpiredError"}}}`},
		"400 on expiry, plain": {Status: 400, Body: `{"error":{"code":400,"message":"Token has expired"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var bad atomic.Int32
				s := newNPM(t, 1, fault(func(r *http.Request) *npmtest.Fault {
					if strings.HasPrefix(r.URL.Path, kinds[api.KindHost].path) && bad.Add(-1) >= 0 {
						return &answer
					}
					return nil
				}))
				b := newBed(t, s.API())
				if err := b.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				b.calls()
				bad.Store(1)
				if err := b.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				eq(t, "requests", len(b.calls()), len(lists())+2)

				bad.Store(1000) // so it was not the token
				for range 10 {
					var refused *APIError
					if err := b.Refresh(t.Context()); !errors.As(err, &refused) || refused.Status != answer.Status {
						t.Errorf("error: %v", err)
					}
				}
				want := 1
				if _, certain := badToken("GET", &APIError{Status: answer.Status, Message: "Token has expired"}); certain {
					want = 10
				}
				eq(t, "logins", count(b.calls(), "POST /tokens"), want)
			})
		})
	}
}

// A user without the permission is told so, without a storm of logins.
func TestPermissionMissing(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v), fault(func(r *http.Request) *npmtest.Fault {
			if r.URL.Path != kinds[api.KindHost].path {
				return nil
			}
			return &npmtest.Fault{Status: 404, Body: `{"error":{"code":404,"message":"Not Found - /nginx/proxy-hosts"}}`}
		}))
		b := newBed(t, s.API())
		b.run()
		after(time.Hour)
		if n := count(b.calls(), "POST /tokens"); n > 15 {
			t.Errorf("%d logins in an hour", n)
		}
		eq(t, "problem", b.State().Problem, "User "+testUser+" lacks a permission (proxy hosts: manage, visibility: all): "+
			"GET /nginx/proxy-hosts: NPM answered 404 Not Found: Not Found - /nginx/proxy-hosts.")
		eq(t, "logged", b.logged("waiting for NPM"), 1)
	})
}

// Whatever NPM answers, or something in its place: no secret gets out.
func TestSecretsStayInside(t *testing.T) {
	const token = "canary-token-77aa"
	for name, h := range map[string]http.HandlerFunc{
		"echoing errors": func(w http.ResponseWriter, r *http.Request) {
			body := make([]byte, 4096)
			n, _ := r.Body.Read(body)
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":{"message":` + quote(r.Header.Get("Authorization")+string(body[:n])) + `}}`))
		},
		"echoing after the login": func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/api/tokens":
				_, _ = w.Write([]byte(`{"token":"` + token + `","expires":"2000-01-01T00:10:00Z"}`))
			case r.URL.Path == "/api/":
				_, _ = w.Write([]byte(`{"status":"OK"}`))
			default:
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = w.Write([]byte(`{"error":{"message":` + quote(r.Header.Get("Authorization")) + `}}`))
			}
		},
		"echoing at length": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/api/" {
				_, _ = w.Write([]byte(`{"status":"OK"}`))
				return
			}
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":{"message":` + quote(strings.Repeat("x", 290)+testSecret) + `}}`))
		},
		"redirecting": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://elsewhere/"+r.Header.Get("Authorization"))
			w.WriteHeader(http.StatusFound)
		},
		"tokens for hosts": func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(`{"status":"OK","token":"` + token + `"}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, h)
				b.SetURL("http://someone:canary-in-url@npm:81", true)
				b.run()
				after(20 * time.Minute)
				texts := []string{b.State().Problem, b.State().URL}
				for _, err := range []error{b.Refresh(t.Context()), b.forward(t.Context(), 1, was(1), web)} {
					if err == nil {
						t.Error("no error")
						continue
					}
					texts = append(texts, err.Error())
				}
				for _, text := range append(texts, b.lines...) {
					if strings.Contains(text, "canary") {
						t.Errorf("a secret in: %s", text)
					}
				}
			})
		})
	}
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
