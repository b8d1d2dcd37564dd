package plan_test

import (
	"slices"
	"testing"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/plan"
)

// Who wrote last in this instance's name is at work as long as Docker says that it
// can be; where Docker does not know it, for a minute.
func TestWhoIsAtWork(t *testing.T) {
	now := time.Unix(2_000_000, 0)
	for _, test := range []struct {
		name    string
		holder  api.Holder
		status  api.Status
		health  api.Health
		seen    time.Duration // ago
		standBy bool
	}{
		{"its container runs", api.Holder{Process: "other", Container: "other"}, api.Running, "", time.Hour, true},
		{"and crashes", api.Holder{Process: "other", Container: "other"}, api.Restarting, "", time.Hour, true},
		{"has ended", api.Holder{Process: "other", Container: "other"}, api.Exited, "", 0, false},
		{"is paused", api.Holder{Process: "other", Container: "other"}, api.Paused, "", 0, false},
		{"cannot work", api.Holder{Process: "other", Container: "other"}, api.Running, api.Unhealthy, 0, false},
		{"is gone from this Engine", api.Holder{Process: "other", Container: "gone", Engine: "this"}, api.Running, "", 0, false},
		{"is another Engine's, seen just now", api.Holder{Process: "other", Container: "gone", Engine: "that"}, api.Running, "", time.Second, true},
		{"is another Engine's, silent since", api.Holder{Process: "other", Container: "gone", Engine: "that"}, api.Running, "", time.Minute, false},
		{"this process itself", api.Holder{Process: "me"}, api.Running, "", 0, false},
		{"this container's process before", api.Holder{Process: "before", Container: "self"}, api.Running, "", 0, false},
	} {
		npm := &api.Container{ID: "npm", Name: "npm", Image: "jc21/nginx-proxy-manager:2", State: api.State{Status: api.Running},
			Attachments: []api.Attachment{{NetworkID: "net", Network: "proxy"}}}
		other := &api.Container{ID: "other", Name: "other", State: api.State{Status: test.status, Health: test.health}}
		s := &api.Snapshot{
			Engine: api.NewEngine([]*api.Container{npm, other, {ID: "self", Name: "self"}},
				[]*api.Network{{ID: "net", Name: "proxy", Driver: "bridge"}, {ID: "this", Name: "none", Driver: "null"}}),
			NPM: api.NewNPM(nil), Self: "self", Process: "me", Now: now, Lease: api.Lease{Holder: &test.holder, Seen: now.Add(-test.seen)},
		}
		p := plan.For(s, api.Policy{Instance: "no502", Prefix: "no502"}, api.SystemKey())
		said := slices.ContainsFunc(p.Verdicts[0].Findings, func(f api.Finding) bool { return f.Code == api.StandingBy })
		if said != test.standBy {
			t.Errorf("%s: stands by: %t", test.name, said)
		}
	}
}
