package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/no502/no502/controller/dockerd/stage"
)

// What follows is a small model of Compose services and of what the manual says
// of the hosts that their labels declare. It knows nothing of how no502 goes
// about it.

// modelOptions are options by their label: NPM's field, and what a new host
// begins with.
var modelOptions = []struct {
	label, field string
	initial      bool
	redirections bool // have it too
}{
	{"websockets", "allow_websocket_upgrade", true, false},
	{"block-exploits", "block_exploits", true, true},
	{"cache", "caching_enabled", false, false},
	{"trust-forwarded-proto", "trust_forwarded_proto", false, false},
}

// Kinds of hosts, as in the paths of NPM's API.
const (
	proxies      = "proxy-hosts"
	redirections = "redirection-hosts"
	parkedHosts  = "dead-hosts"
	portStreams  = "streams"
)

var modelKinds = []string{proxies, redirections, parkedHosts, portStreams}

// modelRoute is what the labels of one route say.
type modelRoute struct {
	domains  []string
	options  map[string]bool // by label
	port     int             // 0: not said
	location string          // the service to which /api leads; empty: no such label
	strip    bool
	from     []string // of a redirection
	to       string   // empty: the first of domains
	code     int      // 0: not said
	parked   []string
	stream   int
}

// names are the domains, or the port, of a host of one kind; none where it is
// not declared.
func (r *modelRoute) names(kind string) []string {
	switch kind {
	case proxies:
		return r.domains
	case redirections:
		if r.to == "" && len(r.domains) == 0 {
			return nil // it leads nowhere
		}
		return r.from
	case parkedHosts:
		return r.parked
	}
	if r.stream == 0 {
		return nil
	}
	return []string{strconv.Itoa(r.stream)}
}

// claims are the options that labels claim of a kind, by NPM's field.
func (r *modelRoute) claims(kind string) map[string]bool {
	claims := map[string]bool{}
	for _, o := range modelOptions {
		if value, said := r.options[o.label]; said && (kind == proxies || kind == redirections && o.redirections) {
			claims[o.field] = value
		}
	}
	return claims
}

// say writes the labels of a route.
func (r *modelRoute) say(name string, s *modelService, labels map[string]string) {
	prefix := "no502."
	if name != "" {
		prefix += name + "."
	}
	if !r.declares() {
		return
	}
	set := func(label, value string) {
		if value != "" && value != "0" {
			labels[prefix+label] = value
		}
	}
	set("host", strings.Join(r.domains, ", "))
	set("redirect-from", strings.Join(r.names(redirections), " "))
	set("parked", strings.Join(r.parked, ","))
	set("stream", strconv.Itoa(r.stream))
	set("port", strconv.Itoa(r.port))
	if len(r.names(redirections)) > 0 {
		set("redirect-to", r.to)
		set("redirect-code", strconv.Itoa(r.code))
	}
	if len(r.domains) > 0 {
		for label, value := range r.options {
			set(label, strconv.FormatBool(value))
		}
		if r.location != "" {
			set("location.api.path", "/api")
			set("location.api.upstream", r.location)
			set("location.api.strip-prefix", strconv.FormatBool(r.strip))
		}
	}
	set("on-stop", s.onStop)
	set("on-remove", s.onRemove)
}

func (r *modelRoute) declares() bool {
	return slices.ContainsFunc(modelKinds, func(kind string) bool { return len(r.names(kind)) > 0 })
}

// modelService is a Compose service.
type modelService struct {
	service
	there            bool
	routes           map[string]*modelRoute // "", "admin" and "tcp"
	onStop, onRemove string                 // empty: not said
	replicas         []*modelReplica
}

type modelReplica struct {
	number int
	called string
	up     bool
}

func newModelService(project, name string) *modelService {
	s := &modelService{service: service{project: project, name: name}, routes: map[string]*modelRoute{}}
	for _, route := range []string{"", "admin", "tcp"} {
		s.routes[route] = &modelRoute{options: map[string]bool{}}
	}
	return s
}

func (s *modelService) String() string { return s.project + "/" + s.name }

// up are the replicas that run.
func (s *modelService) up() (names []string) {
	for _, r := range s.replicas {
		if r.up {
			names = append(names, s.replica(r.number))
		}
	}
	return names
}

// container is a replica with the labels of now.
func (s *modelService) container(n int) stage.Container {
	s.labels = map[string]string{"no502.enable": "true"}
	for name, r := range s.routes {
		r.say(name, s, s.labels)
	}
	c := s.service.container(n)
	c.Cmd = []string{"demo", "backend", "8080/http", "9000/http"}
	return c
}

func (s *modelService) ends() (onStop, onRemove string) {
	onStop, onRemove = "keep", "disable"
	if s.onStop != "" {
		onStop = s.onStop
	}
	if s.onRemove != "" {
		onRemove = s.onRemove
	}
	return onStop, onRemove
}

// modelKey is the identity of a declared host, for all its life.
type modelKey struct{ service, route, kind string }

// modelHost is a host that there is, or should be.
type modelHost struct {
	id       int // NPM's; 0 before it was seen
	names    []string
	off      bool
	byPerson bool // switched off by somebody in NPM's pages
	onRemove string
	claims   map[string]bool // as last enforced, by NPM's field
	free     map[string]any  // what labels do not claim, as it began or as somebody left it
	mine     bool            // somebody added a location
	fresh    bool            // it may be another row than before
}

func (k modelKey) String() string { return fmt.Sprintf("%s %q %s", k.service, k.route, k.kind) }

// expect brings the model up to date: what the manual says once the grace is over.
func (m *model) expect() {
	for _, s := range m.services {
		onStop, onRemove := s.ends()
		for name, r := range s.routes {
			for _, kind := range modelKinds {
				key := modelKey{s.String(), name, kind}
				h := m.hosts[key]
				stopped := len(s.up()) == 0
				declared := s.there && len(r.names(kind)) > 0
				end := "keep"
				switch {
				case !declared && h != nil:
					end = h.onRemove
				case declared && stopped:
					end = onStop
				}
				if kind == parkedHosts && end == "disable" {
					end = "delete" // NPM cannot note who switched one off
				}
				switch {
				case end == "delete":
					delete(m.hosts, key)
				case end == "disable" && h != nil:
					h.off = true
				case declared && end == "keep":
					m.enforce(key, r, onRemove)
				}
			}
		}
	}
}

// enforce says that a host is there as its labels want it.
func (m *model) enforce(key modelKey, r *modelRoute, onRemove string) {
	h := m.hosts[key]
	claims := r.claims(key.kind)
	if h == nil {
		h = &modelHost{fresh: true, free: map[string]any{}, claims: map[string]bool{}}
		for _, o := range modelOptions {
			if key.kind == proxies || key.kind == redirections && o.redirections {
				h.free[o.field] = o.initial
			}
		}
		m.hosts[key] = h
	}
	if h.off = h.byPerson; h.off {
		for field := range claims {
			delete(h.free, field) // whatever was there when it was switched off
		}
		return
	}
	for _, o := range modelOptions {
		if _, still := claims[o.field]; !still {
			if _, was := h.claims[o.field]; was {
				h.free[o.field] = o.initial
			}
		}
	}
	if key.kind == parkedHosts && (!slices.Equal(h.names, r.names(key.kind)) || h.onRemove != onRemove) {
		h.fresh = true // NPM does not apply edits of these
	}
	h.names, h.claims, h.onRemove = slices.Clone(r.names(key.kind)), claims, onRemove
}
