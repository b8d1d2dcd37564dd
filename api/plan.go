package api

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Plan is what to do about one or more keys, why, and what must be looked at
// before more can be said.
type Plan struct {
	Actions  []Action // in the order in which they are applied
	Verdicts []Verdict
	Wants    Wants
}

// Wants are observations that the plan lacks: once made, plan again.
type Wants struct {
	Probes []Target
	// Addresses of which it matters whether they are this machine's.
	Addresses []netip.Addr
	// Proofs are hosts of which it is to be seen whether NPM serves them.
	Proofs []ProofTarget
	// Attached: no502 must first be on the network where it is to look.
	Attached bool
}

// Empty reports whether nothing more is to be observed.
func (w Wants) Empty() bool {
	return len(w.Probes) == 0 && len(w.Addresses) == 0 && len(w.Proofs) == 0 && !w.Attached
}

// Verdict is the whole answer about one key.
type Verdict struct {
	Key      Key
	Name     string // the host's first domain, or the container's name
	Enabled  bool   // NPM serves it
	OptedIn  bool   // no502 looks after it: repairs it, or where it is marked so only reports
	Backend  Identity
	Forward  Endpoint // as NPM has it
	Endpoint Endpoint // as it should be; zero while that is not known
	// Addresses are where the endpoint's host leads now.
	Addresses []netip.Addr
	// Others are the backends of its custom locations.
	Others []Identity
	// Static are the addresses, in order, to which the names lead that nginx looks
	// up when it loads; none unless all are known.
	Static   []netip.Addr
	Findings []Finding
	Conditions
	// Idle says that the host's service stopped or went away; empty: neither.
	Idle Idle
	// Contested is what is left undone, since somebody keeps undoing it.
	Contested []Subject
	// Due is when the key is worth another look, though nothing happens
	// meanwhile; zero: not by itself.
	Due time.Time
}

// Says reports whether a finding is among the verdict's.
func (v *Verdict) Says(f Finding) bool {
	return slices.ContainsFunc(v.Findings, func(o Finding) bool { return o.Code == f.Code && o.Message == f.Message })
}

// Idle is why a host does not do what it is for, and may have to go.
type Idle struct {
	Why    string // DisabledStopped, DisabledRemoved or another reason; empty: none
	Delete bool   // and it is to be deleted, not merely switched off
}

// Conditions of a proxy host, each true only on evidence.
type Conditions struct {
	Resolved Condition // the backend that it means is known
	Ready    Condition // the backend can answer, and NPM can reach it
	InSync   Condition // NPM forwards to the right endpoint
	Served   Condition // and since then gives visitors what the backend gives
}

// Condition in the manner of Kubernetes. Since is set by whoever records it.
type Condition struct {
	Status  ConditionStatus
	Reason  Code
	Message string
	Since   time.Time
}

// ConditionStatus is True, False or Unknown.
type ConditionStatus string

// The condition statuses.
const (
	True    ConditionStatus = "True"
	False   ConditionStatus = "False"
	Unknown ConditionStatus = "Unknown"
)

// Op is what an Action does.
type Op string

// The operations, in the order in which a plan applies them.
const (
	OpCreateNetwork Op = "create-network"
	OpAttach        Op = "attach"
	OpDelete        Op = "delete"
	OpDisable       Op = "disable"
	OpPatch         Op = "patch"
	OpCertificate   Op = "request-certificate"
	OpEnable        Op = "enable"
	OpCreate        Op = "create"
	OpResave        Op = "re-save" // write a host unchanged, so that nginx resolves its name anew
)

// Action is one change, with the findings that caused it.
type Action struct {
	Op      Op
	Because []Code

	// Of create-network and attach.
	Network string // its name
	Subnet  Subnet // create-network
	// Of attach.
	Container string // ID
	Name      string // its name
	Address   netip.Addr
	Aliases   []string

	// Of what is done in NPM.
	Host   Key    // of create: without an id
	Domain string // by which people know the host
	// From and To are the fields that change, as they are and as they shall be.
	// From is what the plan stands on: if the row says otherwise by now, it is
	// stale. Of re-save: the endpoint as it stays. Of delete: in what the host
	// that is made in its place differs.
	From, To Fields
	// Ownership is what the host's meta is to remember; of delete, what it does.
	Ownership *Ownership
	// Of request-certificate.
	Certificate CertificateRequest
}

// CertificateRequest is what Let's Encrypt is asked for.
type CertificateRequest struct {
	Domains     []string
	DNSProvider string // empty: the HTTP challenge
}

// Key of the thing that the action changes.
func (a Action) Key() Key {
	switch a.Op {
	case OpAttach:
		return ContainerKey(a.Container)
	case OpCreateNetwork:
		return SystemKey()
	}
	return a.Host
}

// Refusal is the key by which it is remembered that the action was refused: that
// of its host, or of one that is to be made with its domain for an id.
func (a Action) Refusal() Key {
	if a.Op == OpCreate {
		return Key{Kind: a.Host.Kind, ID: a.Domain}
	}
	return a.Host
}

// String is the action in one line, as people read it.
func (a Action) String() string {
	switch a.Op {
	case OpCreateNetwork:
		return "create network " + a.Network
	case OpAttach:
		s := "attach " + a.Name + " to network " + a.Network
		if a.Address.IsValid() {
			s += " as " + a.Address.String()
		}
		return s
	case OpPatch:
		return a.Domain + ": " + describeChange(a.From, a.To)
	case OpResave:
		return a.Domain + ": save again as it is, so that nginx loads it anew"
	case OpCreate:
		return fmt.Sprintf("create the %s %s: %s", a.Host.Kind.Words(), a.Domain, describeNew(a.To))
	case OpCertificate:
		return a.Domain + ": ask Let's Encrypt for a certificate for " + strings.Join(a.Certificate.Domains, ", ")
	case OpEnable:
		if len(a.To) > 0 {
			return fmt.Sprintf("enable the %s %s: %s", a.Host.Kind.Words(), a.Domain, describeChange(a.From, a.To))
		}
	}
	return fmt.Sprintf("%s the %s %s", a.Op, a.Host.Kind.Words(), a.Domain)
}

// Why is the action's causes, separated by commas.
func (a Action) Why() string {
	codes := make([]string, len(a.Because))
	for i, c := range a.Because {
		codes[i] = string(c)
	}
	return strings.Join(codes, ", ")
}
