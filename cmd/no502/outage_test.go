package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
	"github.com/no502/no502/controller/npm/npmtest"
)

// wantReady fails unless /readyz says so, or names what is waited for.
func (w *world) wantReady(waitsFor string) {
	w.t.Helper()
	status, body := w.get("/readyz")
	switch {
	case waitsFor == "" && status != http.StatusOK:
		w.t.Errorf("/readyz: %d %s, want 200", status, body)
	case waitsFor != "" && (status != http.StatusServiceUnavailable || !strings.Contains(body, waitsFor)):
		w.t.Errorf("/readyz: %d %s, want 503 and %q", status, body, waitsFor)
	}
}

// wantSaid fails unless a text was logged so often since the last time.
func (w *world) wantSaid(times int, text string) {
	w.t.Helper()
	said := w.log.take()
	if got := len(with(said, text)); got != times {
		w.t.Errorf("%q was logged %d times, want %d, in\n%s", text, got, times, strings.Join(said, ""))
	}
}

func TestEngineComesLate(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(2)
		w.startNPM()
		var there atomic.Bool
		w.place.engine = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if !there.Load() {
				return nil, errors.New("connection refused")
			}
			return w.docker.DialContext(ctx, network, addr)
		}
		w.start()
		pass(10 * time.Minute)
		w.wantReady("the Docker Engine")
		w.wantSaid(1, "waiting for the Docker Engine")
		there.Store(true)
		pass(30 * time.Second)
		w.wantReady("")
		w.wantSaid(2, "proxy host is right")
	})
}

func TestNPMComesLate(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(2)
		w.start()
		pass(10 * time.Minute)
		w.wantReady("connection refused")
		w.wantSaid(1, `"for":"an answer"`)
		w.startNPM()
		pass(30 * time.Second)
		w.wantReady("")
		w.wantSaid(2, "proxy host is right")
	})
}

// A wrong password is said once and tried ever more seldom; a corrected file
// counts at once.
func TestWrongPassword(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		file := filepath.Join(t.TempDir(), "password")
		w.must(os.WriteFile(file, []byte("wrong-"+testPassword+"\n"), 0o600))
		w.settings.npmPassword, w.settings.npmPasswordFile = "", file
		w.crowd(2)
		w.startNPM()
		w.asked()
		w.start()
		pass(time.Hour)
		const sentence = "NPM refuses the password of user no502@example.com: Invalid email or password"
		w.wantReady(sentence)
		w.wantSaid(1, sentence)
		// 0, 5, 15, 35, 75, 155, 315 s, and then one in five minutes.
		got := w.asked()
		want(t, "an hour", got, map[string]int{logins: 17, npmLists: 0, npmPuts: 0})
		w.must(os.WriteFile(file, []byte(testPassword+"\n"), 0o600))
		pass(3 * time.Second)
		w.wantReady("")
		w.wantSaid(2, "proxy host is right")
	})
}

// secondFactor turns it on for no502's user, and returns its secret.
func (w *world) secondFactor() string {
	w.t.Helper()
	var setup struct{ Secret string }
	w.person(http.MethodPost, "/users/1/2fa", map[string]any{}, &setup)
	w.person(http.MethodPost, "/users/1/2fa/enable", map[string]any{"code": npmtest.TOTP(setup.Secret, time.Now())}, nil)
	return setup.Secret
}

func TestSecondFactor(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.secondFactor()
		w.startNPM()
		w.start()
		pass(time.Minute)
		const sentence = "NPM asks for a second factor for user no502@example.com; give no502 its secret in a file (NO502_NPM_TOTP_FILE), or a user of its own without one"
		w.wantReady(sentence)
		w.wantSaid(1, sentence)
	})
}

// A list that fails, breaks off or is no list changes nothing, neither what is
// known nor what NPM has.
func TestBrokenDockerList(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var hook atomic.Pointer[func(http.ResponseWriter, *http.Request, http.Handler)]
		w.front(func(rw http.ResponseWriter, r *http.Request, engine http.Handler) {
			if f := hook.Load(); f != nil && strings.HasSuffix(r.URL.Path, "/containers/json") {
				(*f)(rw, r, engine)
				return
			}
			engine.ServeHTTP(rw, r)
		})
		answer := func(status int, body string) func(http.ResponseWriter, *http.Request, http.Handler) {
			return func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) {
				rw.Header().Set("Content-Type", "application/json")
				rw.WriteHeader(status)
				_, _ = io.WriteString(rw, body)
			}
		}
		w.crowd(20)
		w.settle()
		before := w.npm.Snapshot()
		for what, f := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
			"breaks off": half, "is no list": answer(200, `{"message":"starting"}`), "is null": answer(200, "null"),
			"fails": answer(500, `{"message":"locked"}`), "is empty by a fault": answer(200, "[]"),
		} {
			hook.Store(&f)
			pass(w.settings.resync + time.Minute) // a resync fails
			w.docker.CutEvents()                  // and then the first list of a new stream
			pass(w.settings.resync + time.Minute)
			said := w.log.take()
			if found := with(said, `"msg":"found"`); len(found) > 0 && what != "is empty by a fault" {
				t.Errorf("%s: concluded %q", what, found)
			}
			if n := len(with(said, "could not read again")); n > 1 {
				t.Errorf("%s: logged %d times", what, n)
			}
			for key, row := range w.npm.Snapshot() {
				if string(row) != string(before[key]) {
					t.Errorf("%s: %s is now %s", what, key, row)
				}
			}
			got := w.asked()
			want(t, what, got, map[string]int{npmPuts: 0, connects: 0})
			if found := strings.Count(w.verdicts(), `"kind":"proxy-host"`); found != 20 {
				t.Errorf("%s: %d hosts are still known", what, found)
			}
			hook.Store(nil)
			w.docker.CutEvents()
			pass(time.Minute)
			w.log.take()
			if n := strings.Count(w.verdicts(), `"InSync":{"status":"True"`); n != 20 {
				t.Errorf("after a list that %s: %d hosts are right", what, n)
			}
			w.asked()
		}
	})
}

func (w *world) verdicts() string {
	w.t.Helper()
	_, body := w.get("/api/v1/verdicts")
	return body
}

func TestBrokenNPMList(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(20)
		w.settle()
		for what, f := range map[string]npmtest.Fault{
			"breaks off": {Status: 200, Body: `[{"id":1,"domain_names":["app1.example.com"]},{"id":2`},
			"is no list": {Status: 200, Body: `{"error":"x"}`},
			"is HTML":    {Status: 200, Body: `<html>`},
			"fails":      {Status: 500, Body: `{"error":{"code":500,"message":"Internal Error"}}`},
			"is dropped": {Drop: true},
		} {
			w.failNPM(func(r *http.Request) *npmtest.Fault {
				if r.URL.Path == "/nginx/proxy-hosts" {
					return &f
				}
				return nil
			})
			w.edit(1, map[string]any{"forward_host": "APP1"}) // the list would be another
			pass(w.settings.resync + time.Minute)
			want(t, what, w.asked(), map[string]int{npmPuts: 0, connects: 0})
			if found := strings.Count(w.verdicts(), `"kind":"proxy-host"`); found != 20 {
				t.Errorf("%s: %d hosts are still known", what, found)
			}
			w.failNPM(nil)
			pass(time.Minute)
			w.wantForward(1, "http://app1:8080")
			w.asked()
		}
	})
}

// What befalls one container or one request does not stop the others.
func TestOneInspectionFails(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(3)
		w.startNPM()
		bad, err := w.people.Create(t.Context(), stageApp("bad"))
		w.must(err)
		w.failDocker(func(r *http.Request) *dockerdtest.Fault {
			if strings.Contains(r.URL.Path, bad) {
				return &dockerdtest.Fault{Status: 500, Message: "corrupt"}
			}
			return nil
		})
		w.start()
		pass(time.Minute)
		w.wantReady("")
		w.wantSaid(3, "proxy host is right")
	})
}
