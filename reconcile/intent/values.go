package intent

import (
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/no502/no502/api"
)

// errValue says no more than that a value is not among those allowed.
var errValue = errors.New("not allowed")

// Bounds of what a label may say.
const (
	maxDomains = 100 // NPM's own, for one host
	maxDomain  = 253
	maxName    = 63
	maxText    = 255
	maxSnippet = 64 << 10 // NPM takes requests of up to 100 kB
	minGrace   = LeastGrace
	maxGrace   = 720 * time.Hour
)

func boolean(v string) (bool, error) {
	switch strings.ToLower(v) {
	case "true", "1", "yes", "on":
		return true, nil
	case "false", "0", "no", "off":
		return false, nil
	}
	return false, errValue
}

// oneOf reads one of some words, in any case.
func oneOf[T ~string](words ...T) func(string) (T, error) {
	return func(v string) (T, error) {
		for _, word := range words {
			if strings.EqualFold(v, string(word)) {
				return word, nil
			}
		}
		return "", errValue
	}
}

func port(v string) (uint16, error) {
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil || n == 0 {
		return 0, errValue
	}
	return uint16(n), nil
}

// domains reads a list of domain names into lower-case A-labels.
func domains(v string) ([]string, error) {
	var list []string
	words := 0
	for d := range strings.FieldsFuncSeq(v, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' }) {
		if words++; words > maxDomains {
			return nil, fmt.Errorf("a host of NPM has at most %d domains", maxDomains)
		}
		name, ok := domain(d)
		if !ok {
			return nil, fmt.Errorf("%s is not a domain name", quote(d))
		}
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	if len(list) == 0 {
		return nil, errValue
	}
	return list, nil
}

// domain reads one domain name. A leading "*." is allowed, as NPM allows it.
func domain(v string) (string, bool) {
	if len(v) > 4*maxDomain || !utf8.ValidString(v) { // idna lets invalid UTF-8 pass
		return "", false
	}
	rest, wild := strings.CutPrefix(v, "*.")
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(rest, "."))
	if err != nil || !isDomain(ascii) {
		return "", false
	}
	if wild {
		return "*." + ascii, true
	}
	return ascii, true
}

// isDomain checks the lengths, which idna leaves alone, and that it is no
// address.
func isDomain(ascii string) bool {
	for part := range strings.SplitSeq(ascii, ".") {
		if part == "" || len(part) > 63 {
			return false
		}
	}
	return len(ascii) <= maxDomain && strings.Trim(ascii, ".0123456789") != ""
}

// isName tells what a route or a custom location may be called.
func isName(s string) bool {
	for i := range len(s) {
		if b := s[i]; (b < 'a' || 'z' < b) && (b < '0' || '9' < b) && b != '-' {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// service reads the name of a Compose service, of one in another project, or
// of a container.
func service(v string) (string, error) {
	if strings.Count(v, "/") > 1 || len(v) > maxText {
		return "", errValue
	}
	for part := range strings.SplitSeq(v, "/") {
		if !api.IsForwardHost(part) || part[0] == '.' || part[0] == '_' {
			return "", errValue
		}
	}
	return v, nil
}

// text reads what a person has named something in NPM.
func text(v string) (string, error) {
	if v == "" || len(v) > maxText || !utf8.ValidString(v) {
		return "", errValue
	}
	for _, r := range v {
		if !unicode.IsGraphic(r) {
			return "", errValue
		}
	}
	return v, nil
}

func certificate(v string) (string, error) {
	if word, err := oneOf(CertificateAuto, CertificateNone, CertificateLetsEncrypt)(v); err == nil {
		return word, nil
	}
	return text(v)
}

// email reads a plain address. NPM hands it to a program, so that it has no
// more than such addresses consist of in practice.
func email(v string) (string, error) {
	addr, err := mail.ParseAddress(v)
	if err != nil || addr.Address != v || len(v) > 254 {
		return "", errValue
	}
	user, host, _ := strings.Cut(v, "@")
	if !api.IsForwardHost(host) || !api.IsForwardHost(strings.NewReplacer("+", "_", "%", "_").Replace(user)) {
		return "", errValue
	}
	return v, nil
}

func provider(v string) (string, error) {
	if !isName(v) || v[0] == '-' {
		return "", errValue
	}
	return v, nil
}

// snippet reads raw nginx configuration: nginx itself judges it.
func snippet(v string) (string, error) {
	if len(v) > maxSnippet {
		return "", fmt.Errorf("it is longer than %d kB", maxSnippet>>10)
	}
	if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
		return "", errValue
	}
	return v, nil
}

// locationPath reads the path of a custom location, which NPM puts into
// nginx's configuration as it is.
func locationPath(v string) (string, error) {
	switch {
	case v == "/":
		return "", errors.New("it would replace the whole host, which has labels of its own")
	case !strings.HasPrefix(v, "/"), len(v) > maxText, strings.Contains(v, ".."), strings.Contains(v, "//"):
		return "", errValue
	case strings.HasPrefix(v+"/", "/.well-known/acme-challenge/"):
		return "", errors.New("NPM itself answers there, for Let's Encrypt")
	}
	for i := range len(v) {
		switch b := v[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', strings.IndexByte("._~/-", b) >= 0:
		default:
			return "", errValue
		}
	}
	return v, nil
}

// redirectTo reads where a redirection leads.
func redirectTo(v string) (scheme, to string, err error) {
	scheme, rest, ok := strings.Cut(v, "://")
	if scheme = strings.ToLower(scheme); !ok {
		scheme, rest = "auto", v
	} else if scheme != "http" && scheme != "https" {
		return "", "", errValue
	}
	rest = strings.TrimSuffix(rest, "/")
	if strings.ContainsAny(rest, "/?#") {
		return "", "", errors.New("NPM keeps the visitor's path or drops it (redirect-keep-path), so that none can be said here")
	}
	host, number, hasPort := strings.Cut(rest, ":")
	name, ok := domain(host)
	// NPM's schema asks for two characters and no wildcard.
	if !ok || len(name) < 2 || strings.Contains(name, "*") {
		return "", "", errValue
	}
	if hasPort {
		n, err := port(number)
		if err != nil {
			return "", "", err
		}
		name += ":" + strconv.Itoa(int(n))
	}
	return scheme, name, nil
}

// redirectCode reads a status that tells browsers to go elsewhere.
func redirectCode(v string) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil || n < 301 || n > 308 || 304 <= n && n <= 306 || len(v) != 3 {
		return 0, errValue
	}
	return n, nil
}

// stream reads "25565", "53/udp" or "5432/tcp+udp".
func stream(v string) (*Stream, error) {
	number, protocols, said := strings.Cut(strings.ToLower(v), "/")
	if !said {
		protocols = "tcp"
	}
	n, err := port(number)
	if err != nil {
		return nil, err
	}
	s := Stream{Port: n}
	for protocol := range strings.SplitSeq(protocols, "+") {
		switch {
		case protocol == "tcp" && !s.TCP:
			s.TCP = true
		case protocol == "udp" && !s.UDP:
			s.UDP = true
		default:
			return nil, errValue
		}
	}
	// Measured on NPM 2.15.1, with a stream on port 80.
	if api.IsNPMsPort(int(n)) {
		return nil, fmt.Errorf("NPM itself listens on port %d: nginx could not bind the stream, and from then on would apply no change at all", n)
	}
	return &s, nil
}

// grace reads a duration; a plain number counts seconds.
func grace(v string) (time.Duration, error) {
	if strings.Trim(v, "0123456789") == "" {
		v += "s"
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < minGrace || d > maxGrace {
		return 0, errValue
	}
	return d, nil
}
