package intent

import (
	"testing"

	"github.com/no502/no502/api"
)

func BenchmarkOf(b *testing.B) {
	compose := ";com.docker.compose.project=shop;com.docker.compose.service=web;com.docker.compose.version=2.40.0" +
		";org.opencontainers.image.title=web;org.opencontainers.image.source=https://example.com;maintainer=somebody"
	defaults := policy()
	defaults.Defaults = map[string]string{"force-ssl": "true", "on-remove": "delete"}
	for _, bench := range []struct {
		name, labels string
		policy       api.Policy
	}{
		{"unlabelled", "", policy()},
		{"enabled", "no502.enable=true", policy()},
		{"one host", "no502.host=app.example.com;no502.port=8080;no502.force-ssl=true", policy()},
		{"one host and defaults", "no502.host=app.example.com;no502.port=8080;no502.force-ssl=true", defaults},
		{"three routes", "no502.host=a.example.com;no502.redirect-from=www.a.example.com;no502.b.host=b.example.com;no502.b.port=81;" +
			"no502.b.location.api.path=/api;no502.b.location.api.port=82;no502.dns.stream=53/udp", policy()},
	} {
		c := container(bench.labels + compose)
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Of(c, bench.policy)
			}
		})
	}
}

func TestWhoHasNoLabelsCostsNothing(t *testing.T) {
	c, p := container("com.docker.compose.project=shop;no502=1"), policy()
	if n := testing.AllocsPerRun(100, func() { Of(c, p); Concerns(c.Labels, p) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
