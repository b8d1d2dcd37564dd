package dockerd

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/dockerdtest"
)

var (
	subnet = api.Subnet{
		Prefix:  netip.MustParsePrefix("10.9.0.0/24"),
		Gateway: netip.MustParseAddr("10.9.0.1"),
		Range:   netip.MustParsePrefix("10.9.0.0/25"),
	}
	pinned = netip.MustParseAddr("10.9.0.200")
)

// proxy makes the proxy network as no502 does.
func (r *rig) proxy() string {
	r.t.Helper()
	r.must(r.CreateNetwork(r.t.Context(), "no502", subnet, map[string]string{"no502.managed": "true"}))
	synctest.Wait() // its own event is handled
	var id string
	r.View(func(now *api.Engine) { id = now.NetworkByName("no502").ID })
	return id
}

func (r *rig) attachment(id, netID string) api.Attachment {
	r.t.Helper()
	a, ok := r.get(id).Attachment(netID)
	if !ok {
		r.t.Fatalf("not attached: %s", describe(r.get(id)))
	}
	return a
}

func TestCreateNetwork(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.run()
		r.calls()
		id := r.proxy()
		pass(time.Minute)
		if got := r.calls(); got[netInspects] > 2 || got[lists]+got[netLists] != 0 {
			t.Errorf("calls %v", got) // one is its event's, if that comes first
		}
		r.View(func(now *api.Engine) {
			n := now.Network(id)
			if !n.Internal || n.Driver != "bridge" || len(n.Subnets) != 1 || n.Subnets[0] != subnet ||
				n.Labels["no502.managed"] != "true" {
				t.Errorf("cached: %+v", n)
			}
		})
		if err := r.CreateNetwork(t.Context(), "no502", subnet, nil); err != nil {
			t.Errorf("it exists: %v", err)
		}
		if err := r.CreateNetwork(t.Context(), "other", subnet, nil); !errors.Is(err, api.ErrSubnetTaken) {
			t.Errorf("its subnet is taken: %v", err)
		}
		r.must(r.CreateNetwork(t.Context(), "chosen", api.Subnet{}, nil))
		r.View(func(now *api.Engine) {
			if n := now.NetworkByName("chosen"); n == nil || !n.Gateway4().IsValid() || n.Subnets[0].Range.IsValid() {
				t.Errorf("cached: %+v", n)
			}
		})
		r.docker.SetFault(at("/networks/create", dockerdtest.Fault{Status: 500, Message: "no"}))
		if err := r.CreateNetwork(t.Context(), "fails", api.Subnet{}, nil); err == nil {
			t.Error("no error")
		}
	})
}

func TestAttachCreated(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.run()
		netID := r.proxy()
		id := r.create("web", yes)
		synctest.Wait()
		r.calls()
		r.must(r.Attach(t.Context(), id, netID, pinned, []string{"web.shop"}))
		pass(time.Second)
		r.wantCalls(map[string]int{connects: 1})
		a := r.attachment(id, netID)
		if !a.Ours || a.Pinned != pinned || a.IPv4.IsValid() || a.Network != "no502" || !slices.Equal(a.Aliases, []string{"web.shop"}) {
			t.Errorf("cached: %+v", a)
		}
		// At its start it says that it connects.
		r.must(r.user.ContainerStart(t.Context(), id, container.StartOptions{}))
		pass(time.Minute)
		r.wantCalls(map[string]int{inspects: 1})
		a = r.attachment(id, netID)
		if !a.Ours || a.IPv4 != pinned || a.Pinned != pinned || !slices.Contains(a.Aliases, "web.shop") {
			t.Errorf("cached: %+v", a)
		}
	})
}

func TestAttachRunning(t *testing.T) {
	for name, c := range map[string]struct {
		addr     netip.Addr
		inspects int
	}{
		"at an address":          {pinned, 0},
		"at any":                 {netip.Addr{}, 1},
		"at the gateway's":       {subnet.Gateway, 1},
		"at one of another net":  {netip.MustParseAddr("10.99.0.1"), 1},
		"at another container's": {netip.MustParseAddr("10.9.0.201"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				id, other := r.running("web", yes), r.running("other", yes)
				r.run()
				netID := r.proxy()
				r.must(r.Attach(t.Context(), other, netID, netip.MustParseAddr("10.9.0.201"), nil))
				pass(time.Second)
				r.calls()
				r.notified()
				r.must(r.Attach(t.Context(), id, netID, c.addr, []string{"web.shop"}))
				at := r.attachment(id, netID)
				pass(time.Minute)
				r.wantCalls(map[string]int{connects: 1, inspects: c.inspects})
				if got := r.notified(); len(got) != 0 {
					t.Errorf("notified %v of its own change", got)
				}
				r.must(r.Look(t.Context(), id))
				now := r.attachment(id, netID)
				if at.IPv4 != now.IPv4 || at.Pinned != now.Pinned || at.Ours != now.Ours {
					t.Errorf("cached %+v, but it is %+v", at, now)
				}
				if !now.Ours || !now.IPv4.IsValid() || (c.inspects == 0) != (now.IPv4 == c.addr) {
					t.Errorf("attached %+v", now)
				}
			})
		})
	}
}

// Somebody else's connect is seen even right after no502's own.
func TestAttachSwallowsOnlyItsOwn(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.running("web", yes)
		r.run()
		netID := r.proxy()
		r.must(r.Attach(t.Context(), id, netID, pinned, nil))
		pass(time.Second)
		r.calls()
		r.must(r.user.NetworkDisconnect(t.Context(), netID, id, false))
		pass(time.Second)
		r.must(r.user.NetworkConnect(t.Context(), netID, id, nil))
		pass(time.Second)
		if got := r.calls()[inspects]; got != 2 {
			t.Errorf("%d inspections, want 2", got)
		}
		if a := r.attachment(id, netID); a.Ours || a.Pinned.IsValid() {
			t.Errorf("cached: %+v", a)
		}
	})
}

func TestAttachAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		running, stopped := r.running("running", yes), r.create("stopped", yes)
		r.run()
		netID := r.proxy()
		other := netip.MustParseAddr("10.9.0.202")
		r.must(r.Attach(t.Context(), running, netID, pinned, nil))
		r.must(r.Attach(t.Context(), stopped, netID, other, nil))
		r.calls()
		r.must(r.Attach(t.Context(), running, netID, netip.MustParseAddr("10.9.0.203"), nil))
		r.must(r.Attach(t.Context(), stopped, netID, other, nil))
		r.wantCalls(nil)
		// A pinned address that is in use keeps it from starting: free it.
		r.must(r.Attach(t.Context(), stopped, netID, netip.Addr{}, nil))
		r.wantCalls(map[string]int{connects: 1})
		if a := r.attachment(stopped, netID); a.Pinned.IsValid() {
			t.Errorf("cached: %+v", a)
		}
	})
}

// What the cache does not know yet, the Engine tells.
func TestAttachTheEngineKnowsBetter(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		first, second := r.running("first", nil), r.running("second", nil)
		netID := r.network("proxy", "10.9.0.0/24")
		r.must(r.Refresh(t.Context()))
		connect := func(id string, addr string) {
			t.Helper()
			r.must(r.user.NetworkConnect(t.Context(), netID, id,
				&network.EndpointSettings{IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: addr}}))
		}
		connect(first, pinned.String())
		r.must(r.Attach(t.Context(), first, netID, netip.MustParseAddr("10.9.0.201"), nil))
		if a := r.attachment(first, netID); a.Ours || a.IPv4 != pinned {
			t.Errorf("already attached, cached: %+v", a)
		}
		r.must(r.Attach(t.Context(), second, netID, netip.MustParseAddr("10.9.0.7"), nil))
		if a := r.attachment(second, netID); !a.Ours || a.IPv4 != netip.MustParseAddr("10.9.0.7") {
			t.Errorf("cached: %+v", a)
		}
	})
}

func TestAttachAddressTaken(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		first, second := r.running("first", nil), r.running("second", nil)
		netID := r.network("proxy", "10.9.0.0/24")
		r.must(r.Refresh(t.Context()))
		r.must(r.user.NetworkConnect(t.Context(), netID, first,
			&network.EndpointSettings{IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: pinned.String()}}))
		r.calls()
		r.must(r.Attach(t.Context(), second, netID, pinned, nil)) // unknown to the cache
		r.wantCalls(map[string]int{connects: 2, inspects: 1})
		if a := r.attachment(second, netID); !a.Ours || a.Pinned.IsValid() || !a.IPv4.IsValid() || a.IPv4 == pinned {
			t.Errorf("cached: %+v", a)
		}
	})
}

func TestAttachFails(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.running("web", nil)
		netID := r.network("proxy", "10.9.0.0/24")
		r.must(r.Refresh(t.Context()))
		for message, status := range map[string]int{
			"endpoint with name web already exists in network proxy": 403, // left behind by another
			"container cannot be connected":                          400,
			"No such container":                                      404,
		} {
			r.docker.SetFault(at("/connect", dockerdtest.Fault{Status: status, Message: message}))
			if err := r.Attach(t.Context(), id, netID, pinned, nil); err == nil || !strings.Contains(err.Error(), message) {
				t.Errorf("got %v, want %q", err, message)
			}
			if _, ok := r.get(id).Attachment(netID); ok {
				t.Errorf("%s, but cached: %s", message, describe(r.get(id)))
			}
		}
	})
}

// Where the Engine knows priorities, the default route stays where it is.
func TestAttachGwPriority(t *testing.T) {
	for version, want := range map[string]string{"1.41": `"GwPriority":0`, "1.48": `"GwPriority":-100`} {
		var body string
		engine := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Api-Version", version)
			if strings.HasSuffix(r.URL.Path, "/connect") {
				body = readAll(t, r.Body)
			}
		})
		if _, err := engine.now(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := engine.Attach(t.Context(), "c", "n", netip.Addr{}, []string{"a"}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(body, want) || !strings.Contains(body, `"DriverOpts":{"no502.attached":"true"}`) {
			t.Errorf("API %s: sent %s, want %s", version, body, want)
		}
	}
}

func TestOwnEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var own ownEvents
		at := endpoint{"n", "c"}
		steps := func(want bool, what string, f func()) {
			t.Helper()
			f()
			if got := own.swallow(at); got != want {
				t.Errorf("%s: swallowed: %v", what, got)
			}
		}
		steps(false, "nothing expected", func() {})
		steps(true, "before the answer", func() { own.expect(at) })
		steps(false, "a second one before the answer", func() {})
		steps(false, "after the answer, but it came before", func() { own.made(at) })
		steps(true, "after the answer", func() { own.expect(at); own.made(at) })
		steps(false, "a second one", func() {})
		steps(false, "after a failure", func() { own.expect(at); own.failed(at) })
		steps(false, "after somebody else's disconnect", func() { own.expect(at); own.made(at); own.forget(at) })
		steps(false, "much later", func() { own.expect(at); own.made(at); pass(2 * ownEventWithin) })
		own.expect(at)
		own.swallow(at)
		if !own.failed(at) {
			t.Error("a failure does not tell that an event was swallowed for it")
		}
	})
}
