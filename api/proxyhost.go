package api

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Endpoint is where NPM forwards requests to.
type Endpoint struct {
	Scheme string `json:"scheme"` // "http" or "https"
	Host   string `json:"host"`   // a name or an address, never bracketed
	Port   uint16 `json:"port"`
}

// String is the endpoint as a URL.
func (e Endpoint) String() string {
	host := e.Host
	if addr, ok := parseAddr(host); ok && addr.Is6() {
		host = "[" + host + "]"
	}
	return e.Scheme + "://" + host + ":" + strconv.Itoa(int(e.Port))
}

// ProxyHost is one of NPM's proxy hosts: the fields that no502 reads.
type ProxyHost struct {
	ID       int
	Domains  []string
	Forward  Endpoint
	Enabled  bool
	Advanced string // the Advanced tab: nginx directives, and no502's own marks
	// Meta is the row's free-form JSON as NPM holds it. A write replaces it
	// whole, so what others keep there must be sent back.
	Meta json.RawMessage
	// Online is nginx's verdict on the last write; nil before the first.
	Online   *bool
	NginxErr string
	// Ownership is what no502 remembers in Meta; nil where it never wrote.
	Ownership *Ownership
}

// Domain is the name by which people know the host.
func (h *ProxyHost) Domain() string {
	if len(h.Domains) == 0 {
		return "proxy host " + strconv.Itoa(h.ID)
	}
	return h.Domains[0]
}

// Ownership is meta.no502: the only memory of no502, kept in NPM itself so
// that a lost container loses nothing.
type Ownership struct {
	Instance string   `json:"instance"`
	Backend  Identity `json:"backend"`
	Origin   string   `json:"origin"` // "repaired" or "declared"
	// Wrote is the endpoint of the last repair: while it still stands, nobody
	// has edited the host since.
	Wrote Endpoint `json:"wrote"`
	// Was is the endpoint before the first repair.
	Was *Endpoint `json:"was,omitempty"`
}

// Whose a host is: a person's, which no502 repaired, or made by no502.
const (
	OriginRepaired = "repaired"
	OriginDeclared = "declared"
)

// Mark is what a host's Advanced tab says to no502.
type Mark string

// The marks, each a comment line "# no502: <mark>".
const (
	MarkNone    Mark = ""
	MarkOn      Mark = "on"
	MarkObserve Mark = "observe"
	MarkOff     Mark = "off"
)

// Mark reads the host's Advanced tab. The most cautious of several marks
// counts; an unknown word is "off", since it was meant to restrain. Behind a
// directive only what restrains counts: it may be the inside of a string.
func (h *ProxyHost) Mark() Mark {
	mark := MarkNone
	for line := range strings.Lines(h.Advanced) {
		before, comment, _ := strings.Cut(line, "#")
		switch said := markOf(comment); {
		case said == MarkOn && mark == MarkNone && strings.TrimSpace(before) == "",
			said == MarkObserve && mark != MarkOff, said == MarkOff:
			mark = said
		}
	}
	return mark
}

// markOf reads one comment: "no502: on", with or without the colon.
func markOf(comment string) Mark {
	const sign = "no502"
	comment = strings.TrimLeft(comment, "# \t")
	if len(comment) < len(sign) || !strings.EqualFold(comment[:len(sign)], sign) {
		return MarkNone
	}
	text, colon := strings.CutPrefix(strings.TrimSpace(comment[len(sign):]), ":")
	word := ""
	if words := strings.Fields(text); len(words) > 0 {
		word = strings.TrimRight(words[0], ".,;")
	}
	switch said := Mark(strings.ToLower(word)); {
	case said == MarkOn, said == MarkObserve, said == MarkOff:
		return said
	case colon:
		return MarkOff
	}
	return MarkNone // prose about no502
}
