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

	// Defaults are labels that every service has, unless it says otherwise:
	// by the label's name without the prefix.
	Defaults map[string]string
	// Dialects are the other tools whose labels are read as well.
	Dialects []string
	// TakeOver: hosts that people made by hand are taken over by labels that
	// claim their domain.
	TakeOver bool
	// Snippets: labels may write raw nginx configuration.
	Snippets bool
	// AllowedDomains bound which domains labels may claim; none: any.
	AllowedDomains []DomainPattern
	// MaxDeletes is how many hosts may be deleted between two resyncs.
	MaxDeletes int
	// DNSProviders are those for whose challenge the operator mounted
	// credentials.
	DNSProviders []string
}

// DomainPattern is a domain, or with "*." in front all below it, that labels
// may claim: those of one Compose project, or of all that have no pattern of
// their own.
type DomainPattern struct {
	Project string
	Pattern string
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
