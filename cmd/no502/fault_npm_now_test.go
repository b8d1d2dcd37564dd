package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/no502/no502/controller/npm/npmtest"
)

const sqliteBusy = `{"error":{"code":500,"message":"SQLITE_BUSY: database is locked"}}`

// Requests fail now and then, as they do while a backup locks NPM's database or
// a reload cuts connections: what failed is done soon, and once.
func TestFaultNPMFailsNowAndThen(t *testing.T) {
	write := func(r *http.Request) bool {
		return r.Method != http.MethodGet && strings.HasPrefix(r.URL.Path, "/nginx/")
	}
	read := func(r *http.Request) bool { return r.Method == http.MethodGet }
	for what, c := range map[string]struct {
		of    func(*http.Request) bool
		fault npmtest.Fault
	}{
		"the database is locked for writes":      {write, npmtest.Fault{Status: 500, Body: sqliteBusy}},
		"the database is locked for reads":       {read, npmtest.Fault{Status: 500, Body: sqliteBusy}},
		"a write's connection is reset":          {write, npmtest.Fault{Drop: true}},
		"a write's answer is lost":               {write, npmtest.Fault{Drop: true, After: true}},
		"a write's answer is an error":           {write, npmtest.Fault{Status: 500, Body: internalError, After: true}},
		"a write's answer is a proxy's time-out": {write, npmtest.Fault{Status: 504, Body: "<html>", After: true}},
	} {
		for _, every := range []int32{1, 2, 3} {
			t.Run(what, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					j := w.work()
					var asked atomic.Int32
					w.failNPM(func(r *http.Request) *npmtest.Fault {
						if n := asked.Add(1); c.of(r) && n%every == 0 && n < 24 {
							return &c.fault
						}
						return nil
					})
					j.comesUp()
					pass(5 * time.Minute)
					w.failNPM(nil)
					pass(time.Minute)
					j.wantDone(what)
					j.g.holds(what)
				})
			})
		}
	}
}

// endToken makes NPM refuse the token that no502 has.
func (w *world) endToken(answer npmtest.Fault) {
	var ended atomic.Pointer[string]
	w.failNPM(func(r *http.Request) *npmtest.Fault {
		token := r.Header.Get("Authorization")
		if token == "" {
			return nil
		}
		if ended.CompareAndSwap(nil, &token); *ended.Load() == token {
			return &answer
		}
		return nil
	})
}

var expired = npmtest.Fault{Status: 400, Body: `{"error":{"code":400,"message":"Token has expired","message_i18n":{"name":"TokenExpiredError"}}}`}

// NPM ends the token early, in one of its ways: one login more, without a word.
func TestFaultTokenEnds(t *testing.T) {
	for what, answer := range map[string]npmtest.Fault{
		"expired": expired,
		"401":     {Status: 401, Body: `{"error":{"code":401,"message":"Unauthorized"}}`},
		"unknown": {Status: 404, Body: `{"error":{"code":404,"message":"Not Found - /nginx/proxy-hosts"}}`},
		"unread":  {Status: 500, Body: internalError},
	} {
		inBubble(t, func(t *testing.T, w *world) {
			j := w.work()
			w.endToken(answer)
			j.comesUp()
			pass(time.Minute)
			j.wantDone(what)
			want(t, what, w.asked(), map[string]int{logins: 1})
			if said := with(w.log.take(), `"level":"error"`); len(said) > 0 && answer.Status != 500 {
				t.Errorf("%s: said %v", what, said)
			}
			j.g.holds(what)
		})
	}
}

// The password is changed while no502 runs, and its token ends: that is said
// once, and a corrected file counts at once.
func TestFaultPasswordChanges(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		file := filepath.Join(t.TempDir(), "password")
		w.must(os.WriteFile(file, []byte(testPassword+"\n"), 0o600))
		w.settings.npmPassword, w.settings.npmPasswordFile = "", file
		j := w.work()
		const changed = "canary-changed-11"
		w.person(http.MethodPut, "/users/1/auth", map[string]any{"type": "password", "current": testPassword, "secret": changed}, nil)
		pass(10 * time.Minute)
		w.wantReady("") // NPM takes the old token
		w.endToken(expired)
		j.comesUp()
		pass(time.Hour)
		const sentence = "NPM refuses the password of user no502@example.com: Invalid email or password"
		w.wantReady(sentence)
		said := w.log.take()
		if n := len(with(said, "waiting for NPM", sentence)); n != 1 {
			t.Errorf("that the password is refused was said %d times", n)
		}
		if n := len(with(said, `"level":"error"`)); n > 2 {
			t.Errorf("%d tries went wrong:\n%s", n, strings.Join(said, ""))
		}
		if n := w.asked()[logins]; n > 20 {
			t.Errorf("%d logins in an hour", n)
		}
		w.must(os.WriteFile(file, []byte(changed+"\n"), 0o600))
		pass(5 * time.Second)
		w.wantReady("")
		j.wantDone("a changed password")
		j.g.holds("a changed password")
		if strings.Contains(w.log.everything(), changed) {
			t.Error("the password was shown")
		}
	})
}

// A second factor is turned on while no502 runs, and its token ends: with its
// secret no502 goes on; without, it says once what to do.
func TestFaultSecondFactorTurnedOn(t *testing.T) {
	for _, given := range []bool{true, false} {
		inBubble(t, func(t *testing.T, w *world) {
			file := filepath.Join(t.TempDir(), "totp")
			w.must(os.WriteFile(file, []byte("MNQW4YLSPEMNQW4YLSPE"), 0o600)) // of whatever was before
			if given {
				w.settings.npmTOTPFile = file
			}
			j := w.work()
			secret := w.secondFactor()
			pass(10 * time.Minute)
			w.wantReady("") // NPM takes the old token
			w.endToken(expired)
			j.comesUp()
			pass(10 * time.Minute)
			w.wantReady("second factor")
			said := w.log.take()
			if n := len(with(said, "waiting for NPM", "NO502_NPM_TOTP_FILE")); n != 1 {
				t.Errorf("that there is a second factor was said %d times", n)
			}
			if n := len(with(said, `"level":"error"`)); n > 2 {
				t.Errorf("%d tries went wrong:\n%s", n, strings.Join(said, ""))
			}
			if given {
				w.must(os.WriteFile(file, []byte("otpauth://totp/NPM?secret="+secret+"\n"), 0o600))
			} else {
				w.person(http.MethodDelete, "/users/1/2fa?code="+npmtest.TOTP(secret, time.Now())+"&", nil, nil) // before "?person"
				pass(5 * time.Minute)
			}
			pass(5 * time.Second)
			w.wantReady("")
			j.wantDone("a second factor")
			j.g.holds("a second factor")
			if strings.Contains(w.log.everything(), secret) {
				t.Error("the secret was shown")
			}
		})
	}
}

// That NPM's certificate is not verified is said at the start.
func TestInsecureIsSaid(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settings.npmInsecure = true
		w.start()
		pass(time.Second)
		w.wantSaid(1, "NPM's certificate is not verified")
	})
}
