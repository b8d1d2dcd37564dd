package dialect

import (
	"slices"
	"strings"
)

// nginx-proxy, as github.com/nginx-proxy/nginx-proxy defines it in nginx.tmpl
// and docs/README.md, with its companion github.com/nginx-proxy/acme-companion
// (app/letsencrypt_service_data.tmpl, docs/Environment-variables-reference.md),
// whose ACME_HOST was LETSENCRYPT_HOST until lately: environment variables, and
// a few labels.
//
// Where a host has a certificate it redirects to HTTPS and sends HSTS, unless
// HTTPS_METHOD and HSTS say otherwise; both are said with the companion's
// certificate, since browsers hold its users to it. What it reads from files
// (htpasswd, vhost.d, certs), no container tells.

var nginxProxyEnv = []string{
	"VIRTUAL_HOST", "VIRTUAL_HOST_MULTIPORTS", "VIRTUAL_PORT", "VIRTUAL_PROTO", "VIRTUAL_PATH", "VIRTUAL_DEST",
	"ACME_HOST", "ACME_EMAIL", "ACME_CHALLENGE", "LETSENCRYPT_HOST", "LETSENCRYPT_EMAIL", "LETSENCRYPT_TEST",
	"HTTPS_METHOD", "HSTS", "CERT_NAME", "NETWORK_ACCESS", "EXTERNAL_HTTP_PORT", "EXTERNAL_HTTPS_PORT",
}

const nginxProxyLabel = "com.github.nginx-proxy.nginx-proxy."

func readNginxProxy(r *reading) {
	if r.variable("VIRTUAL_HOST_MULTIPORTS") != "" {
		r.find("say it with one route of no502's own labels for each host, such as no502.api.host and no502.api.port",
			"VIRTUAL_HOST_MULTIPORTS asks for several ports, and VIRTUAL_HOST is ignored with it; no502 does not read its YAML")
		return
	}
	hosts := r.domains("VIRTUAL_HOST", split(r.variable("VIRTUAL_HOST")))
	if len(hosts) == 0 {
		return
	}
	rt := newRoute("nginx-proxy")
	rt.set("host", strings.Join(hosts, ","))
	r.take(rt, []field{{"VIRTUAL_PORT", "port", portNumber}}, r.lookupEnv)
	r.take(rt, []field{{"http2.enable", "http2", goBoolean}}, r.under(nginxProxyLabel))
	r.nginxProxyTLS(rt)
	if r.nginxProxyBackend(rt, hosts[0]) {
		r.routes = append(r.routes, rt)
	}
}

func (r *reading) variable(name string) string { return strings.TrimSpace(r.env[name]) }

func (r *reading) lookupEnv(name string) (string, string) { return name, r.variable(name) }

// nginxProxyBackend reports whether NPM can do what the variables ask for.
func (r *reading) nginxProxyBackend(rt *route, host string) bool {
	if proto := r.variable("VIRTUAL_PROTO"); proto != "" {
		v, ok := scheme.read(r, proto)
		if !ok {
			r.find("put a web server before it", "VIRTUAL_PROTO asks for %s, which NPM does not speak; nothing is published", quote(proto))
			return false
		}
		rt.set("scheme", v)
	}
	if path := r.variable("VIRTUAL_PATH"); path != "" && path != "/" {
		r.onlyAPath("VIRTUAL_PATH", path, host)
		return false
	}
	if dest := r.variable("VIRTUAL_DEST"); dest != "" && dest != "/" {
		r.find("let the service answer at the root, or use no502.advanced-config",
			"VIRTUAL_DEST asks for another path at the backend, %s, which no502 does not set; nothing is published", quote(dest))
		return false
	}
	if access := r.variable("NETWORK_ACCESS"); access != "" && access != "external" {
		r.find("make an access list in NPM, and say no502.host and no502.access-list",
			"NETWORK_ACCESS lets in the internal network only; nothing is published without that")
		return false
	}
	for _, name := range []string{"EXTERNAL_HTTP_PORT", "EXTERNAL_HTTPS_PORT"} {
		if r.variable(name) != "" {
			r.find("use the usual ports", "%s asks for a port of its own, and NPM serves all hosts on 80 and 443", name)
		}
	}
	return true
}

// onlyAPath says that a domain's root belongs to somebody else.
func (r *reading) onlyAPath(key, path, domain string) {
	r.find("on the container that serves the rest, set no502.location.1.path to it and no502.location.1.upstream to this container's"+
		" service; or give this one no502.host if it may answer the whole domain",
		"%s asks for no more than the path %s of %s, and NPM's host belongs to whoever serves its root", quote(key), quote(path), quote(domain))
}

func (r *reading) nginxProxyTLS(rt *route) {
	method := strings.ToLower(r.variable("HTTPS_METHOD"))
	switch method {
	case "", "redirect", "noredirect", "nohttps":
	case "nohttp":
		r.find("nothing needs to be done: no502 redirects to HTTPS instead", "HTTPS_METHOD asks for no plain HTTP, and NPM always listens there")
	default:
		r.unreadable("HTTPS_METHOD", method, "redirect, noredirect, nohttp or nohttps")
		method = ""
	}
	if method == "nohttps" {
		rt.set("certificate", "none")
		return
	}
	acme := r.nginxProxyACME(rt)
	switch {
	case method == "noredirect":
		rt.set("force-ssl", "false")
		return // and without HSTS
	case method != "" || acme:
		rt.set("force-ssl", "true")
	}
	hsts := strings.ToLower(r.variable("HSTS"))
	switch {
	case hsts == "off":
		rt.set("hsts", "false")
	case hsts != "" || acme:
		rt.set("hsts", "true")
	}
	if strings.Contains(hsts, "includesubdomains") {
		rt.set("hsts-subdomains", "true")
	}
}

// nginxProxyACME reports whether the companion is asked for a certificate.
func (r *reading) nginxProxyACME(rt *route) bool {
	if r.variable("CERT_NAME") != "" {
		r.find("upload it to NPM and name it with no502.certificate", "CERT_NAME names a file of nginx-proxy, which NPM does not have")
	}
	first := func(names ...string) (key, value string) {
		for _, name := range names {
			if value = r.variable(name); value != "" {
				return name, value
			}
		}
		return "", ""
	}
	key, names := first("ACME_HOST", "LETSENCRYPT_HOST")
	if names == "" {
		return false
	}
	if isTrue(yesOrNo, r.variable("LETSENCRYPT_TEST")) {
		r.find("remove it to get a real one", "LETSENCRYPT_TEST asks for a test certificate, and NPM gets no such")
	} else {
		rt.set("certificate", "letsencrypt")
	}
	if strings.EqualFold(r.variable("ACME_CHALLENGE"), "DNS-01") {
		r.find("say no502.letsencrypt.dns-provider, and give NPM the credentials", "ACME_CHALLENGE asks for a DNS challenge, whose provider is not read since its credentials stand beside it")
	}
	if _, email := first("ACME_EMAIL", "LETSENCRYPT_EMAIL"); email != "" {
		rt.set("letsencrypt.email", email)
	}
	want := r.domains(key, split(names))
	have := rt.domains()
	if !slices.Equal(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(have))) {
		r.find("let both name the same domains", "%s asks for a certificate for other domains than VIRTUAL_HOST, and NPM gets one for the host's", key)
	}
	return true
}
