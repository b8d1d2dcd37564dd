package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/controller/npm/npmtest"
	"github.com/no502/no502/reconcile/intent/dialect"
)

// canaries are secrets of all kinds that no502 comes to see.
var canaries = map[string]string{
	"NPM's password": testPassword, "a DNS provider's token": "canary-dns-6a33", "a certificate's private key": "canary-key-0c41",
	"a visitor's password": "canary-visitor-77b0", "a container's environment": "canary-env-91fe",
	"somebody's nginx configuration": "canary-nginx-52d8",
}

// refuses makes NPM refuse what is to be written below a path, with the words in
// which it was asked.
func (w *world) refuses(path string, seen *tokens, credentials string) {
	w.failNPM(func(r *http.Request) *npmtest.Fault {
		seen.note(r)
		if r.Method == http.MethodGet || !strings.HasPrefix(r.URL.Path, path) {
			return nil
		}
		asked := r.Header.Get("Authorization")
		if r.URL.Path == "/nginx/certificates" {
			asked += " for " + credentials
		}
		text, err := json.Marshal("refused: " + asked)
		w.must(err)
		return &npmtest.Fault{Status: 400, Body: `{"error":{"code":400,"message":` + string(text) + `}}`}
	})
}

// No secret is in anything that no502 says: not in the log, even of everything,
// not on the status port, not in a plan, an undo or an error.
func TestNoSecretIsShown(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settings.logLevel, w.settings.dialects = "debug", dialect.Names()
		w.settings.dnsCredentials = t.TempDir()
		credentials := "dns_cloudflare_api_token = " + canaries["a DNS provider's token"] + "\n"
		w.must(os.WriteFile(filepath.Join(w.settings.dnsCredentials, "cloudflare.ini"), []byte(credentials), 0o600))
		w.crowd(2)
		w.startNPM()
		w.person(http.MethodPost, "/nginx/certificates", map[string]any{"provider": "other", "nice_name": "mine",
			"meta": map[string]any{"certificate": "x", "certificate_key": canaries["a certificate's private key"]}}, nil)
		w.person(http.MethodPost, "/nginx/access-lists", map[string]any{"name": "family", "satisfy_any": false, "pass_auth": false,
			"items": []any{map[string]string{"username": "me", "password": canaries["a visitor's password"]}}, "clients": []any{}}, nil)
		seen := tokens{seen: map[string]bool{}}
		var outputs strings.Builder
		look := func() {
			for _, path := range []string{"/healthz", "/readyz", "/api/v1/verdicts", "/api/v1/history", "/", "/debug/pprof/", "/metrics"} {
				_, body := w.get(path)
				outputs.WriteString(body)
			}
		}
		w.start()
		pass(time.Minute)
		w.edit(1, map[string]any{"forward_host": "APP1", "advanced_config": `proxy_set_header Authorization "` + canaries["somebody's nginx configuration"] + `";`})
		w.refuses("/nginx/certificates", &seen, credentials)
		w.app("shop", "proxy", func(c *stage.Container) {
			c.Env = append(c.Env, "DB_PASSWORD="+canaries["a container's environment"], "VIRTUAL_PORT=x")
			c.Labels = map[string]string{"no502.host": "shop.example.com", "no502.certificate": "letsencrypt",
				"no502.letsencrypt.dns-provider": "cloudflare", "no502.access-list": "family"}
		})
		pass(time.Minute)
		look()
		w.refuses("/nginx/", &seen, credentials)
		w.edit(1, map[string]any{"forward_host": "APP1", "forward_port": 1})
		pass(10 * time.Minute)
		look()
		plan, err := lookOnce(t.Context(), w.settings, w.place, &outputs)
		w.must(err)
		w.must(printJSON(&outputs, plan))
		w.must(printPlan(&outputs, plan))
		takeBack := func() error {
			soon, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := undo(soon, w.settings, w.place, "app1.example.com", &outputs, &outputs)
			fmt.Fprintln(&outputs, err)
			return err
		}
		if err := takeBack(); err == nil {
			t.Error("undone, though NPM refuses it")
		}
		w.failNPM(nil)
		w.must(takeBack())
		w.settings.npmPassword += "-but-wrong"
		if err := takeBack(); err == nil {
			t.Error("undone with a wrong password")
		}

		said := outputs.String() + w.log.everything()
		for what, canary := range canaries {
			if i := strings.Index(said, canary); i >= 0 {
				t.Errorf("%s is shown: …%s…", what, said[max(0, i-200):i+len(canary)])
			}
		}
		for token := range seen.seen {
			if strings.Contains(said, token) {
				t.Error("a token is shown")
			}
		}
		for _, proof := range []string{"refused: ", " for (redacted)", "bytes of nginx configuration", "shop.example.com", "(redacted)"} {
			if !strings.Contains(said, proof) || len(seen.seen) == 0 {
				t.Errorf("the test tested nothing: %q is not in\n%s", proof, said)
			}
		}
	})
}
