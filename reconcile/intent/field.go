package intent

import (
	"strings"

	"github.com/no502/no502/api"
)

// field is one label: all that the parser and the reference know of it.
type field struct {
	name    string // without the prefix and the route
	values  string // what a value may be, as a person is told
	initial string // what counts where nothing is said, as a person is told
	meaning string
	example string
	kinds   kinds // the kinds of hosts that it is for; none: the whole container
	read    func(target, string) error

	declares kinds // the kind of host that it declares
	refines  bool  // counts for hosts that people made by hand as well
	alone    bool  // every service says its own: no operator-wide default
	shuts    bool  // counts as said even if it cannot be read
	// withholds: if it cannot be read no host is made, lest something else is
	// published than was meant.
	withholds bool
	claim     string   // the field of NPM's that it claims
	begins    bool     // the claimed field is true in a new host where nothing is said
	also      []string // what people call it by mistake
}

// subject is a group of labels in the reference.
type subject struct {
	title  string
	fields []field
	sample []string // labels, as in a Compose file
}

// kinds are some of the kinds of hosts.
type kinds uint8

const (
	proxy kinds = 1 << iota
	redirection
	streams
	dead

	web   = proxy | redirection | dead
	every = web | streams
)

// works tells whether a field has an effect on a route that declares these
// kinds of hosts.
func (f *field) works(declared kinds, route string) bool {
	return f.kinds&declared != 0 || f.refines && route == "" && declared&(proxy|streams) == 0
}

// trim takes blanks from a value, which only raw configuration keeps.
func (f *field) trim(value string) string {
	if f.claim == api.FieldAdvanced {
		return value
	}
	return strings.TrimSpace(value)
}

// target is what a label's value is read into.
type target struct {
	in    *Intent
	route *draft
	loc   *Location
}

// into reads a value that is kept as it is.
func into[T any](parse func(string) (T, error), at func(target) *T) func(target, string) error {
	return func(t target, v string) error {
		got, err := parse(v)
		if err == nil {
			*at(t) = got
		}
		return err
	}
}

// claiming reads a value that is enforced under NPM's name for it.
func claiming[T any](parse func(string) (T, error), name string) func(target, string) error {
	return func(t target, v string) error {
		got, err := parse(v)
		if err != nil {
			return err
		}
		if t.route.Claims == nil {
			t.route.Claims = api.Fields{}
		}
		t.route.Claims[name] = got
		return nil
	}
}

// option is a switch of NPM's, which is left to NPM where nothing is said.
func option(name, claim string, kinds kinds, meaning string, also ...string) field {
	return field{
		name: name, values: booleans, example: "true", meaning: meaning, kinds: kinds, also: also,
		claim: claim, read: claiming(boolean, claim),
	}
}

// begins is an option with which a new host begins.
func begins(f field) field {
	f.begins, f.initial, f.example = true, "true", "false"
	return f
}
