package api

// Finding is one thing that is wrong, or in the way, or worth knowing.
type Finding struct {
	Code       Code     `json:"code"`
	Message    string   `json:"message"`              // one sentence: what, where
	Fix        string   `json:"fix,omitempty"`        // what no502 does, or what the user can do
	Candidates []string `json:"candidates,omitempty"` // what it might be instead
}

// Code is a finding's stable name.
type Code string

// Findings that a rewrite of the proxy host repairs.
const (
	ForwardHostLoopback     Code = "ForwardHostLoopback"     // localhost: NPM's own container
	ForwardHostMachine      Code = "ForwardHostMachine"      // the machine's address instead of the container
	ForwardHostAddress      Code = "ForwardHostAddress"      // a container's address, which a recreate changes
	ForwardHostOld          Code = "ForwardHostOld"          // an address or name it had before
	ForwardHostID           Code = "ForwardHostID"           // a container ID, which a recreate changes
	ForwardHostCase         Code = "ForwardHostCase"         // the name in another case
	ForwardHostUnresolvable Code = "ForwardHostUnresolvable" // a name that NPM's networks do not know
	ForwardHostReplica      Code = "ForwardHostReplica"      // one of several containers of a declared service
	ForwardHostShared       Code = "ForwardHostShared"       // a name that other containers answer to as well
	ForwardPortPublished    Code = "ForwardPortPublished"    // the machine's port instead of the container's
	ForwardPortWrong        Code = "ForwardPortWrong"        // a port on which nothing listens
	SchemeMismatch          Code = "SchemeMismatch"
	InvalidForward          Code = "InvalidForward" // a forward host that is neither a name nor an address
	AddressChanged          Code = "AddressChanged" // nginx may still hold the old one
)

// Findings about the network.
const (
	NotOnProxyNetwork Code = "NotOnProxyNetwork"
	NoProxyNetwork    Code = "NoProxyNetwork"
	CannotAttach      Code = "CannotAttach"
	EgressWouldOpen   Code = "EgressWouldOpen"
	NetworkAmbiguous  Code = "NetworkAmbiguous" // several networks have the name
	NPMNotFound       Code = "NPMNotFound"
	NPMAmbiguous      Code = "NPMAmbiguous"
	NPMNeedsRestart   Code = "NPMNeedsRestart"
	NPMHostMode       Code = "NPMHostMode"
	NotServed         Code = "NotServed"     // what NPM shows as saved is not what nginx serves
	StillFails        Code = "StillFails"    // all is right, and visitors get an error all the same
	ReloadStuck       Code = "ReloadStuck"   // nginx does not load what NPM writes
	StandingBy        Code = "StandingBy"    // another no502 of this name is at work
	NPMStranded       Code = "NPMStranded"   // its nginx does not start
	EngineRefuses     Code = "EngineRefuses" // a socket proxy does not let a request through
)

// Findings about the backend, which no rewrite repairs.
const (
	BackendNotStarted Code = "BackendNotStarted"
	BackendExited     Code = "BackendExited"
	BackendOOMKilled  Code = "BackendOOMKilled"
	BackendRestarting Code = "BackendRestarting"
	BackendPaused     Code = "BackendPaused"
	BackendDead       Code = "BackendDead"
	BackendStarting   Code = "BackendStarting"
	BackendUnhealthy  Code = "BackendUnhealthy"
	PortNotListening  Code = "PortNotListening"
	LoopbackOnly      Code = "LoopbackOnly"
	PortUnanswered    Code = "PortUnanswered"
)

// Findings about what is meant.
const (
	BackendUnknown Code = "BackendUnknown"
	Ambiguous      Code = "Ambiguous"
	PortAmbiguous  Code = "PortAmbiguous"
	NotOptedIn     Code = "NotOptedIn"
	UnknownLabel   Code = "UnknownLabel"
	InvalidLabel   Code = "InvalidLabel"
	NginxRejected  Code = "NginxRejected"
	// StaticNameMissing: a name is gone that nginx looks up when it loads.
	StaticNameMissing Code = "StaticNameMissing"
	Contested         Code = "Contested"     // somebody else keeps changing it back
	NotTranslated     Code = "NotTranslated" // another tool's label that no502 or NPM has no word for
)

// Findings about what labels declare.
const (
	HostMissing        Code = "HostMissing"        // NPM has no such host yet
	HostDiffers        Code = "HostDiffers"        // NPM's fields are not what the labels say
	HostIdle           Code = "HostIdle"           // its service stopped or went away
	HostBack           Code = "HostBack"           // its service is back
	HostSwitchedOff    Code = "HostSwitchedOff"    // somebody switched it off in NPM
	DomainTaken        Code = "DomainTaken"        // by a host that may not be taken over
	DomainConflict     Code = "DomainConflict"     // by an older claim
	StreamConflict     Code = "StreamConflict"     // another stream has the port
	OwnedByOther       Code = "OwnedByOther"       // another tool, or another no502, keeps the host
	NotPermitted       Code = "NotPermitted"       // by the operator
	AccessListMissing  Code = "AccessListMissing"  // so the host is not published
	CertificateMissing Code = "CertificateMissing" // none of that name, or none that fits
	CertificateNeeded  Code = "CertificateNeeded"  // for HTTPS to be forced
	CertificateFailed  Code = "CertificateFailed"  // Let's Encrypt refused
	UpstreamUnknown    Code = "UpstreamUnknown"    // no opted-in service of that name
	PortUnpublished    Code = "PortUnpublished"    // NPM's container does not publish the stream's port
	NotSupported       Code = "NotSupported"       // by this version of NPM, or its user's permissions
	DeleteLimit        Code = "DeleteLimit"        // too many at once: a person has to look
	OtherPrefix        Code = "OtherPrefix"        // declared by labels with another prefix
)
