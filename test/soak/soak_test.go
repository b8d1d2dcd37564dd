package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const page = "# A page\n" + begin + "\nold\n" + end + "\nrest\n"

func output(test, line string) string {
	return `{"Action":"output","Test":"` + test + `","Output":"    x_test.go:1: ` + strings.ReplaceAll(line, `"`, `\"`) + `\n"}` + "\n"
}

// What tests print becomes the table; what was not tried is not in it.
func TestTable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	events := output("TestFaultEngineKilled/once", `checked after "a kill": 7 hosts, 0 lost`) +
		output("TestFaultEngineRestarts", `checked after "a "quoted" restart": 5 hosts, 0 lost`) +
		output("TestFaultEngineRestarts", "something else") +
		`{"Action":"pass","Test":"TestFaultEngineRestarts"}` + "\n"
	if err := run(strings.NewReader(events), io.Discard, []string{file}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := "# A page\n" + begin + "\n| fault | times | hosts checked after it | lost |\n|---|---:|---:|---:|\n| " +
		rows[0].fault + " | 2 | 12 | 0 |\n" + end + "\nrest\n"
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTroubleIsSaid(t *testing.T) {
	for _, test := range []struct{ page, events, want string }{
		{page, output("TestFaultEngineKilled", `checked after "a kill": 7 hosts, 2 lost`), "TestFaultEngineKilled lost 2 hosts"},
		{page, output("TestFaultEngineKilled", `checked after "a kill": 7 hosts, 0 lost`) + `{"Action":"fail","Test":"TestFaultEngineKilled"}`, "failed: TestFaultEngineKilled"},
		{page, output("TestFaultOfMine", `checked after "it": 7 hosts, 0 lost`), "TestFaultOfMine is in no row of the table"},
		{page, "", "no test has checked anything"},
		{page, "ok\n", `"ok" is not what go test -json prints`},
		{"# A page\n", "", "there is no line"},
	} {
		file := filepath.Join(t.TempDir(), "page.md")
		if err := os.WriteFile(file, []byte(test.page), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := run(strings.NewReader(test.events), io.Discard, []string{file}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %s", test.events, err, test.want)
		}
	}
}

// Each row's tests are there, and each test of a fault is in a row.
func TestRowsNameTests(t *testing.T) {
	var sources strings.Builder
	for _, pattern := range []string{"../../cmd/no502/*_test.go", "../e2e/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources.Write(text)
		}
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^func TestFault(\w+)\(`).FindAllStringSubmatch(sources.String(), -1) {
		named[m[1]] = false
	}
	for _, r := range rows {
		for _, name := range r.tests {
			if _, there := named[name]; !there {
				t.Errorf("%s: there is no TestFault%s", r.fault, name)
			}
			named[name] = true
		}
	}
	for name, inRow := range named {
		if !inRow {
			t.Errorf("TestFault%s is in no row", name)
		}
	}
}
