package intent

import (
	"time"

	"github.com/no502/no502/api"
)

// Route is what the labels of one route declare: "no502.<field>" is the
// unnamed route, "no502.<route>.<field>" a named one. It declares a proxy host
// where it has Domains, a redirection host where it has Redirect, a stream
// where it has Stream, and a 404 host where it has Parked.
type Route struct {
	Name    string   // empty: the unnamed route
	Domains []string // of the proxy host; lower-case A-labels, "*." in front of a wildcard

	Port     uint16 // 0: not said
	Scheme   string // "": not said
	Upstream string // another service's name; "": the labelled container

	// Claims are the options that are said and so enforced, under NPM's names;
	// Initial those that are not, with which a new host begins.
	Claims, Initial api.Fields

	// Certificate is "auto", "none", "letsencrypt", or a name or id; "": not
	// said, which begins as auto.
	Certificate string
	Email       string // for Let's Encrypt
	DNSProvider string // for its DNS challenge
	AccessList  string // a name or id; "": not said

	// Snippet is the label that says raw nginx configuration, as a person knows
	// it; empty: none does. Whether it may, the plan decides.
	Snippet string

	// Withheld tells that what may keep visitors out cannot be read, or not be
	// had, so that the host is not published without it.
	Withheld bool

	Locations []Location // in order of their names
	Redirect  *Redirect
	Stream    *Stream
	Parked    []string // domains, as Domains

	OnStop, OnRemove End
	Grace            time.Duration
}

// SnippetLabel is the label, under the prefix, that says raw nginx configuration.
const SnippetLabel = "advanced-config"

// What a Route's Certificate says besides a name or an id.
const (
	CertificateAuto        = "auto"
	CertificateNone        = "none"
	CertificateLetsEncrypt = "letsencrypt"
)

// Location is a declared custom location.
type Location struct {
	Name     string
	Path     string // begins with a slash
	Port     uint16 // 0: not said
	Scheme   string // "": not said
	Upstream string // another service's name; "": the labelled container
	// StripPrefix takes the path away from what the backend is asked for.
	StripPrefix bool
}

// Redirect is a declared redirection.
type Redirect struct {
	From     []string // domains, as Domains
	Scheme   string   // "auto", "http" or "https"
	To       string   // a domain, perhaps with a port
	Code     int      // 301, 302, 303, 307 or 308
	KeepPath bool
}

// Stream is a declared stream.
type Stream struct {
	Port     uint16 // on which NPM listens
	TCP, UDP bool
}

// End is what becomes of a host whose service stopped or went away.
type End string

// DefaultGrace is how long a service may be away before its end comes.
const DefaultGrace = 30 * time.Second

// LeastGrace is the shortest grace: `docker compose down` stops no502 itself
// about as soon as its services.
const LeastGrace = 5 * time.Second

// The ends.
const (
	Keep    End = "keep"
	Disable End = "disable"
	Delete  End = "delete"
)
