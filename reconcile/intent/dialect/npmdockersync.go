package dialect

import (
	"strconv"
	"strings"
)

// npm-docker-sync, as github.com/Redth/npm-docker-sync defines it in
// Services/LabelParser.cs (README.md, "Docker Labels", says less): `npm.proxy.*`
// and `npm.stream.*`, or `npm-proxy.*` and `npm-stream.*`, numbered from 0 to 99
// after the second word; without a number it is number 0.
//
// An absent label means what its operator's NPM_PROXY_… settings say, which no
// container tells; it is left to no502's own defaults. It deletes a proxy host
// when the container stops; no502 does not, unless a label of its own says so.

var syncProxyFields = []field{
	{"port", "port", portNumber},
	{"host", "upstream", forwardHost},
	{"scheme", "scheme", scheme},
	{"ssl.force", "force-ssl", yesOrNo},
	{"ssl.certificate.id", "certificate", objectID},
	{"caching", "cache", yesOrNo},
	{"block_common_exploits", "block-exploits", yesOrNo},
	{"websockets", "websockets", yesOrNo},
	{"ssl.http2", "http2", yesOrNo},
	{"ssl.hsts", "hsts", yesOrNo},
	{"ssl.hsts.subdomains", "hsts-subdomains", yesOrNo},
	{"accesslist.id", "access-list", objectID},
	{"advanced.config", "advanced-config", verbatim},
}

var syncStreamFields = []field{
	{"forward.port", "port", portNumber},
	{"forward.host", "upstream", forwardHost},
}

func readSync(r *reading) {
	for _, n := range r.syncNumbers("proxy", "domains", "domain") {
		r.syncProxy(n)
	}
	for _, n := range r.syncNumbers("stream", "incoming.port") {
		r.syncStream(n)
	}
}

// syncNumbers are the numbers that a kind of labels has. Like the tool, it
// finds them after the dotted prefix only.
func (r *reading) syncNumbers(kind string, first ...string) []int {
	var has [100]bool
	for _, key := range r.keys() {
		rest, ok := strings.CutPrefix(key, "npm."+kind+".")
		number, _, dotted := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(number); ok && dotted && err == nil && n >= 0 && n < len(has) {
			has[n] = true
		}
	}
	for _, name := range first {
		for _, prefix := range []string{"npm.", "npm-"} {
			if _, ok := r.labels[prefix+kind+"."+name]; ok {
				has[0] = true
			}
		}
	}
	var list []int
	for n, there := range has {
		if there {
			list = append(list, n)
		}
	}
	return list
}

// syncLookup finds a label of one number: with the number 0 or without it, with
// a dot or a hyphen.
func (r *reading) syncLookup(kind string, n int) func(string) (string, string) {
	prefixes := []string{kind + "." + strconv.Itoa(n) + "."}
	if n == 0 {
		prefixes = append(prefixes, kind+".")
	}
	return func(name string) (key, value string) {
		for _, prefix := range prefixes {
			for _, npm := range []string{"npm.", "npm-"} {
				if v := r.label(npm + prefix + name); v != "" && value == "" {
					key, value = npm+prefix+name, v
				}
			}
		}
		return key, value
	}
}

func (r *reading) syncProxy(n int) {
	find := r.syncLookup("proxy", n)
	key, names := find("domains")
	if k, v := find("domain"); names == "" {
		key, names = k, v
	}
	rt := newRoute("proxy-" + strconv.Itoa(n))
	rt.set("host", strings.Join(r.domains(key, split(names)), ","))
	r.take(rt, syncProxyFields, find)
	// It looks for a certificate only where HTTPS is forced.
	_, id := find("ssl.certificate.id")
	if id == "0" || id == "" && rt.labels["force-ssl"] == "false" {
		rt.set("certificate", "none")
	}
	r.routes = append(r.routes, rt)
}

func (r *reading) syncStream(n int) {
	find := r.syncLookup("stream", n)
	key, incoming := find("incoming.port")
	if incoming == "" {
		return
	}
	number, ok := port(incoming)
	if !ok {
		r.unreadable(key, incoming, portNumber.allowed)
		return
	}
	rt := newRoute("stream-" + strconv.Itoa(n))
	r.take(rt, syncStreamFields, find)
	tcp, udp := r.syncProtocol(find, "forward.tcp", true), r.syncProtocol(find, "forward.udp", false)
	switch {
	case tcp && udp:
		rt.set("stream", number+"/tcp+udp")
	case udp:
		rt.set("stream", number+"/udp")
	case tcp:
		rt.set("stream", number)
	default:
		r.find(`set one of forward.tcp and forward.udp to "true"`, "%s asks for a stream of neither TCP nor UDP", quote(key))
	}
	if sslKey, ssl := find("ssl"); ssl != "" {
		id, ok := objectID.read(r, ssl)
		if rt.set("certificate", id); !ok {
			r.find("name the certificate by its id in NPM",
				"%s asks for a certificate by domain, which no502 does not find for a stream; it is not published without", quote(sslKey))
			rt.left = true
		}
	}
	r.routes = append(r.routes, rt)
}

func (r *reading) syncProtocol(find func(string) (string, string), name string, fallback bool) bool {
	key, value := find(name)
	if value == "" {
		return fallback
	}
	v, ok := yesOrNo.read(r, value)
	if !ok {
		r.unreadable(key, value, yesOrNo.allowed)
		return fallback
	}
	return v == "true"
}
