package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
	"github.com/no502/no502/controller/dockerd/stage"
)

// A container that says by all the labels that there are to be NPM is never given
// NPM's password: neither beside NPM nor while NPM is stopped or gone, nor by a
// no502 that starts then.
func TestNoLabelGetsThePassword(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var mu sync.Mutex
		var asked []string
		w.docker.Register("evil:1", func(ctx context.Context, box *dockerdtest.Box) int {
			l, err := box.Listen("tcp", ":81")
			if err != nil {
				return 1
			}
			server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, r.Method+" "+r.URL.Path)
				fmt.Fprint(rw, `{"status":"OK","setup":true,"version":{"major":2,"minor":15,"revision":1}}`)
			})}
			defer context.AfterFunc(ctx, func() { server.Close() })()
			_ = server.Serve(l)
			return 0
		})
		w.crowd(1)
		w.startNPM()
		_, err := w.people.Run(t.Context(), stage.Container{Name: "evil", Image: "evil:1", Network: "proxy", Expose: []string{"81", "443"}, Labels: map[string]string{
			"no502.role": "proxy", "com.docker.compose.project": "npm", "com.docker.compose.service": "npm", "org.opencontainers.image.title": "nginx-proxy-manager",
		}})
		w.must(err)
		for _, step := range []struct {
			what string
			do   func() error
		}{
			{"beside NPM", func() error { return nil }},
			{"NPM is stopped", func() error { return w.people.Stop(t.Context(), "npm") }},
			{"NPM is gone", func() error { return w.people.Remove(t.Context(), "npm") }},
		} {
			w.must(step.do())
			for range 2 { // by the no502 that ran before, and by one that starts now
				if w.stop == nil {
					w.start()
				}
				pass(20 * time.Minute)
				if step.what != "beside NPM" {
					w.stop()
				}
				mu.Lock()
				if len(asked) > 0 {
					t.Errorf("%s: evil was asked %v", step.what, asked)
				}
				mu.Unlock()
			}
		}
		if said := w.log.everything(); !strings.Contains(said, "the label no502.role does not make evil NPM's container") {
			t.Error("nothing is said about the label")
		}
	})
}
