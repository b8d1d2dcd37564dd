package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/stage"
)

// The login for the lab's NPM.
const (
	Email    = "admin@example.com"
	Password = "changeme123"
)

// Lab is a stage with an NPM on it, and a visitor who asks through it.
type Lab struct {
	*stage.Stage
	Prefix string // of the names of its containers and networks
	Image  string // of everything but a real NPM
	NPM    string // NPM's image

	visitor *http.Client
	token   string
}

// Name is a name on this stage.
func (l *Lab) Name(name string) string { return l.Prefix + name }

// Raise puts NPM on the stage: alone on its Compose project's network, as most
// people have it, with a visitor beside it.
func (l *Lab) Raise(ctx context.Context) error {
	project := l.Name("npm")
	network := project + "_default"
	if err := l.Network(ctx, network, "", map[string]string{
		api.ComposeProject: project, api.ComposeNetwork: "default",
	}); err != nil {
		return err
	}
	npm := stage.Container{
		Name: project, Image: l.NPM, Network: network, Publish: []string{"80", "81"},
		Env: []string{"INITIAL_ADMIN_EMAIL=" + Email, "INITIAL_ADMIN_PASSWORD=" + Password},
		Labels: map[string]string{
			api.ComposeProject: project, api.ComposeService: "npm", api.ComposeNumber: "1", "no502.role": api.RoleProxy,
		},
	}
	if l.NPM == l.Image {
		npm.Cmd = []string{"demo", "npm"}
	}
	visitor := stage.Container{Name: l.Name("visitor"), Image: l.Image, Network: network, Cmd: []string{"demo", "backend"}}
	for _, c := range []stage.Container{npm, visitor} {
		if _, err := l.Run(ctx, c); err != nil {
			return err
		}
	}
	l.Enter()
	return l.login(ctx)
}

// Enter makes the visitor's way to NPM: from inside its container.
func (l *Lab) Enter() {
	dial := l.Dialer(l.Name("visitor"))
	l.visitor = &http.Client{
		Timeout:       15 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(addr)
				if err != nil {
					return nil, err
				}
				return dial(ctx, network, net.JoinHostPort(l.Name("npm"), port))
			},
		},
	}
}

// login waits for NPM, which takes seconds to start.
func (l *Lab) login(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		var answer struct{ Token string }
		err := l.API(ctx, http.MethodPost, "/tokens", map[string]any{"identity": Email, "secret": Password}, &answer)
		if err == nil {
			l.token = answer.Token
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("NPM did not come up: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// API makes a request to NPM's API.
func (l *Lab) API(ctx context.Context, method, path string, body, answer any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://npm:81/api"+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	if req.Header.Set("Content-Type", "application/json"); l.token != "" {
		req.Header.Set("Authorization", "Bearer "+l.token)
	}
	res, err := l.visitor.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, text)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}

// ProxyHost is a proxy host as somebody makes it by hand.
type ProxyHost struct {
	ID             int            `json:"id,omitempty"`
	DomainNames    []string       `json:"domain_names"`
	ForwardScheme  string         `json:"forward_scheme"`
	ForwardHost    string         `json:"forward_host"`
	ForwardPort    int            `json:"forward_port"`
	AdvancedConfig string         `json:"advanced_config,omitempty"`
	Locations      []any          `json:"locations,omitempty"`
	Meta           map[string]any `json:"meta,omitempty"`
}

// Forward is the host's endpoint as a URL.
func (h ProxyHost) Forward() string {
	return fmt.Sprintf("%s://%s:%d", h.ForwardScheme, h.ForwardHost, h.ForwardPort)
}

// AddHost makes a proxy host.
func (l *Lab) AddHost(ctx context.Context, h ProxyHost) (made ProxyHost, err error) {
	err = l.API(ctx, http.MethodPost, "/nginx/proxy-hosts", h, &made)
	return made, err
}

// Host reads a proxy host.
func (l *Lab) Host(ctx context.Context, id int) (h ProxyHost, err error) {
	err = l.API(ctx, http.MethodGet, fmt.Sprintf("/nginx/proxy-hosts/%d", id), nil, &h)
	return h, err
}

// Rows are all proxy hosts as NPM answers them, by id, byte for byte.
func (l *Lab) Rows(ctx context.Context) (map[int]string, error) {
	var rows []json.RawMessage
	if err := l.API(ctx, http.MethodGet, "/nginx/proxy-hosts", nil, &rows); err != nil {
		return nil, err
	}
	byID := map[int]string{}
	for _, row := range rows {
		var h ProxyHost
		if err := json.Unmarshal(row, &h); err != nil {
			return nil, err
		}
		byID[h.ID] = string(row)
	}
	return byID, nil
}

// Answer is what a visitor gets.
type Answer struct {
	Status int // 0: no answer at all
	Body   string
}

// String is the answer in a few words.
func (a Answer) String() string {
	if a.Status == 0 {
		return "no answer: " + a.Body
	}
	return fmt.Sprintf("%d %s", a.Status, http.StatusText(a.Status))
}

// Get asks NPM for a page of a domain. Not for "/": where NPM has no such
// host, its default site answers 200 to that, and 404 to the rest.
func (l *Lab) Get(ctx context.Context, domain string) Answer {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+domain+"/page", nil)
	if err != nil {
		return Answer{Body: err.Error()}
	}
	res, err := l.visitor.Do(req)
	if err != nil {
		return Answer{Body: err.Error()}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if err != nil {
		return Answer{Body: err.Error()}
	}
	return Answer{Status: res.StatusCode, Body: strings.TrimSpace(string(body))}
}

// Controller is no502 itself, in a container beside NPM.
func (l *Lab) Controller(env ...string) stage.Container {
	socket := "/var/run/docker.sock"
	if path, ok := strings.CutPrefix(l.Stage.Host(), "unix://"); ok {
		socket = path
	}
	return stage.Container{
		Name: l.Name("no502"), Image: l.Image, Cmd: []string{"run"}, Network: l.Name("npm") + "_default",
		User:  "0",
		Binds: []string{socket + ":/var/run/docker.sock", "/proc:/host/proc:ro"},
		Env: append([]string{
			"NO502_NPM_EMAIL=" + Email, "NO502_NPM_PASSWORD=" + Password,
			"NO502_NPM_CONTAINER=" + l.Name("npm"), "NO502_POLL=1s",
		}, env...),
	}
}
