package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/stage"
)

// TestNPMsOwnLife: NPM and no502 are restarted and recreated, and everything
// stays right, or gets right again.
func TestNPMsOwnLife(t *testing.T) {
	t.Parallel()
	w := raise(t, "life", "")
	s := w.scene(t)
	app(s, stage.Container{Publish: []string{"8080"}})
	localhost := forward("http", "localhost", s.published("app", "8080"))
	s.given(localhost, 502)
	s.broken()
	w.controller(t)
	s.answers("app")
	s.healed(api.ForwardHostLoopback, api.ForwardPortPublished)
	s.fromNow()

	step := func(name string, test func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			s.t = t
			test(t)
		})
	}
	step("NPM is restarted", func(t *testing.T) {
		must(t, s.RestartNPM(t.Context()))
		s.answers("app")
		s.untouched()
	})
	step("no502 is recreated", func(t *testing.T) {
		w.dismiss(t)
		w.controller(t)
		s.seen()
		s.answers("app")
		s.untouched()
	})
	step("NPM is recreated with an empty database, and its hosts are made again", func(t *testing.T) {
		must(t, s.Remove(t.Context(), s.Name("npm")))
		must(t, s.RunNPM(t.Context()))
		w.mu.Lock()
		w.settled = map[int]string{} // the bystanders went with the database
		w.mu.Unlock()
		again := w.scene(t)
		again.n, again.domain = s.n, s.domain // the same containers
		localhost.AdvancedConfig = "# no502: observe"
		again.given(localhost, 502)
		again.broken()
		again.release()
		again.answers("app")
		again.seen()
		if got := again.writes(t, again.host.ID); len(got) != 2 {
			t.Errorf("NPM's audit log has %v after the host was made, want a person's entry and no502's", got)
		}
		s.host = again.host
	})
	s.t = t
}

// seen waits until no502 has looked at the host.
func (s *scene) seen() {
	s.t.Helper()
	eventually(s.t, "no502 looks at "+s.domain, func(ctx context.Context) error {
		v, err := s.verdict(ctx, api.KindHost, s.domain)
		if err == nil && v.Conditions["InSync"].Status != api.True {
			err = fmt.Errorf("it says %+v", v)
		}
		return err
	})
}

// TestUserMadeNetwork: NPM was started on a network that others use as well.
// no502 uses it, and makes none. Its addresses are the Engine's to choose.
func TestUserMadeNetwork(t *testing.T) {
	t.Parallel()
	w := raise(t, "foreign", "proxy")
	s := w.scene(t)
	app(s, stage.Container{Publish: []string{"8080"}})
	s.given(forward("http", "localhost", s.published("app", "8080")), 502)
	s.broken()
	w.controller(t, "NO502_NETWORK=")
	s.answers("app")
	s.healed(api.ForwardHostLoopback, api.ForwardPortPublished)
	s.fromNow()

	nets, err := w.Networks(t.Context(), s.name("app"))
	must(t, err)
	slices.Sort(nets)
	if diff := cmp.Diff([]string{w.Elsewhere, w.Net}, nets); diff != "" {
		t.Errorf("networks of the service:\n%s", diff)
	}
	if nets, err := w.Networks(t.Context(), w.Name("npm")); err != nil || len(nets) != 1 {
		t.Errorf("networks of NPM: %v (%v)", nets, err)
	}

	// The address goes to a stranger, and the service comes back with another.
	// Left to itself nginx would send visitors to the stranger for 10 s.
	old := s.address("app", w.Net)
	s.answers("app") // so that nginx knows the address
	must(t, w.Remove(t.Context(), s.name("app")))
	for i := 0; ; i++ {
		name := fmt.Sprintf("stranger%d", i)
		s.run(stage.Container{Name: name, Network: w.Net, Cmd: []string{"8080/http"}})
		if s.address(name, w.Net) == old {
			break
		}
		if i == 8 {
			t.Fatalf("the Engine does not give %s to anybody", old)
		}
	}
	s.run(stage.Container{Name: "app", Labels: enable, Cmd: []string{"8080/http"}})
	limit := 5 * time.Second
	if realNPM() {
		limit = 8 * time.Second // its reload takes a while
	}
	if err := within(t.Context(), limit, func(ctx context.Context) error { return s.answer(ctx, "app") }); err != nil {
		t.Errorf("not right %s after the service came back: %v", limit, err)
	}
	if now := s.address("app", w.Net); now == old {
		t.Errorf("it has its old address %s, so nothing was tested", old)
	}
	for range 10 {
		must(t, s.answer(t.Context(), "app"))
	}
	if was, now := strings.Contains(s.row, s.name("app")), s.writes(t, s.host.ID); !was || len(now) > s.edits+1 {
		t.Errorf("NPM's audit log has %v, want at most one entry more than %d", now, s.edits)
	}
}
