package dockerd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"go.uber.org/goleak"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/dockerdtest"
)

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "ssh" {
		os.Exit(fakeSSH(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// enabled is the label by which the tests' containers opt in.
const enabled = "no502.enable"

// rig is an Engine under test before an in-process one, in a bubble.
type rig struct {
	*Engine
	t      *testing.T
	docker *dockerdtest.Engine
	user   *client.Client // somebody else, who changes things
	stop   func()

	mu   sync.Mutex
	keys []string
	logs []string
}

// inBubble runs a test with an Engine and a user in a bubble of fake time.
func inBubble(t *testing.T, test func(t *testing.T, r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		docker := dockerdtest.New(dockerdtest.Options{})
		defer docker.Close()
		docker.Register("app", func(ctx context.Context, _ *dockerdtest.Box) int {
			<-ctx.Done()
			return 0
		})
		r := &rig{t: t, docker: docker}
		engine, err := Open(Options{
			Host:        "tcp://docker:2375",
			DialContext: docker.DialContext,
			Inspect: func(labels map[string]string) bool {
				return labels[enabled] == "true"
			},
			Log: r.logger(),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer engine.Close()
		r.Engine = engine
		user, err := client.NewClientWithOpts(client.WithHost("tcp://docker:2375"),
			client.WithDialContext(docker.DialContext), client.WithVersion("1.41"))
		if err != nil {
			t.Fatal(err)
		}
		defer user.Close()
		r.user = user
		test(t, r)
		if r.stop != nil {
			r.stop()
		}
	})
}

func (r *rig) logger() logr.Logger {
	return funcr.New(func(_, args string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.logs = append(r.logs, args)
	}, funcr.Options{})
}

// run starts Run and waits until it has nothing more to do.
func (r *rig) run() {
	r.t.Helper()
	pass(2 * time.Second) // no event from before is in the second of the subscription
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error)
	go func() {
		done <- r.Run(ctx, func(k api.Key) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.keys = append(r.keys, k.String())
		})
	}()
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("Run returned %v", err)
		}
		r.stop = nil
	}
	synctest.Wait()
}

// pass lets fake time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

var fullID = regexp.MustCompile(`[0-9a-f]{64}`)

// calls counts what was asked of the Engine since the last call of calls.
func (r *rig) calls() map[string]int {
	counts := map[string]int{}
	for _, c := range r.docker.Calls() {
		counts[c.Method+" "+fullID.ReplaceAllString(c.Path, "{id}")]++
	}
	r.docker.ResetCalls()
	return counts
}

// notified returns the keys since the last call of notified, each once.
func (r *rig) notified() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := r.keys
	r.keys = nil
	slices.Sort(keys)
	return slices.Compact(keys)
}

// logged returns the log's lines since the last call of logged.
func (r *rig) logged() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := r.logs
	r.logs = nil
	return lines
}

const (
	inspects    = "GET /containers/{id}/json"
	netInspects = "GET /networks/{id}"
	connects    = "POST /networks/{id}/connect"
	lists       = "GET /containers/json"
	netLists    = "GET /networks"
	subscribes  = "GET /events"
)

// wantCalls fails unless exactly these were made, apart from the user's.
func (r *rig) wantCalls(want map[string]int) {
	r.t.Helper()
	got := r.calls()
	for _, what := range []string{inspects, netInspects, connects, lists, netLists, subscribes} {
		if got[what] != want[what] {
			r.t.Errorf("%s: %d calls, want %d", what, got[what], want[what])
		}
	}
}

// create makes a container as a user does; it is not started.
func (r *rig) create(name string, labels map[string]string, nets ...string) string {
	r.t.Helper()
	host := &container.HostConfig{}
	endpoints := &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{}}
	if len(nets) > 0 {
		host.NetworkMode = container.NetworkMode(nets[0])
		endpoints.EndpointsConfig[nets[0]] = &network.EndpointSettings{}
	}
	created, err := r.user.ContainerCreate(r.t.Context(),
		&container.Config{Image: "app", Labels: labels}, host, endpoints, nil, name)
	if err != nil {
		r.t.Fatal(err)
	}
	return created.ID
}

// running adds a running container without an event.
func (r *rig) running(name string, labels map[string]string) string {
	r.t.Helper()
	id, err := r.docker.AddContainer(name, container.CreateRequest{
		Config: &container.Config{Image: "app", Labels: labels},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

// network makes a network as a user does.
func (r *rig) network(name, subnet string) string {
	r.t.Helper()
	options := network.CreateOptions{Driver: "bridge"}
	if subnet != "" {
		options.IPAM = &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet}}}
	}
	created, err := r.user.NetworkCreate(r.t.Context(), name, options)
	if err != nil {
		r.t.Fatal(err)
	}
	return created.ID
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// get returns what the cache has of a container, nil if nothing.
func (r *rig) get(id string) (c *api.Container) {
	r.t.Helper()
	if !r.View(func(now *api.Engine) { c = now.Container(id) }) {
		r.t.Fatal("not synced")
	}
	return c
}

func (r *rig) wantStatus(id string, want api.Status) {
	r.t.Helper()
	c := r.get(id)
	if c == nil || c.State.Status != want {
		r.t.Errorf("cached: %s, want status %s", describe(c), want)
	}
}

// wantFormer fails unless a name is remembered as a backend's.
func (r *rig) wantFormer(name string, want api.Identity) {
	r.t.Helper()
	r.View(func(now *api.Engine) {
		if got, _ := now.Former(name); got != want {
			r.t.Errorf("%s was %q, want %q", name, got, want)
		}
	})
}

func describe(c *api.Container) string {
	if c == nil {
		return "nothing"
	}
	return fmt.Sprintf("%+v", *c)
}

func containing(lines []string, part string) (n int) {
	for _, l := range lines {
		if strings.Contains(l, part) {
			n++
		}
	}
	return n
}
