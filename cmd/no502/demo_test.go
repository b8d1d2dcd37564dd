package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"golang.org/x/term"

	"github.com/no502/no502/test/lab"
)

// Colours are for people before a terminal who did not forbid them.
func TestColours(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil || !term.IsTerminal(int(terminal.Fd())) {
		t.Skipf("no terminal can be made here: %v", err)
	}
	defer terminal.Close()
	good, bad := lab.Answer{Status: 200}, lab.Answer{Status: 502}

	t.Setenv("NO_COLOR", "")
	d := demo{out: terminal}
	if got := d.paint(good, "200 OK"); got != "\x1b[32m200 OK\x1b[0m" {
		t.Errorf("good on a terminal: %q", got)
	}
	if got := d.paint(bad, "502"); got != "\x1b[31m502\x1b[0m" {
		t.Errorf("bad on a terminal: %q", got)
	}
	t.Setenv("NO_COLOR", "1")
	if got := d.paint(bad, "502"); got != "502" {
		t.Errorf("with NO_COLOR: %q", got)
	}
	t.Setenv("NO_COLOR", "")
	if got := (&demo{out: &bytes.Buffer{}}).paint(bad, "502"); strings.Contains(got, "\x1b") {
		t.Errorf("into a file: %q", got)
	}
}
