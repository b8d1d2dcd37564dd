package dockerd

import (
	"testing"

	"github.com/no502/no502/api"
)

func TestParseStatus(t *testing.T) {
	for text, want := range map[string]struct {
		exit   int
		health api.Health
	}{
		"Up 3 minutes":                     {},
		"Up 3 minutes (healthy)":           {health: api.Healthy},
		"Up 3 minutes (unhealthy)":         {health: api.Unhealthy},
		"Up 1 second (health: starting)":   {health: api.Starting},
		"Up 2 hours (Paused)":              {},
		"Exited (137) 3 minutes ago":       {exit: 137},
		"Exited (-1) Less than a second":   {exit: -1},
		"Restarting (1) 2 seconds ago":     {exit: 1},
		"Created":                          {},
		"Removal In Progress":              {},
		"Dead":                             {},
		"":                                 {},
		"Exited (":                         {},
		"Exited (x) (healthy)":             {},
		"Exited (99999999999) a while ago": {},
	} {
		if exit, health := parseStatus(text); exit != want.exit || health != want.health {
			t.Errorf("%q: %d %q, want %+v", text, exit, health, want)
		}
	}
}

func FuzzParseStatus(f *testing.F) {
	for _, s := range []string{"Up 3 minutes (healthy)", "Exited (137) 3 minutes ago", "Restarting (1)", "Up (health: starting)", "(", ")("} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		exit, health := parseStatus(s)
		if exit != 0 && health != api.NoHealthcheck {
			t.Errorf("%q: exited with %d, and %s", s, exit, health)
		}
		switch health {
		case api.NoHealthcheck, api.Starting, api.Healthy, api.Unhealthy:
		default:
			t.Errorf("%q: health %q", s, health)
		}
	})
}
