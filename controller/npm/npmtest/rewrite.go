package npmtest

import (
	"regexp"
	"strconv"
	"strings"
)

// step is one directive of nginx's rewrite module, or an include of NPM's that
// consists of them. They run in the order in which they stand.
type step struct {
	name string // "set", "return", "rewrite", "break", or the include's file
	args []string
	re   *regexp.Regexp // of a rewrite
}

const (
	forceTLS      = "force-ssl.conf"
	blockExploits = "block-exploits.conf"
	acmeChallenge = "/.well-known/acme-challenge/"
)

// run carries out the steps of a server or location. It reports whether they
// answered the request.
func (x *exchange) run(script []step) (answered bool) {
	for _, st := range script {
		switch st.name {
		case "set":
			x.set(strings.TrimPrefix(st.args[0], "$"), x.expand(st.args[1]))
		case "return":
			x.give(st.args)
			return true
		case "break":
			x.again = false
			return false
		case "rewrite":
			m := st.re.FindStringSubmatch(x.uri)
			if m == nil {
				continue
			}
			if flag := x.rewriteURI(st, m); flag != "" {
				return flag == "answered"
			}
		case forceTLS:
			if x.mustRedirect() {
				x.redirect(301, "https://"+x.host+x.r.URL.RequestURI())
				return true
			}
		case blockExploits:
			if x.exploit() {
				x.page(403)
				return true
			}
		}
	}
	return false
}

// rewriteURI applies a rewrite that matched. It returns what ends the steps:
// "answered" for a redirect, "last", "break", or "".
func (x *exchange) rewriteURI(st step, captures []string) string {
	flag := ""
	if len(st.args) > 2 {
		flag = st.args[2]
	}
	to, dropArgs := strings.CutSuffix(st.args[1], "?")
	path, args, found := strings.Cut(to, "?") // a "?" that was captured is no separator
	_, absolute := cutScheme(to)
	redirect := absolute || strings.HasPrefix(to, "$scheme") || flag == "redirect" || flag == "permanent"
	quoted := make([]string, len(captures))
	for i, c := range captures {
		quoted[i] = escaped(c)
	}
	if redirect {
		path = x.expandWith(quoted, path)
	} else {
		path = x.expandWith(captures, path)
	}
	args = x.expandWith(quoted, args)
	switch {
	case !found && !dropArgs:
		args = x.args
	case found && !dropArgs && x.args != "":
		args += "&" + x.args
	}
	if redirect {
		if args != "" {
			path += "?" + args
		}
		status := 302
		if flag == "permanent" {
			status = 301
		}
		x.redirect(status, path)
		return "answered"
	}
	x.uri, x.args, x.rewritten, x.again = path, args, true, flag != "break"
	return flag
}

// expandWith expands with the captures $1 to $9.
func (x *exchange) expandWith(captures []string, text string) string {
	for i := 1; i < min(10, len(captures)); i++ {
		x.set(strconv.Itoa(i), captures[i])
	}
	return x.expand(text)
}

// mustRedirect is force-ssl.conf: whoever says to come from a proxy that did TLS
// is let through, by 2.15.1 only where trust_forwarded_proto is on.
func (x *exchange) mustRedirect() bool {
	proto, scheme := x.r.Header.Get("X-Forwarded-Proto") == "https", x.r.Header.Get("X-Forwarded-Scheme") == "https"
	handled := proto
	if !x.old {
		handled = x.variable("trust_forwarded_proto") == "T" && (proto || scheme)
	}
	return x.r.TLS == nil && !handled && x.r.URL.RequestURI() != acmeChallenge+"test-challenge"
}

// exploits are a sample of what block-exploits.conf refuses.
var exploits = regexp.MustCompile(`union.*select.*\(|\w=http://|\w=(\.\.//?)+|(<|%3C).*script.*(>|%3E)|proc/self/environ`)

func (x *exchange) exploit() bool {
	return exploits.MatchString(x.r.URL.RawQuery) || strings.Contains(x.r.UserAgent(), "libwww-perl")
}

// normalised is nginx's $uri: decoded, slashes merged, dot segments resolved. A
// path that leaves the root is a bad request.
func normalised(path string) (uri string, ok bool) {
	var out []string
	segs := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, seg := range segs {
		last := i == len(segs)-1
		switch {
		case seg == "..":
			if len(out) == 0 {
				return "", false
			}
			out = out[:len(out)-1]
		case seg != "" && seg != ".":
			out = append(out, seg)
			if last {
				return "/" + strings.Join(out, "/"), true
			}
		}
	}
	if len(out) == 0 {
		return "/", true
	}
	return "/" + strings.Join(out, "/") + "/", true
}

// escaped is $uri as it is sent to a backend.
func escaped(uri string) string {
	var b strings.Builder
	for i := range len(uri) {
		switch ch := uri[i]; {
		case ch <= ' ' || ch >= 0x7f || strings.IndexByte("\"#%<>?\\^`{|}", ch) >= 0:
			b.WriteString("%" + strings.ToUpper(strconv.FormatInt(int64(ch)+0x100, 16)[1:]))
		default:
			b.WriteByte(ch)
		}
	}
	return b.String()
}
