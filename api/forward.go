package api

import (
	"net/netip"
	"strings"
)

// BareHost is what a forward host says, without what people paste around it: a
// scheme, brackets, blanks, a final slash or dot. Names are in lower case,
// addresses in their usual form.
func BareHost(host string) string {
	host = strings.ToLower(strings.TrimSpace(host))
	host = strings.TrimPrefix(strings.TrimPrefix(host, "http://"), "https://")
	host = strings.TrimSuffix(strings.Trim(strings.TrimSuffix(host, "/"), "[]"), ".")
	if addr, ok := parseAddr(host); ok {
		return addr.Unmap().String()
	}
	return host
}

// HostAddr is the address that a forward host is, if it is one.
func HostAddr(host string) (netip.Addr, bool) { return parseAddr(BareHost(host)) }

// parseAddr saves names, which most forward hosts are, the making of an error.
func parseAddr(host string) (netip.Addr, bool) {
	if host == "" || (host[0] < '0' || host[0] > '9') && !strings.Contains(host, ":") {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(host)
	return addr, err == nil
}

// IsForwardHost reports whether this may be written into NPM as a forward host.
// NPM puts it into nginx's configuration as it is, where a quotation mark ends
// a string: so only what host names and IPv4 addresses consist of.
func IsForwardHost(host string) bool {
	if host == "" || len(host) > 253 || host[0] == '-' {
		return false
	}
	for i := range len(host) {
		switch b := host[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '_', b == '.', b == '-':
		default:
			return false
		}
	}
	return true
}

// IsMachineName reports whether a forward host is one of the names by which
// people mean the machine itself.
func IsMachineName(host string) bool {
	switch BareHost(host) {
	case "localhost", "localhost.localdomain", "host.docker.internal", "gateway.docker.internal", "host.containers.internal":
		return true
	}
	return false
}
