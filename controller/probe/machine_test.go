package probe

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/api"
)

func TestTheMachinesTablesTellItsAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{Proc: "testdata/proc", DialContext: (&network{}).dial})
		for addr, want := range map[string]bool{
			"192.168.1.10":        true,
			"::ffff:192.168.1.10": true,
			"172.18.0.1":          true,
			"2001:db8::10":        true,
			"127.0.0.1":           true,
			"127.0.0.53":          true,
			"192.168.1.20":        false,
			"192.168.1.0":         false, // the network's, in the tables too
			"fe80::fc:ff:fe00:1":  false, // any machine may have it
		} {
			if got := isMachine(t, p, addr); got != want {
				t.Errorf("%s: %v, want %v", addr, got, want)
			}
		}
	})
}

func TestTheOwnStatusPortProvesAnAddress(t *testing.T) {
	var path string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.Path
		w.Header().Set(api.NonceHeader, "the nonce")
		w.WriteHeader(http.StatusServiceUnavailable) // unhealthy, but itself
	}))
	defer s.Close()
	// 192.0.2.0/24 is nobody's: only .1 leads to the server.
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr != "192.0.2.1:18502" {
			return nil, refused
		}
		return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
	}
	port := func() uint16 { return 18502 }

	for name, c := range map[string]struct {
		opts Options
		addr string
		want bool
	}{
		"answers with the nonce": {Options{Nonce: "the nonce", PublishedPort: port}, "192.0.2.1", true},
		"not in the tables":      {Options{Nonce: "the nonce", PublishedPort: port, Proc: "testdata/proc"}, "192.0.2.1", true},
		"another no502":          {Options{Nonce: "another nonce", PublishedPort: port}, "192.0.2.1", false},
		"another machine":        {Options{Nonce: "the nonce", PublishedPort: port}, "192.0.2.2", false},
		"no nonce":               {Options{PublishedPort: port}, "192.0.2.1", false},
		"not published":          {Options{Nonce: "the nonce"}, "192.0.2.1", false},
	} {
		t.Run(name, func(t *testing.T) {
			c.opts.DialContext = dial
			if got := isMachine(t, New(c.opts), c.addr); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if path != "/healthz" {
		t.Errorf("asked for %s", path)
	}
}

func TestWhatWasLearntOfAnAddressIsKeptForAWhile(t *testing.T) {
	for name, c := range map[string]struct {
		port uint16
		kept time.Duration
	}{
		"unproven":               {8502, 5 * time.Minute},
		"nothing to prove it by": {0, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{delay: time.Hour}
				p := New(Options{DialContext: n.dial, Nonce: "n", PublishedPort: func() uint16 { return c.port }})
				addr := netip.MustParseAddr("192.0.2.1")
				isMachine(t, p, addr.String())
				dials := n.dials

				time.Sleep(c.kept - time.Millisecond)
				isMachine(t, p, addr.String())
				if n.dials != dials {
					t.Error("asked again too early")
				}
				time.Sleep(2 * time.Millisecond)
				if _, known := p.isKnown(addr); known {
					t.Errorf("still known after %v", c.kept)
				}
			})
		})
	}
}

func TestAnAbortedSearchForTheMachineIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{DialContext: (&network{delay: time.Hour}).dial, Nonce: "n", PublishedPort: func() uint16 { return 1 }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		addr := netip.MustParseAddr("192.0.2.1")
		p.IsMachine(ctx, []netip.Addr{addr})
		if is, known := p.isKnown(addr); known {
			t.Errorf("it counts as %v", is)
		}
	})
}

// isMachine asks about one address and returns the answer.
func isMachine(t *testing.T, p *Prober, addr string) bool {
	t.Helper()
	a := netip.MustParseAddr(addr)
	p.IsMachine(t.Context(), []netip.Addr{a})
	is, known := p.isKnown(a)
	if !known {
		t.Errorf("no answer about %s", addr)
	}
	return is
}

func (p *Prober) isKnown(a netip.Addr) (is, known bool) {
	p.View(func(_ map[api.Target]api.Probe, machine map[netip.Addr]bool) { is, known = machine[a] })
	return is, known
}
