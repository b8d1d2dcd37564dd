package dialect

import "strings"

// npm-docker-auto-proxy, as github.com/tarach/npm-docker-auto-proxy defines it
// in internal/proxy/labels.go, stop_action.go and README.md, "Supported
// labels": `npm.proxy.*`, its LABELS_PREFIX being the default one.
//
// Without `npm.proxy.enabled` it ignores a container. Without a certificate it
// serves plain HTTP, which is said: no502 would look for one. Without
// `npm.proxy.on_stop` it leaves a stopped or removed container's host as a 502;
// that is left to no502's own defaults.

var autoProxyFields = []field{
	{"forward_host", "upstream", forwardHost},
	{"forward_port", "port", portNumber},
	{"scheme", "scheme", scheme},
	{"websocket", "websockets", yesOrNo},
	{"block_exploits", "block-exploits", yesOrNo},
	{"http2", "http2", yesOrNo},
	{"on_stop", "on-stop", reader{`"delete" or "disable"`, stopAction}},
	{"certificate_id", "certificate", objectID},
}

func stopAction(_ *reading, v string) (string, bool) {
	switch strings.ToLower(v) {
	case "delete", "del":
		return "delete", true
	case "disable", "dis", "off":
		return "disable", true
	}
	return "", false
}

func readAutoProxy(r *reading) {
	find := r.under("npm.proxy.")
	key, value := find("enabled")
	if on, ok := yesOrNo.read(r, value); value != "" && !ok {
		r.unreadable(key, value, yesOrNo.allowed)
	} else if on == "false" && value != "" {
		r.off = true
	}
	domainKey, name := find("domain")
	if !isTrue(yesOrNo, value) {
		if name != "" && !r.off {
			r.find(`set npm.proxy.enabled to "true"`, "%s is ignored by npm-docker-auto-proxy without %s", quote(domainKey), quote(key))
		}
		r.quiet = true
		return
	}
	var names []string
	if name != "" {
		names = []string{name} // its only one
	}
	rt := newRoute("proxy")
	rt.set("host", strings.Join(r.domains(domainKey, names), ","))
	r.take(rt, autoProxyFields, find)
	if rt.labels["on-stop"] == "delete" {
		rt.set("on-remove", "delete") // it tells the two apart as little
	}
	r.autoProxySSL(rt, find)
	r.routes = append(r.routes, rt)
}

func (r *reading) autoProxySSL(rt *route, find func(string) (string, string)) {
	key, ssl := find("ssl")
	on, ok := yesOrNo.read(r, ssl)
	if ssl != "" && !ok {
		r.unreadable(key, ssl, yesOrNo.allowed)
	}
	certificate := field{"certificate", "certificate", objectName}
	if _, name := find("certificate"); strings.Trim(name, "0123456789") == "" {
		certificate.read = objectID // it takes a number for an id
	} else if d, ok := domain(name); ok && strings.HasSuffix("."+rt.labels["host"], "."+strings.TrimPrefix(d, "*.")) {
		// It finds a certificate by one of its domains, too, as auto does.
		certificate.read = reader{read: func(*reading, string) (string, bool) { return "auto", true }}
	}
	if _, id := find("certificate_id"); id == "" && on == "true" {
		r.take(rt, []field{certificate}, find)
	}
	forceKey, force := find("force_ssl")
	if isTrue(yesOrNo, force) && on != "true" {
		r.find(`set npm.proxy.ssl to "true", and name the certificate`, "%s asks for HTTPS without %s", quote(forceKey), quote(key))
	} else {
		r.take(rt, []field{{"force_ssl", "force-ssl", yesOrNo}}, find)
	}
	if rt.labels["certificate"] == "" && on != "true" {
		rt.set("certificate", "none")
	}
}
