package e2e

import (
	"context"
	"fmt"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/stage"
)

// repaired is a host that no502 has repaired: an app on a network of its own,
// typed as localhost.
func (s *scene) repaired() {
	s.t.Helper()
	app(s, stage.Container{Publish: []string{"8080"}})
	s.observed(forward("http", "localhost", s.published("app", "8080")), 502)
	s.release()
	s.answers("app")
	s.healed(api.ForwardHostLoopback, api.ForwardPortPublished)
	s.fromNow()
}

// mistyped: a person edits the host to something wrong, and no502 writes it
// once to set it right. Port 0 stands for the machine's.
func (s *scene) mistyped(fields map[string]any) {
	s.t.Helper()
	s.repaired()
	if fields["forward_port"] == 0 {
		fields["forward_port"] = s.published("app", "8080")
	}
	fields["advanced_config"] = "# no502: observe"
	s.edit(fields)
	must(s.t, s.visitorGets(s.t.Context(), 502))
	s.release()
	s.answers("app")
	s.forwards("http://app:8080")
	eventually(s.t, "no502 says that it is done again", func(ctx context.Context) error {
		if got := s.reasons(ctx); len(got) != 2 {
			return fmt.Errorf("it repaired %q", got)
		}
		return nil
	})
	if got := s.writes(s.t, s.host.ID); len(got) != s.edits+2 { // the edit, and no502's
		s.t.Errorf("NPM's audit log has %v, want %d", got, s.edits+2)
	}
}

var edits = []liveCase{
	{"a healed host that somebody edits back to localhost is healed again", func(s *scene) {
		s.mistyped(map[string]any{"forward_host": "localhost", "forward_port": 0})
	}},
	{"a healed host that somebody edits to a name that nobody has is healed again", func(s *scene) {
		s.mistyped(map[string]any{"forward_host": "ap"})
	}},
	{"a healed host that somebody edits to another container is left to it", func(s *scene) {
		s.repaired()
		s.run(stage.Container{Name: "other", Network: s.Home(), Cmd: []string{"8080/http"}})
		s.edit(map[string]any{"forward_host": s.name("other")})
		s.edits++
		s.row = s.rowNow()
		s.answers("other")
		eventually(s.t, "no502 sees that another is meant", func(ctx context.Context) error {
			v, err := s.verdict(ctx, api.KindHost, s.domain)
			if err == nil && v.Backend != api.Identity(s.name("other")) {
				err = fmt.Errorf("it says %+v", v)
			}
			return err
		})
		s.untouched()
		s.answers("other")
	}},
	{"a healed host that somebody edits to a wrong scheme and port is healed again", func(s *scene) {
		s.mistyped(map[string]any{"forward_scheme": "https", "forward_port": 0})
	}},
}

// stays: what was right stays right.
var stays = []liveCase{
	{"a service recreated on the network that no502 made keeps its address, and NPM is not written", func(s *scene) {
		s.repaired()
		was := s.address("app", s.managed)
		s.again(stage.Container{Name: "app", Labels: enable, Address: s.elsewhere(210), Cmd: []string{"8080/http"}})
		s.attached("app")
		if now := s.address("app", s.managed); now != was {
			s.t.Errorf("its address is %s, was %s", now, was)
		}
		s.answers("app")
		s.untouched()
	}},
	{"two replicas of a service: both answer, and one goes on when the other stops", func(s *scene) {
		for _, n := range []string{"1", "2"} {
			app(s, s.replica(n))
		}
		s.observed(forward("http", s.web(), 8080), 502)
		s.release()
		s.bothAnswer("shop-web-1", "shop-web-2")
		s.healed(api.ForwardHostUnresolvable)
		s.forwards("http://" + s.web() + "." + s.name("shop") + ":8080")
		must(s.t, s.Stop(s.t.Context(), s.name("shop-web-1")))
		s.inARow("shop-web-2", 10)
		s.says(s.domain + ": save again") // that nginx forgets the other: not needed, but to come
	}},
	{"a service scaled to two afterwards: the second takes over when the first stops", func(s *scene) {
		app(s, s.replica("1"))
		s.observed(forward("http", s.web(), 8080), 502)
		s.release()
		s.answers("shop-web-1")
		s.healed(api.ForwardHostUnresolvable)
		app(s, s.replica("2"))
		s.attached("shop-web-2")
		s.answers("shop-web-1")
		must(s.t, s.Stop(s.t.Context(), s.name("shop-web-1")))
		s.inARow("shop-web-2", 10)
		s.forwards("http://" + s.web() + "." + s.name("shop") + ":8080")
	}},
}

// web is the name of a service that only this scene has.
func (s *scene) web() string { return fmt.Sprintf("web%d", s.n) }

func (s *scene) replica(n string) stage.Container {
	return stage.Container{Name: "shop-web-" + n, Aliases: []string{s.web()}, Labels: compose(s.name("shop"), s.web(), n, enable)}
}

// bothAnswer: of several requests in a row all are answered, some by each.
func (s *scene) bothAnswer(one, two string) {
	s.t.Helper()
	eventually(s.t, one+" and "+two+" answer", func(ctx context.Context) error {
		count := map[string]int{}
		for range 12 {
			who, err := s.who(ctx)
			if err != nil {
				return err
			}
			count[who]++
		}
		if count[one] == 0 || count[two] == 0 || len(count) > 2 {
			return fmt.Errorf("of 12 requests they answered %v", count)
		}
		return nil
	})
}

// inARow: requests one after the other are all answered.
func (s *scene) inARow(name string, count int) {
	s.t.Helper()
	eventually(s.t, name+" goes on", func(ctx context.Context) error {
		for range count {
			if err := s.answer(ctx, name); err != nil {
				return err
			}
		}
		return nil
	})
}
