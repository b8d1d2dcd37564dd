package intent

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const defaultPrefix = "NO502_DEFAULT_"

// DefaultName is the label, without the prefix, for which an environment
// variable is the operator-wide default; "NO502_DEFAULT_FORCE_SSL" is for
// force-ssl. CheckDefaults tells whether there is such a label.
func DefaultName(env string) (field string, ok bool) {
	name, ok := strings.CutPrefix(env, defaultPrefix)
	if !ok || name == "" {
		return "", false
	}
	for i := range fields {
		if defaultVariable(fields[i].name) == env {
			return fields[i].name, true
		}
	}
	return strings.ReplaceAll(strings.ToLower(name), "_", "-"), true
}

// defaultVariable is the environment variable for a field's default.
func defaultVariable(field string) string {
	return defaultPrefix + strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToUpper(field))
}

// CheckDefaults refuses what cannot be a default for every service.
func CheckDefaults(defaults map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(defaults)) {
		variable := defaultVariable(name)
		i, known := byName[name]
		switch {
		case !known && strings.HasPrefix(name, "location-"), known && fields[i].alone:
			return fmt.Errorf("%s: there is no default for this, since every service has its own", variable)
		case !known:
			return fmt.Errorf("%s: there is no label %s; did you mean %s?", variable, quote(name), defaultVariable(nearestDefault(name)))
		}
		f, value := &fields[i], defaults[name]
		err := f.read(target{in: &Intent{}, route: &draft{}}, f.trim(value))
		if errors.Is(err, errValue) {
			return fmt.Errorf("%s is %s, which is not allowed: use %s", variable, quote(value), f.values)
		}
		if err != nil {
			return fmt.Errorf("%s is %s, which is not allowed: %w; use %s", variable, quote(value), err, f.values)
		}
	}
	return nil
}

// nearestDefault is the field with a default that takes the fewest edits.
func nearestDefault(name string) string {
	var best *field
	for i := range fields {
		f := &fields[i]
		if !f.alone && (best == nil || distance(name, f.name) < distance(name, best.name)) {
			best = f
		}
	}
	return best.name
}
