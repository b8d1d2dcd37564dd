package npm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/controller/npm/npmtest"
)

// asked asks NPM as somebody in its pages does; token may be empty.
func asked(t *testing.T, s *npmtest.Server, method, path, token string, body, answer any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(method, "/api"+path, bytes.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	got := httptest.NewRecorder()
	s.API().ServeHTTP(got, r)
	if got.Code > 299 {
		t.Fatalf("%s %s: %d %s", method, path, got.Code, got.Body)
	}
	if err := json.Unmarshal(got.Body.Bytes(), answer); err != nil {
		t.Fatal(err)
	}
}

// secondFactor turns the second factor on, and returns its secret.
func secondFactor(t *testing.T, s *npmtest.Server) string {
	t.Helper()
	var login struct{ Token string }
	asked(t, s, http.MethodPost, "/tokens", "", map[string]string{"identity": testUser, "secret": testSecret}, &login)
	var setup struct{ Secret string }
	asked(t, s, http.MethodPost, "/users/1/2fa", login.Token, map[string]any{}, &setup)
	var done any
	asked(t, s, http.MethodPost, "/users/1/2fa/enable", login.Token, map[string]any{"code": npmtest.TOTP(setup.Secret, time.Now())}, &done)
	return setup.Secret
}

// withTOTP gives a Client the text of a file with the second factor's secret.
func withTOTP(text func() string) func(*Options) {
	return func(o *Options) { o.TOTP = func() (string, error) { return text(), nil } }
}

// fixed is a file that stays as it is.
func fixed(text string) func() string { return func() string { return text } }

// The secret is taken in each form in which people have it.
func TestLoginWithSecondFactor(t *testing.T) {
	for what, written := range map[string]func(string) string{
		"as NPM shows it":  func(s string) string { return s },
		"in small groups":  func(s string) string { return strings.ToLower(s[:4]+" "+s[4:8]+"-"+s[8:]) + "\n" },
		"as the QR code":   func(s string) string { return "otpauth://totp/NPM:a%40b.c?secret=" + s + "&issuer=NPM" },
		"as a loud URI":    func(s string) string { return " OTPAUTH://TOTP/NPM?secret=" + s + "\n" },
		"with its padding": func(s string) string { return s + strings.Repeat("=", (8-len(s)%8)%8) },
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, v string) {
				s := newNPM(t, 1, version(v))
				text := written(secondFactor(t, s))
				b := newBed(t, s.API(), withTOTP(fixed(text)), func(o *Options) { o.Poll = 10 * time.Minute })
				b.run()
				after(49 * time.Hour) // the token is renewed without a code
				eq(t, "state", b.State(), State{URL: "http://npm:81", Version: v, Connected: true})
				all := b.calls()
				eq(t, "logins", count(all, "POST /tokens 200"), 1)
				eq(t, "codes", count(all, "POST /tokens/2fa 200"), 1)
			})
		})
	}
}

// A file with no secret in it is said so at once, without a word of what is in
// it, and NPM is not asked; a corrected one counts at once.
func TestSecondFactorCannotBeRead(t *testing.T) {
	for _, bad := range []string{"", "\n", "canary!", "otpauth://hotp/x?secret=" + "MNQW4YLSPE", "otpauth://totp/x", "otpauth://totp/%zz?secret=MNQW4YLSPE", "MNQW4YLSP1"} {
		synctest.Test(t, func(t *testing.T) {
			s := newNPM(t, 1)
			good := secondFactor(t, s)
			var text atomic.Value
			text.Store(bad)
			b := newBed(t, s.API(), withTOTP(func() string { return text.Load().(string) }))
			b.run()
			after(time.Hour)
			eq(t, "problem", b.State().Problem, "Reading the credentials for NPM: NO502_NPM_TOTP_FILE holds neither a secret in base32 nor an otpauth://totp/ URI.")
			eq(t, "logins", count(b.calls(), "POST"), 0)
			eq(t, "logged", b.logged("waiting for NPM"), 1)
			text.Store(good)
			after(credentialsCheck)
			eq(t, "connected", b.State().Connected, true)
		})
	}
}

// frozen is an answer by another clock than ours.
type frozen struct {
	http.ResponseWriter
	ahead time.Duration // ours, of NPM's
}

func (f frozen) WriteHeader(status int) {
	f.Header().Set("Date", time.Now().Add(-f.ahead).UTC().Format(http.TimeFormat))
	f.ResponseWriter.WriteHeader(status)
}

// A code that NPM refuses is said once, with what may be wrong, and no code is
// sent twice.
func TestSecondFactorRefused(t *testing.T) {
	for name, c := range map[string]struct {
		ahead time.Duration // our clock, of NPM's
		wrong bool          // another user's secret
		want  string
	}{
		"wrong secret": {0, true, "the clocks agree, so is the secret in NO502_NPM_TOTP_FILE this user's?"},
		"clock ahead":  {3 * time.Minute, false, "is this machine's clock right? It is 3m0s ahead of NPM's"},
		"clock behind": {-2 * time.Hour, false, "is this machine's clock right? It is 2h0m0s behind NPM's"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newNPM(t, 1)
				right := secondFactor(t, s)
				text := right
				if c.wrong {
					text = "MNQW4YLSPEMNQW4YLSPE"
				}
				var codes []string
				b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/api/tokens/2fa" {
						s.API().ServeHTTP(frozen{w, c.ahead}, r)
						return
					}
					var sent struct{ Code string }
					_ = json.NewDecoder(r.Body).Decode(&sent)
					codes = append(codes, sent.Code)
					now := time.Now().Add(-c.ahead)
					for _, step := range []time.Duration{-codeLife, 0, codeLife} {
						if npmtest.TOTP(right, now.Add(step)) == sent.Code {
							t.Error("the code is right")
						}
					}
					frozen{w, c.ahead}.WriteHeader(http.StatusBadRequest)
					fmt.Fprint(w, `{"error":{"code":400,"message":"Invalid verification code","message_i18n":"error.invalid-2fa"}}`)
				}), withTOTP(fixed(text)))
				b.run()
				after(time.Hour)
				eq(t, "problem", b.State().Problem, "NPM refuses the code of the second factor of user "+testUser+" (Invalid verification code): "+c.want+".")
				eq(t, "logged", b.logged("waiting for NPM"), 1)
				if len(codes) < 10 || len(codes) > 20 {
					t.Errorf("%d codes in an hour", len(codes))
				}
				if slices.Sort(codes); len(slices.Compact(codes)) != len(codes) {
					t.Errorf("a code was sent twice: %v", codes)
				}
			})
		})
	}
}

// An NPM that takes each code only once: the next one is waited for.
func TestSecondFactorUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		used := map[string]bool{}
		s := newNPM(t, 1)
		text := secondFactor(t, s)
		b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/api/tokens/2fa" {
				code := npmtest.TOTP(text, time.Now())
				if used[code] {
					w.WriteHeader(http.StatusBadRequest)
					fmt.Fprint(w, `{"error":{"code":400,"message":"Invalid verification code"}}`)
					return
				}
				used[code] = true
			}
			s.API().ServeHTTP(w, r)
		}), withTOTP(fixed(text)))
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.session.drop(b.session.token)
		b.calls()
		for range int(codeLife / time.Second) {
			err := b.Refresh(t.Context())
			var refusal *SecondFactorError
			if !errors.As(err, &refusal) || !strings.HasSuffix(err.Error(), "it was used before, and the next one is tried") {
				t.Fatalf("error: %v", err)
			}
			time.Sleep(time.Second)
		}
		eq(t, "tries", count(b.calls(), "POST /tokens/2fa"), 1)
		if err := b.Refresh(t.Context()); err != nil {
			t.Errorf("with the next code: %v", err)
		}
	})
}

// Neither the secret, nor a code, nor the challenge that it answers gets out.
func TestSecondFactorStaysInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const challenge = "canary-challenge-1b2c"
		text, sent := "MNQW4YLSPEMNQW4YLSPE", []string{}
		b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/api/":
				fmt.Fprint(w, `{"status":"OK"}`)
			case "/api/tokens":
				fmt.Fprint(w, `{"requires_2fa":true,"challenge_token":"`+challenge+`"}`)
			default:
				var body struct{ Code string }
				_ = json.NewDecoder(r.Body).Decode(&body)
				sent = append(sent, body.Code)
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(w, `{"error":{"message":"no: `+challenge+" "+body.Code+" "+text+`"}}`)
			}
		}), withTOTP(fixed(text)))
		b.run()
		after(20 * time.Minute)
		for _, shown := range append(b.lines, b.State().Problem) {
			for _, secret := range append(sent, challenge, text) {
				if strings.Contains(shown, secret) {
					t.Errorf("%q in: %s", secret, shown)
				}
			}
		}
		eq(t, "redacted", strings.Count(b.State().Problem, "(redacted)"), 3)
	})
}

// A code that is under way while its time ends is refused: the next one is tried.
func TestSecondFactorTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := true
		s := newNPM(t, 1)
		text := secondFactor(t, s)
		b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/api/tokens/2fa" && slow {
				slow = false
				time.Sleep(2 * time.Second)
			}
			s.API().ServeHTTP(w, r)
		}), withTOTP(fixed(text)))
		time.Sleep(time.Until(time.Now().Truncate(codeLife).Add(codeLife - time.Second)))
		err := b.Refresh(t.Context())
		if err == nil || !strings.HasSuffix(err.Error(), "its 30 s were over, or had not begun, by NPM's clock, and the next one is tried") {
			t.Errorf("error: %v", err)
		}
		time.Sleep(codeLife)
		if err := b.Refresh(t.Context()); err != nil {
			t.Errorf("with the next code: %v", err)
		}
	})
}
