package dialect

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/no502/no502/api"
)

// traefik, as github.com/traefik/traefik defines it for Docker in
// pkg/provider/docker (config.go, shared_labels.go), pkg/provider/configuration.go,
// pkg/muxer/http/matcher.go, matcher_v2.go and
// docs/content/reference/routing-configuration/other-providers/docker.md:
// `traefik.enable`, and `traefik.http.…` in any case.
//
// Like Traefik's own default (exposedByDefault), a container with routers is
// served unless traefik.enable says "false". A router with `tls` answers HTTPS
// only: without a second one for plain HTTP, or with one that redirects, plain
// HTTP is redirected. What Traefik's static configuration says (entry points,
// the default rule, where a certificate comes from), no container tells.

// traefikLabel is case-blind, as Traefik is.
func traefikLabel(label string) bool {
	return len(label) >= len("traefik.") && strings.EqualFold(label[:len("traefik.")], "traefik.")
}

// traefikReading is what the labels define, by lower-case names.
type traefikReading struct {
	*reading
	routers     map[string]*traefikRouter
	services    map[string]*traefikService
	middlewares map[string]map[string]string // type → option → value
	// served are the routers' matches, for each domain.
	served map[string][]match
}

type traefikRouter struct {
	name, label, rule, service string
	middlewares                []string
	entrypoints                []string
	tls, resolver, options     bool

	target   traefikService
	redirect bool     // to HTTPS
	strip    []string // prefixes
}

type traefikService struct {
	upstream, port, scheme string
	broken                 bool
}

type match struct {
	router *traefikRouter
	path   string
}

func readTraefik(r *reading) {
	t := &traefikReading{
		reading: r, routers: map[string]*traefikRouter{}, services: map[string]*traefikService{},
		middlewares: map[string]map[string]string{}, served: map[string][]match{},
	}
	enable := ""
	others := map[string]string{} // protocol → the first label
	for _, key := range r.keys() {
		if !traefikLabel(key) {
			continue
		}
		lower := strings.ToLower(key)
		parts := strings.SplitN(lower, ".", 5)
		switch {
		case lower == "traefik.enable":
			v, ok := goBoolean.read(r, r.label(key))
			if !ok {
				// Traefik drops the container.
				r.unreadable(key, r.label(key), goBoolean.allowed)
				v = "false"
			}
			enable = v
		case strings.HasPrefix(lower, "traefik.docker."), strings.HasPrefix(lower, "traefik.swarm."):
			r.label(key) // which network: no502 attaches the container itself
		case parts[1] == "tcp" || parts[1] == "udp":
			r.label(key)
			if _, ok := others[parts[1]]; !ok {
				others[parts[1]] = key
			}
		case len(parts) == 5 && parts[1] == "http":
			t.define(key, parts[2], parts[3], parts[4])
		}
	}
	if enable == "false" {
		r.off = true
		return
	}
	for _, protocol := range slices.Sorted(maps.Keys(others)) {
		r.find("say no502.stream with the port that NPM is to listen on, such as \"25565\" or \"53/udp\", and no502.port",
			"%s and its like ask for %s, whose port only Traefik's entry points know", quote(others[protocol]), strings.ToUpper(protocol))
	}
	if len(t.routers) == 0 && (len(t.services) > 0 || enable == "true" && len(others) == 0) {
		r.enable = true
		r.find("say no502.host", "the labels of Traefik name no router, and no502 does not know Traefik's default rule")
	}
	for _, name := range slices.Sorted(maps.Keys(t.routers)) {
		t.router(t.routers[name])
	}
	t.publish()
}

// define reads one label of an HTTP router, service or middleware.
func (t *traefikReading) define(key, kind, name, option string) {
	value := t.label(key)
	switch kind {
	case "routers":
		router := t.routers[name]
		if router == nil {
			router = &traefikRouter{name: name, label: key}
			t.routers[name] = router
		}
		t.routerOption(router, key, option, value)
	case "services":
		service := t.services[name]
		if service == nil {
			service = &traefikService{}
			t.services[name] = service
		}
		t.serviceOption(service, key, option, value)
	case "middlewares":
		if t.middlewares[name] == nil {
			t.middlewares[name] = map[string]string{}
		}
		t.middlewares[name][option] = value
	default:
		delete(t.seen, key)
	}
}

func (t *traefikReading) routerOption(router *traefikRouter, key, option, value string) {
	switch {
	case option == "rule":
		router.rule, router.label = value, key
	case option == "service":
		router.service = strings.ToLower(value)
	case option == "middlewares":
		router.middlewares = split(strings.ToLower(value))
	case option == "tls":
		router.tls = router.tls || isTrue(goBoolean, value)
	case option == "tls.certresolver":
		router.tls, router.resolver = true, value != ""
	case strings.HasPrefix(option, "tls.domains"):
		router.tls = true // NPM's certificate is for the host's domains
	case option == "tls.options":
		router.tls, router.options = true, value != "default"
	case option == "entrypoints":
		router.entrypoints = split(strings.ToLower(value))
	case option == "priority" || option == "rulesyntax" || strings.HasPrefix(option, "observability."):
	default:
		delete(t.seen, key)
	}
}

func (t *traefikReading) serviceOption(s *traefikService, key, option, value string) {
	option, ok := strings.CutPrefix(option, "loadbalancer.")
	if !ok {
		s.broken = true
		t.find("say no502.host and no502.port", "%s asks for something other than this container, which no502 does not do", quote(key))
		return
	}
	read := func(r reader) string {
		v, ok := r.read(t.reading, value)
		if !ok {
			t.unreadable(key, value, r.allowed)
			return ""
		}
		return v
	}
	switch option {
	case "server.port":
		s.port = read(portNumber)
	case "server.scheme":
		s.scheme = read(scheme)
	case "server.url":
		if u, err := url.Parse(value); err == nil && strings.Trim(u.Path, "/")+u.RawQuery == "" && u.User == nil && api.IsForwardHost(u.Hostname()) {
			s.upstream, _ = t.upstream(u.Hostname())
			s.port, _ = port(u.Port())
			s.scheme = u.Scheme
		}
		if s.scheme != "http" && s.scheme != "https" || s.upstream == "" || s.port == "0" {
			s.broken = true
			t.find("use a URL such as http://host:8080", "%s has a value that cannot be read", quote(key)) // it may hold a password
		}
	case "passhostheader":
		if !isTrue(goBoolean, value) {
			t.find("use no502.advanced-config, if it is needed", "%s asks to hide the domain from the backend, which no502 does not set", quote(key))
		}
	case "healthcheck.path", "server.weight", "responseforwarding.flushinterval": // no502 looks for itself
	default:
		t.find("nothing needs to be done if the service works without", "%s asks for %s, which NPM does not do", quote(key), quote(option))
	}
}

// leave withholds all that a router's rule mentions: what it guarded must not
// come in through another router of the same domain.
func (t *traefikReading) leave(router *traefikRouter, hosts []string, why string, args ...any) {
	for _, h := range hosts {
		if d, ok := domain(h); ok {
			t.withhold(d)
		}
	}
	t.find("say no502.host on this container, and with no502's own labels (such as no502.access-list) what else is meant",
		"the router of %s is left out: %s", quote(router.label), fmt.Sprintf(why, args...))
}

// router reads what a router serves.
func (t *traefikReading) router(router *traefikRouter) {
	if router.rule == "" {
		t.leave(router, nil, "it has no rule, and no502 does not know Traefik's default")
		return
	}
	clauses, hosts, err := traefikRule(router.rule)
	if err != nil {
		t.leave(router, hosts, "its rule cannot be translated: %s", err)
		return
	}
	for _, why := range []string{router.entrance(), t.middleware(router), t.service(router)} {
		if why != "" {
			t.leave(router, hosts, "%s", why)
			return
		}
	}
	for _, c := range clauses {
		for _, d := range t.domains(router.label, []string{c.host}) {
			if m := (match{router, c.path}); !slices.Contains(t.served[d], m) {
				t.served[d] = append(t.served[d], m)
			}
		}
	}
}

// entrance says why visitors may not come in through NPM. Entry points of other
// than the usual names may be for a few only, and TLS options may ask visitors
// for a certificate.
func (router *traefikRouter) entrance() string {
	usual := []string{"web", "websecure", "http", "https"}
	if e := router.entrypoints; len(e) > 0 && !slices.ContainsFunc(e, func(name string) bool { return slices.Contains(usual, name) }) {
		return fmt.Sprintf("its entry point %s is none of %s", quote(e[0]), strings.Join(usual, ", "))
	}
	if router.options {
		return "its TLS options are not known here"
	}
	return ""
}

// service finds a router's target, or says why it has none.
func (t *traefikReading) service(router *traefikRouter) string {
	name := strings.TrimSuffix(router.service, "@docker")
	if name == "" {
		if len(t.services) > 1 && !router.redirect {
			return "it names none of several services"
		}
		for only := range t.services {
			name = only
		}
	}
	if name == "" || router.redirect && t.services[name] == nil {
		return "" // this container, whatever its port
	}
	s := t.services[name]
	if s == nil {
		return fmt.Sprintf("its service %s is not defined on this container", quote(name))
	}
	if s.broken {
		return fmt.Sprintf("its service %s cannot be translated", quote(name))
	}
	router.target = *s
	return ""
}
