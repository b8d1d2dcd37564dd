package plan_test

import (
	"strings"
	"testing"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/plan"
)

// FuzzForwardHost: whatever is typed into NPM, and whatever containers are
// called, what is written is a host name or an address, once, and then good.
func FuzzForwardHost(f *testing.F) {
	for _, host := range append([]string{
		"web", "WEB.", "web.proxy", "[::1]", "::ffff:127.0.0.1", "fe80::1%eth0", "http://web/", "127.1", "0x7f000001", "localhost.",
		"$server", "web\n", " web ", "web:8080", "..", "-web", "wéb", "172.20.0.3", "172.20.0.1", c0ffee, strings.Repeat("a", 300),
	}, someHosts...) {
		f.Add(host, "web", "shop", uint16(3000))
	}
	f.Add("web", "x\"; return 200", "a/b", uint16(0))
	f.Fuzz(func(t *testing.T, host, service, project string, port uint16) {
		var w world
		if err := w.parse(map[string]string{
			"networks": "proxy 172.20.0.0/16\nshop_default 172.21.0.0/16",
			"containers": "npm image=jc21/nginx-proxy-manager:2 net=proxy\n" +
				"web net=shop_default publish=3000:8080 listens=8080/http no502.enable=true\n" +
				"web-2 net=shop_default publish=3000:8080 listens=8080/http no502.enable=true\n" +
				"other net=proxy listens=80/http",
		}); err != nil {
			t.Fatal(err)
		}
		for _, c := range w.containers[1:3] {
			c.Labels[api.ComposeProject], c.Labels[api.ComposeService] = project, service
		}
		h := &api.Host{ID: 1, Enabled: true}
		setRow(h, api.Endpoint{Scheme: "http", Host: host, Port: port}.Fields().With(api.Fields{api.FieldDomains: []string{"app.example.com"}}))
		w.hosts = []*api.Host{h}
		done, last := w.converge(t) // which refuses what is no endpoint
		patches := 0
		for _, a := range done {
			if a.Op == api.OpPatch {
				patches++
			}
			for _, alias := range a.Aliases {
				if !hostName.MatchString(alias) {
					t.Errorf("%s: alias %q", a, alias)
				}
			}
		}
		if patches > 1 {
			t.Errorf("%d patches: %v", patches, done)
		}
		for _, v := range last.Verdicts {
			if v.Key == api.HostKey(1) && v.InSync.Status == api.True && !api.IsForwardHost(v.Endpoint.Host) && v.Endpoint.Host != "" {
				t.Errorf("%q counts as right", v.Endpoint.Host)
			}
		}
		if again := plan.Build(w.snapshot(), w.policy); len(again.Actions) > 0 || !again.Wants.Empty() {
			t.Errorf("not settled: %v %v", again.Actions, again.Wants)
		}
	})
}

const c0ffee = "c0ffee0000020000000000000000000000000000000000000000000000000002"
