package api

import (
	"bytes"
	"strings"
)

// Static is a name that nginx looks up when it loads, and not again before the
// next reload: that of a custom location or a stream, which NPM writes into
// proxy_pass as it is. If it is not there then, nginx rejects all of its
// configuration, or does not start.
type Static struct {
	Where string // "the custom location /api", "the stream"
	Name  string // in lower case
}

// Statics are the names in a host's configuration that are looked up when nginx
// loads. Addresses and variables are not looked up then.
func (h *Host) Statics() (all []Static) {
	switch h.Key().Kind {
	case KindHost:
		if !bytes.Contains(h.Raw, []byte(`"path"`)) {
			return nil // most hosts have no custom location, and need not be read for that
		}
		for _, l := range h.Fields().Locations() {
			host, _, _ := strings.Cut(l.Host, "/") // NPM takes the rest for a path
			all = appendStatic(all, "the custom location "+l.Path, host)
		}
	case KindStream:
		all = appendStatic(all, "the stream", h.Fields().Text(FieldStreamHost))
	}
	return all
}

func appendStatic(all []Static, where, host string) []Static {
	name := BareHost(host)
	if _, isAddr := parseAddr(name); isAddr || !IsForwardHost(name) || IsMachineName(name) {
		return all
	}
	return append(all, Static{where, name})
}
