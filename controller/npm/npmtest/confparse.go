package npmtest

import (
	"fmt"
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
	certs   []string // files that nginx reads while it loads
	hsts    string   // value of $hsts_header on TLS
	sets    []string // variables that it defines
	uses    []string // and those that it needs, but for nginx's and NPM's own
	err     string   // without "[emerg]" and the trailer; "" is fine
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
		if d.name() == "map" && d.arg(2) == "$hsts_header" && len(d.block) > 0 {
			f.hsts = d.block[0].arg(1)
		}
	}
	for _, d := range parsed {
		if d.name() == "server" {
			f.servers = append(f.servers, compileServer(f, d.block))
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
