package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// What a terminal obeys, or shows as something else, is shown as what it is.
func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"a line\n":                 "a line\n",
		"a\tb, ä, 日本, 🙂":           "a\tb, ä, 日本, 🙂",
		"\x1b[31mred\a":            `\u001b[31mred\u0007`,
		"\u009b2J, \x9b2J":         `\u009b2J, ` + "\ufffd2J",
		"a\u202eb\u2028c\ufeff\r":  `a\u202eb\u2028c\ufeff\u000d`,
		"\U000e0041 and \ufffd":    `\udb40\udc41 and ` + "\ufffd",
		"\x7f" + "last":            `\u007flast`,
		strings.Repeat("x", 1<<16): strings.Repeat("x", 1<<16),
	} {
		var got bytes.Buffer
		n, err := Plain(&got).Write([]byte(text))
		if n != len(text) || err != nil || got.String() != want {
			t.Errorf("%q: %q, %d, %v", text, got.String(), n, err)
		}
	}
}

// JSON says the same as before.
func TestPlainJSON(t *testing.T) {
	const said = "\x1b\u009b\u202e\U000e0041\"\\ä\x7f"
	var got bytes.Buffer
	if err := json.NewEncoder(Plain(&got)).Encode(said); err != nil {
		t.Fatal(err)
	}
	var back string
	if err := json.Unmarshal(got.Bytes(), &back); err != nil || back != said {
		t.Errorf("%s: %q, %v", got.String(), back, err)
	}
}
