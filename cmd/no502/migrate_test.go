package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/controller/dockerd/stage"
)

// Labels of another tool work as they are, and migrate prints no502's for them.
func TestMigrate(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settings.dialects = []string{"traefik", "nginx-proxy"}
		w.app("shop", "proxy", func(c *stage.Container) {
			c.Labels = map[string]string{
				"traefik.enable":                                      "true",
				"traefik.http.routers.shop.rule":                      "Host(`shop.example.com`)",
				"traefik.http.services.shop.loadbalancer.server.port": "8080",
			}
		})
		w.app("blog", "proxy", func(c *stage.Container) {
			c.Labels, c.Env = nil, append(c.Env, "VIRTUAL_HOST=blog.example.com", "VIRTUAL_PORT=8080", "PASSWORD="+testPassword)
		})
		w.settle()
		for _, domain := range []string{"shop.example.com", "blog.example.com"} {
			if status, _ := w.visit(domain); status != 200 {
				t.Errorf("a visitor of %s gets %d", domain, status)
			}
		}
		var out, log bytes.Buffer
		w.must(migrate(t.Context(), w.settings, w.place, &out, &log))
		want := `# blog
services:
  "blog":
    labels:
      no502.host: "blog.example.com"
      no502.port: "8080"

# shop
services:
  "shop":
    labels:
      no502.host: "shop.example.com"
      no502.port: "8080"

`
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Error(diff)
		}
		if strings.Contains(out.String(), testPassword) {
			t.Error("what is none of its business is printed")
		}
		w.settings.dialects = []string{"caddy"}
		out.Reset()
		w.must(migrate(t.Context(), w.settings, w.place, &out, &log))
		if out.String() != "No container has labels of caddy.\n" {
			t.Error(out.String())
		}
	})
}
