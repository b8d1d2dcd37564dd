package main

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// modelSteps are what people do. Each says what it did; nothing, where there is
// nothing to do it to.
var modelSteps = map[string]func(*model, modelStep) string{
	"up": (*model).composeUp, "down": (*model).composeDown, "stop": (*model).composeStop, "start": (*model).composeStart,
	"scale": (*model).composeScale, "recreate": (*model).composeRecreate, "rename": (*model).rename,
	"edit labels": (*model).editLabels, "edit labels again": (*model).editLabels, "edit three labels": (*model).editThree,
	"move a domain": (*model).moveDomain, "rm and up": (*model).composeReplace,
	"edit in NPM": (*model).editFree, "spoil in NPM": (*model).spoil, "locate in NPM": (*model).editLocations,
	"delete in NPM": (*model).deleteHost, "switch in NPM": (*model).switchHost,
	"restart NPM": func(m *model, s modelStep) string {
		m.npm.Restart(1500 * time.Millisecond)
		m.next = s.a%2 == 0
		return "done"
	},
	"cut events": func(m *model, s modelStep) string {
		m.docker.CutEvents()
		m.next = s.a%2 == 0
		return "done"
	},
	"restart no502": func(m *model, s modelStep) string {
		if m.away {
			return ""
		}
		m.stop()
		if m.away = s.a%2 == 0; !m.away {
			m.start()
		}
		return fmt.Sprintf("away meanwhile %t", m.away)
	},
}

func there(s *modelService) bool { return s.there }

func (m *model) composeUp(step modelStep) string {
	s := m.one(step.a, func(s *modelService) bool { return !s.there })
	if s == nil {
		return ""
	}
	if !slices.ContainsFunc([]string{"", "admin", "tcp"}, func(r string) bool { return s.routes[r].declares() }) {
		s.routes[""].domains = []string{m.unused(step.b, domainPool)}
	}
	m.service(s, 1+step.c%2)
	s.there = true
	return m.show(s)
}

// service makes the containers of a service.
func (m *model) service(s *modelService, n int) {
	if !slices.Contains(m.projects, s.project) {
		m.projects = append(m.projects, s.project)
		m.must(m.people.Network(m.t.Context(), s.network(), "", nil))
	}
	for i := len(s.replicas); i < n; i++ {
		s.replicas = append(s.replicas, &modelReplica{number: i + 1, called: s.replica(i + 1), up: true})
		_, err := m.people.Run(m.t.Context(), s.container(i+1))
		m.must(err)
	}
}

// show says what a service's labels are.
func (m *model) show(s *modelService) string {
	s.container(1)
	return fmt.Sprintf("%s, %d containers, %d up, %v", s, len(s.replicas), len(s.up()), s.labels)
}

func (m *model) composeDown(step modelStep) string {
	s := m.one(step.a, there)
	if s == nil {
		return ""
	}
	m.remove(s, 0)
	s.there = false
	return s.String()
}

// remove stops and removes a service's containers but for the first n.
func (m *model) remove(s *modelService, n int) {
	for _, r := range s.replicas[min(n, len(s.replicas)):] {
		m.must(m.people.Stop(m.t.Context(), r.called))
		m.must(m.people.Remove(m.t.Context(), r.called))
	}
	s.replicas = s.replicas[:min(n, len(s.replicas))]
}

func (m *model) composeStop(step modelStep) string {
	s := m.one(step.a, func(s *modelService) bool { return len(s.up()) > 0 })
	if s == nil {
		return ""
	}
	for _, r := range s.replicas {
		m.must(m.people.Stop(m.t.Context(), r.called))
		r.up = false
		if step.b%3 == 0 && len(s.replicas) > 1 {
			return r.called // one of several
		}
	}
	return s.String()
}

func (m *model) composeStart(step modelStep) string {
	s := m.one(step.a, func(s *modelService) bool { return s.there && len(s.up()) < len(s.replicas) })
	if s == nil {
		return ""
	}
	m.startAll(s)
	return s.String()
}

func (m *model) startAll(s *modelService) {
	for _, r := range s.replicas {
		m.must(m.people.Start(m.t.Context(), r.called))
		r.up = true
	}
}

func (m *model) composeScale(step modelStep) string {
	s := m.one(step.a, there)
	if s == nil {
		return ""
	}
	n := 1 + step.b%3
	m.remove(s, n)
	m.startAll(s)
	m.service(s, n)
	return fmt.Sprintf("%s to %d", s, n)
}

func (m *model) composeRecreate(step modelStep) string {
	s := m.one(step.a, there)
	if s == nil {
		return ""
	}
	m.composed(s)
	return m.show(s)
}

// composed is `docker compose up` of a service that is there already, with
// labels that may be others by now.
func (m *model) composed(s *modelService) {
	ctx, moment := m.t.Context(), 200*time.Millisecond
	for _, r := range s.replicas {
		c := s.container(r.number)
		name := c.Name
		c.Name = fmt.Sprintf("%012x_%s", time.Now().UnixNano()&0xffffffffffff, name)
		_, err := m.people.Create(ctx, c)
		m.must(err)
		pass(moment)
		m.must(m.people.Stop(ctx, r.called))
		pass(moment)
		m.must(m.people.Remove(ctx, r.called))
		m.must(m.people.Rename(ctx, c.Name, name))
		pass(moment)
		m.must(m.people.Start(ctx, name))
		r.called, r.up = name, true
	}
}

// composeReplace removes all containers before the new ones are made.
func (m *model) composeReplace(step modelStep) string {
	s := m.one(step.a, there)
	if s == nil {
		return ""
	}
	n := len(s.replicas)
	m.remove(s, 0)
	pass(time.Duration(step.b%20) * time.Second)
	m.service(s, n)
	return fmt.Sprintf("%s %d s later", s, step.b%20)
}

func (m *model) rename(step modelStep) string {
	s := m.one(step.a, there)
	if s == nil {
		return ""
	}
	r := s.replicas[step.b%len(s.replicas)]
	to := s.replica(r.number)
	if r.called == to {
		to = "my-" + to
	}
	m.must(m.people.Rename(m.t.Context(), r.called, to))
	r.called = to
	return to
}

func (m *model) editLabels(step modelStep) string {
	s := m.one(step.a, there)
	if s == nil {
		return ""
	}
	what := m.edited(s, step.b, step.c)
	m.composed(s)
	return what + ": " + m.show(s)
}

func (m *model) editThree(step modelStep) string {
	s := m.one(step.a, there)
	if s == nil {
		return ""
	}
	what := ""
	for i := range 3 {
		what += m.edited(s, step.b/(1+3*i)+i, step.c/(1+2*i)) + ", "
	}
	m.composed(s)
	return what + m.show(s)
}

// moveDomain moves a domain from a service with several to another one that has
// some, in either order.
func (m *model) moveDomain(step modelStep) string {
	from := m.one(step.a, func(s *modelService) bool { return s.there && len(s.routes[""].domains) > 1 })
	if from == nil {
		return ""
	}
	to := m.one(step.b, func(s *modelService) bool { return s.there && s != from && len(s.routes[""].domains) > 0 })
	if to == nil {
		return ""
	}
	a, b := from.routes[""], to.routes[""]
	i := step.c % len(a.domains)
	domain := a.domains[i]
	a.domains, b.domains = slices.Delete(slices.Clone(a.domains), i, i+1), append(slices.Clone(b.domains), domain)
	first, second := from, to
	if step.a/7%2 == 1 {
		first, second = to, from
	}
	m.composed(first)
	m.composed(second)
	return fmt.Sprintf("%s from %s to %s, %s recreated first", domain, from, to, first)
}

// editFree edits a field in NPM: what labels claim is put back, the rest stays.
func (m *model) editFree(step modelStep) string {
	m.ready()
	key, h := m.host(step.a, false, proxies, redirections)
	if h == nil {
		return ""
	}
	field, value := "advanced_config", any(fmt.Sprintf("# theirs %d", step.c))
	if i := step.b % (len(modelOptions) + 1); i < len(modelOptions) && (key.kind == proxies || modelOptions[i].redirections) {
		field, value = modelOptions[i].field, step.c%2 == 0
	}
	m.put(key, h, map[string]any{field: value})
	if _, claimed := h.claims[field]; !claimed {
		h.free[field] = value
	}
	return fmt.Sprintf("%s: %s=%v", key, field, value)
}

// editLocations adds a location of somebody's own, or removes it.
func (m *model) editLocations(step modelStep) string {
	m.ready()
	key, h := m.host(step.a, false, proxies)
	if h == nil {
		return ""
	}
	i := slices.IndexFunc(m.rows(proxies), func(r row) bool { return r.id() == h.id })
	old, _ := m.rows(proxies)[i]["locations"].([]any)
	list := []any{}
	for _, l := range old {
		if l.(map[string]any)["path"] != "/mine" {
			list = append(list, l)
		}
	}
	if h.mine = !h.mine; h.mine {
		list = append(list, map[string]any{
			"path": "/mine", "forward_scheme": "http", "forward_host": "127.0.0.1", "forward_port": 81, "advanced_config": "",
		})
	}
	m.put(key, h, map[string]any{"locations": list})
	return fmt.Sprintf("%s: with /mine %t", key, h.mine)
}

// spoil edits what labels always claim.
func (m *model) spoil(step modelStep) string {
	m.ready()
	key, h := m.host(step.a, false, proxies, redirections, portStreams)
	if h == nil {
		return ""
	}
	bad := map[string][]map[string]any{
		proxies: {
			{"forward_host": "nowhere", "forward_port": 1234}, {"forward_scheme": "https"}, {"forward_host": "npm"},
			{"domain_names": []string{"zz.example.com"}},
		},
		redirections: {{"forward_domain_name": "zz.example.com"}, {"forward_http_code": 307}, {"domain_names": []string{"zz.example.com"}}},
		portStreams:  {{"forwarding_port": 1234}, {"incoming_port": 1235}},
	}[key.kind]
	fields := bad[step.b%len(bad)]
	m.put(key, h, fields)
	return fmt.Sprintf("%s: %v", key, fields)
}

func (m *model) put(key modelKey, h *modelHost, fields map[string]any) {
	m.person(http.MethodPut, "/nginx/"+key.kind+"/"+strconv.Itoa(h.id), fields, nil)
}

// ready lets NPM come back, before somebody opens its pages, and no502 finish.
func (m *model) ready() {
	if m.hurry || m.away {
		m.calm()
	}
}

func (m *model) deleteHost(step modelStep) string {
	m.ready()
	key, h := m.host(step.a, false, modelKinds...)
	if h == nil {
		return ""
	}
	m.person(http.MethodDelete, "/nginx/"+key.kind+"/"+strconv.Itoa(h.id), nil, nil)
	delete(m.hosts, key)
	return key.String()
}

// switchHost switches a host off, or one that somebody did switch off on.
func (m *model) switchHost(step modelStep) string {
	m.ready()
	off := step.b%2 == 0
	key, h := m.host(step.a, !off, proxies, redirections, portStreams)
	if h == nil {
		return ""
	}
	does := "/enable"
	if off {
		does = "/disable"
	}
	m.person(http.MethodPost, "/nginx/"+key.kind+"/"+strconv.Itoa(h.id)+does, nil, nil)
	h.byPerson, h.off = off, off
	return key.String() + does
}
