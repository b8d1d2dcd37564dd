package npmtest

import (
	"fmt"
	"regexp"
	"strings"
)

// confDirs are the folders of the conf tree below nginx/, in the order in which
// nginx.conf includes them.
var confDirs = []string{"default_host", "proxy_host", "redirection_host", "dead_host", "stream"}

const sitePath = "default_host/site.conf"

func confPath(table string, id int) string { return fmt.Sprintf("%s/%d.conf", table, id) }

const rule = "# ------------------------------------------------------------\n"

// hostConf writes the conf file of a row. Line numbers matter: they show up in
// nginx_err, so the blank lines are those of the recorded files. With list
// false the access list's users and clients are missing (FACTS 9).
func (s *Server) hostConf(table string, r row, list bool) string {
	if table == "stream" {
		return streamConf(r)
	}
	var w confWriter
	names := make([]string, len(r.domains()))
	for i, d := range r.domains() {
		names[i] = d.(string)
	}
	w.add(rule, "# ", strings.Join(names, ", "), "\n", rule, "\n\n")
	if !r.bool("enabled") {
		return w.String() // "conf file of a host created with enabled:false"
	}
	w.add("\n")
	if table == "proxy_host" {
		w.add("map $scheme $hsts_header {\n    https   \"max-age=63072000; preload\";\n}\n\n")
	}
	w.add("server {\n")
	if table == "proxy_host" {
		w.addf("  set $forward_scheme %s;\n  set $server         \"%s\";\n  set $port           %d;\n\n",
			r.str("forward_scheme"), r.str("forward_host"), r.int("forward_port"))
	}
	_, certificate := s.store.get("certificate", r.int("certificate_id"))
	w.listen(certificate)
	w.addf("  server_name %s;\n%s;\n", strings.Join(names, " "), http2(r.bool("http2_support")))
	w.add(strings.Repeat("\n", 12))
	if certificate && r.bool("ssl_forced") {
		w.add("  include conf.d/include/force-ssl.conf;\n")
	}
	log := strings.ReplaceAll(table, "_", "-")
	w.addf("  access_log /data/logs/%s-%d_access.log proxy;\n  error_log /data/logs/%s-%d_error.log warn;\n",
		log, r.int("id"), log, r.int("id"))
	w.addf("\n%s\n", r.str("advanced_config"))
	switch table {
	case "proxy_host":
		s.proxyLocations(&w, r, list)
	case "redirection_host":
		w.redirection(r)
	case "dead_host":
		w.add("\n  location / {\n    return 404;\n  }\n")
	}
	w.addf("\n\n  # Custom\n  include /data/nginx/custom/server_%s[.]conf;\n}\n\n", strings.TrimSuffix(table, "_host"))
	return w.String()
}

func http2(on bool) string {
	if on {
		return "http2 on"
	}
	return "http2 off"
}

type confWriter struct{ strings.Builder }

func (w *confWriter) add(parts ...string) {
	for _, p := range parts {
		w.WriteString(p)
	}
}
func (w *confWriter) addf(format string, args ...any) { fmt.Fprintf(w, format, args...) }

func (w *confWriter) listen(tls bool) {
	w.add("  listen 80;\nlisten [::]:80;\n")
	if tls {
		w.add("\n  listen 443 ssl;\nlisten [::]:443 ssl;\n")
	}
	w.add("\n\n")
}

// ownRoot finds a "location /" in advanced_config: NPM leaves its own out then.
var ownRoot = regexp.MustCompile(`(?im)^(?:.*;)?\s*location\s*/\s*\{`)

func (s *Server) proxyLocations(w *confWriter, r row, list bool) {
	access := s.accessConf(r.int("access_list_id"), list)
	locations, _ := r["locations"].([]any)
	root := !ownRoot.MatchString(r.str("advanced_config"))
	if len(locations) == 0 {
		w.add("\n\n\n\n")
	}
	for _, x := range locations {
		l := row(x.(map[string]any))
		root = root && l.str("path") != "/"
		host, path, found := strings.Cut(l.str("forward_host"), "/")
		if path = "/" + path; !found {
			path = l.str("forward_path")
		}
		w.addf("\n  location %s {\n%s\n\n", l.str("path"), l.str("advanced_config"))
		w.add("    proxy_set_header Host $host;\n    proxy_set_header X-Forwarded-Scheme $scheme;\n",
			"    proxy_set_header X-Forwarded-Proto $scheme;\n    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n",
			"    proxy_set_header X-Real-IP $remote_addr;\n\n")
		w.addf("    proxy_pass       %s://%s:%d%s;\n", l.str("forward_scheme"), host, l.int("forward_port"), path)
		w.block(access+websockets(r), 10)
		w.add("  }\n")
	}
	if !root {
		return
	}
	if len(locations) > 0 {
		w.add("\n")
	}
	w.add("\n  location / {\n")
	w.block(access, 6)
	w.add("    ", websockets(r), "\n\n    # Proxy!\n    include conf.d/include/proxy.conf;\n  }\n")
}

// block writes text and fills it up with blank lines to n lines.
func (w *confWriter) block(text string, n int) {
	w.add(text, strings.Repeat("\n", max(0, n-strings.Count(text, "\n"))))
}

func websockets(r row) string {
	if !r.bool("allow_websocket_upgrade") {
		return ""
	}
	return "    proxy_set_header Upgrade $http_upgrade;\n    proxy_set_header Connection $http_connection;\n    proxy_http_version 1.1;\n"
}

// accessConf are the lines of an access list (access_lists.json). A PUT writes
// all of them; an enable has no users and clients at hand, and then 2.15.1
// leaves the host open and 2.13.7 closes it to everyone (FACTS 9).
func (s *Server) accessConf(id int, list bool) string {
	r, found := s.store.get("access_list", id)
	if !found {
		return ""
	}
	var clients, auth []row
	if list {
		clients, auth = s.accessListParts(id)
	}
	var w confWriter
	if len(auth) > 0 {
		w.addf("    auth_basic            \"Authorization required\";\n    auth_basic_user_file  /data/access/%d;\n", id)
		if !r.bool("pass_auth") {
			w.add("    proxy_set_header Authorization \"\";\n")
		}
	}
	for _, c := range clients {
		w.addf("    %s %s;\n", c.str("directive"), c.str("address"))
	}
	if len(clients) > 0 || s.old {
		w.add("    deny all;\n")
	}
	if r.bool("satisfy_any") {
		w.add("    satisfy any;\n")
	} else {
		w.add("    satisfy all;\n")
	}
	return w.String()
}

func (w *confWriter) redirection(r row) {
	scheme, uri := r.str("forward_scheme"), ""
	if scheme == "auto" {
		scheme = "$scheme"
	}
	if r.bool("preserve_path") {
		uri = "$request_uri"
	}
	w.addf("\n  location / {\n    return %d %s://%s%s;\n  }\n", r.int("forward_http_code"), scheme, r.str("forward_domain_name"), uri)
}

// streamConf is the recorded file of a stream (streams.json).
func streamConf(r row) string {
	var w confWriter
	w.add(rule)
	w.addf("# %d TCP: %t UDP: %t\n", r.int("incoming_port"), r.bool("tcp_forwarding"), r.bool("udp_forwarding"))
	w.add(rule, "\n\n")
	server := func(udp, name string) {
		w.addf("server {\n  listen %d%s;\n  listen [::]:%d%s;\n\n  proxy_pass %s:%d;\n\n", r.int("incoming_port"), udp,
			r.int("incoming_port"), udp, r.str("forwarding_host"), r.int("forwarding_port"))
		w.addf("  access_log /data/logs/stream-%d_access.log stream;\n  error_log /data/logs/stream-%d_error.log warn;\n\n", r.int("id"), r.int("id"))
		w.addf("  # Custom\n  include /data/nginx/custom/server_stream[.]conf;\n  include /data/nginx/custom/server_stream_%s[.]conf;\n}\n", name)
	}
	if r.bool("enabled") && r.bool("tcp_forwarding") {
		server("", "tcp")
	}
	w.add("\n\n")
	if r.bool("enabled") && r.bool("udp_forwarding") {
		server(" udp", "udp")
	}
	w.add("\n\n")
	return w.String()
}

// siteConf is the default site: what answers for an unknown Host.
func siteConf(setting row) string {
	meta, _ := setting["meta"].(map[string]any)
	var body string
	switch value := setting.str("value"); value {
	case "404", "444":
		body = "return " + value + ";"
	case "redirect":
		body = fmt.Sprintf("return 301 %v;", meta["redirect"])
	case "html":
		html := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(fmt.Sprint(meta["html"]))
		body = "return 200 \"" + html + "\";"
	default:
		return "# " + value + "\n"
	}
	return "server {\n  listen 80 default;\n  server_name default-host.localhost;\n  location / {\n    " + body + "\n  }\n}\n"
}
