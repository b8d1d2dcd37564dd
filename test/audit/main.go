// Command audit reads what `govulncheck -format json` found from its standard
// input and compares it with the advisories that were looked at, a file named by
// its argument. It fails on every other finding, at whatever level: called,
// imported or merely required; and on an entry that no longer applies.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: govulncheck -format json … | audit FILE")
		os.Exit(2)
	}
	list, err := os.ReadFile(os.Args[1])
	if err == nil {
		err = audit(os.Stdin, bytes.NewReader(list), os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "audit:", err)
		os.Exit(1)
	}
}

// advisory is one about one version of one module.
type advisory struct{ id, module, version string }

func (a advisory) String() string { return a.id + " " + a.module + " " + a.version }

// audit compares what was found with what is known, and says what it saw.
func audit(scan, list io.Reader, say io.Writer) error {
	found, scanner, err := findings(scan)
	if err != nil {
		return err
	}
	known, err := looked(list)
	if err != nil {
		return err
	}
	var wrong []error
	for _, a := range slices.SortedFunc(maps.Keys(found), compare) {
		if !known[a] {
			wrong = append(wrong, fmt.Errorf("%s (%s, https://pkg.go.dev/vuln/%s): update it, or look whether it concerns no502 and add it to the list with a reason", a, found[a], a.id))
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(known), compare) {
		if found[a] == "" {
			wrong = append(wrong, fmt.Errorf("%s is on the list and no longer found: take it away", a))
		}
	}
	fmt.Fprintf(say, "%s: %d findings, %d known\n", scanner, len(found), len(known))
	return errors.Join(wrong...)
}

func compare(a, b advisory) int { return strings.Compare(a.String(), b.String()) }

// findings are the advisories in govulncheck's messages, with where they are
// mended. An input that is not a whole scan is an error: it found nothing.
func findings(r io.Reader) (found map[advisory]string, scanner string, err error) {
	found = map[advisory]string{}
	for messages := json.NewDecoder(r); ; {
		var m struct {
			Config *struct {
				Scanner string `json:"scanner_version"`
				Go      string `json:"go_version"`
			}
			Finding *struct {
				OSV   string `json:"osv"`
				Fixed string `json:"fixed_version"`
				Trace []struct{ Module, Version string }
			}
		}
		switch err := messages.Decode(&m); {
		case errors.Is(err, io.EOF) && scanner != "":
			return found, scanner, nil
		case errors.Is(err, io.EOF):
			return nil, "", errors.New("the scan is empty")
		case err != nil:
			return nil, "", fmt.Errorf("the scan cannot be read: %w", err)
		}
		if m.Config != nil {
			scanner = fmt.Sprintf("govulncheck %s with %s", m.Config.Scanner, m.Config.Go)
		}
		if f := m.Finding; f != nil && len(f.Trace) > 0 {
			mended := "mended in no version"
			if f.Fixed != "" {
				mended = "mended in " + f.Fixed
			}
			found[advisory{f.OSV, f.Trace[0].Module, f.Trace[0].Version}] = mended
		}
	}
}

// looked are the lines of the list: an advisory's ID, module and version, and why
// it does not concern no502.
func looked(r io.Reader) (map[advisory]bool, error) {
	known := map[advisory]bool{}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
		case len(words) < 4:
			return nil, fmt.Errorf("%q: want ID, module, version and a reason", lines.Text())
		default:
			known[advisory{words[0], words[1], words[2]}] = true
		}
	}
	return known, nil
}
