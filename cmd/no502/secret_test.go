package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/no502/no502/controller/npm/npmtest"
)

// tokens notes the tokens with which no502 asks NPM, in a fault hook that does
// no harm by itself.
type tokens struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (s *tokens) note(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		s.seen[token] = true
	}
}

// Neither the password nor a token is ever shown, even where NPM repeats them.
func TestSecretsStaySecret(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settings.logLevel = "debug"
		w.crowd(2)
		w.startNPM()
		seen := tokens{seen: map[string]bool{}}
		shown := ""
		look := func() {
			for _, path := range []string{"/healthz", "/readyz", "/api/v1/verdicts"} {
				_, body := w.get(path)
				shown += body
			}
		}
		// An NPM that repeats what it was sent, in an error and in nginx's words.
		gossip := func(path string) {
			w.failNPM(func(r *http.Request) *npmtest.Fault {
				seen.note(r)
				if r.URL.Path != path {
					return nil
				}
				text, err := json.Marshal("no: " + testPassword + " " + r.Header.Get("Authorization"))
				w.must(err)
				return &npmtest.Fault{Status: 400, Body: `{"error":{"code":400,"message":` + string(text) + `}}`}
			})
		}
		gossip("/tokens")
		w.start()
		pass(time.Minute)
		look()
		gossip("/nginx/proxy-hosts")
		pass(10 * time.Minute)
		look()
		gossip("/nginx/proxy-hosts/1")
		pass(10 * time.Minute)
		w.edit(1, map[string]any{"forward_host": "APP1"})
		pass(10 * time.Minute)
		look()
		w.failNPM(nil)
		pass(10 * time.Minute)
		look()
		w.wantForward(1, "http://app1:8080")

		var words strings.Builder
		plan, err := lookOnce(t.Context(), w.settings, w.place, &words)
		w.must(err)
		w.must(printJSON(&words, plan))
		w.must(printPlan(&words, plan))
		shown += words.String() + w.log.everything()

		if len(seen.seen) == 0 || !strings.Contains(shown, "(redacted)") {
			t.Fatalf("the test saw %d tokens, and nothing that was redacted", len(seen.seen))
		}
		for token := range seen.seen {
			if strings.Contains(shown, token) {
				t.Error("a token was shown")
			}
		}
		if strings.Contains(shown, testPassword) {
			t.Error("the password was shown")
		}
		for line := range strings.Lines(shown) {
			if strings.Contains(line, testPassword) {
				t.Log(line)
			}
		}
	})
}
