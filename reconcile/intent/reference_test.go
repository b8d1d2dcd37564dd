package intent

import (
	"strings"
	"testing"

	"github.com/no502/no502/api"
)

func TestExamplesAreWithoutFindings(t *testing.T) {
	for _, s := range Reference() {
		if s.Title == "" || len(s.Labels) == 0 {
			t.Errorf("%q has nothing to tell", s.Title)
		}
		sample := map[string]string{}
		for _, line := range s.Sample {
			key, value, _ := strings.Cut(line, ": ")
			sample["no502."+key] = strings.Trim(value, `"`)
		}
		if in := Of(&api.Container{Labels: sample}, policy()); len(in.Findings) > 0 || !in.Enabled {
			t.Errorf("%s: %+v", s.Title, in)
		}
		for _, l := range s.Labels {
			if l.Values == "" || l.Meaning == "" || l.Example == "" {
				t.Errorf("%s: %+v", s.Title, l)
			}
			i := byName[l.Name]
			if err := fields[i].read(target{in: &Intent{}, route: &draft{}, loc: &Location{}}, l.Example); err != nil {
				t.Errorf("%s: %s: %v", l.Name, l.Example, err)
			}
		}
	}
}

func TestTheTableFitsItsSet(t *testing.T) {
	if len(fields) > 64 {
		t.Errorf("%d fields, more than a draft's set of those said can hold", len(fields))
	}
	for _, f := range fields {
		if f.declares&^f.kinds != 0 || f.begins && f.claim == "" || byName[f.name] != 0 && fields[byName[f.name]].name != f.name {
			t.Errorf("%+v", f)
		}
	}
}
