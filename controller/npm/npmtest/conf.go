package npmtest

import (
	"fmt"
	"regexp"
	"strings"
)

// confDirs are the folders of the conf tree below nginx/, in the order in which
// nginx.conf includes them.
var confDirs = []string{"default_host", "proxy_host", "redirection_host", "dead_host", "temp", "stream"}

const sitePath = "default_host/site.conf"

func confPath(table string, id int) string { return fmt.Sprintf("%s/%d.conf", table, id) }

const rule = "# ------------------------------------------------------------\n"

// loaded says which relations of a row NPM has at hand when it writes the conf
// file. What it has not is missing in the file.
type loaded int

const (
	bareRow         loaded = iota // neither: see bareHosts and the PUT of dead hosts
	withCertificate               // enable: no users and clients of the access list (FACTS 9)
	withAll
)

// hostConf writes the conf file of a row. Line numbers matter: they show up in
// nginx_err, so the blank lines are those of the recorded files.
func (s *Server) hostConf(table string, r row, have loaded) string {
	var certificate row
	if have >= withCertificate {
		certificate, _ = s.store.get("certificate", r.int("certificate_id"))
	}
	if table == "stream" {
		return streamConf(r, certificate)
	}
	var w confWriter
	w.header(r)
	if !r.bool("enabled") {
		return w.String() // "conf file of a host created with enabled:false"
	}
	w.add("\n")
	w.hstsMap(r)
	w.add("server {\n")
	if table == "proxy_host" {
		w.addf("  set $forward_scheme %s;\n  set $server         \"%s\";\n  set $port           %d;\n\n",
			r.str("forward_scheme"), r.str("forward_host"), r.int("forward_port"))
	}
	w.listen(r, certificate)
	w.certificate(certificate)
	if table != "dead_host" {
		w.addf("%s\n%s\n", assets(r), exploitsConf(r))
	}
	w.hsts(r, certificate)
	s.forcedTLS(&w, r, certificate)
	if table == "proxy_host" {
		w.addf("\n%s", websockets(r, ""))
	}
	log, format := strings.ReplaceAll(table, "_", "-"), "standard"
	if table == "proxy_host" {
		format = "proxy"
	}
	w.addf("\n  access_log /data/logs/%s-%d_access.log %s;\n  error_log /data/logs/%s-%d_error.log warn;\n",
		log, r.int("id"), format, log, r.int("id"))
	w.addf("\n%s\n", r.str("advanced_config"))
	root := !ownRoot.MatchString(r.str("advanced_config"))
	switch {
	case table == "proxy_host":
		s.proxyLocations(&w, r, certificate, have, root)
	case root && table == "redirection_host":
		w.redirection(r, certificate)
	case root:
		w.add("\n\n  location / {\n")
		w.hsts(r, certificate)
		w.add("    return 404;\n  }\n")
	}
	custom := map[string]string{"proxy_host": "proxy", "redirection_host": "redirect", "dead_host": "dead"}[table]
	w.addf("\n\n  # Custom\n  include /data/nginx/custom/server_%s[.]conf;\n}\n\n", custom)
	return w.String()
}

type confWriter struct{ strings.Builder }

func (w *confWriter) add(parts ...string) {
	for _, p := range parts {
		w.WriteString(p)
	}
}
func (w *confWriter) addf(format string, args ...any) { fmt.Fprintf(w, format, args...) }

// ownRoot finds a "location /" in advanced_config: NPM leaves its own out then.
var ownRoot = regexp.MustCompile(`(?im)^(?:.*;)?\s*location\s*/\s*\{`)

func (s *Server) proxyLocations(w *confWriter, r, certificate row, have loaded, root bool) {
	access := s.accessConf(r.int("access_list_id"), have)
	locations, _ := r["locations"].([]any)
	for _, x := range locations {
		l := row(x.(map[string]any))
		root = root && l.str("path") != "/"
		host, path, found := strings.Cut(l.str("forward_host"), "/")
		if path = "/" + path; !found {
			path = l.str("forward_path")
		}
		w.addf("\n  location %s {\n%s\n\n", l.str("path"), l.str("advanced_config"))
		w.add("    proxy_set_header Host $host;\n    proxy_set_header X-Forwarded-Scheme $scheme;\n",
			"    proxy_set_header X-Forwarded-Proto $scheme;\n    proxy_set_header X-Forwarded-For $remote_addr;\n",
			"    proxy_set_header X-Real-IP $remote_addr;\n\n")
		w.addf("    proxy_pass       %s://%s:%d%s;\n\n", l.str("forward_scheme"), host, l.int("forward_port"), path)
		w.block(access, 2)
		w.addf("%s\n%s\n", assets(r), exploitsConf(r))
		s.forcedTLS(w, r.with("trust_forwarded_proto", false), certificate) // which NPM does not hand on
		w.hsts(r, certificate)
		w.addf("\n%s  }\n", websockets(r, "    "))
	}
	w.add("\n\n\n\n")
	if !root {
		return
	}
	w.add("\n  location / {\n\n")
	w.block(access, 2)
	w.hsts(r, certificate)
	w.addf("\n%s\n    # Proxy!\n    include conf.d/include/proxy.conf;\n  }\n", websockets(r, "    "))
}

// block writes text and fills it up with blank lines to n lines.
func (w *confWriter) block(text string, n int) {
	w.add(text, strings.Repeat("\n", max(0, n-strings.Count(text, "\n"))))
}

// accessConf are the lines of an access list (access_lists.json). A PUT writes
// all of them. Without the users and clients at hand 2.15.1 leaves the host open
// and 2.13.7 closes it to everyone (FACTS 9).
func (s *Server) accessConf(id int, have loaded) string {
	r, found := s.store.get("access_list", id)
	if !found {
		return ""
	}
	var clients, auth []row
	switch have {
	case bareRow:
		r = row{"pass_auth": true}
	case withAll:
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

func (w *confWriter) redirection(r, certificate row) {
	scheme, uri := r.str("forward_scheme"), ""
	if scheme == "auto" {
		scheme = "$scheme"
	}
	if r.bool("preserve_path") {
		uri = "$request_uri"
	}
	w.add("\n\n  location / {\n")
	w.hsts(r, certificate)
	w.addf("\n\n        return %d %s://%s%s;\n    \n  }\n", r.int("forward_http_code"), scheme, r.str("forward_domain_name"), uri)
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
