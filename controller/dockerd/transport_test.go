package dockerd

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/no502/no502/api"
)

// serve opens an Engine whose answers are a handler's.
func serve(t *testing.T, handler http.HandlerFunc) *Engine {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	engine, err := Open(Options{Host: strings.Replace(server.URL, "http://", "tcp://", 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	return engine
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// Events are asked for by the Engine's clock, whatever this machine's says.
func TestSubscribeByTheEnginesClock(t *testing.T) {
	engineNow := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	var since, filters string
	engine := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Date", engineNow.Format(http.TimeFormat))
		if strings.HasSuffix(r.URL.Path, "/events") {
			since, filters = r.FormValue("since"), r.FormValue("filters")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	})
	stream, err := engine.subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream.close()
	if want := strconv.FormatInt(engineNow.Unix(), 10) + ".000000000"; since != want {
		t.Errorf("since %s, want %s", since, want)
	}
	for _, part := range []string{`"container":true`, `"network":true`, `"health_status":true`, `"destroy":true`} {
		if !strings.Contains(filters, part) {
			t.Errorf("filters %s lack %s", filters, part)
		}
	}
	if strings.Contains(filters, "exec") {
		t.Errorf("filters %s let health checks through", filters)
	}
}

func TestProxyRefuses(t *testing.T) {
	refuse := func(method, path string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Api-Version", "1.41")
			if (r.Method == method || r.Method == http.MethodHead) && strings.HasSuffix(r.URL.Path, path) {
				w.Header().Set("Content-Type", "text/html")
				w.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(w, "<html><body><h1>403 Forbidden</h1></body></html>")
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "[]")
		}
	}
	ctx := context.Background()
	for _, c := range []struct {
		method, path, want string
		try                func(*Engine) error
	}{
		{"GET", "/containers/json", "GET /v1.41/containers/json ", (*Engine).refresh},
		{"GET", "/networks", "GET /v1.41/networks ", (*Engine).refresh},
		{"GET", "/_ping", "GET /_ping ", func(e *Engine) error { _, err := e.now(ctx); return err }},
		{"GET", "/events", "GET /v1.41/events ", func(e *Engine) error { _, err := e.subscribe(ctx); return err }},
		{"POST", "/connect", "POST /v1.41/networks/n/connect ", func(e *Engine) error {
			return e.Attach(ctx, "c", "n", pinned, nil)
		}},
		{"POST", "/networks/create", "POST /v1.41/networks/create ", func(e *Engine) error {
			return e.CreateNetwork(ctx, "no502", api.Subnet{}, nil)
		}},
	} {
		err := c.try(serve(t, refuse(c.method, c.path)))
		var refused *api.RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "html") {
			t.Errorf("%s %s refused: %v", c.method, c.path, err)
		}
		if remedy(err) == "" {
			t.Errorf("%s %s refused: no remedy", c.method, c.path)
		}
	}
}

func (e *Engine) refresh() error { return e.Refresh(context.Background()) }

// The Engine's own refusal is JSON and no proxy's.
func TestEngineRefuses(t *testing.T) {
	engine := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"message":"authorization denied by plugin"}`)
	})
	err := engine.refresh()
	var refused *api.RefusedError
	if err == nil || errors.As(err, &refused) || !strings.Contains(err.Error(), "denied by plugin") {
		t.Errorf("got %v", err)
	}
}

func TestMissingSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "docker.sock")
	engine, err := Open(Options{Host: "unix://" + path})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	if err := engine.refresh(); err == nil || !strings.Contains(err.Error(), path+":"+path+":ro") {
		t.Errorf("no socket: %v", err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := engine.refresh(); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory: %v", err)
	}
}

// A mounted socket stays the old one when the Engine makes it anew: a file that has
// no name any more, as a descriptor of one is.
func TestSocketMadeAnew(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("descriptors have paths on Linux only")
	}
	path := filepath.Join(t.TempDir(), "docker.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	mounted, err := syscall.Open(path, 0x200000, 0) // O_PATH
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(mounted)
	socket := fmt.Sprintf("/proc/self/fd/%d", mounted)
	if got := adviseSocket(socket, false); got != "" {
		t.Errorf("advice %q about a socket that is still there", got)
	}
	if err := listener.Close(); err != nil { // and removes it
		t.Fatal(err)
	}
	engine, err := Open(Options{Host: "unix://" + socket})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	err = engine.refresh()
	for _, words := range []string{socket, "still the old one", "restart this container", "mount the directory"} {
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("the error lacks %q: %v", words, err)
		}
	}
}

func TestSocketOfAnotherGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "docker.sock")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	gid, ok := groupOf(info)
	if !ok {
		t.Skip("files have no group on this system")
	}
	want := `group_add: ["` + strconv.Itoa(int(gid)) + `"]`
	if got := adviseSocket(path, true); !strings.Contains(got, want) {
		t.Errorf("advice %q lacks %q", got, want)
	}
	if got := adviseSocket(path, false); got != "" {
		t.Errorf("advice %q about a socket that looks right", got)
	}
}

func TestOpen(t *testing.T) {
	if _, err := Open(Options{Host: "nonsense"}); err == nil {
		t.Error("no error")
	}
	t.Setenv("DOCKER_HOST", "tcp://docker.example:2375")
	engine, err := Open(Options{})
	if err != nil || engine.Host() != "tcp://docker.example:2375" {
		t.Errorf("host %v, error %v", engine, err)
	}
	t.Setenv("DOCKER_CERT_PATH", t.TempDir())
	if _, err := Open(Options{}); err == nil {
		t.Error("no error without certificates")
	}
}

// With certificates the Engine is spoken to by TLS.
func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "[]")
	}))
	defer server.Close()
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]pem.Block{
		"ca.pem":   {Type: "CERTIFICATE", Bytes: server.Certificate().Raw},
		"cert.pem": {Type: "CERTIFICATE", Bytes: server.Certificate().Raw},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("DOCKER_CERT_PATH", dir)
	t.Setenv("DOCKER_TLS_VERIFY", "1")
	engine, err := Open(Options{Host: strings.Replace(server.URL, "https://", "tcp://", 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	if err := engine.refresh(); err != nil {
		t.Error(err)
	}
}

// A clock's date is in whole seconds, and its exchange takes a while: neither is
// a difference.
func TestHowFarAClockIsAhead(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 500e6, time.UTC)
	for _, c := range []struct {
		date, took, want time.Duration
	}{
		{-500 * time.Millisecond, 0, 0},
		{-500 * time.Millisecond, 5 * time.Second, 0},
		{4500 * time.Millisecond, 5 * time.Second, 0},
		{-1500 * time.Millisecond, 0, -1500 * time.Millisecond},
		{time.Hour, 5 * time.Second, time.Hour - 5*time.Second},
		{-time.Hour, 5 * time.Second, -time.Hour},
	} {
		if got := ahead(at.Add(c.date), at, at.Add(c.took)); got != c.want {
			t.Errorf("a date %v off after %v: %v ahead, want %v", c.date, c.took, got, c.want)
		}
	}
}
