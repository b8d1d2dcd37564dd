package dialect

import "strings"

// plugNPiN, as github.com/DeepSpace2/PlugNPiN defines it in
// pkg/clients/docker/docker.go (GetValuesFromLabels) and docs/configuration.md:
// `plugNPiN.*`, whose case counts.
//
// plugNPiN.ip is by its definition "the IP address and port of the container",
// in practice the machine's and a published one: no502 forwards to the container
// itself and finds its port. A name in its place is said. Without a certificate's name it serves plain
// HTTP, which is said: no502 would look for one. It deletes the host when the
// container dies; no502 does not, unless a label of its own says so.

var plugNPiNFields = []field{
	{"scheme", "scheme", scheme},
	{"accessListName", "access-list", objectName},
	{"certificateName", "certificate", objectName},
	{"forceSsl", "force-ssl", goBoolean},
	{"http2Support", "http2", goBoolean},
	{"hstsEnabled", "hsts", goBoolean},
	{"hstsSubdomains", "hsts-subdomains", goBoolean},
	{"websocketsSupport", "websockets", goBoolean},
	{"blockExploits", "block-exploits", goBoolean},
	{"cachingEnabled", "cache", goBoolean},
	{"advancedConfig", "advanced-config", verbatim},
}

func readPlugNPiN(r *reading) {
	r.plugNPiNDNS()
	ip, url := r.label("plugNPiN.ip"), r.label("plugNPiN.url")
	if url == "" || ip == "" {
		r.quiet = true
		if url+ip != "" {
			r.find("set both plugNPiN.ip and plugNPiN.url, or use no502's own labels",
				"plugNPiN ignores a container that has only one of %s and %s", quote("plugNPiN.ip"), quote("plugNPiN.url"))
		}
		return
	}
	rt := newRoute("plugnpin")
	rt.set("host", strings.Join(r.domains("plugNPiN.url", split(url)), ","))
	host, number, _ := strings.Cut(ip, ":")
	upstream, hostOK := r.upstream(host)
	number, portOK := port(number)
	switch {
	case !portOK || !hostOK && !isAddress(host):
		r.unreadable("plugNPiN.ip", ip, "an address and a port, such as 192.168.1.100:8080")
	case hostOK:
		rt.set("upstream", upstream)
		rt.set("port", number)
	}
	r.take(rt, plugNPiNFields, r.under("plugNPiN.npmOptions."))
	if r.label("plugNPiN.npmOptions.certificateName") == "" {
		rt.set("certificate", "none")
	}
	r.routes = append(r.routes, rt)
}

// plugNPiNDNS reads what concerns the other half of plugNPiN. To wait for a
// health check (createOnHealthy) is what no502 does anyway.
func (r *reading) plugNPiNDNS() {
	r.label("plugNPiN.options.createOnHealthy")
	for _, key := range []string{"plugNPiN.adguardHomeOptions.targetDomain", "plugNPiN.piholeOptions.targetDomain"} {
		if r.label(key) != "" {
			r.find("make the record in your DNS server yourself, best a wildcard that leads to NPM",
				"%s asks for a DNS record, and no502 makes none", quote(key))
		}
	}
}
