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

// Host is one of the hosts that NPM keeps: a proxy host, a redirection host, a
// stream or a 404 (dead) host.
type Host struct {
	Kind    Kind // empty: a proxy host
	ID      int  // NPM's, counted for each kind
	Domains []string
	Forward Endpoint // of a proxy host
	Enabled bool
	// Advanced is the Advanced tab: nginx directives, and no502's own marks.
	Advanced string
	// Raw is the whole row as NPM's API shows it; see Fields.
	Raw json.RawMessage
	// Meta is the row's free-form JSON as NPM holds it. A write replaces it
	// whole, so what others keep there must be sent back.
	Meta json.RawMessage
	// Online is nginx's verdict on the last write; nil before the first.
	Online   *bool
	NginxErr string
	// Ownership is what no502 remembers in Meta; nil where it never wrote.
	Ownership *Ownership
}

// Key of the host.
func (h *Host) Key() Key {
	kind := h.Kind
	if kind == "" {
		kind = KindHost
	}
	return Key{kind, strconv.Itoa(h.ID)}
}

// Domain is the name by which people know the host.
func (h *Host) Domain() string {
	if len(h.Domains) > 0 {
		return h.Domains[0]
	}
	if names := h.Serves(); len(names) > 0 {
		return names[0]
	}
	return strings.Replace(h.Key().String(), "/", " ", 1)
}

// Serves are the names that at most one host should have: its domains, in lower
// case, or the ports of a stream.
func (h *Host) Serves() []string {
	if h.Kind == KindStream {
		f := h.Fields()
		return StreamNames(f.Int(FieldIncoming), f.Bool(FieldTCP), f.Bool(FieldUDP))
	}
	names := make([]string, len(h.Domains))
	for i, d := range h.Domains {
		names[i] = strings.ToLower(d)
	}
	return names
}

// IsNPMsPort reports whether NPM itself listens on a TCP port in its container: 80
// and 443 for visitors, 81 for its pages, 3000 for its back end.
func IsNPMsPort(port int) bool { return port == 80 || port == 81 || port == 443 || port == 3000 }

// StreamNames are a stream's ports as names: "port 53/udp".
func StreamNames(port int, tcp, udp bool) []string {
	var names []string
	if tcp {
		names = append(names, streamName+strconv.Itoa(port)+"/tcp")
	}
	if udp {
		names = append(names, streamName+strconv.Itoa(port)+"/udp")
	}
	return names
}

// streamName begins what no domain begins with.
const streamName = "port "

// IsStreamName tells a stream's port from a domain.
func IsStreamName(name string) bool { return strings.HasPrefix(name, streamName) }

// Fields are what the row says, under NPM's names, without its meta.
func (h *Host) Fields() Fields {
	var f Fields
	if json.Unmarshal(h.Raw, &f) != nil || f == nil {
		f = Fields{}
	}
	return f
}

// OwnedBy is what an instance of no502 remembers of the host; nil: nothing.
func (h *Host) OwnedBy(instance string) *Ownership {
	if h == nil || h.Ownership == nil || h.Ownership.Instance != instance {
		return nil
	}
	return h.Ownership
}

// Manager is the other tool, or other no502, that keeps this host, by the mark
// that it left in the host's meta. Empty: nobody that left one.
func (h *Host) Manager(instance string) string {
	if h.Ownership != nil && h.OwnedBy(instance) == nil {
		return "the no502 instance " + strconv.QuoteToGraphic(h.Ownership.Instance)
	}
	if len(h.Meta) == 0 {
		return ""
	}
	var marks struct {
		ManagedBy any `json:"managed_by"`
		Sync      any `json:"sync_instance_id"`
	}
	if json.Unmarshal(h.Meta, &marks) != nil {
		return ""
	}
	if by, ok := marks.ManagedBy.(string); ok && by != "" {
		return strconv.QuoteToGraphic(by)
	}
	if marks.Sync != nil {
		return "a synchronisation of another tool"
	}
	return ""
}

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
func (h *Host) Mark() Mark {
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
