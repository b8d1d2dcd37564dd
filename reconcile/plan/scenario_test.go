package plan_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/api"
)

var update = flag.Bool("update", false, "write what the plans do and say into the scenarios")

// TestScenarios plays testdata/scenarios/*.txtar: a machine as somebody has it,
// what no502 does about it, and what it says in the end.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { play(t, file) })
	}
}

func play(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, f := range archive.Files {
		sections[f.Name] = string(f.Data)
	}
	var w world
	if err := w.parse(sections); err != nil {
		t.Fatal(err)
	}
	done, last := w.converge(t)
	got := map[string]string{"does": describe(done), "says": findings(last)}
	for line := range strings.Lines(sections["then"]) {
		if err := w.happen(fields(strings.TrimSpace(line))); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		done, last = w.converge(t)
		got["does"] += "\n" + line + describe(done)
		got["says"] = findings(last)
	}
	if *update {
		for i, f := range archive.Files {
			if text, ok := got[f.Name]; ok {
				archive.Files[i].Data = []byte(text)
				delete(got, f.Name)
			}
		}
		for _, name := range []string{"does", "says"} {
			if text, missing := got[name]; missing {
				archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(text)})
			}
		}
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for name, text := range got {
		if diff := cmp.Diff(sections[name], text); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func describe(actions []api.Action) string {
	var text strings.Builder
	for _, a := range actions {
		fmt.Fprintf(&text, "%s # %s\n", a, a.Why())
	}
	return text.String()
}

func findings(p api.Plan) string {
	var text strings.Builder
	for _, v := range p.Verdicts {
		for _, f := range v.Findings {
			fmt.Fprintf(&text, "%s: %s: %s\n  fix: %s\n", v.Name, f.Code, f.Message, f.Fix)
		}
	}
	return text.String()
}
