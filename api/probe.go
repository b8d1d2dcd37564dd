package api

import "net/netip"

// NonceHeader is the header in which /healthz of the status port tells which
// process answers: by it no502 recognises itself behind an address of which it
// wants to know whether it is this machine's.
const NonceHeader = "No502-Nonce"

// Target is a port to be probed. A container's answer is worth keeping until
// it starts again, so its start is part of the target.
type Target struct {
	Container string // ID; empty for a process on the machine itself
	StartedAt int64  // Unix nanoseconds; 0 for the machine
	Pid       int    // the container's first process, where its sockets can be read
	Addr      netip.AddrPort
}

// Port of the target.
func (t Target) Port() uint16 { return t.Addr.Port() }

// Probe is what answered.
type Probe struct {
	Port  PortState
	TLS   bool // completes a TLS handshake
	Plain bool // answers plain HTTP as a server of plain HTTP does
}

// PortState is how a port answered a connection.
type PortState string

// The states of a port.
const (
	PortOpen PortState = "open"
	// PortClosed: nothing accepts connections there (yet).
	PortClosed PortState = "closed"
	// PortLoopback: something listens, but on 127.0.0.1 or ::1 only. Known
	// for certain, from the kernel's own table of sockets.
	PortLoopback PortState = "loopback"
	// PortSilent: no answer within the probe's time: filtered, or no route.
	PortSilent PortState = "silent"
)
