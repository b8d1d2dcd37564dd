package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/controller/npm/npmtest"
	"github.com/no502/no502/test/openapi"
)

// Every label in use, over a service's whole life: whatever no502 sends to NPM is
// what the schema of that version allows.
func TestRequestsFitTheSchema(t *testing.T) {
	for _, version := range []string{"2.13.7", "2.15.1"} {
		t.Run(version, func(t *testing.T) {
			schema := openapi.Load(t, filepath.Join("..", ".."), version)
			checked := map[string]int{}
			inBubble(t, func(t *testing.T, w *world) {
				w.settings.allowSnippets = true
				w.settle()
				web := everyLabel()
				w.up(web)
				pass(time.Minute)
				web.labels["no502.location.api.strip-prefix"], web.labels["no502.cache"] = "false", "false"
				web.labels["no502.old.parked"] = "old.example.com, older.example.com"
				delete(web.labels, "no502.advanced-config")
				w.recreate(web)
				pass(time.Minute)
				w.scale(web, 2)
				pass(time.Minute)
				w.down(web)
				pass(longTime)
				w.up(web)
				pass(longTime)
				for _, c := range w.npm.Calls() {
					w.checkRequest(schema, c, checked)
				}
			}, func(o *npmtest.Options) {
				o.Version, o.LetsEncrypt = version, func(npmtest.LetsEncryptRequest) error { return nil }
			})
			for _, kind := range []string{"proxy-hosts", "redirection-hosts", "streams", "dead-hosts", "certificates"} {
				if checked["POST "+kind] == 0 || checked["PUT "+kind] == 0 && kind != "certificates" && kind != "dead-hosts" {
					t.Errorf("nothing was sent that makes or edits %s: %v", kind, checked)
				}
			}
		})
	}
}

func everyLabel() *service {
	return shop("web", "no502.host", "web.example.com", "no502.port", "8080", "no502.scheme", "http",
		"no502.certificate", "letsencrypt", "no502.force-ssl", "true", "no502.http2", "yes", "no502.hsts", "on", "no502.hsts-subdomains", "1",
		"no502.websockets", "off", "no502.block-exploits", "no", "no502.cache", "true", "no502.trust-forwarded-proto", "true",
		"no502.advanced-config", "client_max_body_size 1g;",
		"no502.location.api.path", "/api", "no502.location.api.port", "8080", "no502.location.api.strip-prefix", "true",
		"no502.redirect-from", "www.example.com", "no502.redirect-code", "302", "no502.redirect-keep-path", "false",
		"no502.game.stream", "25565/tcp+udp", "no502.game.port", "8080",
		"no502.old.parked", "old.example.com", "no502.on-remove", "disable")
}

// checkRequest validates a request that changes something.
func (w *world) checkRequest(schema *openapi.Schema, c npmtest.Call, checked map[string]int) {
	w.t.Helper()
	if c.Method == http.MethodGet || c.Body == "" || !strings.HasPrefix(c.Path, "/nginx/") {
		return
	}
	var body any
	w.must(json.Unmarshal([]byte(c.Body), &body))
	described, err := schema.Request(c.Method, c.Path, body)
	if err != nil || c.Status >= 300 {
		w.t.Errorf("%s %s %s: %d %v", c.Method, c.Path, c.Body, c.Status, err)
	}
	if kind, _, _ := strings.Cut(strings.TrimPrefix(c.Path, "/nginx/"), "/"); described {
		checked[c.Method+" "+kind]++
	}
}
