package npmtest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// directive is one line of an nginx configuration.
type directive struct {
	args  []string
	block []directive
	line  int
}

func (d directive) name() string { return d.args[0] }

func (d directive) arg(i int) string {
	if i < len(d.args) {
		return d.args[i]
	}
	return ""
}

// confFile is one file of the conf tree, read as "nginx -t" reads it: the names
// to resolve in front of the first error, and that error.
type confFile struct {
	path    string
	text    string
	servers []*server
	streams []streamServer
	statics []static
	err     string // without "[emerg]" and the trailer; "" is fine
}

// static is a name that nginx resolves while it loads, not while it serves.
type static struct {
	host string
	line int
}

// where is the end of an error message about a file.
func where(path string, line int) string { return fmt.Sprintf(" in /data/nginx/%s:%d", path, line) }

type parser struct {
	file *confFile
	text string
	pos  int
	line int
}

// confError stops the parser; nginx reports the first error only.
type confError string

func (p *parser) fail(format string, args ...any) {
	panic(confError(fmt.Sprintf(format, args...) + where(p.file.path, p.line)))
}

// parseConf reads a file like ngx_conf_parse, checking each directive as soon as
// it is complete: so errors come in nginx's order and with its line numbers.
func parseConf(path, text string) (f *confFile) {
	f = &confFile{path: path, text: text}
	defer func() {
		switch e := recover().(type) {
		case nil:
		case confError:
			f.err = string(e)
		default:
			panic(e)
		}
	}()
	p := &parser{file: f, text: text, line: 1}
	context := "http"
	if strings.HasPrefix(path, "stream/") {
		context = "stream"
	}
	parsed := p.parseBlock(context, nil, false)
	if context == "stream" {
		f.streams = streamServers(parsed)
		return f
	}
	checkServers(path, parsed)
	for _, d := range parsed {
		if d.name() == "server" {
			f.servers = append(f.servers, compileServer(path, d.block))
		}
	}
	return f
}

type tokenEnd int

const (
	semicolon tokenEnd = iota
	blockStart
	blockEnd
	endOfFile
)

func (p *parser) parseBlock(context string, parent *directive, nested bool) []directive {
	var out []directive
	for {
		args, end := p.readDirective()
		switch end {
		case blockEnd:
			if !nested {
				p.fail(`unexpected "}"`)
			}
			return out
		case endOfFile:
			if nested {
				p.fail(`unexpected end of file, expecting "}"`)
			}
			return out
		}
		d := directive{args: args, line: p.line}
		inner := p.check(context, parent, &d, end == blockStart)
		if end == blockStart {
			d.block = p.parseBlock(inner, &d, true)
		}
		out = append(out, d)
	}
}

// readDirective is ngx_conf_read_token: words up to ";", "{" or "}".
func (p *parser) readDirective() (args []string, end tokenEnd) {
	for {
		ch, more := p.skipSpace()
		if !more {
			if len(args) > 0 {
				p.failEOF()
			}
			return nil, endOfFile
		}
		if len(args) == 0 && (ch == ';' || ch == '{') || len(args) > 0 && ch == '}' {
			p.fail(`unexpected "%c"`, ch)
		}
		if ch == '}' {
			return nil, blockEnd
		}
		if ch != ';' && ch != '{' {
			var word string
			word, ch = p.readWord(ch)
			args = append(args, word)
		}
		switch ch {
		case ';':
			return args, semicolon
		case '{':
			return args, blockStart
		}
	}
}

func (p *parser) next() (ch byte, more bool) {
	if p.pos >= len(p.text) {
		return 0, false
	}
	ch = p.text[p.pos]
	p.pos++
	if ch == '\n' {
		p.line++
	}
	return ch, true
}

func isSpace(ch byte) bool { return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n' }

func (p *parser) failEOF() { p.fail(`unexpected end of file, expecting ";" or "}"`) }

// skipSpace returns the first character after white space and comments.
func (p *parser) skipSpace() (ch byte, more bool) {
	comment := false
	for {
		ch, more = p.next()
		comment = (comment || ch == '#') && ch != '\n'
		if !more || !comment && !isSpace(ch) {
			return ch, more
		}
	}
}

// readWord reads a word from its first character on, and the one that ends it.
func (p *parser) readWord(first byte) (text string, end byte) {
	var word strings.Builder
	quote, variable := byte(0), first == '$'
	if first == '"' || first == '\'' {
		quote = first
	} else {
		p.add(&word, first)
	}
	for {
		ch, more := p.next()
		switch {
		case !more:
			p.failEOF()
		case ch == '{' && variable:
			word.WriteByte(ch)
			continue
		case quote != 0 && ch == quote:
			return word.String(), p.afterQuote()
		case quote == 0 && (isSpace(ch) || ch == ';' || ch == '{'):
			return word.String(), ch
		}
		variable = ch == '$'
		p.add(&word, ch)
	}
}

// afterQuote insists on an end of the word behind a closing quote.
func (p *parser) afterQuote() byte {
	ch, more := p.next()
	switch {
	case !more:
		p.failEOF()
	case ch == ')': // begins the next word, as in if ($x = "y")
		p.pos--
		return ' '
	case !isSpace(ch) && ch != ';' && ch != '{':
		p.fail(`unexpected "%c"`, ch)
	}
	return ch
}

// add appends ch to a word; a backslash takes the next character along.
func (p *parser) add(word *strings.Builder, ch byte) {
	if ch != '\\' || p.pos >= len(p.text) {
		word.WriteByte(ch)
		return
	}
	next := p.text[p.pos]
	p.pos++
	switch next {
	case '"', '\'', '\\':
		word.WriteByte(next)
	case 't':
		word.WriteByte('\t')
	case 'r':
		word.WriteByte('\r')
	case 'n':
		word.WriteByte('\n')
	default:
		if next == '\n' {
			p.line++
		}
		word.WriteByte(ch)
		word.WriteByte(next)
	}
}

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
	"http2": {"server", 1}, "access_log": {"server location if", -1}, "error_log": {"server location", -1},
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
	switch d.name() {
	case "proxy_pass":
		p.checkProxyPass(parent, d.arg(1))
	case "location":
		if _, err := newMatcher(d.args[1:]); err != nil {
			p.fail("%v", err)
		}
	}
	return d.name()
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
