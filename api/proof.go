package api

import (
	"net/netip"
	"time"
)

// ProofTarget is a host of which is to be seen whether NPM serves it.
type ProofTarget struct {
	Host   Key
	Domain string         // that it is asked for
	HTTP   netip.AddrPort // where NPM's data plane listens
	HTTPS  netip.AddrPort
	Direct netip.AddrPort // the backend itself
	TLS    bool           // it speaks TLS
}

// Proof is what NPM answers for a host, beside what its backend answers when it
// is asked the same.
type Proof struct {
	Through Answer // by way of NPM; a redirection to https is followed
	Direct  Answer
	// Default: NPM answers as it does for a domain that it does not know.
	Default bool
	// Log is the last line that nginx wrote into the host's error log meanwhile;
	// empty where NPM's data directory is not mounted.
	Log string
}

// Answer is an answer to a GET of "/".
type Answer struct {
	Status int
	Err    string // why there is none
}

// Same reports whether two answers mean the same to a visitor.
func (a Answer) Same(b Answer) bool { return a.Status == b.Status && (a.Err == "") == (b.Err == "") }

// GatewayError reports a status by which nginx says that the backend did not
// answer it, or not in time.
func (a Answer) GatewayError() bool { return a.Status == 502 || a.Status == 504 }

// Works reports whether NPM gives what the backend has to give. What the host's
// other settings make of it (an access list, a redirection, other headers) is
// theirs; but a backend that answers is not to end in nginx's own error.
func (p Proof) Works() bool {
	switch {
	case p.Through.Same(p.Direct):
		return !p.Default || p.Direct.Err != ""
	case p.Through.Err != "", p.Default:
		return false
	}
	return !p.Through.GatewayError()
}

// Proving is how far the proof of a repair has come.
type Proving struct {
	Since time.Time // the last write
	// Resaved: the host was saved again for want of a proof, once is enough.
	Resaved bool
	Asked   time.Time // the last time; zero: not yet
	Tries   int
	Proof   Proof // of that time
}
