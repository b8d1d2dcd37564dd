package npmtest_test

import (
	"errors"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/no502/no502/test/openapi"
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
// against the schema as NPM serves it.
func TestOpenAPI(t *testing.T) {
	for _, version := range versions {
		api := openapi.Load(t, filepath.Join("..", "..", ".."), version)
		for _, group := range groups {
			t.Run(version+"/"+group[0], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newReplay(t, version, group[0] != "setup_first_run")
					p.onAnswer = func(e entry, got *httptest.ResponseRecorder) { checkExchange(api, p, e, got) }
					p.play(group)
				})
			})
		}
	}
}

// checkExchange validates one exchange. A request that was accepted must be valid; an
// answer must be whenever the schema describes that status.
func checkExchange(api *openapi.Schema, p *replay, e entry, got *httptest.ResponseRecorder) {
	path := strings.TrimPrefix(e.Request.Path, "/api")
	key := p.scenario + "/" + e.Name
	if e.Request.Body != nil && e.Request.Body != "<multipart>" && got.Code < 300 {
		_, err := api.Request(e.Request.Method, path, e.Request.Body)
		allow(p, key+" (request)", err)
	}
	if got.Body.Len() > 0 {
		_, err := api.Answer(e.Request.Method, path, got.Code, got.Body.Bytes())
		allow(p, key, err)
	}
}

var known = func() (list []*regexp.Regexp) {
	for _, v := range violations {
		list = append(list, regexp.MustCompile(v.pattern))
	}
	return list
}()

// allow only those differences that the table explains.
func allow(p *replay, key string, err error) {
	p.Helper()
	if err == nil {
		return
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		p.Errorf("%s: %v", key, err)
		return
	}
	for _, line := range differences(err) {
		if !slices.ContainsFunc(known, func(re *regexp.Regexp) bool { return re.MatchString(line) }) {
			p.Errorf("%s: %s", key, line)
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
