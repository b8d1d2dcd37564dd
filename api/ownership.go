package api

import "time"

// Ownership is meta.no502: the only memory of no502, kept in NPM itself so
// that a lost container loses nothing.
type Ownership struct {
	Instance string   `json:"instance"`
	Origin   string   `json:"origin"` // OriginRepaired or OriginDeclared
	Backend  Identity `json:"backend,omitempty"`

	// Service and Route name the labels that declare the host, and Readers by
	// which prefix and dialects they were read. Empty where it was only repaired.
	Service Identity `json:"service,omitempty"`
	Route   string   `json:"route,omitempty"`
	Readers []string `json:"readers,omitempty"`
	// OnRemove and Grace are what the labels said last about their own end.
	OnRemove string `json:"on_remove,omitempty"`
	Grace    string `json:"grace,omitempty"` // a time.Duration
	// Disabled says why no502 switched the host off; empty: it did not.
	Disabled string `json:"disabled,omitempty"`
	// Missing are the names for which it is off; see DisabledStatic.
	Missing []string `json:"missing,omitempty"`
	// Disabling: it was about to. If the host is on, it was stopped before it
	// did; otherwise somebody has switched the host on again.
	Disabling bool `json:"disabling,omitempty"`

	// Wrote is what no502 wrote and still stands for: while the row says the
	// same, nobody has edited that since.
	Wrote Fields `json:"wrote,omitempty"`
	// Was is what those fields said before the first write, in a host that
	// no502 did not make.
	Was Fields `json:"was,omitempty"`
	// By is who wrote last.
	By *Holder `json:"by,omitempty"`
	// LetsEncrypt is the last request for a certificate that failed.
	LetsEncrypt *Attempt `json:"letsencrypt,omitempty"`
}

// Attempt is a request to Let's Encrypt that failed.
type Attempt struct {
	Failures int       `json:"failures"` // in a row
	Last     time.Time `json:"last"`
	Error    string    `json:"error,omitempty"`
}

// Unanswered is the Attempt.Error while Let's Encrypt is being asked. If it
// stands longer, no502 was stopped meanwhile, and NPM has to be told to write the
// host again: for the challenge it took away its access list.
const Unanswered = "no answer was seen"

// Whose a host is: a person's, which no502 repaired or took over, or made by
// no502.
const (
	OriginRepaired = "repaired"
	OriginDeclared = "declared"
)

// Why no502 switched a host off.
const (
	DisabledStopped    = "stopped"     // every container of its service is
	DisabledRemoved    = "removed"     // its service or its labels are gone
	DisabledAccessList = "access-list" // the access list that protects it is gone
	DisabledStatic     = "static-name" // a name is gone that nginx looks up when it loads
)

// Owner is whose labels declare a host: at most one host of each kind belongs
// to one route of one service.
type Owner struct {
	Kind    Kind
	Service Identity
	Route   string
}

// Owner of a host; zero where no labels declare it.
func (h *Host) Owner() Owner { return h.Ownership.owner(h.Key().Kind) }

func (o *Ownership) owner(k Kind) Owner {
	if o == nil || o.Service == "" {
		return Owner{}
	}
	return Owner{k, o.Service, o.Route}
}
