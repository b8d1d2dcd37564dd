// Command soak turns what the fault tests print ("go test -json", on standard
// input) into the reliability table, and writes that between two markers of a
// file. It ends with status 1 where a test failed or nothing was checked.
//
//	go test -json -run 'TestFault' ./cmd/no502 | go run ./test/soak README.md
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// Markers around the table.
const (
	begin = "<!-- reliability: make soak -->"
	end   = "<!-- /reliability -->"
)

func main() {
	if err := run(os.Stdin, os.Stderr, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(events io.Reader, progress io.Writer, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: soak FILE, a file that holds the line %q", begin)
	}
	file := args[0]
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	found, err := read(events, progress)
	if err != nil {
		return err
	}
	table := found.table()
	fmt.Fprint(progress, "\n", table)
	after, err := between(string(text), table)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := os.WriteFile(file, []byte(after), 0o644); err != nil { //nolint:gosec // a page of the repository
		return err
	}
	return found.verdict()
}

// between puts a table between the markers.
func between(text, table string) (string, error) {
	before, rest, ok := strings.Cut(text, begin+"\n")
	_, after, closed := strings.Cut(rest, end+"\n")
	if !ok || !closed {
		return "", fmt.Errorf("there is no line %q with a line %q after it", begin, end)
	}
	return before + begin + "\n" + table + end + "\n" + after, nil
}

// event is one of "go test -json".
type event struct {
	Action, Package, Test, Output string
}

// read takes in what tests print, and shows which of them have ended.
func read(from io.Reader, progress io.Writer) (*tally, error) {
	t := &tally{of: map[string]*count{}}
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("%q is not what go test -json prints", lines.Text())
		}
		whole, _, _ := strings.Cut(e.Test, "/")
		switch {
		case e.Action == "output":
			t.said(whole, e.Output)
		case e.Action == "fail":
			t.failed = append(t.failed, cmp.Or(e.Test, e.Package))
			fmt.Fprintln(progress, "FAIL", cmp.Or(e.Test, e.Package))
		case e.Action == "pass" && e.Test != "" && e.Test == whole:
			fmt.Fprintln(progress, "ok  ", e.Test)
		}
	}
	return t, lines.Err()
}
