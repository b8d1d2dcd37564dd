package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/test/lab"
)

// No memory to spare: with 64 MiB and no swap no502 looks after 300 services,
// makes their hosts, follows them, and is not killed.
func TestFaultNoMemoryToSpare(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it makes 300 containers")
	}
	services, run := 300, 10 // those that run: each is a process
	if realNPM() {
		services = 60 // it takes one to two seconds for each
	}
	w := raise(t, "memory", "")
	w.memory = 64 << 20
	made, ctx := errgroup.WithContext(t.Context())
	made.SetLimit(4)
	for i := range services {
		made.Go(func() error {
			c := stage.Container{
				Name: w.Name(fmt.Sprintf("app%d", i)), Image: appImage, Cmd: []string{"demo", "backend", "8080/http"},
				Network: w.Elsewhere, Expose: []string{"8080"},
				Labels: map[string]string{w.Label("no502.host"): fmt.Sprintf("app%d.example.com, www.app%d.example.com", i, i)},
				Env:    []string{fmt.Sprintf("NAME=app%d", i)},
			}
			id, err := w.Create(ctx, c)
			if err == nil && i < run {
				err = w.Start(ctx, id)
			}
			return err
		})
	}
	must(t, made.Wait())
	w.controller(t, "NO502_LOG_LEVEL=debug")
	t.Cleanup(func() {
		if t.Failed() {
			_, text := w.log(context.Background())
			t.Logf("no502's log ends with\n%s", lines(text, "{"))
		}
	})
	eventually(t, fmt.Sprintf("there are %d hosts more", services), func(ctx context.Context) error {
		var rows []lab.ProxyHost
		err := w.API(ctx, http.MethodGet, "/nginx/proxy-hosts", nil, &rows)
		if found := len(rows) - len(w.settled); err == nil && found != services {
			err = fmt.Errorf("there are %d", found)
		}
		return err
	})
	for i := range run {
		eventually(t, fmt.Sprintf("app%d answers", i), func(ctx context.Context) error {
			got := w.Get(ctx, fmt.Sprintf("www.app%d.example.com", i))
			if got.Status != http.StatusOK || !strings.HasPrefix(got.Body, fmt.Sprintf("app%d answers", i)) {
				return fmt.Errorf("it gets %+v", got)
			}
			return nil
		})
	}
	st, err := w.State(t.Context(), w.Name("no502"))
	must(t, err)
	if !st.Running || st.OOMKilled {
		t.Errorf("no502 is %+v", st)
	}
	rows, err := w.Rows(t.Context())
	must(t, err)
	t.Logf("checked after %q: %d hosts, %d lost", "64 MiB", len(rows), w.unchanged(t, rows)) // for make soak
	all, anonymous, err := w.Memory(t.Context(), w.Name("no502"))
	must(t, err)
	t.Logf("with %d services no502 takes %.1f MiB, of which %.1f MiB are no files", services, float64(all)/(1<<20), float64(anonymous)/(1<<20))
	if _, text := w.log(t.Context()); !strings.Contains(text, `"msg":"keeping to a memory limit","bytes":60397977`) { // nine tenths
		t.Errorf("no502 does not know its container's limit:\n%s", lines(text, "memory"))
	}
}
