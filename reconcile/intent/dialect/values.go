package dialect

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/no502/no502/api"
)

// reader reads a value, and says what it may be.
type reader struct {
	allowed string
	read    func(*reading, string) (string, bool)
}

var (
	portNumber = reader{"a number from 1 to 65535", func(_ *reading, v string) (string, bool) { return port(v) }}
	scheme     = reader{`"http" or "https"`, func(_ *reading, v string) (string, bool) {
		v = strings.ToLower(v)
		return v, v == "http" || v == "https"
	}}
	forwardHost = reader{"the name of a service or a container", (*reading).upstream}
	verbatim    = reader{"any text", func(_ *reading, v string) (string, bool) { return v, true }}
	// objectName is the name of something in NPM. A name that no502 would read
	// as an id or as a word of its own cannot be said.
	objectName = reader{"a name that is neither a number nor auto, none or letsencrypt", func(_ *reading, v string) (string, bool) {
		return v, strings.Trim(v, "0123456789") != "" && !slices.Contains([]string{"auto", "none", "letsencrypt"}, v)
	}}
	objectID = reader{"an id of NPM", func(_ *reading, v string) (string, bool) {
		n, err := strconv.ParseUint(v, 10, 31)
		if n == 0 { // NPM's way to say that there is none
			return "", err == nil
		}
		return strconv.FormatUint(n, 10), err == nil
	}}
	// Two tools take every other word for false; who wrote "enabled" did not
	// mean that.
	yesOrNo = booleans([]string{"true", "1", "yes", "on"}, []string{"false", "0", "no", "off"}, strings.ToLower)
	// goBoolean is strconv.ParseBool's.
	goBoolean = booleans([]string{"1", "t", "T", "true", "TRUE", "True"}, []string{"0", "f", "F", "false", "FALSE", "False"}, strings.TrimSpace)
)

func booleans(yes, no []string, normal func(string) string) reader {
	return reader{`"true" or "false"`, func(_ *reading, v string) (string, bool) {
		v = normal(v)
		on := slices.Contains(yes, v)
		return strconv.FormatBool(on), on || slices.Contains(no, v)
	}}
}

func isTrue(r reader, v string) bool {
	s, ok := r.read(nil, v)
	return ok && s == "true"
}

func port(v string) (string, bool) {
	n, err := strconv.ParseUint(v, 10, 16)
	return strconv.FormatUint(n, 10), err == nil && n > 0
}

// upstream reads a forward host. That of the container's own Compose service
// says nothing: it is forwarded to anyway. What an address means, labels do not
// tell.
func (r *reading) upstream(v string) (string, bool) {
	if strings.EqualFold(v, r.labels[api.ComposeService]) {
		return "", true
	}
	return v, api.IsForwardHost(v) && !isAddress(v)
}

func isAddress(v string) bool {
	_, ok := api.HostAddr(v)
	return ok || api.IsMachineName(v)
}

// domain reads a domain name, of which NPM gets no other than "*." and names.
func domain(v string) (string, bool) {
	v = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(v)), ".")
	rest := strings.TrimPrefix(v, "*.")
	if rest == "" || len(v) > 253 || strings.Contains(rest, "..") || strings.HasPrefix(rest, ".") {
		return "", false
	}
	for _, c := range rest {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) && !unicode.IsMark(c) && c != '-' && c != '_' && c != '.' || c == unicode.ReplacementChar {
			return "", false
		}
	}
	_, err := netip.ParseAddr(rest)
	return v, err != nil
}

// locationPath reports whether a path is a plain prefix that may be given to
// NPM, which puts it into nginx's configuration.
func locationPath(v string) bool {
	if !strings.HasPrefix(v, "/") || len(v) > 255 || strings.Contains(v, "..") || strings.Contains(v, "//") {
		return false
	}
	for i := range len(v) {
		c := v[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("/-_.~", rune(c)) {
			return false
		}
	}
	return true
}

// split reads a comma-separated list.
func split(v string) []string {
	var list []string
	for s := range strings.SplitSeq(v, ",") {
		if s = strings.TrimSpace(s); s != "" {
			list = append(list, s)
		}
	}
	return list
}

// quote bounds and escapes what comes from a label, which may be hostile.
func quote(s string) string {
	const limit = 80
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strconv.QuoteToGraphic(s)
}
