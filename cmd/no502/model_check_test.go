package main

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"time"
)

// check compares NPM with the model.
func (m *model) check() {
	rows := map[string][]row{}
	for _, kind := range modelKinds {
		rows[kind] = m.rows(kind)
	}
	for _, s := range m.services {
		for name, r := range s.routes {
			for _, kind := range modelKinds {
				key := modelKey{s.String(), name, kind}
				h := m.hosts[key]
				if h == nil {
					continue
				}
				i := slices.IndexFunc(rows[kind], func(r row) bool { return h.is(kind, r) })
				if i < 0 && h.fresh && kind == portStreams && len(s.up()) == 0 {
					continue // it leads to an address, and there is none
				}
				if i < 0 {
					m.wrong("%s is not there, with %v", key, h.names)
					continue
				}
				found := rows[kind][i]
				rows[kind] = slices.Delete(rows[kind], i, i+1)
				if h.id, h.fresh = found.id(), false; found.enabled() == h.off {
					m.wrong("%s: enabled is %t", key, !h.off)
					continue
				}
				if s.there && !h.off && len(r.names(kind)) > 0 {
					m.checkHost(key, s, r, found)
				}
			}
		}
	}
	for kind, more := range rows {
		if len(more) > 0 {
			m.wrong("there are %s that nothing declares: %v", kind, more)
		}
	}
}

// is: a host's row, by its number, or before that is known by its names.
func (h *modelHost) is(kind string, r row) bool {
	if !h.fresh {
		return r.id() == h.id
	}
	names := r.domains()
	if kind == portStreams {
		names = []string{fmt.Sprint(r["incoming_port"])}
	}
	return slices.Equal(sorted(names), sorted(h.names))
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// checkHost checks a host that is declared and on.
func (m *model) checkHost(key modelKey, s *modelService, r *modelRoute, found row) {
	h := m.hosts[key]
	if !(&modelHost{fresh: true, names: h.names}).is(key.kind, found) {
		m.wrong("%s has the names of %v, want %v", key, found, h.names)
	}
	for field, value := range h.claims {
		if found[field] != value {
			m.wrong("%s: %s is %v, and labels say %v", key, field, found[field], value)
		}
	}
	for field, value := range h.free {
		if _, claimed := h.claims[field]; !claimed && found[field] != value {
			m.wrong("%s: %s is %v, and was left at %v", key, field, found[field], value)
		}
	}
	switch key.kind {
	case proxies:
		m.checkProxy(key, s, r, found)
	case redirections:
		m.checkRedirection(key, r)
	case parkedHosts:
		for _, domain := range h.names {
			if answer := m.ask(domain, "/page"); answer.Code != http.StatusNotFound {
				m.wrong("%s: a visitor of %s gets %d", key, domain, answer.Code)
			}
		}
	case portStreams:
		if up := s.up(); len(up) > 0 {
			if body, err := m.through(r.stream); err != nil || !answeredBy(body, up) {
				m.wrong("%s: who connects gets %q %v, want one of %v", key, body, err, up)
			}
		}
	}
}

// ask is a visitor's request.
func (m *model) ask(domain, path string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	m.npm.DataPlane().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "http://"+domain+path, nil))
	return answer
}

func answeredBy(body string, names []string) bool {
	who, _, _ := strings.Cut(body, " ")
	return slices.Contains(names, who)
}

func (m *model) checkProxy(key modelKey, s *modelService, r *modelRoute, found row) {
	if r.port != 0 && found["forward_port"] != float64(r.port) {
		m.wrong("%s: the port is %v, and labels say %d", key, found["forward_port"], r.port)
	}
	if up := s.up(); len(up) > 0 {
		for _, domain := range r.domains {
			if answer := m.ask(domain, "/page"); answer.Code != http.StatusOK || !answeredBy(answer.Body.String(), up) {
				m.wrong("%s: a visitor of %s gets %d %s, want one of %v", key, domain, answer.Code, answer.Body, up)
			}
		}
	}
	var paths []string
	list, _ := found["locations"].([]any)
	for _, l := range list {
		paths = append(paths, l.(map[string]any)["path"].(string))
	}
	if slices.Contains(paths, "/mine") != m.hosts[key].mine {
		m.wrong("%s: the paths are %v, and somebody has added /mine: %t", key, paths, m.hosts[key].mine)
	}
	to := m.find(s.project, r.location)
	switch {
	case r.location == "" && slices.Contains(paths, "/api"):
		m.wrong("%s: /api is there, and no label declares it", key)
	case r.location != "" && to.there && len(to.up()) > 0:
		answer := m.ask(r.domains[0], "/api/x")
		if !slices.Contains(paths, "/api") || answer.Code != http.StatusOK || !answeredBy(answer.Body.String(), to.up()) {
			m.wrong("%s: the paths are %v, and below /api a visitor gets %d %s, want one of %v", key, paths, answer.Code, answer.Body, to.up())
		}
	}
}

func (m *model) checkRedirection(key modelKey, r *modelRoute) {
	code, to := r.code, r.to
	if code == 0 {
		code = http.StatusMovedPermanently
	}
	if to == "" {
		to = r.domains[0]
	}
	for _, domain := range r.from {
		answer := m.ask(domain, "/page")
		if where := answer.Header().Get("Location"); answer.Code != code || where != "http://"+to+"/page" {
			m.wrong("%s: a visitor of %s gets %d to %s, want %d to %s", key, domain, answer.Code, where, code, to)
		}
	}
}

// through asks for a page through a stream's port of NPM's container.
func (m *model) through(port int) (string, error) {
	c, err := m.docker.Box("no502").DialContext(m.t.Context(), "tcp", m.address("npm", "proxy")+":"+strconv.Itoa(port))
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var body strings.Builder
	_, err = bufio.NewReader(answer.Body).WriteTo(&body)
	return body.String(), err
}
