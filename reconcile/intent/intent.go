// Package intent reads labels: what the owner of a container asks of no502.
package intent

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"github.com/no502/no502/api"
)

// Intent is what a container's labels ask for.
type Intent struct {
	Enabled bool // opted in: attach it, and repair the hosts that mean it
	Denied  bool // `enable: "false"`, or not to be read: never touched
	Domains []string
	Port    uint16 // 0: not said
	Scheme  string // "": not said
	// Egress allows attaching a container that has only internal networks to
	// one that leads outside.
	Egress   bool
	Role     string
	Findings []api.Finding
}

// field is a label under the prefix, and how its value is read.
type field struct {
	name    string
	allowed string // what a value may be, as a person is told
	set     func(*Intent, string) bool
}

var fields = []field{
	{"enable", `"true" or "false"`, func(in *Intent, v string) bool {
		on, ok := boolean(v)
		in.Enabled, in.Denied = ok && on, !ok || !on
		return ok
	}},
	{"host", "domain names, separated by commas or spaces", func(in *Intent, v string) (ok bool) {
		in.Domains, ok = domains(v)
		return ok
	}},
	{"port", "a number from 1 to 65535", func(in *Intent, v string) bool {
		n, err := strconv.ParseUint(v, 10, 16)
		in.Port = uint16(n)
		return err == nil && n > 0
	}},
	{"scheme", `"http" or "https"`, func(in *Intent, v string) bool {
		in.Scheme = strings.ToLower(v)
		return in.Scheme == "http" || in.Scheme == "https"
	}},
	{"egress", `"true" or "false"`, func(in *Intent, v string) (ok bool) {
		in.Egress, ok = boolean(v)
		return ok
	}},
	{api.RoleLabel, `"proxy"`, func(in *Intent, v string) bool {
		in.Role = v
		return v == api.RoleProxy
	}},
}

// Of reads the labels under a prefix. A label that cannot be read is a finding
// and counts as not set, except that an unreadable `enable` denies.
func Of(labels map[string]string, prefix string) Intent {
	var in Intent
	for _, key := range under(labels, prefix) {
		name := key[len(prefix)+1:]
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		if i < 0 {
			in.Findings = append(in.Findings, unknown(key, prefix, name))
			continue
		}
		if read := in; fields[i].set(&read, strings.TrimSpace(labels[key])) {
			in = read
		} else {
			in.Denied = in.Denied || name == "enable"
			in.Findings = append(in.Findings, invalid(key, labels[key], fields[i].allowed))
		}
	}
	if _, said := labels[prefix+".enable"]; !said && len(in.Domains) > 0 {
		in.Enabled = true
	}
	return in
}

// Concerns reports whether a container's labels speak to no502 at all.
func Concerns(labels map[string]string, prefix string) bool {
	return len(under(labels, prefix)) > 0
}

func under(labels map[string]string, prefix string) []string {
	var keys []string
	for key := range labels {
		if len(key) > len(prefix)+1 && key[len(prefix)] == '.' && strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func unknown(key, prefix, name string) api.Finding {
	near := nearest(name)
	return api.Finding{
		Code:       api.UnknownLabel,
		Message:    fmt.Sprintf("the label %s is not one that no502 knows", quote(key)),
		Fix:        fmt.Sprintf("did you mean %s.%s?", prefix, near),
		Candidates: []string{prefix + "." + near},
	}
}

func invalid(key, value, allowed string) api.Finding {
	return api.Finding{
		Code:    api.InvalidLabel,
		Message: fmt.Sprintf("the label %s has the value %s, which is not allowed", key, quote(value)),
		Fix:     "use " + allowed,
	}
}

// quote bounds and escapes what comes from a label, which may be hostile.
func quote(s string) string {
	const limit = 80
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strconv.QuoteToGraphic(s)
}

func boolean(v string) (value, ok bool) {
	switch strings.ToLower(v) {
	case "true", "1", "yes", "on":
		return true, true
	case "false", "0", "no", "off":
		return false, true
	}
	return false, false
}

// domains reads a list of domain names into lower-case A-labels. A leading
// "*." is allowed, as NPM allows it.
func domains(v string) ([]string, bool) {
	var list []string
	for _, d := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' }) {
		rest, wild := strings.CutPrefix(d, "*.")
		ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(rest, "."))
		if err != nil || !isDomain(ascii) {
			return nil, false
		}
		if wild {
			ascii = "*." + ascii
		}
		if !slices.Contains(list, ascii) {
			list = append(list, ascii)
		}
	}
	return list, len(list) > 0
}

// isDomain checks the lengths, which idna leaves alone, and that it is no
// address.
func isDomain(ascii string) bool {
	for part := range strings.SplitSeq(ascii, ".") {
		if part == "" || len(part) > 63 {
			return false
		}
	}
	return len(ascii) <= 253 && strings.Trim(ascii, ".0123456789") != ""
}
