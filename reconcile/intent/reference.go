package intent

import "github.com/no502/no502/api"

// Subject is a group of labels that belong together.
type Subject struct {
	Title  string
	Labels []Label
	Sample []string // lines of a Compose file, without the prefix
}

// Label is what a person is told about one label.
type Label struct {
	Name    string // without the prefix
	Values  string
	Default string // as a person is told; empty: not said
	Meaning string
	Example string
	Kinds   []api.Kind // the kinds of hosts that it is for; none: the whole container
	// Variable is the environment variable for its operator-wide default;
	// empty: it has none.
	Variable string
}

// Reference is all that the parser reads, for people.
func Reference() []Subject {
	var all []Subject
	for _, s := range subjects {
		told := Subject{Title: s.title, Sample: s.sample}
		for _, f := range s.fields {
			l := Label{Name: f.name, Values: f.values, Default: f.initial, Meaning: f.meaning, Example: f.example, Kinds: f.kinds.list()}
			if !f.alone {
				l.Variable = defaultVariable(f.name)
			}
			told.Labels = append(told.Labels, l)
		}
		all = append(all, told)
	}
	return all
}

func (k kinds) list() (list []api.Kind) {
	for i, kind := range api.HostKinds() {
		if k>>i&1 == 1 {
			list = append(list, kind)
		}
	}
	return list
}
