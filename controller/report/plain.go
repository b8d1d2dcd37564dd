package report

import (
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Plain writes text to w without what a terminal would obey, or would show as
// something else: control and direction characters, and bytes that are no
// UTF-8. They are shown as JSON escapes them, so that JSON stays what it says.
// Much of what no502 tells people was written by whoever labels a container.
// Each Write is a text of its own; lines and tabs stay.
func Plain(w io.Writer) io.Writer { return plain{w} }

type plain struct{ w io.Writer }

func (p plain) Write(text []byte) (int, error) {
	var safe []byte
	done := 0 // how much of text is in safe
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if shows(r) && (r != utf8.RuneError || size > 1) {
			i += size
			continue
		}
		safe = append(safe, text[done:i]...)
		if r == utf8.RuneError {
			safe = utf8.AppendRune(safe, r)
		} else {
			for _, unit := range utf16.AppendRune(nil, r) {
				safe = fmt.Appendf(safe, `\u%04x`, unit)
			}
		}
		i += size
		done = i
	}
	if _, err := p.w.Write(append(safe, text[done:]...)); err != nil {
		return 0, err
	}
	return len(text), nil
}

func shows(r rune) bool { return r == '\n' || r == '\t' || unicode.IsGraphic(r) }
