package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
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
	Suffix string // of the names of NPM, no502 and the visitor, as Compose gives them one
	Image  string // of everything but a real NPM
	NPM    string // NPM's image
	// Data is where the embedded NPM keeps its database in its container; empty:
	// a restart forgets it.
	Data string
	// Labels is the prefix of the labels to which this lab's no502 listens, so
	// that another one on the same Engine does not; empty: "no502".
	Labels string
	// Net is an existing network on which NPM is started; empty: that of its
	// own Compose project, made for it.
	Net string
	// RestartPolicy is that of NPM, the visitor and no502; empty: none.
	RestartPolicy string
	// Ports are published by NPM's container beside those of HTTP and its pages.
	Ports []string

	visitor *http.Client
	token   string
}

// Name is a name on this stage.
func (l *Lab) Name(name string) string { return l.Prefix + name }

// container is the name of NPM, no502 or the visitor.
func (l *Lab) container(name string) string { return l.Prefix + name + l.Suffix }

// Label is a label's key in this lab: "no502.enable" under the lab's prefix.
func (l *Lab) Label(key string) string {
	if rest, ok := strings.CutPrefix(key, "no502."); ok && l.Labels != "" {
		return l.Labels + "." + rest
	}
	return key
}

// Home is the network on which NPM is started.
func (l *Lab) Home() string {
	if l.Net != "" {
		return l.Net
	}
	return l.Name("npm") + "_default"
}

// Raise puts NPM on the stage, and a visitor beside it: alone on its Compose
// project's network, as most people have it, or on a network of their choice.
func (l *Lab) Raise(ctx context.Context) error {
	if l.Net == "" {
		if err := l.Network(ctx, l.Home(), "", map[string]string{
			api.ComposeProject: l.Name("npm"), api.ComposeNetwork: "default",
		}); err != nil {
			return err
		}
	}
	if err := l.RunVisitor(ctx); err != nil {
		return err
	}
	return l.RunNPM(ctx)
}

// RunVisitor puts the visitor on NPM's network.
func (l *Lab) RunVisitor(ctx context.Context) error {
	visitor := stage.Container{Name: l.container("visitor"), Image: l.Image, Network: l.Home(), Cmd: []string{"demo", "visitor"}, Restart: l.RestartPolicy}
	if _, err := l.Run(ctx, visitor); err != nil {
		return err
	}
	l.Leave()
	l.Enter()
	return nil
}

// RunNPM makes NPM's container, with an empty database, and waits for it.
func (l *Lab) RunNPM(ctx context.Context) error {
	npm := stage.Container{
		Name: l.container("npm"), Image: l.NPM, Network: l.Home(), Publish: append([]string{"80", "81"}, l.Ports...), Restart: l.RestartPolicy,
		Env: []string{"INITIAL_ADMIN_EMAIL=" + Email, "INITIAL_ADMIN_PASSWORD=" + Password},
		Labels: map[string]string{
			api.ComposeProject: l.Name("npm"), api.ComposeService: "npm", api.ComposeNumber: "1",
			l.Label("no502.role"): api.RoleProxy,
		},
	}
	if l.NPM == l.Image {
		npm.Cmd = []string{"demo", "npm"}
		npm.Env = append(npm.Env, "DATA_DIR="+l.Data)
	}
	if _, err := l.Run(ctx, npm); err != nil {
		return err
	}
	return l.Login(ctx)
}

// RestartNPM restarts NPM's container, and waits for it.
func (l *Lab) RestartNPM(ctx context.Context) error {
	if err := l.Restart(ctx, l.container("npm")); err != nil {
		return err
	}
	return l.Login(ctx)
}

// Login waits for NPM, which takes seconds to start.
func (l *Lab) Login(ctx context.Context) error {
	l.token = ""
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
	return l.send(ctx, method, path, "application/json", bytes.NewReader(data), answer)
}

func (l *Lab) send(ctx context.Context, method, path, kind string, body io.Reader, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://npm/api"+path, body)
	if err != nil {
		return err
	}
	if req.Header.Set("Content-Type", kind); l.token != "" {
		req.Header.Set("Authorization", "Bearer "+l.token)
	}
	res, err := l.ask(req, l.container("npm")+":81")
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
	Status   int // 0: no answer at all
	Body     string
	Location string // where it redirects to
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
	return l.Ask(req)
}

// Ask makes a request of NPM's port 80.
func (l *Lab) Ask(req *http.Request) Answer {
	return answer(l.ask(req, l.container("npm")+":80"))
}

func answer(res *http.Response, err error) Answer {
	if err != nil {
		return Answer{Body: err.Error()}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if err != nil {
		return Answer{Body: err.Error()}
	}
	return Answer{Status: res.StatusCode, Body: strings.TrimSpace(string(body)), Location: res.Header.Get("Location")}
}

// Controller is no502 itself, in a container beside NPM.
func (l *Lab) Controller(env ...string) stage.Container {
	socket := "/var/run/docker.sock"
	if path, ok := strings.CutPrefix(l.Stage.Host(), "unix://"); ok {
		socket = path
	}
	return stage.Container{
		Name: l.container("no502"), Image: l.Image, Cmd: []string{"run"}, Network: l.Home(),
		User: "0", Restart: l.RestartPolicy,
		Binds: []string{socket + ":/var/run/docker.sock", "/proc:/host/proc:ro"},
		Env: append([]string{
			"NO502_LABEL_PREFIX=" + l.Labels, "NO502_NPM_EMAIL=" + Email, "NO502_NPM_PASSWORD=" + Password,
			"NO502_NPM_CONTAINER=" + l.container("npm"), "NO502_POLL=1s",
		}, env...),
	}
}
