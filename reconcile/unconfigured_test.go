package reconcile

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/api"
)

// An NPM that never notes what nginx said of a host: it is saved again once for
// that, and not for ever.
func TestNoVerdictOfNginx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, api.ModeRepair)
		b.npm.Certificates, b.npm.AccessLists = []api.Certificate{}, []api.AccessList{}
		b.wantDone(b.label("host=web.example.com"), "create proxy-host of web", "done: HostMissing")
		h := *b.npm.Host(9)
		h.Online = nil
		b.npm.SetHost(&h)
		saved := 0
		for range 100 {
			_, did := b.reconcile(api.HostKey(9))
			saved += len(did) / 2 // done, and told
			time.Sleep(10 * time.Second)
		}
		if saved != 1 {
			t.Errorf("saved %d times", saved)
		}
	})
}
