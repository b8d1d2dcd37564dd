package plan

import (
	"slices"
	"testing"
	"time"

	"github.com/no502/no502/api"
)

func TestBest(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	certificate := func(id int, days float64, names ...string) api.Certificate {
		return api.Certificate{ID: id, Domains: names, Expires: now.Add(time.Duration(days * 24 * float64(time.Hour)))}
	}
	for _, test := range []struct {
		name         string
		certificates []api.Certificate
		domains      []string
		want         int // 0: none
	}{
		{"none", nil, []string{"a.example.com"}, 0},
		{"none that fits", []api.Certificate{certificate(1, 60, "b.example.com")}, []string{"a.example.com"}, 0},
		{"exact over wildcard", []api.Certificate{certificate(1, 80, "*.example.com"), certificate(2, 60, "a.example.com")}, []string{"a.example.com"}, 2},
		{"all over some", []api.Certificate{certificate(1, 60, "a.example.com"), certificate(2, 60, "*.example.com")}, []string{"a.example.com", "b.example.com"}, 2},
		{"all that expires over some that lasts", []api.Certificate{certificate(1, 60, "a.example.com"), certificate(2, 3, "*.example.com")}, []string{"a.example.com", "b.example.com"}, 2},
		{"some where none has all", []api.Certificate{certificate(1, 60, "a.example.com")}, []string{"a.example.com", "b.example.org"}, 1},
		{"lasting wildcard over expiring exact", []api.Certificate{certificate(1, 5, "a.example.com"), certificate(2, 60, "*.example.com")}, []string{"a.example.com"}, 2},
		{"expiring over none", []api.Certificate{certificate(1, 5, "a.example.com")}, []string{"a.example.com"}, 1},
		{"expired never", []api.Certificate{certificate(1, -0.01, "a.example.com")}, []string{"a.example.com"}, 0},
		{"at this moment", []api.Certificate{certificate(1, 0, "a.example.com")}, []string{"a.example.com"}, 0},
		{"the one that lasts longer", []api.Certificate{certificate(1, 60, "a.example.com"), certificate(2, 61, "a.example.com")}, []string{"a.example.com"}, 2},
		{"the older of two alike", []api.Certificate{certificate(2, 60, "a.example.com"), certificate(1, 60, "a.example.com")}, []string{"a.example.com"}, 1},
		{"a wildcard domain", []api.Certificate{certificate(1, 60, "example.com"), certificate(2, 60, "*.example.com")}, []string{"*.example.com"}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			j := judgement{builder: &builder{s: &api.Snapshot{Now: now}}}
			for range 2 {
				got := 0
				if best := j.best(test.certificates, test.domains); best != nil {
					got = best.ID
				}
				if got != test.want {
					t.Errorf("the best of %v is %d, not %d", test.certificates, got, test.want)
				}
				slices.Reverse(test.certificates) // their order does not matter
			}
		})
	}
}

func TestIssued(t *testing.T) {
	now := time.Unix(10_000_000, 0)
	for _, test := range []struct {
		name        string
		certificate api.Certificate
		want        bool
	}{
		{"valid", api.Certificate{Provider: "letsencrypt", Domains: []string{"a.example.com"}, Expires: now.Add(time.Hour)}, true},
		{"by a wildcard", api.Certificate{Provider: "letsencrypt", Domains: []string{"*.example.com"}, Expires: now.Add(time.Hour)}, true},
		{"being asked for", api.Certificate{Provider: "letsencrypt", Domains: []string{"a.example.com"}, Expires: now}, true},
		{"expired long ago", api.Certificate{Provider: "letsencrypt", Domains: []string{"a.example.com"}, Expires: now.Add(-25 * time.Hour)}, false},
		{"uploaded", api.Certificate{Provider: "other", Domains: []string{"a.example.com"}, Expires: now.Add(time.Hour)}, false},
		{"for another domain", api.Certificate{Provider: "letsencrypt", Domains: []string{"b.example.com"}, Expires: now.Add(time.Hour)}, false},
	} {
		j := judgement{builder: &builder{s: &api.Snapshot{Now: now, NPM: api.NewNPM(nil)}}}
		j.s.NPM.Certificates = []api.Certificate{test.certificate}
		if got := j.issued([]string{"a.example.com"}) != nil; got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}
