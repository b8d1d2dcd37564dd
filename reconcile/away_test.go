package reconcile

import (
	"slices"
	"testing"

	"github.com/no502/no502/api"
)

// While NPM does not answer nothing is asked of it, without a word for each
// host: Docker is put right meanwhile, and NPM once it answers.
func TestNPMIsAway(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	key := api.HostKey(1)
	b.forward(1, api.Endpoint{Scheme: "http", Host: "WEB", Port: 8080})
	b.away = true
	if res := b.wantDone(key); !res.Retry {
		t.Error("it is not looked at again")
	}
	if len(b.said) == 0 || b.said[len(b.said)-1].InSync.Status == api.True {
		t.Errorf("said %v", b.said)
	}
	app := b.add("3", "app", func(c *api.Container) {
		c.Labels["no502.enable"] = "true"
		c.NetworkMode, c.Attachments = "other", []api.Attachment{{NetworkID: "net2", Network: "other"}}
	})
	b.engine.SetNetwork(&api.Network{ID: "net2", Name: "other", Driver: "bridge"})
	if _, did := b.reconcile(app); !slices.Contains(did, "attach 3333") {
		t.Errorf("Docker was left alone: %v", did)
	}
	b.away = false
	if _, did := b.reconcile(key); !slices.Contains(did, "patch 1 http://web:8080") {
		t.Errorf("once NPM answers it did %v", did)
	}
}
