package main

import (
	"testing"
	"time"

	"github.com/no502/no502/controller/npm/npmtest"
)

// With NPM's data directory at hand an edit is mended at once, not at the next
// poll: in this test there is none. The directory is real, and so is time.
func TestEditWatched(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, func(o *npmtest.Options) { o.DataDir = dir })
	defer w.close()
	w.settings.npmData, w.settings.poll = dir, time.Hour
	w.crowd(2)
	w.startNPM()
	w.start()
	w.log.await(t, 2, "proxy host is right")
	w.edit(2, map[string]any{"forward_host": "APP2"})
	w.log.await(t, 1, `"done"`)
	w.wantForward(2, "http://app2:8080")
}
