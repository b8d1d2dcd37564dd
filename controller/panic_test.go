package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile"
)

// A fault of no502 about one host is told once with all that helps to mend it,
// and tried again like any failure; all other hosts are looked after.
func TestPanicOfOneKey(t *testing.T) {
	const canary = "canary-password-5d21"
	for what, fall := range map[string]func(){
		"index out of range":            func() { var list []int; _ = list[len(canary)] },
		"a panic with a string":         func() { panic("no: " + canary) },
		"a panic with a *fmt.wrapErr":   func() { panic(fmt.Errorf("no: %s: %w", canary, errors.New(canary))) },
		"invalid memory address or nil": func() { var key *api.Key; _ = key.Kind },
	} {
		inBubble(t, 1, func(t *testing.T, b *bed) {
			bad, good := api.HostKey(7), api.HostKey(8)
			b.answer(func(_ context.Context, k api.Key) (reconcile.Result, error) {
				if k == bad {
					fall()
				}
				return reconcile.Result{}, nil
			})
			b.notify(bad)
			<-time.After(10 * time.Second)
			synctest.Wait()
			tries := len(b.worked())
			if tries < 5 || tries > 8 {
				t.Errorf("%s: %d tries in 10 s", what, tries)
			}
			b.notify(good)
			b.wantWorked(good)
			said := strings.Join(b.logged(), "\n")
			if n := strings.Count(said, what); n != tries {
				t.Errorf("%d tries, and %q is said %d times:\n%s", tries, what, n, said)
			}
			if n := strings.Count(said, `"stack"=`); n != 1 || !strings.Contains(said, "panic_test.go") {
				t.Errorf("%s: %d stacks:\n%s", what, n, said)
			}
			if strings.Contains(said, canary) {
				t.Errorf("%s: shown in\n%s", what, said)
			}
			b.answer(nil)
			b.notify(bad) // mended
			b.wantWorked(bad)
		})
	}
}
