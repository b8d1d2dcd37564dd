package api

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// Words are a kind as people read it.
func (k Kind) Words() string {
	if k == KindDeadHost {
		return "404 host"
	}
	return strings.ReplaceAll(string(k), "-", " ")
}

// describeChange says what becomes of a row's fields.
func describeChange(from, to Fields) string {
	var parts []string
	endpoint := false
	for _, name := range to.Names() {
		switch name {
		case FieldScheme, FieldHost, FieldPort:
			endpoint = true
			continue
		}
		if !from.Says(name, to[name]) {
			parts = append(parts, fmt.Sprintf("%s %s instead of %s", name, Show(name, to[name]), Show(name, from[name])))
		}
	}
	if endpoint && to.Endpoint() != from.Endpoint() {
		parts = append([]string{fmt.Sprintf("forward to %s instead of %s", to.Endpoint(), from.Endpoint())}, parts...)
	}
	if len(parts) == 0 {
		return "note in its meta whose it is"
	}
	return strings.Join(parts, "; ")
}

// describeNew says what a new row does.
func describeNew(to Fields) string {
	var parts []string
	if to.Int(FieldPort) != 0 {
		parts = append(parts, "forward to "+to.Endpoint().String())
	}
	for _, name := range to.Names() {
		switch name {
		case FieldScheme, FieldHost, FieldPort:
			if to.Int(FieldPort) != 0 {
				continue
			}
		}
		parts = append(parts, name+" "+Show(name, to[name]))
	}
	return strings.Join(parts, "; ")
}

// Show is a field's value in a line. Of raw nginx configuration, in which people
// keep passwords, only how much of it there is, and which.
func Show(name string, value any) string {
	switch v := value.(type) {
	case nil:
		return "nothing"
	case []string:
		return strings.Join(v, ",")
	case []Location:
		paths := make([]string, len(v))
		for i, l := range v {
			paths[i] = fmt.Sprintf("%s to %s://%s:%d%s", l.Path, l.Scheme, l.Host, l.Port, l.ForwardPath)
			if l.Advanced != "" {
				paths[i] += " {" + unsaid(l.Advanced) + "}"
			}
		}
		return "[" + strings.Join(paths, ", ") + "]"
	case string:
		if name == FieldAdvanced && strings.TrimSpace(v) != "" {
			return unsaid(v)
		}
		return fmt.Sprintf("%q", bounded(v))
	}
	return fmt.Sprint(value)
}

// Variable begins the nginx variables that no502 sets in locations.
const Variable = "$no502_"

// unsaid is nginx configuration so that one can be told from another, with
// no502's own marks.
func unsaid(config string) string {
	if text := strings.TrimSpace(config); text == "" || strings.HasPrefix(text, "set "+Variable) {
		return bounded(strings.ReplaceAll(text, "\n", " "))
	}
	var marks []string
	var rest strings.Builder
	for line := range strings.Lines(config) {
		comment, is := strings.CutPrefix(strings.TrimSpace(line), "#")
		if is && markOf(comment) != MarkNone {
			marks = append(marks, fmt.Sprintf("%q", bounded("#"+comment)))
			continue
		}
		rest.WriteString(line)
	}
	if text := strings.TrimSpace(rest.String()); text != "" {
		marks = append(marks, fmt.Sprintf("%d bytes of nginx configuration (%.4x)", len(text), sha256.Sum256([]byte(text))))
	}
	return strings.Join(marks, " and ")
}

// bounded is a text as far as it fits into a line: raw configuration may be long.
func bounded(s string) string {
	const limit = 200
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

// Shown are the fields for programs to read, with raw nginx configuration as Show
// has it.
func (f Fields) Shown() Fields {
	if f == nil {
		return nil
	}
	shown := f.With(nil)
	if text, said := shown[FieldAdvanced].(string); said {
		shown[FieldAdvanced] = unsaid(text)
	}
	if list := slices.Clone(shown.Locations()); len(list) > 0 {
		for i := range list {
			if list[i].Advanced != "" {
				list[i].Advanced = unsaid(list[i].Advanced)
			}
		}
		shown[FieldLocations] = list
	}
	return shown
}
