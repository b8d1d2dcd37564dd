package npm

import (
	"errors"
	"testing"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/npm/npmtest"
)

// Nothing that this no502 did not make is deleted.
func TestDeleteRefusesForeignHosts(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		for name, meta := range map[string]map[string]any{
			"a person's":       nil,
			"repaired":         {"no502": map[string]any{"instance": "test", "origin": "repaired"}},
			"another no502's":  {"no502": map[string]any{"instance": "other", "origin": "declared"}},
			"of no readable":   {"no502": "x"},
			"without instance": {"no502": map[string]any{"backend": "x", "origin": "declared"}},
		} {
			s := newNPM(t, 0, version(v))
			s.AddHost(npmtest.ProxyHost{DomainNames: []string{"a.b"}, ForwardHost: "x", ForwardPort: 1, Meta: meta})
			b := newBed(t, s.API())
			if err := b.Delete(t.Context(), api.HostKey(1)); !errors.Is(err, api.ErrStale) {
				t.Errorf("%s: %v", name, err)
			}
			eq(t, name, count(b.calls(), "DELETE"), 0)
		}
	})
}

// A host that changed hands after it was last seen is not deleted either.
func TestDeleteReadsFirst(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		b, other := newBed(t, s.API()), newBed(t, s.API())
		own := declared("shop/web", nil)
		key, err := b.Create(t.Context(), newHosts[1].kind, newHosts[1].fields, own)
		if err != nil {
			t.Fatal(err)
		}
		own.Instance = "other"
		if err := other.Patch(t.Context(), key, nil, nil, &own); err != nil {
			t.Fatal(err)
		}
		if err := b.Delete(t.Context(), key); !errors.Is(err, api.ErrStale) {
			t.Errorf("got %v", err)
		}
		eq(t, "there", b.seen(key).Ownership.Instance, "other")
	})
}
