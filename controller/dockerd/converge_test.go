package dockerd

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/dockerdtest"
)

// Whatever people, no502 and the network do, and in whatever order: some
// seconds later the cache says what the Engine says, without a new list.
func TestCacheConverges(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				w := &world{rig: r, rand: rand.New(rand.NewPCG(seed, 0))}
				w.nets = append(w.nets, r.network("first", "10.8.0.0/24"))
				w.ids = append(w.ids, r.create("web", yes))
				r.run()
				for range 150 {
					w.step()
				}
				r.docker.SetFault(nil)
				pass(2 * time.Minute)
				w.compare()
			})
		})
	}
}

type world struct {
	*rig
	rand      *rand.Rand
	ids, nets []string
	made      int
}

func (w *world) one(of []string) string { return of[w.rand.IntN(len(of))] }

// step does something. Much of it fails: the container is gone, or runs
// already. Some of it overlaps with what follows.
func (w *world) step() {
	ctx := w.t.Context()
	id, net := w.one(w.ids), w.one(w.nets)
	addr, slow := w.address(), w.slow()
	w.made++
	acts := []func(){
		func() { w.ids = append(w.ids, w.create(fmt.Sprint("c", w.made), yes)) },
		func() { w.nets = append(w.nets, w.network(fmt.Sprint("n", w.made), "")) },
		func() { _ = w.user.ContainerStart(ctx, id, container.StartOptions{}) },
		func() { _ = w.user.ContainerStart(ctx, id, container.StartOptions{}) },
		func() { _ = w.user.ContainerStop(ctx, id, container.StopOptions{}) },
		func() { _ = w.user.ContainerRestart(ctx, id, container.StopOptions{}) },
		func() { _ = w.user.ContainerPause(ctx, id) },
		func() { _ = w.user.ContainerUnpause(ctx, id) },
		func() { _ = w.user.ContainerRename(ctx, id, fmt.Sprint("r", w.made)) },
		func() { _ = w.user.ContainerRemove(ctx, id, container.RemoveOptions{Force: true}) },
		func() { _ = w.user.NetworkConnect(ctx, net, id, &network.EndpointSettings{}) },
		func() { _ = w.user.NetworkDisconnect(ctx, net, id, false) },
		func() { _ = w.user.NetworkRemove(ctx, net) },
		func() { _ = w.Attach(ctx, id, net, addr, []string{"alias"}) },
		func() { _ = w.Attach(ctx, id, net, addr, nil) },
		func() { _ = w.Attach(ctx, id, net, netip.Addr{}, nil) },
		func() { _ = w.Look(ctx, id) },
		func() { _ = w.Refresh(ctx) },
		func() { w.docker.CutEvents() },
		func() { w.docker.SetFault(slow) },
		func() { w.docker.SetFault(nil) },
	}
	act := acts[w.rand.IntN(len(acts))]
	if w.rand.IntN(3) > 0 {
		act()
	} else {
		ended := make(chan struct{})
		go func() { defer close(ended); act() }()
		select {
		case <-ended:
		case <-time.After(time.Duration(w.rand.IntN(50)) * time.Millisecond):
			defer func() { <-ended }()
		}
	}
	if w.rand.IntN(2) == 0 {
		pass(time.Duration(w.rand.IntN(800)) * time.Millisecond)
	}
}

func (w *world) address() netip.Addr {
	return netip.AddrFrom4([4]byte{10, 8, 0, byte(100 + w.rand.IntN(5))})
}

// slow makes some reads late, and some break.
func (w *world) slow() func(*http.Request) *dockerdtest.Fault {
	delay, every := time.Duration(w.rand.IntN(700))*time.Millisecond, 2+w.rand.Int64N(6)
	var requests atomic.Int64
	return func(r *http.Request) *dockerdtest.Fault {
		n := requests.Add(1)
		if r.Method != http.MethodGet || n%every != 0 {
			return nil
		}
		return &dockerdtest.Fault{Delay: delay, Drop: n%(3*every) == 0}
	}
}

// compare fails unless the cache and a new list say the same.
func (w *world) compare() {
	w.t.Helper()
	fresh, err := Open(Options{Host: "tcp://docker:2375", DialContext: w.docker.DialContext})
	w.must(err)
	defer fresh.Close()
	w.must(fresh.Refresh(w.t.Context()))
	var want, got []string
	fresh.View(func(e *api.Engine) { want = lines(e) })
	if !w.View(func(e *api.Engine) { got = lines(e) }) {
		w.t.Error("not synced")
	}
	if !slices.Equal(want, got) {
		w.t.Errorf("the Engine:\n%s\nthe cache:\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
}

// lines are what must be the same.
func lines(e *api.Engine) (all []string) {
	for _, c := range e.Containers() {
		line := fmt.Sprintf("%s %s %s %d", c.ShortID(), c.Name, c.State.Status, c.State.Pid)
		for _, a := range c.Attachments {
			if isStopped(c) {
				continue // to connect a stopped container makes no event
			}
			line += fmt.Sprintf("\n  %s %.12s %v pinned %v ours %v", a.Network, a.NetworkID, a.IPv4, a.Pinned, a.Ours)
		}
		all = append(all, line)
	}
	for _, n := range e.Networks() {
		all = append(all, "network "+n.Name+" "+n.ID)
	}
	return all
}
