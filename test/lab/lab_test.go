package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
	"github.com/no502/no502/controller/dockerd/stage"
)

var programs = map[string]func(context.Context, *Process) error{
	"backend": Backend, "npm": NPM, "dial": Dial, "visitor": Visitor,
}

// raised is a lab on an Engine in this process.
func raised(t *testing.T) *Lab {
	t.Helper()
	e := dockerdtest.New(dockerdtest.Options{})
	t.Cleanup(e.Close)
	e.Register("lab", func(ctx context.Context, box *dockerdtest.Box) int {
		args := box.Args
		if args[0] == stage.Binary {
			args = args[1:]
		}
		err := programs[args[1]](ctx, &Process{
			Args: args[2:], Env: box.Env, Hostname: box.Hostname, Network: box, Stdin: box.Stdin, Stdout: box.Stdout,
		})
		var code ExitCode
		switch {
		case errors.As(err, &code):
			return int(code)
		case err != nil && ctx.Err() == nil:
			fmt.Fprintln(box.Stderr, err)
			return 1
		}
		return 0
	})
	s, err := stage.Open(t.Context(), "lab", "", e.DialContext)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	l := &Lab{Stage: s, Prefix: "lab-", Image: "lab", NPM: "lab", Labels: "other"}
	t.Cleanup(l.Leave)
	must(t, l.Raise(t.Context()))
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// gets waits for an answer: NPM answers before nginx has reloaded.
func gets(t *testing.T, l *Lab, domain string, status int) (a Answer) {
	t.Helper()
	for range 100 {
		if a = l.Get(t.Context(), domain); a.Status == status {
			return a
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("a visitor of %s gets %s %q, want %d", domain, a, a.Body, status)
	return a
}

// TestAVisitorOfTheLab gets from each host what its backend answers.
func TestAVisitorOfTheLab(t *testing.T) {
	l := raised(t)
	for name, cmd := range map[string][]string{"web": {"8080/http", "8443/tls"}, "exits": {"exit=3"}, "wrong": {"8080"}} {
		_, err := l.Run(t.Context(), stage.Container{
			Name: l.Name(name), Image: l.Image, Network: l.Home(), Env: []string{"NAME=" + name},
			Cmd: append([]string{"demo", "backend"}, cmd...),
		})
		must(t, err)
	}
	hosts := map[string]ProxyHost{}
	for domain, h := range map[string]ProxyHost{
		"http.example.com":   {ForwardScheme: "http", ForwardHost: l.Name("web"), ForwardPort: 8080},
		"https.example.com":  {ForwardScheme: "https", ForwardHost: l.Name("web"), ForwardPort: 8443},
		"broken.example.com": {ForwardScheme: "http", ForwardHost: l.Name("web"), ForwardPort: 81},
	} {
		h.DomainNames = []string{domain}
		made, err := l.AddHost(t.Context(), h)
		must(t, err)
		hosts[domain] = made
	}
	for _, domain := range []string{"http.example.com", "https.example.com"} {
		if a := gets(t, l, domain, 200); !strings.HasPrefix(a.Body, "web answers") {
			t.Errorf("%s: %q", domain, a.Body)
		}
	}
	gets(t, l, "broken.example.com", 502)
	gets(t, l, "unknown.example.com", 404)

	for name, code := range map[string]int{"exits": 3, "wrong": 1} {
		if state, err := l.State(t.Context(), l.Name(name)); err != nil || state.ExitCode != code {
			t.Errorf("%s: %+v (%v), want exit code %d", name, state, err, code)
		}
	}
	rows, err := l.Rows(t.Context())
	must(t, err)
	id := hosts["http.example.com"].ID
	if len(rows) != 3 || !strings.Contains(rows[id], "http.example.com") {
		t.Errorf("rows: %v", rows)
	}
	if h, err := l.Host(t.Context(), id); err != nil || h.Forward() != "http://lab-web:8080" {
		t.Error(h.Forward(), err)
	}
}

func TestWhatIsNotThereIsSaid(t *testing.T) {
	l := raised(t)
	if err := l.Status(t.Context(), "/readyz", &struct{}{}); err == nil {
		t.Error("a no502 that does not run answers")
	}
	must(t, l.Remove(t.Context(), l.Name("npm")))
	if a := l.Get(t.Context(), "app.example.com"); a.Status != 0 || !strings.HasPrefix(a.String(), "no answer") {
		t.Errorf("without NPM a visitor gets %s", a)
	}
	must(t, l.RunNPM(t.Context()))
	gets(t, l, "app.example.com", 404)
}

func TestLabelsHaveTheLabsPrefix(t *testing.T) {
	l := Lab{Labels: "other"}
	for key, want := range map[string]string{"no502.enable": "other.enable", "com.example": "com.example"} {
		if got := l.Label(key); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
	if got := (&Lab{}).Label("no502.enable"); got != "no502.enable" {
		t.Error(got)
	}
}
