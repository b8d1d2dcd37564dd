package probe

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/api"
)

var (
	containerTarget = api.Target{Container: "c0ffee", StartedAt: 1, Addr: netip.MustParseAddrPort("172.18.0.5:80")}
	machineTarget   = api.Target{Addr: netip.MustParseAddrPort("172.18.0.1:80")}
	refused         = &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
)

// network is a network of pipes, and counts who connects.
type network struct {
	serve func(net.Conn) // nil: refuses
	delay time.Duration  // of a connect

	mu             sync.Mutex
	dials, at, max int
}

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	n.dials++
	n.at++
	n.max = max(n.max, n.at)
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		n.at--
		n.mu.Unlock()
	}()
	select {
	case <-time.After(n.delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if n.serve == nil {
		return nil, refused
	}
	ours, theirs := net.Pipe()
	go func() { defer theirs.Close(); n.serve(theirs) }()
	return ours, nil
}

// plainHTTP answers a request, and hangs up on all else.
func plainHTTP(c net.Conn) {
	if head := make([]byte, 4096); readSome(c, head) == "GET " {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	}
}

func readSome(c net.Conn, into []byte) string {
	n, _ := c.Read(into)
	return string(into[:min(4, n)])
}

// redis answers whatever comes, though not with HTTP. (A server that speaks
// first would wait for a reader: pipes have no buffer.)
func redis(c net.Conn) {
	readSome(c, make([]byte, 4096))
	_, _ = io.WriteString(c, "-ERR unknown command\r\n")
}

func silence(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func TestAnswersAreKeptAsLongAsTheyCanBeTrusted(t *testing.T) {
	const forever = 1000 * time.Hour
	for name, c := range map[string]struct {
		target api.Target
		serve  func(net.Conn)
		want   api.Probe
		kept   time.Duration
	}{
		"open, of a container":   {containerTarget, plainHTTP, api.Probe{Port: api.PortOpen, Plain: true}, forever},
		"open, of the machine":   {machineTarget, plainHTTP, api.Probe{Port: api.PortOpen, Plain: true}, time.Minute},
		"a database's":           {containerTarget, redis, api.Probe{Port: api.PortOpen}, forever},
		"open, but silent":       {containerTarget, silence, api.Probe{Port: api.PortOpen}, time.Minute},
		"closed, of a container": {containerTarget, nil, api.Probe{Port: api.PortClosed}, 200 * time.Millisecond},
		"closed, of the machine": {machineTarget, nil, api.Probe{Port: api.PortClosed}, 200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{serve: c.serve}
				p := New(Options{DialContext: n.dial})
				if got := probeOne(t, p, c.target); got != c.want {
					t.Fatalf("got %+v, want %+v", got, c.want)
				}
				dials := n.dials

				time.Sleep(c.kept - time.Millisecond)
				probeOne(t, p, c.target)
				if n.dials != dials {
					t.Errorf("asked again %v later", c.kept-time.Millisecond)
				}
				if c.kept == forever {
					return
				}
				time.Sleep(2 * time.Millisecond)
				if p.knows(c.target) {
					t.Errorf("still known after %v", c.kept)
				}
				probeOne(t, p, c.target)
				if n.dials == dials {
					t.Errorf("not asked again after %v", c.kept)
				}
			})
		})
	}
}

func TestEachStepHasATimeout(t *testing.T) {
	for name, c := range map[string]struct {
		net   *network
		want  api.PortState
		takes time.Duration
	}{
		"no route":                {&network{delay: time.Hour, serve: plainHTTP}, api.PortSilent, 2 * time.Second},
		"accepts, says nothing":   {&network{serve: silence}, api.PortOpen, 2*time.Second + 500*time.Millisecond},
		"lets a TLS hello wait":   {&network{serve: untilBlankLine}, api.PortOpen, 500 * time.Millisecond},
		"answers both right away": {&network{serve: plainHTTP}, api.PortOpen, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := New(Options{DialContext: c.net.dial})
				start := time.Now()
				got := probeOne(t, p, containerTarget)
				if took := time.Since(start); got.Port != c.want || took != c.takes {
					t.Errorf("%+v after %v, want %s after %v", got, took, c.want, c.takes)
				}
			})
		})
	}
}

// untilBlankLine answers a request, and waits for the rest of all else.
func untilBlankLine(c net.Conn) {
	if readSome(c, make([]byte, 4096)) == "GET " {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		return
	}
	silence(c)
}

func TestACallersAnswersAreSeenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quick, slow := containerTarget, machineTarget
		p := New(Options{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			if addr == slow.Addr.String() {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return nil, refused
		}})
		p.Probe(t.Context(), []api.Target{quick, slow})
		if !p.knows(quick) || !p.knows(slow) {
			t.Error("the first answer expired while the second was awaited")
		}
	})
}

func TestManyWhoAskForOneTargetShareAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{serve: plainHTTP, delay: time.Second}
		p := New(Options{DialContext: n.dial})
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { probeOne(t, p, containerTarget) })
		}
		all.Wait()
		if n.dials > 3 {
			t.Errorf("%d connections", n.dials)
		}
	})
}

func TestWhoWaitsForAnAbortedProbeAsksAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{DialContext: (&network{serve: plainHTTP, delay: time.Second}).dial})
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { p.Probe(ctx, []api.Target{containerTarget}) })
		synctest.Wait()
		all.Go(func() { probeOne(t, p, containerTarget) })
		synctest.Wait()
		cancel()
		all.Wait()
	})
}

func TestAnAbortedProbeIsNoAnswer(t *testing.T) {
	for name, n := range map[string]*network{
		"while connecting": {delay: time.Hour},
		"while reading":    {serve: silence},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := New(Options{DialContext: n.dial})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				p.Probe(ctx, []api.Target{containerTarget})
				if p.knows(containerTarget) {
					t.Error("it counts as an answer")
				}
				if took := time.Since(start); took != time.Second {
					t.Errorf("returned after %v", took)
				}
			})
		})
	}
}

func TestProbesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{delay: time.Second}
		p := New(Options{DialContext: n.dial, Concurrency: 4})
		var all sync.WaitGroup
		for caller := range byte(3) {
			all.Go(func() {
				targets := make([]api.Target, 20)
				for i := range targets {
					addr := netip.AddrFrom4([4]byte{172, 18, caller, byte(i)})
					targets[i] = api.Target{Addr: netip.AddrPortFrom(addr, 80)}
				}
				p.Probe(t.Context(), append(targets, targets...))
			})
		}
		all.Wait()
		if n.max != 4 || n.dials != 60 {
			t.Errorf("%d connections, %d at once; want 60, 4 at once", n.dials, n.max)
		}
	})
}

func TestPruneForgetsContainersThatAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{DialContext: (&network{serve: plainHTTP}).dial})
		gone := containerTarget
		gone.Container = "dead"
		p.Probe(t.Context(), []api.Target{containerTarget, gone, machineTarget})
		p.Prune(func(t api.Target) bool { return t.Container == "c0ffee" })
		if !p.knows(containerTarget) || p.knows(gone) || !p.knows(machineTarget) {
			t.Errorf("kept %v, gone %v, machine %v", p.knows(containerTarget), p.knows(gone), p.knows(machineTarget))
		}
	})
}

func (p *Prober) knows(t api.Target) (ok bool) {
	p.View(func(probes map[api.Target]api.Probe, _ map[netip.Addr]bool) { _, ok = probes[t] })
	return ok
}
