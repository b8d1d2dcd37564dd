package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/stage"
)

// undone runs `no502 undo`, and returns what it prints.
func (w *world) undone(domain string) (string, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	var out, log bytes.Buffer
	err := undo(ctx, w.settings, w.place, domain, &out, &log)
	return out.String(), err
}

// row is a proxy host as NPM holds it.
func (w *world) row(id string) (row map[string]any) {
	w.t.Helper()
	w.must(json.Unmarshal(w.npm.Snapshot()["proxy_host/"+id], &row))
	return row
}

// A host that somebody made by hand is taken over by labels, and undo gives it
// back as it was: it works beside a running controller, which then leaves it.
func TestUndo(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.host(1, "localhost", 13001)
		w.edit(1, map[string]any{"caching_enabled": true, "advanced_config": "client_max_body_size 1g;"})
		w.app("app", "proxy", func(c *stage.Container) {
			c.Labels = map[string]string{"no502.host": "app1.example.com, www.example.com", "no502.cache": "no", "no502.websockets": "yes"}
		})
		w.settle()
		w.wantForward(1, "http://app:8080")
		if row := w.row("1"); row["caching_enabled"] != false || row["allow_websocket_upgrade"] != true || len(row["domain_names"].([]any)) != 2 {
			t.Errorf("not taken over: %v", row)
		}
		said, err := w.undone("www.example.com")
		w.must(err)
		for _, line := range []string{"it forwards to http://localhost:13001", "caching_enabled: true", `"# no502: off"`} {
			if !strings.Contains(said, line) {
				t.Errorf("undo does not say %s:\n%s", line, said)
			}
		}
		pass(10 * time.Minute)
		row := w.row("1")
		w.wantForward(1, "http://localhost:13001")
		if row["caching_enabled"] != true || row["allow_websocket_upgrade"] != false || len(row["domain_names"].([]any)) != 1 ||
			row["advanced_config"] != "client_max_body_size 1g;\n# no502: off" {
			t.Errorf("not given back: %v", row)
		}
		if meta, _ := row["meta"].(map[string]any); meta["no502"] != nil {
			t.Errorf("still noted: %v", meta)
		}
	})
}

// What no502 itself would never write is put back all the same.
func TestUndoOdd(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.host(1, "app", 8080)
		w.edit(1, map[string]any{"locations": []any{map[string]any{
			"path": "= /odd", "forward_scheme": "http", "forward_host": "app/v1", "forward_port": 8080,
		}}})
		w.app("app", "proxy", func(c *stage.Container) {
			c.Labels = map[string]string{"no502.host": "app1.example.com", "no502.location.api.path": "/api"}
		})
		w.settle()
		if list, _ := w.row("1")["locations"].([]any); len(list) != 2 {
			t.Fatalf("locations: %v", list)
		}
		_, err := w.undone("app1.example.com")
		w.must(err)
		if list, _ := w.row("1")["locations"].([]any); len(list) != 1 || list[0].(map[string]any)["forward_host"] != "app/v1" {
			t.Errorf("locations: %v", list)
		}
	})
}

// What there is nothing to undo about is told apart.
func TestUndoNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.host(1, "app", 8080)
		w.app("app", "proxy")
		w.app("made", "proxy", func(c *stage.Container) { c.Labels = map[string]string{"no502.host": "made.example.com"} })
		w.settle()
		for domain, sentence := range map[string]string{
			"app1.example.com":  "no502 never changed app1.example.com, so there is nothing to put back",
			"made.example.com":  "no502 made made.example.com for made, so there is nothing from before",
			"other.example.com": "NPM has no host for other.example.com",
		} {
			if _, err := w.undone(domain); err == nil || !strings.HasPrefix(err.Error(), sentence) {
				t.Errorf("undo %s: %v", domain, err)
			}
		}
		want(t, "nothing to undo", w.asked(), map[string]int{npmPuts: 0})
	})
}
