package reconcile

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/api"
)

const npmID = "2222222222222222222222222222222222222222222222222222222222222222"

// add adds a running container, and returns its key.
func (b *bed) add(digit, name string, change func(*api.Container)) api.Key {
	c := &api.Container{
		ID: strings.Repeat(digit, 64), Name: name, NetworkMode: "proxy", Inspected: true, Labels: map[string]string{},
		State: api.State{Status: api.Running, StartedAt: time.Now()}, Attachments: []api.Attachment{on("10.0.0.9")},
	}
	change(c)
	b.engine.SetContainer(c)
	return api.ContainerKey(c.ID)
}

// alter changes a container.
func (b *bed) alter(id string, change func(*api.Container)) {
	c := *b.engine.Container(id)
	c.Attachments = slices.Clone(c.Attachments)
	change(&c)
	b.engine.SetContainer(&c)
}

// all works on every key once, as at the start and at every resync.
func (b *bed) all() {
	b.t.Helper()
	for _, key := range b.Keys() {
		b.reconcile(key)
	}
}

// A container may be made before it is known of its network that it is internal.
func TestNetworkNotKnownYet(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	key := b.add("3", "vault", func(c *api.Container) {
		c.Labels["no502.enable"] = "true"
		c.State.Status = api.Created
		c.Attachments = []api.Attachment{{Network: "inside"}}
	})
	b.wantDone(key)
	b.alter(key.ID, func(c *api.Container) { c.Attachments[0].NetworkID = "net-outside" })
	b.engine.SetNetwork(&api.Network{ID: "net-outside", Name: "inside", Driver: "bridge"})
	if _, did := b.reconcile(key); len(did) == 0 {
		t.Error("it is not attached although its network leads outside")
	}
}

// Of two that claim a domain the older one goes: now the other one has it.
func TestOneOfTwoGoes(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	claim := func(c *api.Container) {
		c.Labels["no502.host"], c.Claims = "h1.example.com", []string{"h1.example.com"}
	}
	x := b.add("3", "x", claim)
	y := b.add("4", "y", claim)
	b.all()
	b.engine.RemoveContainer(x.ID)
	if res, _ := b.reconcile(x); !slices.Contains(res.Then, host1) || !slices.Contains(res.Then, y) {
		t.Errorf("touches %v, want the host that both claimed, and the other one", res.Then)
	}
}

// NPM leaves a network: whom it reached there must be attached.
func TestNPMLeavesANetwork(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	other := func(addr string) api.Attachment {
		return api.Attachment{NetworkID: "net-other", Network: "other", IPv4: netip.MustParseAddr(addr)}
	}
	b.engine.SetNetwork(&api.Network{
		ID: "net-other", Name: "other", Driver: "bridge", Labels: map[string]string{api.ComposeNetwork: "default"},
	})
	b.alter(npmID, func(c *api.Container) { c.Attachments = append(c.Attachments, other("10.1.0.2")) })
	b.add("3", "app", func(c *api.Container) {
		c.Labels["no502.enable"] = "true"
		c.Attachments = []api.Attachment{other("10.1.0.3")}
	})
	b.all()
	b.alter(npmID, func(c *api.Container) { c.Attachments = c.Attachments[:1] })
	var did []string
	n := 0
	for queue := []api.Key{api.ContainerKey(npmID)}; len(queue) > 0 && n < 50; n++ {
		res, more := b.reconcile(queue[0])
		did, queue = append(did, more...), append(queue[1:], res.Then...)
	}
	if n == 50 || !slices.Contains(did, "attach 3333") {
		t.Errorf("after %d keys: did %q", n, did)
	}
}

// An address where NPM no longer is may be another container's, which must not
// be given the password.
func TestNPMStops(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	b.reconcile(api.SystemKey())
	b.alter(npmID, func(c *api.Container) {
		c.State.Status = api.Exited
		c.Attachments[0].IPv4 = netip.Addr{}
	})
	b.reconcile(api.SystemKey())
	if want := []string{"http://10.0.0.2:81", ""}; !slices.Equal(b.urls, want) {
		t.Errorf("NPM is at %q, want %q", b.urls, want)
	}
}

// Where NPM is reached only at the machine's address, others publish ports as well.
func TestNPMByThePublishedPort(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	b.alter(npmID, func(c *api.Container) {
		c.Published = []api.Published{{HostPort: 81, Port: api.Port{Number: 81, Protocol: "tcp"}}}
	})
	me := b.add("5", "no502", func(c *api.Container) {
		c.Attachments = []api.Attachment{{NetworkID: "own", Network: "own", IPv4: netip.MustParseAddr("10.9.0.2"), Gateway: netip.MustParseAddr("10.9.0.1")}}
	})
	b.SelfHints = []string{me.ID}
	b.FindNPM()
	if want := []string{"http://10.9.0.1:81 of the machine"}; !slices.Equal(b.urls, want) {
		t.Errorf("NPM is at %q, want %q", b.urls, want)
	}
}

func TestNPMUsesAnothersNetwork(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	vpn := b.add("3", "vpn", func(*api.Container) {})
	b.alter(npmID, func(c *api.Container) { c.NetworkMode, c.Attachments = "container:"+vpn.ID, nil })
	b.reconcile(api.SystemKey())
	if want := []string{"http://10.0.0.9:81"}; !slices.Equal(b.urls, want) {
		t.Errorf("NPM is at %q, want %q", b.urls, want)
	}
	if res, _ := b.reconcile(vpn); !slices.Contains(res.Then, api.SystemKey()) {
		t.Errorf("whose network NPM uses touches %v", res.Then)
	}
}

// What went while nobody looked is forgotten all the same.
func TestGoneUnseen(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	b.all()
	b.engine.RemoveContainer(web)
	b.npm.Remove(api.HostKey(1))
	b.all()
	if !slices.Contains(b.gone, webKey) || !slices.Contains(b.gone, host1) {
		t.Errorf("forgotten are %v", b.gone)
	}
	if n := len(b.memory.meant) + len(b.memory.proven) + len(b.memory.resolved); n != 0 {
		t.Errorf("%d things are remembered of what is gone", n)
	}
}

// A port that served before is late after a restart, however long it takes, and
// whatever else answers already.
func TestSlowAfterARestart(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	started := func(ago time.Duration) {
		b.alter(web, func(c *api.Container) {
			c.Exposed = []api.Port{{Number: 9990, Protocol: "tcp"}}
			c.State.StartedAt = time.Now().Add(-ago)
		})
	}
	started(time.Hour)
	b.open[9990] = api.Probe{Port: api.PortOpen, Plain: true}
	b.wantDone(host1)
	delete(b.open, 8080)
	started(time.Minute)
	if res := b.wantDone(host1); !res.Retry {
		t.Error("nobody waits for it")
	}
}

// A container that claims a domain is told when there is a host for it.
func TestHostIsMade(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	key := b.add("3", "x", func(c *api.Container) { c.Claims = []string{"h7.example.com"} })
	b.all()
	b.forward(7, api.Endpoint{Scheme: "http", Host: "x", Port: 80})
	if res, _ := b.reconcile(api.HostKey(7)); !slices.Equal(res.Then, []api.Key{key}) {
		t.Errorf("touches %v, want %v", res.Then, key)
	}
	if res, _ := b.reconcile(api.HostKey(7)); len(res.Then) > 0 {
		t.Errorf("touches %v again", res.Then)
	}
}
