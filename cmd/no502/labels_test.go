package main

import (
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/reconcile/intent"
)

func labelsOutput(t *testing.T, args ...string) string {
	var b strings.Builder
	cmd := labelsCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&b)
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDocsLabelsIsWhatTheParserReads(t *testing.T) {
	page, err := os.ReadFile("../../docs/labels.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(page), labelsOutput(t, "--markdown")); diff != "" {
		t.Errorf("docs/labels.md is stale; make it anew with\n\n    go run ./cmd/no502 labels --markdown > docs/labels.md\n\n%s", diff)
	}
}

func TestTheReferenceFitsATerminal(t *testing.T) {
	text := labelsOutput(t)
	for line := range strings.Lines(text) {
		if line = strings.TrimSuffix(line, "\n"); utf8.RuneCountInString(line) > 80 || strings.TrimRight(line, " ") != line {
			t.Errorf("%q", line)
		}
	}
	for _, s := range intent.Reference() {
		for _, l := range s.Labels {
			if !strings.Contains(text, "  "+l.Name+" ") {
				t.Errorf("%s is missing", l.Name)
			}
		}
	}
}
