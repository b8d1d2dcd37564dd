package main

import (
	"fmt"
	"strings"
	"testing"
)

// shape is what nginx is told to do by a configuration, whatever it is told it
// with: the names of all directives, those that they are in, and how many words
// each has. It is read as nginx's documentation describes it, and shares nothing
// with no502 or the double of NPM.
func shape(conf string) string {
	var out strings.Builder
	var words []string
	depth := 0
	end := func(what byte) {
		if len(words) > 0 || what != '}' {
			name := strings.Join(words[:min(1, len(words))], "")
			fmt.Fprintf(&out, "%d %s/%d%c\n", depth, name, len(words)-1, what)
		}
		words = nil
	}
	for i := 0; i < len(conf); {
		switch c := conf[i]; c {
		case ' ', '\t', '\r', '\n':
			i++
		case '#':
			for i < len(conf) && conf[i] != '\n' {
				i++
			}
		case ';':
			end(c)
			i++
		case '{':
			end(c)
			depth++
			i++
		case '}':
			end(c)
			depth--
			i++
		default:
			word, size := firstWord(conf[i:])
			words = append(words, word)
			i += size
		}
	}
	if depth != 0 || len(words) > 0 {
		fmt.Fprintf(&out, "unfinished: depth %d, %q\n", depth, words)
	}
	return out.String()
}

// firstWord is a word of a configuration, quoted or not, and how long it is there.
func firstWord(conf string) (word string, size int) {
	quote := conf[0]
	if quote != '"' && quote != '\'' {
		quote = 0
	}
	for i := 0; i < len(conf); i++ {
		switch c := conf[i]; {
		case c == '\\':
			i++
		case quote != 0 && c == quote && i > 0:
			return conf[1:i], i + 1
		case quote == 0 && c == '$' && strings.HasPrefix(conf[i+1:], "{"):
			i++
		case quote == 0 && strings.IndexByte(" \t\r\n;{", c) >= 0:
			return conf[:i], i
		}
	}
	return conf, len(conf)
}

func TestShape(t *testing.T) {
	const conf = "# a {\nserver {\n  set $x \"a;b\\\"}\";\n  location ~ ^/(a){\n    return 200 'x y' ${z};\n  }\n}\n"
	const want = "0 server/0{\n1 set/2;\n1 location/2{\n2 return/3;\n"
	if got := shape(conf); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for harmless, hostile := range map[string]string{
		`set $x "web";`:                 `set $x "x"; return 200 "";`,
		"server_name a;":                "server_name a; } server { listen 81;",
		"location /x { set $a b; }":     "location /x { return 200; } location /y { set $a b; }",
		"return 301 $scheme://a.b;":     "return 301 $scheme://a.b x;",
		"location /x { allow all;}\n\n": "location /x { # allow all;}\n\n",
	} {
		if shape(harmless) == shape(hostile) {
			t.Errorf("%s is taken for %s", hostile, harmless)
		}
	}
}
