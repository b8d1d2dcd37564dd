package resolve

import (
	"net/netip"
	"testing"

	"github.com/no502/no502/api"
)

// Visitors come in by the machine's port 80, wherever that leads in NPM's
// container.
func TestFront(t *testing.T) {
	inside := func(host, port uint16) api.Published {
		return api.Published{HostPort: host, Port: api.Port{Number: port, Protocol: "tcp"}}
	}
	for name, test := range map[string]struct {
		published []api.Published
		want      string
	}{
		"as NPM's own image":    {[]api.Published{inside(80, 80), inside(81, 81)}, "10.0.0.2:80"},
		"as jlesage's":          {[]api.Published{inside(8181, 8181), inside(80, 8080), inside(443, 4443)}, "10.0.0.2:8080"},
		"behind something else": {[]api.Published{inside(8080, 80)}, "10.0.0.2:80"},
		"nothing is published":  {nil, "10.0.0.2:80"},
	} {
		npm := &api.Container{
			ID: "1", Name: "npm", Image: "jc21/nginx-proxy-manager:2", NetworkMode: "proxy", Published: test.published, Inspected: true,
			State:       api.State{Status: api.Running},
			Attachments: []api.Attachment{{NetworkID: "net", Network: "proxy", IPv4: netip.MustParseAddr("10.0.0.2")}},
		}
		s := &api.Snapshot{Engine: api.NewEngine([]*api.Container{npm}, []*api.Network{{ID: "net", Name: "proxy", Driver: "bridge"}})}
		if got := Locate(s, api.Policy{}).Front(s, 80); got.String() != test.want {
			t.Errorf("%s: %v, want %s", name, got, test.want)
		}
	}
}
