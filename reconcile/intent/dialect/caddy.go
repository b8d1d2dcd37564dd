package dialect

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// caddy, as github.com/lucaslorentz/caddy-docker-proxy defines it in README.md
// ("Labels to Caddyfile conversion"), caddyfile/fromlabels.go and
// generator/labels.go: `caddy` is a site's address, `caddy_0`, `caddy_1`, … are
// several, and what follows a dot is a directive of the Caddyfile.
//
// Caddy redirects to HTTPS, which is said, unless the address begins with
// http://. It gets certificates by itself; no502 decides about that too, so it
// is said only where a `tls` label asks for it.

func readCaddy(r *reading) {
	for _, site := range r.caddySites() {
		c := caddySite{reading: r, block: site, route: newRoute(site.label)}
		c.read()
	}
}

// caddySite reads one site.
type caddySite struct {
	*reading
	block     *caddyBlock
	route     *route
	root      *caddyTarget
	locations []caddyLocation
	redirects *caddyBlock
	left      bool // out
}

type caddyLocation struct {
	block *caddyBlock
	path  string
	strip bool
	to    caddyTarget
}

type caddyTarget struct{ scheme, upstream, port string }

func (c *caddySite) read() {
	if len(c.block.args) == 0 {
		c.find("set it up in NPM or in no502's settings", "%s and its like are global options of Caddy, not a site", quote(c.block.label))
		return
	}
	if strings.HasPrefix(c.block.args[0], "(") {
		c.find("say with no502's own labels what it is for", "%s defines a snippet of the Caddyfile, and no502 has none", quote(c.block.label))
		return
	}
	hosts := c.addresses()
	if len(hosts) == 0 {
		return
	}
	c.route.name = hosts[0]
	for _, b := range c.block.children {
		c.directive(b)
	}
	if b := c.redirects; b != nil && (c.root != nil || len(c.locations) > 0) {
		c.leave(b) // Caddy redirects before it proxies
	}
	switch {
	case c.left:
		c.withhold(hosts...)
	case c.root != nil:
		c.route.set("host", strings.Join(hosts, ","))
		c.root.set(c.route, "")
		for i, l := range c.locations {
			prefix := "location." + strconv.Itoa(i+1) + "."
			c.route.set(prefix+"path", l.path)
			if l.strip {
				c.route.set(prefix+"strip-prefix", "true")
			}
			l.to.set(c.route, prefix)
		}
		c.routes = append(c.routes, c.route)
	case len(c.locations) > 0:
		c.onlyAPath(c.locations[0].block.label, c.locations[0].path, hosts[0])
	case c.redirects != nil:
		c.route.set("redirect-from", strings.Join(hosts, ","))
		c.routes = append(c.routes, c.route)
	}
}

func (t caddyTarget) set(rt *route, prefix string) {
	rt.set(prefix+"scheme", t.scheme)
	rt.set(prefix+"upstream", t.upstream)
	rt.set(prefix+"port", t.port)
}

// addresses are the domains of a site, and whether Caddy redirects them.
func (c *caddySite) addresses() []string {
	var names []string
	var plain, secure bool
	for _, a := range split(strings.Join(c.block.args, ",")) {
		rest, isPlain := strings.CutPrefix(a, "http://")
		rest = strings.TrimPrefix(rest, "https://")
		if isPlain {
			rest = strings.TrimSuffix(rest, ":80")
			plain = true
		} else {
			rest = strings.TrimSuffix(rest, ":443")
			secure = true
		}
		names = append(names, rest)
	}
	switch {
	case !plain:
		c.route.set("force-ssl", "true")
	case !secure:
		c.route.set("certificate", "none")
	default:
		c.route.set("force-ssl", "false")
	}
	return c.domains(c.block.label, names)
}

func (c *caddySite) directive(b *caddyBlock) {
	switch b.name {
	case "reverse_proxy":
		c.proxy(b, "", false)
	case "handle", "handle_path":
		if len(b.children) == 1 && b.children[0].name == "reverse_proxy" && len(b.args) < 2 {
			path := "/"
			if len(b.args) == 1 {
				path = b.args[0]
			}
			c.proxy(b.children[0], path, b.name == "handle_path" && len(b.args) == 1)
			return
		}
		c.leave(b)
	case "redir":
		c.redirect(b)
	case "tls":
		c.tls(b)
	case "encode", "log": // as NPM does
	case "header", "tracing":
		c.find("use no502.advanced-config, if it is needed", "%s asks for %s, which no502 does not set", quote(b.label), quote(b.name))
	default:
		c.leave(b)
	}
}

func (c *caddySite) leave(b *caddyBlock) {
	c.left = true
	c.find("say no502.host on this container, and with no502's own labels what else is meant",
		"%s asks for %s, which may decide who gets which answer and cannot be translated; the site is left out", quote(b.label), quote(b.name))
}

// proxy reads a reverse_proxy directive, below a path if it has none itself.
func (c *caddySite) proxy(b *caddyBlock, path string, strip bool) {
	args := b.args
	if len(args) > 0 && (args[0] == "*" || strings.HasPrefix(args[0], "/") || strings.HasPrefix(args[0], "@")) {
		if path != "" && args[0] != "*" {
			c.leave(b)
			return
		}
		if path == "" {
			path = args[0]
		}
		args = args[1:]
	}
	to, ok := c.target(args)
	if !ok {
		c.left = true
		c.find("say no502.upstream and no502.port", "%s asks for what no502 cannot forward to: it takes one container or one host; the site is left out", quote(b.label))
		return
	}
	for _, child := range b.children {
		to = c.proxyOption(child, to)
	}
	if path == "" || path == "*" || path == "/" || path == "/*" {
		if c.root != nil && *c.root != to {
			c.leave(b)
		}
		c.root = &to
		return
	}
	prefix, wild := strings.CutSuffix(path, "*")
	if !wild || !locationPath(prefix) {
		c.leave(b)
		return
	}
	c.locations = append(c.locations, caddyLocation{b, prefix, strip, to})
}

var (
	caddyUpstreams = regexp.MustCompile(`^(https?://)?\{\{-?\s*upstreams(?:\s+"?(https?)"?)?(?:\s+(\d+))?\s*-?\}\}$`)
	caddyUpstream  = regexp.MustCompile(`^(?:(https?)://)?([^:/{}]+)(?::(\d+))?$`)
)

func (c *caddySite) target(args []string) (caddyTarget, bool) {
	if len(args) != 1 {
		return caddyTarget{}, false
	}
	var to caddyTarget
	if m := caddyUpstreams.FindStringSubmatch(args[0]); m != nil {
		to = caddyTarget{scheme: strings.TrimSuffix(m[1], "://") + m[2], port: m[3]}
		if m[1] != "" && m[2] != "" {
			return to, false
		}
	} else if m := caddyUpstream.FindStringSubmatch(args[0]); m != nil {
		host, ok := c.upstream(m[2])
		if !ok {
			return to, false
		}
		to = caddyTarget{m[1], host, m[3]}
	} else {
		return to, false
	}
	if to.port == "" {
		return to, true
	}
	number, ok := port(to.port)
	to.port = number
	return to, ok
}

// proxyOption reads what stands within a reverse_proxy directive. NPM never
// verifies a backend's certificate.
func (c *caddySite) proxyOption(b *caddyBlock, to caddyTarget) caddyTarget {
	switch {
	case b.name == "transport":
		for _, option := range b.children {
			if strings.HasPrefix(option.name, "tls") {
				to.scheme = "https"
			}
		}
		if len(b.args) == 0 || slices.Equal(b.args, []string{"http"}) {
			return to
		}
		c.leave(b)
	case b.name == "handle_response" || strings.HasPrefix(b.name, "@") || b.name == "to" || b.name == "dynamic" || b.name == "rewrite" || b.name == "method":
		c.leave(b)
	default:
		c.find("use no502.advanced-config, if it is needed", "%s asks for %s, which no502 does not set", quote(b.label), quote(b.name))
	}
	return to
}

// tls reads what certificate is asked for. Credentials stay where they are.
func (c *caddySite) tls(b *caddyBlock) {
	if len(b.args) == 1 && strings.Contains(b.args[0], "@") {
		c.route.set("certificate", "letsencrypt")
		c.route.set("letsencrypt.email", b.args[0])
	} else if len(b.args) > 0 {
		c.find("upload it to NPM and name it with no502.certificate", "%s asks for a certificate of Caddy's own, which NPM does not have", quote(b.label))
	}
	for _, option := range b.children {
		if option.name == "dns" && len(option.args) > 0 && routeName(option.args[0]) == option.args[0] {
			c.route.set("certificate", "letsencrypt")
			c.route.set("letsencrypt.dns-provider", option.args[0])
			c.find("give NPM the provider's credentials", "the credentials of %s are not taken over", quote(option.label))
			continue
		}
		if option.name == "client_auth" {
			c.leave(option)
			continue
		}
		c.find("choose the certificate with no502.certificate", "%s asks for %s, which NPM does not do", quote(option.label), quote(option.name))
	}
}

var caddyRedirect = regexp.MustCompile(`^(https?://)([^/{}:]+)(/?\{uri\})?/?$`)

var caddyRedirectCodes = map[string]string{
	"": "302", "temporary": "302", "permanent": "301", "301": "301", "302": "302", "303": "303", "307": "307", "308": "308",
}

// redirect reads the redirection of a whole site.
func (c *caddySite) redirect(b *caddyBlock) {
	args, code := b.args, ""
	if len(args) > 0 && args[0] == "*" {
		args = args[1:]
	}
	if len(args) == 2 {
		args, code = args[:1], args[1]
	}
	if status, known := caddyRedirectCodes[code]; known && len(args) == 1 && len(b.children) == 0 {
		if m := caddyRedirect.FindStringSubmatch(args[0]); m != nil {
			if to, ok := domain(m[2]); ok {
				c.redirects = b
				c.route.set("redirect-to", m[1]+to)
				c.route.set("redirect-code", status)
				c.route.set("redirect-keep-path", strconv.FormatBool(m[3] != ""))
				return
			}
		}
	}
	c.leave(b)
}
