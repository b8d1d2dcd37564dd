package api

import "net/netip"

// Policy is what the operator allows and prefers.
type Policy struct {
	Instance string // names this no502 in NPM's meta
	Prefix   string // of the labels; "no502"
	Scope    Scope
	Mode     Mode
	Network  string // name of the proxy network; empty: find or make one
	NPM      string // name or ID of NPM's container; empty: find it
	// MachineAddrs are addresses that the operator says are this machine's.
	MachineAddrs []netip.Addr
}

// Scope is which containers are opted in.
type Scope string

// The scopes.
const (
	ScopeLabelled Scope = "labelled"
	ScopeAll      Scope = "all"
)

// Mode is what may be done about a finding.
type Mode string

// The modes.
const (
	ModeRepair  Mode = "repair"
	ModeObserve Mode = "observe"
)

// ManagedNetwork is the proxy network that no502 makes where there is none.
const ManagedNetwork = "no502"

// RoleLabel, under the prefix, tells what a container or network is to no502.
const (
	RoleLabel = "role"
	RoleProxy = "proxy"
)
