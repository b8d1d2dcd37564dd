package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/stage"
)

// TestDeclared: labels are all there is to publishing a service.
func TestDeclared(t *testing.T) {
	t.Parallel()
	w := raise(t, "labels", "")
	must(t, w.AddAccessList(t.Context(), "family", "granny", "apple"))
	for _, name := range []string{"*.tls.example.com", "exact.tls.example.com"} {
		_, err := w.AddCertificate(t.Context(), name, name)
		must(t, err)
	}
	w.controller(t)
	for _, c := range slices.Concat(declared, ends) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(w.scene(t))
		})
	}
}

func (s *scene) visits() visits { return visits{s.Lab, s.t} }

// service is a container as Compose makes it: of a project of this scene, on a
// network that NPM is not on.
func (s *scene) service(name string, number int, labels map[string]string) stage.Container {
	n := fmt.Sprint(number)
	return stage.Container{
		Name: "shop-" + name + "-" + n, Aliases: []string{name}, Expose: []string{"8080"}, Cmd: []string{"8080/http"},
		Labels: compose(s.name("shop"), name, n, labels),
	}
}

// recreated replaces a container as Compose does: the new one has the short ID
// of the old one before its name until that is gone.
func (s *scene) recreated(c stage.Container) {
	s.t.Helper()
	name := s.name(c.Name)
	c = s.dress(c)
	c.Name = "0123456789ab_" + name
	_, err := s.Create(s.t.Context(), c)
	must(s.t, err)
	must(s.t, s.Stop(s.t.Context(), name))
	must(s.t, s.Remove(s.t.Context(), name))
	must(s.t, s.Rename(s.t.Context(), c.Name, name))
	must(s.t, s.Start(s.t.Context(), name))
}

// hosts are those that NPM has of a kind, of one domain.
func (s *scene) hosts(ctx context.Context, kind, domain string) (found []host, err error) {
	var all []host
	err = s.API(ctx, http.MethodGet, "/nginx/"+kind, nil, &all)
	for _, h := range all {
		if slices.Contains(h.DomainNames, domain) {
			found = append(found, h)
		}
	}
	return found, err
}

// one waits until NPM has exactly one proxy host of a domain, and it is as it
// should be.
func (s *scene) one(domain, what string, is func(h host) bool) (h host) {
	s.t.Helper()
	eventually(s.t, domain+" is "+what, func(ctx context.Context) error {
		found, err := s.hosts(ctx, "proxy-hosts", domain)
		if err == nil && (len(found) != 1 || !is(found[0])) {
			err = fmt.Errorf("NPM has %+v", found)
		}
		if err == nil {
			h = found[0]
		}
		return err
	})
	return h
}

func there(host) bool { return true }

// never: NPM's audit log does not say that this was done to a host.
func (s *scene) never(h host, what ...string) {
	s.t.Helper()
	for _, action := range s.writes(s.t, h.ID) {
		if slices.Contains(what, action) {
			s.t.Errorf("%v was %s", h.DomainNames, action)
		}
	}
}

var declared = []liveCase{
	{"created: one write, and it answers", func(s *scene) {
		s.run(s.service("web", 1, map[string]string{"no502.host": s.domain}))
		s.visits().get("http://"+s.domain+"/", 200, "shop-web-1 answers on :8080")
		h := s.one(s.domain, "there", there)
		if got := s.writes(s.t, h.ID); len(got) != 0 {
			s.t.Errorf("NPM's audit log has %v after it was made", got)
		}
		if want := api.Identity(s.name("shop") + "/web"); h.Meta.No502.Service != string(want) {
			s.t.Errorf("its service is noted as %q, want %q", h.Meta.No502.Service, want)
		}
	}},
	{"edited: new domains and another port edit the host that there is", func(s *scene) {
		c := s.service("web", 1, map[string]string{"no502.host": s.domain})
		c.Cmd, c.Expose = []string{"8080/http", "9090/http"}, []string{"8080", "9090"}
		c.Labels["no502.port"] = "8080"
		s.run(c)
		s.visits().get("http://"+s.domain+"/", 200, "shop-web-1 answers on :8080")
		was := s.one(s.domain, "there", there)

		c.Labels["no502.host"], c.Labels["no502.port"] = "new."+s.domain+", also."+s.domain, "9090"
		s.recreated(c)
		s.visits().get("http://new."+s.domain+"/", 200, "shop-web-1 answers on :9090")
		s.visits().get("http://also."+s.domain+"/", 200, "shop-web-1 answers on :9090")
		s.visits().get("http://"+s.domain+"/page", 404, "")
		if now := s.one("new."+s.domain, "there", there); now.ID != was.ID {
			s.t.Errorf("it is proxy host %d, was %d", now.ID, was.ID)
		}
		s.never(was, "disabled", "enabled", "deleted")
	}},
	{"scaled to three: all of them answer, through the host that there is", func(s *scene) {
		labels := map[string]string{"no502.host": s.domain}
		s.run(s.service("web", 1, labels))
		s.answers("shop-web-1")
		was := s.one(s.domain, "there", there)
		s.run(s.service("web", 2, labels))
		s.run(s.service("web", 3, labels))
		s.allAnswer("shop-web-1", "shop-web-2", "shop-web-3")
		if now := s.one(s.domain, "there", there); now.ID != was.ID || now.ForwardHost != "web."+s.name("shop") {
			s.t.Errorf("it is proxy host %d to %s, was %d", now.ID, now.ForwardHost, was.ID)
		}
		s.never(was, "disabled", "enabled", "deleted")
	}},
	{"certificate: the best that NPM has is presented", func(s *scene) {
		s.run(s.service("web", 1, map[string]string{
			"no502.host": "exact.tls.example.com", "no502.force-ssl": "true",
			"no502.other.host": "other.tls.example.com", "no502.other.certificate": "auto",
			"no502.deep.host": "too.deep.tls.example.com", "no502.deep.certificate": "auto",
		}))
		s.visits().secure("exact.tls.example.com", "shop-web-1", "exact.tls.example.com")
		s.visits().secure("other.tls.example.com", "shop-web-1", "*.tls.example.com")
		s.visits().redirects("http://exact.tls.example.com/a", "301", "https://exact.tls.example.com/a")
		s.visits().get("http://too.deep.tls.example.com/", 200, "shop-web-1")
	}},
	{"access list by name: 401 without a password", func(s *scene) {
		s.run(s.service("web", 1, map[string]string{"no502.host": s.domain, "no502.access-list": "family"}))
		s.visits().get("http://"+s.domain+"/", 401, "")
		s.visits().admits("http://"+s.domain+"/", "granny", "apple", "shop-web-1")
	}},
	{"access list that does not exist: not published", func(s *scene) {
		s.run(s.service("web", 1, map[string]string{"no502.host": s.domain, "no502.access-list": "nobody's"}))
		s.finding(s.t, api.KindContainer, s.name("shop-web-1"), api.AccessListMissing, "is not published")
		if found, err := s.hosts(s.t.Context(), "proxy-hosts", s.domain); err != nil || len(found) != 0 {
			s.t.Errorf("NPM has %+v (%v)", found, err)
		}
	}},
	{"locations: two other services, one without the prefix", func(s *scene) {
		s.run(s.service("web", 1, map[string]string{
			"no502.host":               s.domain,
			"no502.location.api.path":  "/api",
			"no502.location.bare.path": "/bare", "no502.location.bare.strip-prefix": "true",
			"no502.location.api.upstream": "api", "no502.location.bare.upstream": "api",
		}))
		s.run(s.service("api", 1, enable))
		s.visits().get("http://"+s.domain+"/x", 200, "shop-web-1")
		for path, asked := range map[string]string{"/api/x": "/api/x", "/bare/x": "/x", "/bare": "/"} {
			if a := s.visits().get("http://"+s.domain+path, 200, "shop-api-1"); !strings.HasSuffix(a.Body, s.domain+asked) {
				s.t.Errorf("of %s the service is asked for another page: %s", path, a.Body)
			}
		}
	}},
	{"stream: a byte there and back", func(s *scene) {
		c := s.service("db", 1, map[string]string{"no502.stream": "25565", "no502.port": "9000"})
		c.Cmd, c.Expose = []string{"9000/echo"}, []string{"9000"}
		s.run(c)
		s.visits().echoes(25565, "shop-db-1")
		c.Address = s.elsewhere(220) // not the one on NPM's network
		s.recreated(c)
		s.visits().echoes(25565, "shop-db-1")
		var all []host
		must(s.t, s.API(s.t.Context(), http.MethodGet, "/nginx/streams", nil, &all))
		if len(all) != 1 || all[0].IncomingPort != 25565 {
			s.t.Errorf("NPM has the streams %+v", all)
		}
	}},
	{"redirections", func(s *scene) {
		s.run(s.service("web", 1, map[string]string{
			"no502.host": s.domain, "no502.redirect-from": "www." + s.domain,
			"no502.moved.redirect-from": "moved." + s.domain, "no502.moved.redirect-to": "https://else.example.com",
			"no502.moved.redirect-code": "308", "no502.moved.redirect-keep-path": "false",
		}))
		s.visits().redirects("http://www."+s.domain+"/a?b=c", "301", "http://"+s.domain+"/a?b=c")
		s.visits().redirects("http://moved."+s.domain+"/a?b=c", "308", "https://else.example.com")
		s.answers("shop-web-1")
	}},
	{"parked domains answer 404", func(s *scene) {
		v := s.visits()
		v.get("http://"+s.domain+"/", 200, "") // NPM's welcome to all that it does not know
		s.run(s.service("web", 1, map[string]string{"no502.parked": s.domain + " old." + s.domain}))
		v.get("http://"+s.domain+"/", 404, "")
		v.get("http://old."+s.domain+"/", 404, "")
	}},
	{"taken over: what no label claims survives", func(s *scene) {
		made := forward("http", "no-such-name", 8080)
		made.DomainNames = []string{s.domain, "also." + s.domain}
		made.AdvancedConfig = "client_max_body_size 1g;"
		made.Meta = map[string]any{"somebody": "else's"}
		h, err := s.AddHost(s.t.Context(), made)
		must(s.t, err)
		s.host = h
		s.edit(map[string]any{"caching_enabled": true, "block_exploits": false, "allow_websocket_upgrade": false})
		before := s.rowNow()
		s.run(s.service("web", 1, map[string]string{"no502.host": s.domain, "no502.websockets": "true"}))
		s.answers("shop-web-1")
		now := s.one("also."+s.domain, "as the labels say", func(h host) bool { return h.Websockets })
		if now.ID != h.ID || now.Meta.No502.Was["forward_host"] != "no-such-name" || now.Meta.No502.Was["allow_websocket_upgrade"] != false {
			s.t.Errorf("it is proxy host %d with %v in its meta, was %d", now.ID, now.Meta.No502.Was, h.ID)
		}
		want, got := theirs(s.t, before), theirs(s.t, s.rowNow())
		want["allow_websocket_upgrade"] = true
		if diff := cmp.Diff(want, got); diff != "" {
			s.t.Errorf("more than what labels claim changed:\n%s", diff)
		}
		s.undone(before)
	}},
}

// allAnswer: of several requests in a row all are answered, some by each.
func (s *scene) allAnswer(names ...string) {
	s.t.Helper()
	eventually(s.t, strings.Join(names, ", ")+" answer", func(ctx context.Context) error {
		count := map[string]int{}
		for range 8 * len(names) {
			who, err := s.who(ctx)
			if err != nil {
				return err
			}
			count[who]++
		}
		if got := slices.Sorted(maps.Keys(count)); !slices.Equal(got, names) {
			return errors.New(fmt.Sprint("they answered ", count))
		}
		return nil
	})
}

// undone: no502 undo puts the host back, and it stays so.
func (s *scene) undone(before string) {
	s.t.Helper()
	code, text, err := s.Exec(s.t.Context(), s.Name("no502"), stage.Binary, "undo", s.domain)
	if err != nil || code != 0 {
		s.t.Fatalf("no502 undo exits with %d (%v):\n%s", code, err, text)
	}
	eventually(s.t, "no502 leaves it alone", func(ctx context.Context) error {
		v, err := s.verdict(ctx, api.KindHost, "also."+s.domain)
		if err == nil && !strings.Contains(v.Conditions["Resolved"].Message, "left alone") {
			err = fmt.Errorf("it says %+v", v)
		}
		return err
	})
	want, got := theirs(s.t, before), theirs(s.t, s.rowNow())
	want["advanced_config"] = want["advanced_config"].(string) + "\n# no502: off"
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("no502 undo did not put everything back:\n%s", diff)
	}
	s.forwardsTo("http://no-such-name:8080")
}
