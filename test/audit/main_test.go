package main

import (
	"strings"
	"testing"
)

// All that is not known fails, and so does what is known and no longer there.
func TestAudit(t *testing.T) {
	const config = `{"config":{"scanner_version":"v1.9.0","go_version":"go1.26.11"}}`
	const one = `{"osv":{"id":"GO-1"}}{"finding":{"osv":"GO-1","trace":[{"module":"m","version":"v1.0.0"}]}}`
	const called = `{"finding":{"osv":"GO-1","trace":[{"module":"m","version":"v1.0.0","package":"m/p","function":"F"},{"module":"no502"}]}}`
	const mended = `{"finding":{"osv":"GO-2","fixed_version":"v1.26.12","trace":[{"module":"stdlib","version":"v1.26.11"}]}}`
	for _, test := range []struct{ what, scan, list, want string }{
		{"nothing", config, "", ""},
		{"known", config + one + called, "# why\n\nGO-1 m v1.0.0 the daemon's\n", ""},
		{"unknown", config + one, "", "GO-1 m v1.0.0 (mended in no version"},
		{"unknown beside known", config + one + mended, "GO-1 m v1.0.0 the daemon's", "GO-2 stdlib v1.26.11 (mended in v1.26.12"},
		{"another version", config + one, "GO-1 m v0.9.0 the daemon's", "GO-1 m v1.0.0 (mended in no version"},
		{"no longer", config, "GO-1 m v1.0.0 the daemon's", "no longer found"},
		{"advisories of what is not used", config + `{"osv":{"id":"GO-3"}}`, "", ""},
		{"no reason", config + one, "GO-1 m v1.0.0", "want ID, module, version and a reason"},
		{"no scan", "", "", "empty"},
		{"half a scan", config + one[:20], "", "cannot be read"},
	} {
		err := audit(strings.NewReader(test.scan), strings.NewReader(test.list), t.Output())
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.what, err, test.want)
		}
	}
}
