package npmtest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// rules of the directives that a conf file of NPM or a user's advanced_config
// has: where they may stand and how many arguments they take (-1: any).
var rules = map[string]struct {
	contexts string
	args     int
}{
	"map": {"http", 2}, "server": {"http stream", 0}, "location": {"server location", -1},
	"if": {"server location", -1}, "set": {"server location if", 2}, "return": {"server location if", -1},
	"proxy_pass": {"server location if", 1}, "listen": {"server", -1}, "server_name": {"server", -1},
	"auth_basic": {"server location", 1}, "auth_basic_user_file": {"server location", 1},
	"allow": {"server location", 1}, "deny": {"server location", 1}, "satisfy": {"server location", 1},
	"include": {"server location if", 1}, "add_header": {"server location if", -1},
	"http2": {"server", 1}, "ssl_certificate": {"server", 1}, "access_log": {"server location if", -1}, "error_log": {"server location", -1},
	"rewrite": {"server location if", -1}, "root": {"server location if", 1}, "index": {"server location", -1},
	"try_files": {"server location", -1}, "error_page": {"server location if", -1}, "expires": {"server location if", -1},
	"resolver": {"server location", -1}, "resolver_timeout": {"server location", 1}, "alias": {"location", 1},
	"types": {"server location", 0}, "internal": {"location", 0}, "break": {"server location if", 0},
	"charset": {"server location if", 1}, "default_type": {"server location", 1}, "etag": {"server location", 1},
	"keepalive_timeout": {"server location", -1}, "send_timeout": {"server location", 1}, "sendfile": {"server location if", 1},
	"autoindex": {"server location", 1}, "set_real_ip_from": {"server location", 1}, "stub_status": {"server location", -1},
}

// families are prefixes of further directives that are let through unchecked.
var families = regexp.MustCompile(`^(proxy|fastcgi|uwsgi|scgi|grpc|memcached|ssl|gzip|auth|sub_filter|limit|client|open_file_cache|more|real_ip|large_client|underscores|chunked|satisfy|log|mirror|error|merge|port_in|absolute|server_name_in|server_tokens|tcp|reset|directio|output|postpone|recursive|aio|access|body_filter|content|header_filter|lua|rewrite|secure_link|slice|addition|image|geoip|userid|valid|http[23]|ignore|if_modified|max_ranges|variables|types_hash)(_|$)`)

// check accepts a directive or fails like nginx. It returns the context of the
// directive's block.
func (p *parser) check(context string, parent *directive, d *directive, block bool) string {
	switch context {
	case "http", "stream", "server", "location", "if":
	default: // map, types, limit_except: their lines are not looked at
		return context
	}
	r, known := rules[d.name()]
	if !known {
		if families.MatchString(d.name()) {
			return d.name()
		}
		p.fail(`unknown directive "%s"`, d.name())
	}
	if !slices.Contains(strings.Fields(r.contexts), context) {
		p.fail(`"%s" directive is not allowed here`, d.name())
	}
	takesBlock := slices.Contains([]string{"map", "server", "location", "if", "types"}, d.name())
	if takesBlock && !block {
		p.fail(`directive "%s" has no opening "{"`, d.name())
	}
	if !takesBlock && block {
		p.fail(`directive "%s" is not terminated by ";"`, d.name())
	}
	if r.args >= 0 && len(d.args)-1 != r.args || r.args < 0 && len(d.args) == 1 && d.name() != "stub_status" {
		p.fail(`invalid number of arguments in "%s" directive`, d.name())
	}
	p.checkVariables(d)
	switch d.name() {
	case "proxy_pass":
		p.checkProxyPass(parent, d.arg(1))
	case "ssl_certificate":
		p.file.certs = append(p.file.certs, d.arg(1))
	case "set":
		name, found := strings.CutPrefix(d.arg(1), "$")
		if !found {
			p.fail(`invalid variable name "%s"`, d.arg(1))
		}
		p.file.sets = append(p.file.sets, name)
	case "return":
		if len(d.args) > 3 {
			p.fail(`invalid number of arguments in "return" directive`)
		}
	case "rewrite":
		p.checkRewrite(d)
	case "location":
		if _, err := newMatcher(d.args[1:]); err != nil {
			p.fail("%v", err)
		}
	}
	return d.name()
}

// ownVariables are nginx's, those of nginx.conf, and those of NPM's includes: a
// sample of what users write.
var ownVariables = regexp.MustCompile(`^(\d|args|arg_\w+|block_\w+|body_bytes_sent|cookie_\w+|document_root|forward_scheme|host|hostname|` +
	`hsts_header|http2?_\w+|https|is_args|msec|port|proxy_\w+|query_string|remote_\w+|request|request_\w+|scheme|sent_http_\w+|` +
	`server|server_\w+|ssl_\w+|status|test|test_ssl_handled|time_\w+|trust_forwarded_proto|upstream_\w+|uri|x_forwarded_\w+)$`)

var variableName = regexp.MustCompile(`\$\{?(\d|\w+)`)

// checkVariables notes what the arguments need. Whether anybody sets it, nginx
// knows at the end only: a variable of one host is one of all.
func (p *parser) checkVariables(d *directive) {
	first := map[string]int{"proxy_pass": 1, "return": 1, "add_header": 2, "proxy_set_header": 2, "set": 2, "rewrite": 2}[d.name()]
	if first == 0 || strings.HasPrefix(p.file.path, "stream/") {
		return
	}
	for i := first; i < len(d.args); i++ {
		for _, m := range variableName.FindAllStringSubmatch(d.args[i], -1) {
			if !ownVariables.MatchString(m[1]) && !slices.Contains(p.file.uses, m[1]) {
				p.file.uses = append(p.file.uses, m[1])
			}
		}
	}
}

func (p *parser) checkRewrite(d *directive) {
	if len(d.args) < 3 || len(d.args) > 4 {
		p.fail(`invalid number of arguments in "rewrite" directive`)
	}
	if _, err := regexp.Compile(d.arg(1)); err != nil {
		p.fail(`pcre2_compile() failed: %v in "%s"`, err, d.arg(1))
	}
	if len(d.args) == 4 && !slices.Contains([]string{"last", "break", "redirect", "permanent"}, d.arg(3)) {
		p.fail(`invalid parameter "%s"`, d.arg(3))
	}
}

// checkProxyPass notes a literal host: nginx resolves it now, and never again
// until the next reload.
func (p *parser) checkProxyPass(parent *directive, target string) {
	if strings.Contains(target, "$") {
		return
	}
	stream := strings.HasPrefix(p.file.path, "stream/")
	rest, http := cutScheme(target)
	if !stream && !http {
		p.fail("invalid URL prefix")
	}
	host, _, uri, err := parseUpstream(rest)
	if err != "" {
		p.fail(`%s in upstream "%s"`, err, rest)
	}
	if !stream && uri != "" && parent != nil && parent.name() == "location" && strings.HasPrefix(parent.arg(1), "~") {
		p.fail(`"proxy_pass" cannot have URI part in location given by regular expression, or inside named location, or inside "if" statement, or inside "limit_except" block`)
	}
	if !isAddress(host) {
		p.file.statics = append(p.file.statics, static{host, p.line})
	}
}

// checkServers finds what nginx reports once the whole http block is read.
func checkServers(path string, parsed []directive) {
	for _, server := range parsed {
		if server.name() != "server" {
			continue
		}
		seen := map[string]bool{}
		for _, d := range server.block {
			switch d.name() {
			case "server_name":
				for _, name := range d.args[1:] {
					if !validServerName(name) {
						panic(confError(fmt.Sprintf(`invalid server name or wildcard "%s" on 0.0.0.0:80`, name)))
					}
				}
			case "location":
				key := strings.Join(d.args[1:], " ")
				if seen[key] {
					panic(confError(fmt.Sprintf(`duplicate location "%s"`, d.args[len(d.args)-1]) + where(path, d.line)))
				}
				seen[key] = true
			}
		}
	}
}

// validServerName: one asterisk at most, and only as "*.x" or "x.*".
func validServerName(name string) bool {
	if strings.HasPrefix(name, "~") {
		return true
	}
	if strings.Contains(name, "..") || strings.Count(name, "*") > 1 {
		return false
	}
	return !strings.Contains(name, "*") || len(name) > 2 && (strings.HasPrefix(name, "*.") || strings.HasSuffix(name, ".*"))
}
