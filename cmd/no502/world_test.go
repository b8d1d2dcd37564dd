package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/pflag"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/controller/npm/npmtest"
	"github.com/no502/no502/test/lab"
)

const (
	testEmail    = "no502@example.com"
	testPassword = "canary-password-5d21"
	appImage     = "app:1"
)

var (
	enabled = map[string]string{"no502.enable": "true"}
	quiet   = log.New(io.Discard, "", 0)
)

// world is the real controller before an Engine and an NPM in this process.
// NPM's container and no502's own are on the network "proxy", which somebody
// else made.
type world struct {
	t        testing.TB
	docker   *dockerdtest.Engine
	npm      *npmtest.Server
	people   *stage.Stage // somebody with Docker's command line
	settings settings
	place    place
	log      lines

	dockerFault atomic.Pointer[func(*http.Request) *dockerdtest.Fault]
	npmFault    atomic.Pointer[func(*http.Request) *npmtest.Fault]
	backends    http.Server
	token       string       // a person's, in NPM
	stop        func()       // the controller
	ahead       atomic.Int64 // of no502's clock, by which the Engine's and NPM's is, a time.Duration
	projects    []string     // of Compose, whose networks there are
	closers     []func()
}

// inBubble runs a test in a world in which time is fake.
func inBubble(t *testing.T, test func(t *testing.T, w *world), opts ...func(*npmtest.Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, opts...)
		defer w.close()
		test(t, w)
	})
}

func newWorld(t testing.TB, opts ...func(*npmtest.Options)) *world {
	t.Helper()
	w := &world{t: t}
	w.docker = dockerdtest.New(dockerdtest.Options{Clock: w.clock})
	w.closers = append(w.closers, w.docker.Close)
	w.docker.Register(appImage, func(ctx context.Context, box *dockerdtest.Box) int {
		return embeddedProgram(ctx, w.docker, box)
	})
	people, err := stage.Open(t.Context(), "test", "", w.docker.DialContext)
	w.must(err)
	w.people = people
	w.closers = append(w.closers, func() { people.Close() })
	w.must(people.Network(t.Context(), "proxy", "", nil))
	w.add("npm", dockerdtest.App{Image: "jc21/nginx-proxy-manager:2", Networks: []string{"proxy"}})
	self := w.add("no502", dockerdtest.App{Networks: []string{"proxy"}})

	o := npmtest.Options{Network: w.docker.Box("npm"), AdminEmail: testEmail, AdminPassword: testPassword, Fault: w.faultOfNPM, Clock: w.clock}
	for _, opt := range opts {
		opt(&o)
	}
	w.npm = npmtest.New(o)
	w.closers = append(w.closers, w.npm.Close)
	w.docker.SetFault(w.faultOfDocker)
	w.backends = http.Server{ErrorLog: quiet, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello,", r.Host)
	})}
	w.closers = append(w.closers, func() { w.backends.Close() })

	box := w.docker.Box("no502")
	w.place = place{dial: box.DialContext, listen: box.Listen, engine: w.docker.DialContext, selfHints: []string{self}}
	w.settings.bind(pflag.NewFlagSet("test", pflag.PanicOnError))
	w.settings.dockerHost, w.settings.hostProc, w.settings.npmData = "tcp://docker", "", ""
	w.settings.npmEmail, w.settings.npmPassword = testEmail, testPassword
	w.settings.logFormat = "json"
	return w
}

// clock is the Engine's and NPM's.
func (w *world) clock() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

func (w *world) close() {
	if w.stop != nil {
		w.stop()
	}
	for i := len(w.closers) - 1; i >= 0; i-- {
		w.closers[i]()
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// add puts a running container there, without an event.
func (w *world) add(name string, a dockerdtest.App) (id string) {
	w.t.Helper()
	id, err := w.docker.AddApp(name, a)
	w.must(err)
	return id
}

// crowd makes n containers and a proxy host for each, all as they should be.
// They are called app1 to appN, and so are the hosts numbered.
func (w *world) crowd(n int) {
	w.t.Helper()
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("app%d", i)
		w.add(name, dockerdtest.App{Labels: enabled, Networks: []string{"proxy"}, Expose: []string{"8080"}, Health: i == 1})
		l, err := w.docker.Box(name).Listen("tcp", ":8080")
		w.must(err)
		go w.backends.Serve(l) //nolint:errcheck // ends with the world
		w.host(i, name, 8080)
	}
	if n > 0 {
		w.must(w.docker.SetHealth("app1", "healthy"))
	}
}

// host makes proxy host appI.example.com.
func (w *world) host(i int, forward string, port int) {
	w.npm.AddHost(npmtest.ProxyHost{
		ID: i, DomainNames: []string{fmt.Sprintf("app%d.example.com", i)}, ForwardHost: forward, ForwardPort: port,
	})
}

// app runs a container that serves plain HTTP on port 8080, as people do.
func (w *world) app(name, network string, more ...func(*stage.Container)) (id string) {
	w.t.Helper()
	c := anApp(name, network)
	for _, m := range more {
		m(&c)
	}
	id, err := w.people.Run(w.t.Context(), c)
	w.must(err)
	return id
}

// anApp is a service that opted in, and serves on port 8080.
func anApp(name, network string) stage.Container {
	return stage.Container{
		Name: name, Image: appImage, Cmd: []string{"demo", "backend", "8080/http"}, Labels: enabled, Network: network,
		Expose: []string{"8080"}, Env: []string{"NAME=" + name},
	}
}

// startNPM lets NPM listen.
func (w *world) startNPM() {
	w.t.Helper()
	w.must(w.npm.Start())
}

// start starts the controller.
func (w *world) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, w.settings, w.place, w.settings.logger(&w.log))
		close(done) // who asks again is not to wait
	}()
	w.stop = func() {
		cancel()
		w.stop = nil
		if err := <-done; err != nil {
			w.t.Errorf("run: %v", err)
		}
	}
}

// settle starts NPM and the controller, in a bubble, and waits until all is
// quiet. What was asked and said up to then is forgotten.
func (w *world) settle() {
	w.t.Helper()
	w.startNPM()
	w.start()
	pass(time.Minute) // no container is new any more
	w.asked()
	w.log.take()
}

// pass lets fake time pass, and what happens in it.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (w *world) faultOfDocker(r *http.Request) *dockerdtest.Fault {
	if f := w.dockerFault.Load(); f != nil {
		return (*f)(r)
	}
	return nil
}

func (w *world) faultOfNPM(r *http.Request) *npmtest.Fault {
	if f := w.npmFault.Load(); f != nil && r.URL.RawQuery != "person" {
		return (*f)(r)
	}
	return nil
}

// failNPM makes a hook decide what befalls no502's requests to NPM; nil: nothing.
func (w *world) failNPM(hook func(*http.Request) *npmtest.Fault) {
	w.npmFault.Store(nil)
	if hook != nil {
		w.npmFault.Store(&hook)
	}
}

func (w *world) failDocker(hook func(*http.Request) *dockerdtest.Fault) {
	w.dockerFault.Store(nil)
	if hook != nil {
		w.dockerFault.Store(&hook)
	}
}

var number = regexp.MustCompile(`/([0-9a-f]{64}|[0-9]+)\b`)

// Requests, as asked counts them.
const (
	inspects = "docker GET /containers/{id}/json"
	lists    = "docker GET /containers/json"
	netLists = "docker GET /networks"
	connects = "docker POST /networks/{id}/connect"
	streams  = "docker GET /events"
	logins   = "npm POST /tokens"
	npmLists = "npm GET /nginx/proxy-hosts"
	npmGets  = "npm GET /nginx/proxy-hosts/{id}"
	npmPuts  = "npm PUT /nginx/proxy-hosts/{id}"
)

// asked counts what no502 asked of the Engine and of NPM since the last call,
// without what people did.
func (w *world) asked() map[string]int {
	counts := map[string]int{}
	for _, c := range w.docker.Calls() {
		counts["docker "+c.Method+" "+number.ReplaceAllString(c.Path, "/{id}")]++
	}
	for _, c := range w.npm.Calls() {
		if !strings.HasSuffix(c.Path, "?person") {
			counts["npm "+c.Method+" "+number.ReplaceAllString(c.Path, "/{id}")]++
		}
	}
	w.docker.ResetCalls()
	w.npm.ResetCalls()
	return counts
}

// want compares counts of requests: the named ones exactly.
func want(t *testing.T, what string, got, want map[string]int) {
	t.Helper()
	for k, n := range want {
		if got[k] != n {
			t.Errorf("%s: %s was asked %d times, want %d", what, k, got[k], n)
		}
	}
	if t.Failed() {
		t.Logf("%s: all requests: %v", what, got)
	}
}

// person makes a request to NPM as somebody in its pages does.
func (w *world) person(method, path string, body, answer any) {
	w.t.Helper()
	got := w.ask(method, path, body)
	if got.Code >= 300 {
		w.t.Errorf("%s %s: %d %s", method, path, got.Code, got.Body)
	}
	if answer != nil {
		w.must(json.Unmarshal(got.Body.Bytes(), answer))
	}
}

// ask is person, whatever the answer.
func (w *world) ask(method, path string, body any) *httptest.ResponseRecorder {
	w.t.Helper()
	if w.token == "" && path != "/tokens" {
		var got struct{ Token string }
		w.person(http.MethodPost, "/tokens", map[string]string{"identity": testEmail, "secret": testPassword}, &got)
		w.token = got.Token
	}
	var data []byte
	if body != nil {
		var err error
		data, err = json.Marshal(body)
		w.must(err)
	}
	r := httptest.NewRequest(method, "/api"+path+"?person", bytes.NewReader(data))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+w.token)
	got := httptest.NewRecorder()
	w.npm.API().ServeHTTP(got, r)
	return got
}

// edit changes a proxy host as somebody in NPM's pages does.
func (w *world) edit(host int, fields map[string]any) {
	w.t.Helper()
	w.person(http.MethodPut, fmt.Sprintf("/nginx/proxy-hosts/%d", host), fields, nil)
}

// forward is where NPM forwards a host to.
func (w *world) forward(host int) string {
	w.t.Helper()
	var h lab.ProxyHost
	w.must(json.Unmarshal(w.npm.Snapshot()[fmt.Sprintf("proxy_host/%d", host)], &h))
	return h.Forward()
}

func (w *world) wantForward(host int, want string) {
	w.t.Helper()
	if got := w.forward(host); got != want {
		w.t.Errorf("NPM forwards host %d to %s, want %s", host, got, want)
	}
}

// get asks the status port.
func (w *world) get(path string) (status int, body string) {
	w.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: w.docker.Box("no502").DialContext}}
	answer, err := client.Get("http://127.0.0.1:8502" + path)
	w.must(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	w.must(err)
	return answer.StatusCode, string(text)
}

// visit asks NPM for a domain's page.
func (w *world) visit(domain string) (status int, body string) {
	return w.visitPath(domain, "/page")
}

func (w *world) visitPath(domain, path string) (status int, body string) {
	r := httptest.NewRequest(http.MethodGet, "http://"+domain+path, nil)
	answer := httptest.NewRecorder()
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler: // nginx closes the connection, or does not run
			status, body = 0, "no answer"
		default:
			panic(p)
		}
	}()
	w.npm.DataPlane().ServeHTTP(answer, r)
	return answer.Code, answer.Body.String()
}

// address is where a container is on a network.
func (w *world) address(name, network string) string {
	w.t.Helper()
	addr, err := w.people.Address(w.t.Context(), name, network)
	w.must(err)
	return addr
}
