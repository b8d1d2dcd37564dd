package main

import (
	"bufio"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
)

// from asks the status port as somebody in a container does, at no502's address
// on a network; in its own container at 127.0.0.1.
func (w *world) from(container, at string, r *http.Request) (status int, body string) {
	w.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: w.docker.Box(container).DialContext}}
	r.URL.Scheme, r.URL.Host = "http", at+":8502"
	answer, err := client.Do(r.WithContext(w.t.Context()))
	w.must(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	w.must(err)
	return answer.StatusCode, string(text)
}

func ask(method, path string, body io.Reader) *http.Request {
	r, err := http.NewRequest(method, path, body)
	if err != nil {
		panic(err)
	}
	return r
}

// What no502 sees is told in its own container and on networks that NPM is on;
// elsewhere no more than that it lives. Who says where to listen has that.
func TestStatusPortIsForNPMsNetworks(t *testing.T) {
	for _, listen := range []string{"", ":8502"} {
		inBubble(t, func(t *testing.T, w *world) {
			w.settings.listen = listen
			w.must(w.people.Network(t.Context(), "elsewhere", "", nil))
			w.must(w.people.Connect(t.Context(), "elsewhere", "no502"))
			w.add("neighbour", dockerdtest.App{Networks: []string{"proxy"}})
			w.add("stranger", dockerdtest.App{Networks: []string{"elsewhere"}})
			w.startNPM()
			w.start()
			pass(time.Minute)
			for who, at := range map[string]string{"no502": "127.0.0.1", "neighbour": w.address("no502", "proxy"), "stranger": w.address("no502", "elsewhere")} {
				for path, status := range map[string]int{"/healthz": 200, "/readyz": 200, "/api/v1/verdicts": 200, "/": 404} {
					if who == "stranger" && listen == "" && path != "/healthz" {
						status = 403
					}
					got, body := w.from(who, at, ask(http.MethodGet, path, nil))
					if got != status || status == 403 && !strings.Contains(body, "NO502_LISTEN") {
						t.Errorf("listening at %q, %s asks for %s and gets %d %s, want %d", listen, who, path, got, body, status)
					}
				}
			}
		})
	}
}

// Nothing changes by a request, whatever its method.
func TestStatusPortChangesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(1)
		w.settle()
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PROPFIND"} {
			for _, path := range []string{"/healthz", "/readyz", "/api/v1/verdicts", "/api/v1", "/"} {
				if status, body := w.from("no502", "127.0.0.1", ask(method, path, nil)); status != 404 && status != 405 {
					t.Errorf("%s %s: %d %s", method, path, status, body)
				}
			}
		}
		pass(time.Minute)
		w.wantWrites("all methods", nothing)
		if status, _ := w.from("no502", "127.0.0.1", ask("GET", "/readyz", strings.NewReader("a body"))); status != 413 {
			t.Errorf("a body: %d", status)
		}
		long := ask("GET", "/readyz", nil)
		long.Header.Set("X", strings.Repeat("x", 32<<10))
		if status, _ := w.from("no502", "127.0.0.1", long); status != 431 {
			t.Errorf("32 kB of header: %d", status)
		}
	})
}

// Who is slow, or says nothing, is cut off.
func TestStatusPortWaitsForNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settle()
		for what, c := range map[string]struct {
			said  string
			limit time.Duration
		}{
			"nothing": {"", 5 * time.Second}, "half a header": {"GET /healthz HTTP/1.1\r\nHost: a\r\nX-", 5 * time.Second},
			"no second request": {"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 30 * time.Second},
		} {
			conn, err := w.docker.Box("no502").DialContext(t.Context(), "tcp", "127.0.0.1:8502")
			w.must(err)
			began := time.Now()
			_, err = io.WriteString(conn, c.said)
			w.must(err)
			_, _ = io.Copy(io.Discard, bufio.NewReader(conn))
			if lasted := time.Since(began); lasted > c.limit {
				t.Errorf("%s: the connection lasted %v", what, lasted)
			}
			conn.Close()
		}
	})
}

// Where no502 waits for something, the status port does not tell what there is
// on the machine.
func TestStatusPortTellsNoPaths(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		dir := t.TempDir()
		w.settings.npmPassword, w.settings.npmPasswordFile = "", filepath.Join(dir, "password")
		w.startNPM()
		w.start()
		pass(time.Minute)
		_, body := w.get("/readyz")
		if strings.Contains(body, dir) || !strings.Contains(body, "NO502_NPM_PASSWORD_FILE: no such file") {
			t.Error(body)
		}
		w.stop()
		w.settings.dockerHost = "unix://" + filepath.Join(dir, "docker.sock")
		w.place.engine = nil
		w.start()
		pass(time.Minute)
		if _, body := w.get("/readyz"); strings.Contains(body, dir) || !strings.Contains(body, "the Docker Engine") {
			t.Error(body)
		}
	})
}
