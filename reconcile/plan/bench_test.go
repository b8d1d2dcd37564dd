package plan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
	"github.com/no502/no502/reconcile/plan"
	"github.com/no502/no502/reconcile/resolve"
)

var sizes = []int{100, 1_000, 10_000}

// fleet is a machine with n containers and as many hosts, a third of which are
// wrong in one of three ways. Everything that a plan asks has been observed.
func fleet(n int) (*api.Snapshot, api.Policy) {
	p := api.Policy{Instance: "test", Prefix: "no502", Scope: api.ScopeLabelled, Mode: api.ModeRepair}
	proxy := &api.Network{ID: "net-proxy", Name: "proxy", Driver: "bridge", Subnets: []api.Subnet{{
		Prefix: netip.MustParsePrefix("10.0.0.0/8"), Gateway: netip.MustParseAddr("10.0.0.1"), Range: netip.MustParsePrefix("10.0.0.0/9"),
	}}}
	other := &api.Network{ID: "net-other", Name: "other", Driver: "bridge"}
	containers := []*api.Container{{
		ID: fmt.Sprintf("%064x", 1<<40), Name: "npm", Image: "jc21/nginx-proxy-manager:2", State: api.State{Status: api.Running}, NetworkMode: "proxy",
		Attachments: []api.Attachment{{NetworkID: proxy.ID, Network: proxy.Name, IPv4: netip.MustParseAddr("10.0.0.2")}},
	}}
	var hosts []*api.Host
	addr := netip.MustParseAddr("10.0.0.3")
	for i := range n {
		addr = addr.Next()
		c := &api.Container{
			ID: fmt.Sprintf("%064x", i+1), Name: fmt.Sprintf("app%d-web-1", i), Image: "app:1", NetworkMode: "proxy",
			Labels: map[string]string{"no502.enable": "true", api.ComposeProject: "app" + strconv.Itoa(i), api.ComposeService: "web", api.ComposeNumber: "1"},
			State:  api.State{Status: api.Running, StartedAt: time.Unix(int64(i), 0), Pid: i + 100},
			Attachments: []api.Attachment{{NetworkID: proxy.ID, Network: proxy.Name, IPv4: addr,
				Aliases: []string{fmt.Sprintf("web.app%d", i)}}},
			Exposed:   []api.Port{{Number: 8080, Protocol: "tcp"}},
			Published: []api.Published{{HostIP: netip.IPv4Unspecified(), HostPort: uint16(20_000 + i), Port: api.Port{Number: 8080, Protocol: "tcp"}}},
		}
		c.Hostname = c.ShortID()
		to := api.Endpoint{Scheme: "http", Host: c.Name, Port: 8080}
		switch i % 9 {
		case 0:
			to.Host, to.Port = "localhost", uint16(20_000+i)
		case 3:
			to.Host, to.Port = "192.168.1.10", uint16(20_000+i)
		case 6:
			c.Attachments[0].NetworkID, c.Attachments[0].Network = other.ID, other.Name
		}
		in := intent.Of(c, p)
		c.Claims, c.Role = resolve.Claimed(in), in.Role
		containers = append(containers, c)
		hosts = append(hosts, &api.Host{ID: i + 1, Domains: []string{fmt.Sprintf("app%d.example.com", i)}, Enabled: true, Forward: to})
	}
	s := &api.Snapshot{
		Engine: api.NewEngine(containers, []*api.Network{proxy, other}), NPM: api.NewNPM(hosts), Probes: map[api.Target]api.Probe{},
		Machine: map[netip.Addr]bool{netip.MustParseAddr("192.168.1.10"): true},
	}
	for range 4 {
		for _, t := range plan.Build(s, p).Wants.Probes {
			s.Probes[t] = api.Probe{Port: api.PortOpen, Plain: true}
		}
	}
	return s, p
}

func BenchmarkBuild(b *testing.B) {
	for _, n := range sizes {
		s, p := fleet(n)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				plan.Build(s, p)
			}
		})
	}
}

// oneKey are keys of which each costs the same however much else there is: a
// host and a container that are right, and a host to be repaired.
var oneKey = []struct {
	name string
	key  api.Key
}{
	{"host", api.HostKey(12)},
	{"wrong-host", api.HostKey(10)},
	{"container", api.ContainerKey(fmt.Sprintf("%064x", 12))},
	{"unattached", api.ContainerKey(fmt.Sprintf("%064x", 7))},
	{"system", api.SystemKey()},
}

func BenchmarkFor(b *testing.B) {
	for _, n := range sizes {
		s, p := fleet(n)
		for _, one := range oneKey {
			b.Run(one.name+"/"+strconv.Itoa(n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					plan.For(s, p, one.key)
				}
			})
		}
	}
}

// TestOneKeyIsFlat counts what BenchmarkFor times.
func TestOneKeyIsFlat(t *testing.T) {
	for _, one := range oneKey {
		var counts []float64
		for _, n := range []int{100, 10_000} {
			s, p := fleet(n)
			counts = append(counts, testing.AllocsPerRun(20, func() { plan.For(s, p, one.key) }))
		}
		// The race detector makes fmt's pool of buffers lose some at random.
		if slices.Max(counts)-slices.Min(counts) > 2 {
			t.Errorf("%s: %v allocations at 100 and at 10,000", one.name, counts)
		}
	}
}

func BenchmarkNewEngine(b *testing.B) {
	for _, n := range sizes {
		s, _ := fleet(n)
		containers, networks := s.Engine.Containers(), s.Engine.Networks()
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				api.NewEngine(containers, networks)
			}
		})
	}
}
