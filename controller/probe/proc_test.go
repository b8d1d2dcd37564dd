package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/no502/no502/api"
)

func TestSocketsAreReadInEitherByteOrder(t *testing.T) {
	const head = "  sl  local_address rem_address   st tx_queue\n"
	for name, c := range map[string]struct {
		order binary.ByteOrder
		table string
		want  []string
	}{
		"IPv4, little endian": {binary.LittleEndian, "0: 0100007F:1F90 00000000:0000 0A 0", []string{"127.0.0.1:8080"}},
		"IPv4, big endian":    {binary.BigEndian, "0: 7F000001:1F90 00000000:0000 0A 0", []string{"127.0.0.1:8080"}},
		"IPv6, little endian": {binary.LittleEndian, "0: B80D0120000000000000000010000000:0050 0:0 0A 0", []string{"[2001:db8::10]:80"}},
		"IPv6, big endian":    {binary.BigEndian, "0: 20010DB8000000000000000000000010:0050 0:0 0A 0", []string{"[2001:db8::10]:80"}},
		"IPv4 mapped to IPv6": {binary.LittleEndian, "0: 0000000000000000FFFF00000100007F:0050 0:0 0A 0", []string{"127.0.0.1:80"}},
		"a connection":        {binary.LittleEndian, "0: 0100007F:1F90 0100007F:0050 01 0", nil},
		"cut off":             {binary.LittleEndian, "0: 0100007F:1F90 0000", nil},
		"no address":          {binary.LittleEndian, "0: 0100007G:1F90 0:0 0A 0\n1: 01:1F90 0:0 0A 0\n2: 0100007F:XXXX 0:0 0A 0", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, at := range parseListening(strings.NewReader(head+c.table), c.order) {
				got = append(got, at.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLocalAddressesAreReadFromTheRoutingTables(t *testing.T) {
	p := New(Options{Proc: "testdata/proc"})
	var got []string
	for addr := range p.procAddrs("1") {
		got = append(got, addr.String())
	}
	want := []string{"127.0.0.1", "172.18.0.1", "192.168.1.10", "::1", "2001:db8::10"}
	if diff := cmp.Diff(want, got, cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Error(diff)
	}
}

// A refused port of a container whose process is 4242 or 77.
func TestARefusedPortIsToldFromOneOnLoopback(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("testdata/proc is from a little-endian machine")
	}
	refuse := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	const container = "c0ffee"
	for name, c := range map[string]struct {
		proc      string
		container string
		pid       int
		addr      string
		want      api.PortState
	}{
		"listens on 127.0.0.1":               {"testdata/proc", container, 4242, "172.18.0.5:3000", api.PortLoopback},
		"listens on ::1":                     {"testdata/proc", container, 4242, "172.18.0.5:3001", api.PortLoopback},
		"listens on ::ffff:127.0.0.1":        {"testdata/proc", container, 4242, "172.18.0.5:3002", api.PortLoopback},
		"listens by now":                     {"testdata/proc", container, 4242, "172.18.0.5:8080", api.PortClosed},
		"listens on another address as well": {"testdata/proc", container, 4242, "172.18.0.5:4000", api.PortClosed},
		"a connection from that port":        {"testdata/proc", container, 4242, "172.18.0.5:5000", api.PortClosed},
		"does not listen":                    {"testdata/proc", container, 4242, "172.18.0.5:9999", api.PortClosed},
		"the PID is somebody else's":         {"testdata/proc", container, 77, "172.18.0.5:3000", api.PortClosed},
		"no such process":                    {"testdata/proc", container, 12, "172.18.0.5:3000", api.PortClosed},
		"no PID known":                       {"testdata/proc", container, 0, "172.18.0.5:3000", api.PortClosed},
		"no /proc":                           {"", container, 4242, "172.18.0.5:3000", api.PortClosed},
		"the machine, on 127.0.0.1":          {"testdata/proc", "", 0, "172.18.0.1:8080", api.PortLoopback},
		"the machine, on every address":      {"testdata/proc", "", 0, "172.18.0.1:22", api.PortClosed},
	} {
		t.Run(name, func(t *testing.T) {
			p := New(Options{Proc: c.proc, DialContext: refuse})
			target := api.Target{Container: c.container, Pid: c.pid, Addr: netip.MustParseAddrPort(c.addr)}
			if got := probeOne(t, p, target); got != (api.Probe{Port: c.want}) {
				t.Errorf("got %+v, want %s", got, c.want)
			}
		})
	}
}

func TestThisProcessesOwnListenerIsFound(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux's /proc")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	here := netip.MustParseAddrPort(l.Addr().String())

	p := New(Options{Proc: "/proc"})
	if found := p.procSockets("self", "tcp"); !slices.Contains(found, here) {
		t.Errorf("%s is not among %v", here, found)
	}
	if local := p.procAddrs("self"); !local[here.Addr()] {
		t.Errorf("%s is not among %v", here.Addr(), local)
	}
	if got := probeOne(t, p, api.Target{Addr: netip.AddrPortFrom(otherAddr(t), here.Port())}); got.Port != api.PortLoopback {
		t.Errorf("from outside the port is %+v, want loopback", got)
	}
}

// otherAddr is an IPv4 address of this machine that is not loopback.
func otherAddr(t *testing.T) netip.Addr {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLoopback() {
			return prefix.Addr()
		}
	}
	t.Skip("the machine has no address but loopback")
	return netip.Addr{}
}

func FuzzParseListening(f *testing.F) {
	for _, file := range []string{"tcp", "tcp6"} {
		seed, err := os.ReadFile("testdata/proc/4242/net/" + file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, table []byte) {
		for _, at := range parseListening(bytes.NewReader(table), binary.LittleEndian) {
			if !at.IsValid() || at.Addr().Is4In6() {
				t.Errorf("%v cannot be compared with a target's address", at)
			}
		}
	})
}

func FuzzParseAddresses(f *testing.F) {
	for _, file := range []string{"fib_trie", "if_inet6"} {
		seed, err := os.ReadFile("testdata/proc/1/net/" + file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, table []byte) {
		local := map[netip.Addr]bool{}
		parseFibTrie(bytes.NewReader(table), local)
		parseIfInet6(bytes.NewReader(table), local)
		for addr := range local {
			if !addr.IsValid() || addr.Is4In6() {
				t.Errorf("%v cannot be compared with an address", addr)
			}
		}
	})
}
