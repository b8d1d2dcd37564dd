package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/controller/report"
	"github.com/no502/no502/test/lab"
)

// world is a lab with a no502 in it. Its labels have a prefix of their own:
// other worlds, and a no502 that is in earnest, may share the Engine.
type world struct {
	*lab.Lab
	// Elsewhere is a network that NPM is not on.
	Elsewhere string
	managed   string // the network that no502 makes, if any
	scenes    atomic.Int32
	subnet    int    // of Elsewhere
	memory    int64  // that no502 may take, in bytes; 0: any
	dressed   func() // before no502's container is started; nil: nothing

	mu      sync.Mutex
	running bool
	settled map[int]string // rows of hosts that must not change any more
}

// raise makes a world, without no502, that is gone after the test.
func raise(t *testing.T, name string, net string) *world {
	t.Helper()
	w, err := newWorld(t.Context(), name, net)
	t.Cleanup(func() {
		if w == nil {
			return
		}
		if err := w.strike(); err != nil {
			t.Error(err)
		}
	})
	must(t, err)
	return w
}

var shared = sync.OnceValues(func() (*world, error) { return newWorld(context.Background(), "main", "") })

// sharedUsed: there is something to strike at the end.
var sharedUsed atomic.Bool

// sharedWorld is the world for all cases that leave the others alone.
func sharedWorld(t *testing.T) *world {
	t.Helper()
	sharedUsed.Store(true)
	w, err := shared()
	must(t, err)
	return w
}

func strikeShared() error {
	if !sharedUsed.Load() {
		return nil
	}
	w, err := shared()
	if err != nil {
		return nil // said by the tests
	}
	return w.strike()
}

// worlds are their names. The place in the list gives each Elsewhere a subnet of
// its own: with one that somebody chose, containers can be given addresses.
var worlds = []string{"main", "noproc", "modes", "life", "foreign", "labels", "faults", "memory"}

func newWorld(ctx context.Context, name, net string) (*world, error) {
	s, err := stage.Open(ctx, suite+"-"+name, "", nil)
	if err != nil {
		return nil, err
	}
	return setUp(ctx, s, name, net, "")
}

// setUp makes a world on a stage, whose containers have a restart policy.
func setUp(ctx context.Context, s *stage.Stage, name, net, restart string) (*world, error) {
	w := &world{
		Lab:     &lab.Lab{Stage: s, Prefix: "e2e-" + name + "-", Image: appImage, NPM: npmImage, Labels: "e2e-" + name, Data: "/data", RestartPolicy: restart},
		settled: map[int]string{}, subnet: 1 + slices.Index(worlds, name),
	}
	w.managed, w.Elsewhere = w.Name("no502"), w.Name("elsewhere")
	w.Ports = []string{"25565"}
	if err := w.Strike(ctx, w.managed); err != nil {
		return w, fmt.Errorf("clearing away an earlier run: %w", err)
	}
	if err := w.Network(ctx, w.Elsewhere, w.elsewhere(0)+"/24", nil); err != nil {
		return w, err
	}
	if net != "" {
		w.Net = w.Name(net)
		if err := w.Network(ctx, w.Net, "", nil); err != nil {
			return w, err
		}
	}
	if err := w.Raise(ctx); err != nil {
		return w, err
	}
	return w, w.bystanders(ctx)
}

// elsewhere is an address on Elsewhere.
func (w *world) elsewhere(n int) string { return fmt.Sprintf("10.213.%d.%d", w.subnet, n) }

func (w *world) strike() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	w.Leave()
	return w.Strike(ctx, w.managed)
}

// bystanders are hosts that nobody may touch, in all the forms that look as if
// somebody should.
func (w *world) bystanders(ctx context.Context) error {
	for domain, h := range map[string]lab.ProxyHost{
		"nas.example.com":      {ForwardHost: "192.168.77.20", ForwardPort: 5000},
		"external.example.com": {ForwardHost: "backend.example.net", ForwardPort: 8080, AdvancedConfig: "client_max_body_size 1g;"},
		"admin.example.com":    {ForwardHost: "127.0.0.1", ForwardPort: 81},
		"off.example.com":      {ForwardHost: "localhost", ForwardPort: 9, AdvancedConfig: "# no502: off"},
		"meta.example.com":     {ForwardHost: "no-such-container", ForwardPort: 80, Meta: map[string]any{"somebody": map[string]any{"else": "s"}}},
	} {
		h.ForwardScheme, h.DomainNames = "http", []string{domain}
		if _, err := w.AddHost(ctx, h); err != nil {
			return err
		}
	}
	rows, err := w.Rows(ctx)
	w.settled = rows
	return err
}

// unchanged: no host outside the cases that are at work differs by a byte.
func (w *world) unchanged(t *testing.T, rows map[int]string) (lost int) {
	t.Helper()
	for id, was := range w.settled {
		if now := rows[id]; now != was {
			t.Errorf("a host outside this case changed:\nwas %s\nnow %s", was, now)
			w.settled[id] = now // said once
			lost++
		}
	}
	return lost
}

// controller starts no502, once for all tests in this world.
func (w *world) controller(t *testing.T, env ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running {
		return
	}
	c := w.Controller(append([]string{"NO502_LOG_FORMAT=json", "NO502_NETWORK=" + w.managed}, env...)...)
	c.Env, c.Memory = lastWins(c.Env), w.memory
	if slices.Contains(env, withoutProc) {
		c.Binds = slices.DeleteFunc(c.Binds, func(b string) bool { return strings.HasPrefix(b, "/proc:") })
	}
	id, err := w.Create(t.Context(), c)
	must(t, err)
	if w.dressed != nil {
		w.dressed()
	}
	must(t, w.Start(t.Context(), id))
	w.running = true
}

// lastWins removes the variables that are set again later.
func lastWins(env []string) (kept []string) {
	at := map[string]int{}
	for i, kv := range env {
		key, _, _ := strings.Cut(kv, "=")
		at[key] = i
	}
	for i, kv := range env {
		if key, _, _ := strings.Cut(kv, "="); at[key] == i {
			kept = append(kept, kv)
		}
	}
	return kept
}

// withoutProc is no variable of no502's, but says how to start it here.
const withoutProc = "WITHOUT_PROC"

// dismiss removes no502's container.
func (w *world) dismiss(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running {
		must(t, w.Remove(t.Context(), w.Name("no502")))
	}
	w.running = false
}

// line is a line of no502's log.
type line struct {
	Level, Msg                    string
	About, Finding, Message, Fix  string // found
	Action, Because               string // done
	Host, Key, Reason, Err, Error string
}

// log is what no502 has said since it was started, and the same as printed.
func (w *world) log(ctx context.Context) ([]line, string) {
	text, err := w.Logs(ctx, w.Name("no502"))
	if err != nil {
		return nil, err.Error()
	}
	var all []line
	for raw := range strings.Lines(text) {
		var l line
		if json.Unmarshal([]byte(raw), &l) == nil {
			all = append(all, l)
		}
	}
	return all, text
}

// verdict is what no502 says about a key on its status port.
func (w *world) verdict(ctx context.Context, kind api.Kind, name string) (report.View, error) {
	var all []report.View
	if err := w.Status(ctx, "/api/v1/verdicts", &all); err != nil {
		return report.View{}, err
	}
	for _, v := range all {
		if v.Kind == kind && v.Name == name {
			return v, nil
		}
	}
	return report.View{}, fmt.Errorf("there is no verdict about %s", name)
}

// finding waits for a finding about a key, whose sentence has these words.
func (w *world) finding(t *testing.T, kind api.Kind, name string, code api.Code, words string) (f api.Finding) {
	t.Helper()
	eventually(t, fmt.Sprintf("no502 says %s about %s, with the words %q", code, name, words), func(ctx context.Context) error {
		v, err := w.verdict(ctx, kind, name)
		if err != nil {
			return err
		}
		for _, f = range v.Findings {
			if f.Code == code && strings.Contains(f.Message+" "+f.Fix, words) {
				return nil
			}
		}
		return fmt.Errorf("it says %+v", v)
	})
	return f
}

// writes are what NPM's audit log says was done to a host, oldest first.
func (w *world) writes(t *testing.T, host int) (actions []string) {
	t.Helper()
	var entries []struct {
		ID         int
		Action     string
		ObjectType string `json:"object_type"`
		ObjectID   int    `json:"object_id"`
	}
	must(t, w.API(t.Context(), http.MethodGet, "/audit-log", nil, &entries))
	byID := map[int]string{}
	for _, e := range entries {
		if e.ObjectType == "proxy-host" && e.ObjectID == host {
			byID[e.ID] = e.Action
		}
	}
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		actions = append(actions, byID[id])
	}
	if len(actions) == 0 || actions[0] != "created" {
		t.Fatalf("NPM's audit log does not reach back far enough: %v", actions)
	}
	return actions[1:]
}
