package probe

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/no502/no502/api"
)

// procLimit bounds what is read of one file. The kernel lists the sockets that
// listen before all others, so a cut-off table of sockets still tells them.
const procLimit = 4 << 20

// listensOnLoopbackOnly reports whether something listens on the target's
// port, but only on loopback addresses: true only if the kernel says so.
func (p *Prober) listensOnLoopbackOnly(t api.Target) bool {
	if p.opts.Proc == "" {
		return false
	}
	pid := p.machinePid()
	if t.Container != "" {
		if t.Pid == 0 {
			return false
		}
		pid = strconv.Itoa(t.Pid)
	}
	// The Engine may be another machine's, or the PID may already be somebody
	// else's: only where the probed address is local do the sockets count.
	if !p.procAddrs(pid)[t.Addr.Addr().Unmap()] {
		return false
	}
	loopback := false
	for _, file := range []string{"tcp", "tcp6"} {
		for _, at := range p.procSockets(pid, file) {
			if at.Port() != t.Port() {
				continue
			}
			if !at.Addr().IsLoopback() {
				return false // it listens there by now, or on another network
			}
			loopback = true
		}
	}
	return loopback
}

// procSockets are the addresses at which sockets listen, as a process sees
// them; none where that cannot be read.
func (p *Prober) procSockets(pid, file string) []netip.AddrPort {
	f, err := os.Open(filepath.Join(p.opts.Proc, pid, "net", file))
	if err != nil {
		return nil
	}
	defer f.Close()
	return parseListening(io.LimitReader(f, procLimit), binary.NativeEndian)
}

// procAddrs are the local addresses, as a process sees them; nil where they
// cannot be read.
func (p *Prober) procAddrs(pid string) map[netip.Addr]bool {
	if p.opts.Proc == "" {
		return nil
	}
	f, err := os.Open(filepath.Join(p.opts.Proc, pid, "net", "fib_trie"))
	if err != nil {
		return nil
	}
	defer f.Close()
	local := map[netip.Addr]bool{}
	parseFibTrie(io.LimitReader(f, procLimit), local)

	f6, err := os.Open(filepath.Join(p.opts.Proc, pid, "net", "if_inet6"))
	if err != nil {
		return local // a machine without IPv6 has no such file
	}
	defer f6.Close()
	parseIfInet6(io.LimitReader(f6, procLimit), local)
	return local
}

// parseListening reads a table of TCP sockets and returns where they listen.
// Source: proc(5), /proc/net/tcp, and the kernel's
// Documentation/networking/proc_net_tcp.rst. Lines that are no sockets are
// passed over.
func parseListening(table io.Reader, order binary.ByteOrder) []netip.AddrPort {
	const listen = "0A" // TCP_LISTEN
	var found []netip.AddrPort
	for lines := bufio.NewScanner(table); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] != listen {
			continue
		}
		if at, ok := parseSocketAddr(fields[1], order); ok {
			found = append(found, at)
		}
	}
	return found
}

// parseSocketAddr reads "0100007F:1F90". The kernel prints the address as
// numbers of 32 bits in the machine's byte order, the port as a plain number.
func parseSocketAddr(s string, order binary.ByteOrder) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	if !ok || len(port) != 4 || len(host) != 8 && len(host) != 32 {
		return netip.AddrPort{}, false
	}
	raw, err := hex.DecodeString(host)
	if err != nil {
		return netip.AddrPort{}, false
	}
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		order.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), true
}

// parseFibTrie adds the local IPv4 addresses of the kernel's routing tables:
//
//	|-- 172.17.0.1
//	   /32 host LOCAL
func parseFibTrie(tables io.Reader, local map[netip.Addr]bool) {
	var leaf netip.Addr
	for lines := bufio.NewScanner(tables); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if addr, ok := strings.CutPrefix(line, "|-- "); ok {
			leaf, _ = netip.ParseAddr(addr)
		} else if strings.HasPrefix(line, "/32 host LOCAL") && leaf.Is4() {
			local[leaf] = true
		}
	}
}

// parseIfInet6 adds the local IPv6 addresses, each the first field of a line.
// Link-local ones are left out: every machine may have the same.
func parseIfInet6(table io.Reader, local map[netip.Addr]bool) {
	for lines := bufio.NewScanner(table); lines.Scan(); {
		digits, _, _ := strings.Cut(lines.Text(), " ")
		raw, err := hex.DecodeString(digits)
		if err != nil || len(raw) != 16 {
			continue
		}
		if addr := netip.AddrFrom16([16]byte(raw)); !addr.IsLinkLocalUnicast() {
			local[addr.Unmap()] = true
		}
	}
}
