// Package openapi checks requests and answers against the schema that NPM
// serves of itself. That document is not part of the repository: tests look for
// it in ../shared/npm beside the checkout, or in $NO502_SHARED, and are skipped
// where it is not.
package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Schema is what one version of NPM serves, each operation's parts compiled on
// demand.
type Schema struct {
	compiler *jsonschema.Compiler
	base     string
	paths    map[string]map[string]struct {
		RequestBody struct{ Content map[string]any }
		Responses   map[string]struct{ Content map[string]any }
	}
}

// Load reads a version's schema, or skips the test. Root is the repository's, as
// seen from the test.
func Load(t *testing.T, root, version string) *Schema {
	t.Helper()
	dir := os.Getenv("NO502_SHARED")
	if dir == "" {
		dir = filepath.Join(root, "..", "shared", "npm")
	}
	file := filepath.Join(dir, "openapi-"+version+".json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Skipf("the schema that NPM %s serves is not here (%s); set NO502_SHARED to the folder that has it", version, file)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	s := &Schema{compiler: jsonschema.NewCompiler(), base: "npm-" + version + ".json"}
	if err := s.compiler.AddResource(s.base, doc); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &struct{ Paths any }{&s.paths}); err != nil {
		t.Fatal(err)
	}
	return s
}

const kind = "application~1json/schema"

// Request validates the body of a request to a path below /api: decoded JSON. It
// reports whether the schema describes that body.
func (s *Schema) Request(method, path string, body any) (described bool, err error) {
	template, method := s.template(path), strings.ToLower(method)
	if s.paths[template][method].RequestBody.Content["application/json"] == nil {
		return false, nil
	}
	return true, s.validate(template, method, "/requestBody/content/"+kind, body)
}

// Answer is Request for an answer of a status, as it came.
func (s *Schema) Answer(method, path string, status int, body []byte) (described bool, err error) {
	template, method := s.template(path), strings.ToLower(method)
	media, _ := s.paths[template][method].Responses[fmt.Sprint(status)].Content["application/json"].(map[string]any)
	if media["schema"] == nil { // the answer to test-http has none
		return false, nil
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return true, err
	}
	return true, s.validate(template, method, fmt.Sprintf("/responses/%d/content/%s", status, kind), v)
}

func (s *Schema) validate(template, method, part string, v any) error {
	pointer := "#/paths/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(template) + "/" + method + part
	schema, err := s.compiler.Compile(s.base + pointer)
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

// template finds "/nginx/proxy-hosts/{hostID}" for "/nginx/proxy-hosts/7".
func (s *Schema) template(path string) string {
	path, _, _ = strings.Cut(path, "?")
	want := strings.Split(strings.Trim(path, "/"), "/")
	best, fixed := "", -1
	for template := range s.paths {
		segments := strings.Split(strings.Trim(template, "/"), "/")
		if len(segments) != len(want) {
			continue
		}
		n := 0
		for i, segment := range segments {
			switch {
			case segment == want[i]:
				n++
			case !strings.HasPrefix(segment, "{"):
				n = -1 << 20
			}
		}
		if n > fixed && n >= 0 {
			best, fixed = template, n
		}
	}
	return best
}
