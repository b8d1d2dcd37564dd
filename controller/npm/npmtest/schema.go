package npmtest

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// schema is the part of JSON Schema that the API's request bodies need. NPM
// validates with Ajv (coerceTypes, allErrors); the messages and the coercion
// are Ajv's, as recorded in proxy_hosts_validation and proxy_hosts_crud.
type schema struct {
	types    []string
	props    []prop
	open     bool // additional properties are allowed
	required []string
	minProps int

	items    *schema
	minItems int
	maxItems int
	unique   bool

	minLen  int
	maxLen  int
	pattern *regexp.Regexp
	enum    []string

	min, max *int
	anyOf    []*schema
}

type prop struct {
	name string
	*schema
}

// validate returns v coerced to the schema, or every message in Ajv's order.
func (s *schema) validate(path string, v any) (any, []string) {
	if s.anyOf != nil {
		return s.validateAny(path, v)
	}
	v, ok := coerce(v, s.types)
	if !ok {
		return v, []string{path + " must be " + strings.Join(s.types, ",")}
	}
	var errs []string
	fail := func(format string, args ...any) { errs = append(errs, path+" "+fmt.Sprintf(format, args...)) }
	switch v := v.(type) {
	case int:
		s.checkInt(v, fail)
	case string:
		s.checkString(v, fail)
	case []any:
		s.checkArray(v, fail)
		if s.items != nil {
			for i := range v {
				var e []string
				v[i], e = s.items.validate(fmt.Sprintf("%s/%d", path, i), v[i])
				errs = append(errs, e...)
			}
		}
	case map[string]any:
		s.checkObject(v, fail)
		for _, p := range s.props {
			if x, ok := v[p.name]; ok {
				var e []string
				v[p.name], e = p.validate(path+"/"+p.name, x)
				errs = append(errs, e...)
			}
		}
	}
	return v, errs
}

func (s *schema) validateAny(path string, v any) (any, []string) {
	var errs []string
	for _, alt := range s.anyOf {
		x, e := alt.validate(path, v)
		if e == nil {
			return x, nil
		}
		errs = append(errs, e...)
	}
	return v, append(errs, path+" must match a schema in anyOf")
}

type failf func(format string, args ...any)

func (s *schema) checkInt(n int, fail failf) {
	if s.max != nil && n > *s.max {
		fail("must be <= %d", *s.max)
	}
	if s.min != nil && n < *s.min {
		fail("must be >= %d", *s.min)
	}
}

func (s *schema) checkString(v string, fail failf) {
	n := len([]rune(v))
	if s.maxLen > 0 && n > s.maxLen {
		fail("must NOT have more than %d characters", s.maxLen)
	}
	if n < s.minLen {
		fail("must NOT have fewer than %d characters", s.minLen)
	}
	if s.pattern != nil && !s.pattern.MatchString(v) {
		fail("must match pattern \"%s\"", s.pattern)
	}
	if s.enum != nil && !slices.Contains(s.enum, v) {
		fail("must be equal to one of the allowed values")
	}
}

func (s *schema) checkArray(v []any, fail failf) {
	if s.maxItems > 0 && len(v) > s.maxItems {
		fail("must NOT have more than %d items", s.maxItems)
	}
	if len(v) < s.minItems {
		fail("must NOT have fewer than %d items", s.minItems)
	}
	if !s.unique {
		return
	}
	for i := range v { // Ajv reports the first pair only
		for j := range i {
			if reflect.DeepEqual(v[i], v[j]) {
				fail("must NOT have duplicate items (items ## %d and %d are identical)", i, j)
				return
			}
		}
	}
}

func (s *schema) checkObject(v map[string]any, fail failf) {
	if len(v) < s.minProps {
		fail("must NOT have fewer than %d properties", s.minProps)
	}
	for _, name := range s.required {
		if _, ok := v[name]; !ok {
			fail("must have required property '%s'", name)
		}
	}
	if s.open {
		return
	}
	for name := range v {
		if !slices.ContainsFunc(s.props, func(p prop) bool { return p.name == name }) {
			fail("must NOT have additional properties")
		}
	}
}

// coerce converts v as Ajv's coerceTypes does; integers become int.
func coerce(v any, types []string) (any, bool) {
	if len(types) == 0 {
		return v, true
	}
	for _, t := range types {
		if x, ok := isType(v, t); ok {
			return x, true
		}
	}
	for _, t := range types {
		if x, ok := coerceTo(v, t); ok {
			return x, true
		}
	}
	return v, false
}

func isType(v any, t string) (any, bool) {
	switch x := v.(type) {
	case nil:
		return v, t == "null"
	case bool:
		return v, t == "boolean"
	case string:
		return v, t == "string"
	case []any:
		return v, t == "array"
	case map[string]any:
		return v, t == "object"
	case int:
		return v, t == "integer"
	case json.Number:
		if n, err := x.Float64(); err == nil && n == math.Trunc(n) && t == "integer" {
			return int(n), true
		}
	}
	return v, false
}

func coerceTo(v any, t string) (any, bool) {
	switch t {
	case "string":
		switch x := v.(type) {
		case nil:
			return "", true
		case bool:
			return strconv.FormatBool(x), true
		case json.Number:
			return x.String(), true
		}
	case "boolean":
		switch fmt.Sprint(v) {
		case "true", "1":
			return true, true
		case "false", "0", "<nil>":
			return false, true
		}
	case "integer":
		switch x := v.(type) {
		case nil:
			return 0, true
		case bool:
			if x {
				return 1, true
			}
			return 0, true
		case string:
			if n, err := strconv.ParseFloat(strings.TrimSpace(x), 64); err == nil && n == math.Trunc(n) {
				return int(n), true
			}
		}
	case "null":
		if v == "" || v == false || fmt.Sprint(v) == "0" {
			return nil, true
		}
	}
	return v, false
}
