package npmtest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// violations are differences between the schema that NPM serves and what it was
// recorded to accept and answer. The replay holds this package to the
// recordings, so these are faults of the schema.
var violations = []struct{ why, pattern string }{
	{"Ajv coerces before it validates", `^at '/(forward_port|forward_host|block_exploits|locations/\*/forward_port)': got (string|number), want `},
	{"null is coerced too", `^at '/(advanced_config|certificate_id)': (got null, want|'anyOf' failed)`},
	{"unset locations are null", `^at '(/\*)?/locations': got null, want array`},
	{"nested objects show is_deleted", `^at '(/\*)?/(owner|user|certificate)': additional properties 'is_deleted' not allowed`},
	{"and so match none of the alternatives", `^at '/(certificate|access_list)': ('oneOf' failed, none matched|got object, want null|validation failed)`},
	{"a host's access list has no count", `^at '/access_list': missing property 'proxy_host_count'`},
	{"the list of access lists is described as one object", `^at '': got array, want object`},
	{"a dead host's disable answers with a promise", `^at '': got object, want boolean`},
	{"2.13.7 finds no common name in a certificate", `^at '(/\*)?(/certificate)?(/domain_names/\*': got null, want string|': missing property 'cn')`},
}

// TestOpenAPI checks what this package accepts and answers during the replay
// against the schema as NPM serves it. That document is not part of the
// repository: the test looks for it in ../shared/npm beside the checkout, or in
// $NO502_SHARED.
func TestOpenAPI(t *testing.T) {
	for _, version := range versions {
		api := loadAPI(t, version)
		for _, group := range groups {
			t.Run(version+"/"+group[0], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newReplay(t, version, group[0] != "setup_first_run")
					p.onAnswer = func(e entry, got *httptest.ResponseRecorder) { api.check(p, e, got) }
					p.play(group)
				})
			})
		}
	}
}

// openAPI is the served schema, each operation's parts compiled on demand.
type openAPI struct {
	compiler *jsonschema.Compiler
	base     string
	paths    map[string]map[string]struct {
		RequestBody struct{ Content map[string]any }
		Responses   map[string]struct{ Content map[string]any }
	}
}

func loadAPI(t *testing.T, version string) *openAPI {
	t.Helper()
	dir := os.Getenv("NO502_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared", "npm")
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
	api := &openAPI{compiler: jsonschema.NewCompiler(), base: "npm-" + version + ".json"}
	if err := api.compiler.AddResource(api.base, doc); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &struct{ Paths any }{&api.paths}); err != nil {
		t.Fatal(err)
	}
	return api
}

// check validates one exchange. A request that was accepted must be valid; an
// answer must be whenever the schema describes that status.
func (a *openAPI) check(p *replay, e entry, got *httptest.ResponseRecorder) {
	path, _, _ := strings.Cut(strings.TrimPrefix(e.Request.Path, "/api"), "?")
	template := a.template(path)
	operation, found := a.paths[template][strings.ToLower(e.Request.Method)]
	if !found {
		return
	}
	key := p.scenario + "/" + e.Name
	pointer := "#/paths/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(template) + "/" + strings.ToLower(e.Request.Method)
	const kind = "application~1json/schema"
	if e.Request.Body != nil && e.Request.Body != "<multipart>" && operation.RequestBody.Content["application/json"] != nil && got.Code < 300 {
		a.validate(p, key+" (request)", pointer+"/requestBody/content/"+kind, e.Request.Body)
	}
	status := fmt.Sprint(got.Code)
	if described(operation.Responses[status].Content) && got.Body.Len() > 0 {
		a.validate(p, key, pointer+"/responses/"+status+"/content/"+kind, decode(p.T, got.Body.Bytes()))
	}
}

var known = func() (list []*regexp.Regexp) {
	for _, v := range violations {
		list = append(list, regexp.MustCompile(v.pattern))
	}
	return list
}()

// described: the answer to test-http has no "schema" in the document.
func described(content map[string]any) bool {
	media, _ := content["application/json"].(map[string]any)
	return media["schema"] != nil
}

// validate allows only those differences that the table explains.
func (a *openAPI) validate(p *replay, key, pointer string, v any) {
	p.Helper()
	schema, err := a.compiler.Compile(a.base + pointer)
	if err != nil {
		p.Errorf("%s: %v", key, err)
		return
	}
	if err := schema.Validate(v); err != nil {
		for _, line := range differences(err) {
			if !slices.ContainsFunc(known, func(re *regexp.Regexp) bool { return re.MatchString(line) }) {
				p.Errorf("%s: %s", key, line)
			}
		}
	}
}

// differences are the lines "at '/*/locations': …" of an error, with * for the
// indices of arrays.
func differences(err error) (out []string) {
	for line := range strings.Lines(err.Error()) {
		if _, line, found := strings.Cut(strings.TrimSpace(line), "- "); found {
			out = append(out, index.ReplaceAllString(line, "/*"))
		}
	}
	return out
}

var index = regexp.MustCompile(`/\d+`)

// template finds "/nginx/proxy-hosts/{hostID}" for "/nginx/proxy-hosts/7".
func (a *openAPI) template(path string) string {
	want := strings.Split(strings.Trim(path, "/"), "/")
	best, fixed := "", -1
	for template := range a.paths {
		segments := strings.Split(strings.Trim(template, "/"), "/")
		if len(segments) != len(want) {
			continue
		}
		n := 0
		for i, s := range segments {
			switch {
			case s == want[i]:
				n++
			case !strings.HasPrefix(s, "{"):
				n = -1 << 20
			}
		}
		if n > fixed && n >= 0 {
			best, fixed = template, n
		}
	}
	return best
}
