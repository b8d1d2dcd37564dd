package dialect

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// harmlessMiddlewares change neither who is let in nor who answers. True: NPM
// does the same, so that nobody misses it.
var harmlessMiddlewares = map[string]bool{
	"compress": true, "contenttype": true, "buffering": false, "circuitbreaker": false, "errors": false,
	"grpcweb": false, "headers": false, "inflightreq": false, "ratelimit": false, "retry": false,
}

// middleware reads a router's middlewares, or says which one cannot be left
// out. What is defined elsewhere may be a guard.
func (t *traefikReading) middleware(router *traefikRouter) string {
	for _, name := range router.middlewares {
		options, ok := t.middlewares[strings.TrimSuffix(name, "@docker")]
		if !ok {
			return fmt.Sprintf("its middleware %s is not defined on this container", quote(name))
		}
		for _, option := range slices.Sorted(maps.Keys(options)) {
			kind, rest, _ := strings.Cut(option, ".")
			same, harmless := harmlessMiddlewares[kind]
			switch {
			case kind == "redirectscheme":
				if rest == "scheme" && !strings.EqualFold(options[option], "https") {
					return fmt.Sprintf("its middleware %s redirects to another scheme than HTTPS", quote(name))
				}
				router.redirect = true
			case kind == "stripprefix" && rest == "prefixes":
				router.strip = append(router.strip, split(options[option])...)
			case option == "stripprefix.forceslash": // gone in version 3
			case !harmless:
				return fmt.Sprintf("its middleware %s asks for %s, which NPM does not do that way", quote(name), quote(kind))
			case !same:
				t.find("use no502.advanced-config, if it is needed",
					"the middleware %s asks for %s, which no502 does not set", quote(name), quote(kind))
			}
		}
	}
	return ""
}

// publish makes routes of the domains that the same routers serve.
func (t *traefikReading) publish() {
	groups := map[string][]string{}
	for _, d := range slices.Sorted(maps.Keys(t.served)) {
		var key strings.Builder
		for _, m := range t.served[d] {
			fmt.Fprintf(&key, "%q %q,", m.router.name, m.path)
		}
		groups[key.String()] = append(groups[key.String()], d)
	}
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		t.group(groups[key], t.served[groups[key][0]])
	}
}

// group makes one route.
func (t *traefikReading) group(domains []string, matches []match) {
	paths := map[string][]*traefikRouter{}
	for _, m := range matches {
		paths[m.path] = append(paths[m.path], m.router)
	}
	root := paths[""]
	if root == nil {
		path := slices.Sorted(maps.Keys(paths))[0]
		t.onlyAPath(paths[path][0].label, path, domains[0])
		return
	}
	rt := newRoute(root[0].name)
	var redirect, secure, plain bool
	for _, router := range root {
		redirect = redirect || router.redirect
		secure = secure || router.tls
		plain = plain || !router.tls && !router.redirect
		if router.tls {
			rt.name = router.name
		}
		if router.resolver {
			rt.set("certificate", "letsencrypt")
		}
	}
	if redirect || secure && !plain {
		rt.set("force-ssl", "true")
	}
	main, ok := t.target(root, "")
	if !ok {
		return
	}
	rt.set("host", strings.Join(domains, ","))
	main.set(rt, "")
	delete(paths, "")
	n := 0
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		to, ok := t.target(paths[path], path)
		if !ok {
			return
		}
		if to != main {
			n++
			prefix := "location." + strconv.Itoa(n) + "."
			rt.set(prefix+"path", path)
			to.set(rt, prefix)
		}
	}
	t.routes = append(t.routes, rt)
}

// endpoint is where a path is forwarded to.
type endpoint struct {
	to    traefikService
	strip bool
}

func (e endpoint) set(rt *route, prefix string) {
	rt.set(prefix+"upstream", e.to.upstream)
	rt.set(prefix+"port", e.to.port)
	rt.set(prefix+"scheme", e.to.scheme)
	if e.strip {
		rt.set(prefix+"strip-prefix", "true")
	}
}

// target is what several routers of the same path forward to, if they agree.
// One that only redirects to HTTPS has no say beside another.
func (t *traefikReading) target(routers []*traefikRouter, path string) (endpoint, bool) {
	var found []endpoint
	for _, redirects := range []bool{false, true} {
		for _, router := range routers {
			if router.redirect != redirects || redirects && len(found) > 0 {
				continue
			}
			e := endpoint{to: router.target}
			if len(router.strip) > 0 {
				if path == "" || !slices.Equal(router.strip, []string{path}) {
					t.leave(router, nil, "it strips another prefix than its own path, which NPM does not do")
					return e, false
				}
				e.strip = true
			}
			if !slices.Contains(found, e) {
				found = append(found, e)
			}
		}
	}
	if len(found) > 1 {
		t.leave(routers[0], nil, "another router of the same domain and path forwards elsewhere")
		return endpoint{}, false
	}
	return found[0], true
}
