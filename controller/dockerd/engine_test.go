package dockerd

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"github.com/no502/no502/api"
)

// real is a real Engine with a user of it, and names that nobody else has.
type real struct {
	*Engine
	t      *testing.T
	user   *client.Client
	prefix string
	news   chan struct{}
}

// realEngine opens the Engine at NO502_TEST_ENGINE or DOCKER_HOST.
func realEngine(t *testing.T) *real {
	t.Helper()
	host := cmp.Or(os.Getenv("NO502_TEST_ENGINE"), os.Getenv("DOCKER_HOST"))
	if host == "" {
		t.Skip("needs a Docker Engine: set NO502_TEST_ENGINE or DOCKER_HOST to where one answers")
	}
	user, err := client.NewClientWithOpts(client.WithHost(host), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = user.Close() })
	ping, err := user.Ping(t.Context())
	if err != nil {
		t.Skipf("needs a Docker Engine, but none answers at %s: %v", host, err)
	}
	t.Logf("Docker Engine at %s, API %s", host, ping.APIVersion)
	engine, err := Open(Options{Host: host, Inspect: func(labels map[string]string) bool {
		return labels[enabled] == "true"
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	return &real{
		Engine: engine, t: t, user: user, news: make(chan struct{}, 1),
		prefix: fmt.Sprintf("dockerd-test-%d-", os.Getpid()),
	}
}

func (r *real) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// run starts Run; the test's end stops it.
func (r *real) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- r.Run(ctx, func(api.Key) {
			select {
			case r.news <- struct{}{}:
			default:
			}
		})
	}()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
}

// wait waits until the cache says so, looking at each notification.
func (r *real) wait(what string, ok func(*api.Engine) bool) {
	r.t.Helper()
	late := time.After(30 * time.Second)
	for {
		found := false
		r.View(func(now *api.Engine) { found = ok(now) })
		if found {
			return
		}
		select {
		case <-r.news:
		case <-late:
			r.t.Fatalf("%s: not within 30 s", what)
		}
	}
}

func (r *real) waitStatus(id string, want api.Status) {
	r.t.Helper()
	r.wait(string(want), func(now *api.Engine) bool {
		c := now.Container(id)
		return c != nil && c.State.Status == want
	})
}

func (r *real) attachment(id, netID string) (a api.Attachment) {
	r.t.Helper()
	r.View(func(now *api.Engine) {
		if c := now.Container(id); c != nil {
			a, _ = c.Attachment(netID)
		}
	})
	return a
}

// image makes an image of the program in testdata/idle.
func (r *real) image() string {
	r.t.Helper()
	binary := filepath.Join(r.t.TempDir(), "idle")
	build := exec.Command("go", "build", "-o", binary, "./testdata/idle")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		r.t.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(binary)
	r.must(err)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	r.must(w.WriteHeader(&tar.Header{Name: "idle", Mode: 0o755, Size: int64(len(program))}))
	_, err = w.Write(program)
	r.must(errors.Join(err, w.Close()))
	ref := r.prefix + "idle:1"
	answer, err := r.user.ImageImport(r.t.Context(), image.ImportSource{Source: &archive, SourceName: "-"}, ref,
		image.ImportOptions{Changes: []string{`ENTRYPOINT ["/idle"]`}})
	r.must(err)
	_, err = io.Copy(io.Discard, answer)
	r.must(errors.Join(err, answer.Close()))
	r.t.Cleanup(func() {
		_, err := r.user.ImageRemove(context.Background(), ref, image.RemoveOptions{Force: true})
		if err != nil {
			r.t.Error(err)
		}
	})
	return ref
}

// create makes a container, which the test's end removes.
func (r *real) create(name, ref string) string {
	r.t.Helper()
	made, err := r.user.ContainerCreate(r.t.Context(), &container.Config{
		Image: ref, Labels: map[string]string{enabled: "true"}, StopSignal: "SIGTERM",
	}, nil, nil, nil, r.prefix+name)
	r.must(err)
	r.t.Cleanup(func() { r.remove(made.ID) })
	return made.ID
}

func (r *real) remove(id string) {
	err := r.user.ContainerRemove(context.Background(), id, container.RemoveOptions{Force: true})
	if err != nil && r.get(id) != nil {
		r.t.Error(err)
	}
}

func (r *real) get(id string) (c *api.Container) {
	r.View(func(now *api.Engine) { c = now.Container(id) })
	return c
}

// network makes a network in the first subnet that is free.
func (r *real) network() (id string, s api.Subnet) {
	r.t.Helper()
	name := r.prefix + "net"
	for i := byte(200); i < 250; i++ {
		base := netip.AddrFrom4([4]byte{10, i, 77, 0})
		s = api.Subnet{Prefix: netip.PrefixFrom(base, 24), Gateway: base.Next(), Range: netip.PrefixFrom(base, 25)}
		err := r.CreateNetwork(r.t.Context(), name, s, map[string]string{"no502.managed": "true"})
		if errors.Is(err, api.ErrSubnetTaken) {
			continue
		}
		r.must(err)
		break
	}
	r.View(func(now *api.Engine) {
		if n := now.NetworkByName(name); n != nil {
			id = n.ID
			if len(n.Subnets) != 1 || n.Subnets[0] != s || !n.Internal {
				r.t.Errorf("made %+v, wanted %+v", n, s)
			}
		}
	})
	r.t.Cleanup(func() {
		if err := r.user.NetworkRemove(context.Background(), id); err != nil {
			r.t.Error(err)
		}
	})
	return id, s
}

func TestRealEngine(t *testing.T) {
	r := realEngine(t)
	ref := r.image()
	r.run()
	r.wait("the first list", func(*api.Engine) bool { return true })
	netID, s := r.network()
	if err := r.CreateNetwork(t.Context(), r.prefix+"other", s, nil); !errors.Is(err, api.ErrSubnetTaken) {
		t.Errorf("the subnet is taken, but: %v", err)
	}
	r.must(r.CreateNetwork(t.Context(), r.prefix+"net", s, nil)) // it exists

	pinned := s.Prefix.Addr()
	for range 200 {
		pinned = pinned.Next()
	}
	created := r.create("created", ref)
	r.waitStatus(created, api.Created)
	r.must(r.Attach(t.Context(), created, netID, pinned, []string{"web.shop"}))
	r.must(r.user.ContainerStart(t.Context(), created, container.StartOptions{}))
	r.waitStatus(created, api.Running)
	a := r.attachment(created, netID)
	if !a.Ours || a.IPv4 != pinned || a.Pinned != pinned || !slices.Contains(a.Aliases, "web.shop") {
		t.Errorf("attached before its start: %+v", a)
	}

	r.attachRunning(ref, netID, pinned)

	r.must(r.user.ContainerStop(t.Context(), created, container.StopOptions{}))
	r.waitStatus(created, api.Exited)
	if a := r.attachment(created, netID); !a.Ours || a.IPv4.IsValid() || a.Pinned != pinned {
		t.Errorf("stopped: %+v", a)
	}
	r.remove(created)
	r.wait("its removal", func(now *api.Engine) bool { return now.Container(created) == nil })
}

// attachRunning attaches running containers: at an address, at any, and at one
// that is taken.
func (r *real) attachRunning(ref, netID string, taken netip.Addr) {
	ctx := r.t.Context()
	free := taken.Next()
	for name, addr := range map[string]netip.Addr{"free": free, "any": {}, "taken": taken} {
		id := r.create(name, ref)
		r.must(r.user.ContainerStart(ctx, id, container.StartOptions{}))
		r.waitStatus(id, api.Running)
		if name == "taken" {
			// The cache would not let it ask: somebody else was faster.
			if err := r.connect(ctx, endpoint{netID, id}, addr, nil); !isAddressError(err) {
				r.t.Errorf("connect at a taken address: %v", err)
			}
			r.must(r.Look(ctx, id))
			if a := r.attachment(id, netID); a.Network != "" {
				r.t.Errorf("a failed connect is cached as %+v", a)
			}
		}
		r.must(r.Attach(ctx, id, netID, addr, []string{name}))
		cached := r.attachment(id, netID)
		r.must(r.Look(ctx, id))
		now := r.attachment(id, netID)
		if !cached.Ours || cached.IPv4 != now.IPv4 || cached.Pinned != now.Pinned || !now.IPv4.IsValid() ||
			(name == "free") != (now.IPv4 == free) {
			r.t.Errorf("%s: cached %+v, attached %+v", name, cached, now)
		}
		// What was asked for must not keep it from starting again.
		r.must(r.user.ContainerRestart(ctx, id, container.StopOptions{}))
		r.waitStatus(id, api.Running)
	}
}
