package npmtest

import (
	"fmt"
	"strings"
)

func (w *confWriter) header(r row) {
	w.add(rule, "# ", domainText(r, ", "), "\n", rule, "\n\n")
}

func domainText(r row, sep string) string {
	names := make([]string, len(r.domains()))
	for i, d := range r.domains() {
		names[i] = d.(string)
	}
	return strings.Join(names, sep)
}

// hstsMap sets $hsts_header, a variable that all files share.
func (w *confWriter) hstsMap(r row) {
	subdomains := ""
	if r.bool("hsts_subdomains") {
		subdomains = "includeSubDomains;"
	}
	w.addf("map $scheme $hsts_header {\n    https   \"max-age=63072000;%s preload\";\n}\n\n", subdomains)
}

func (w *confWriter) listen(r, certificate row) {
	w.add("  listen 80;\nlisten [::]:80;\n")
	if certificate != nil {
		w.add("\n  listen 443 ssl;\nlisten [::]:443 ssl;\n")
	}
	http2 := "http2 off;\n"
	if r.bool("http2_support") {
		http2 = "\n  http2 on;\n"
	}
	w.addf("\n\n  server_name %s;\n%s\n", domainText(r, " "), http2)
}

// certificate names the files of a host's certificate.
func (w *confWriter) certificate(c row) {
	if c != nil {
		w.add("\n")
		w.pair(c, "letsencrypt-acme-challenge", "ssl-cache", "ssl-ciphers")
		w.add("\n\n")
	}
	w.add("\n\n\n")
}

// pair names a certificate's files, after the includes that go with one of Let's
// Encrypt.
func (w *confWriter) pair(c row, includes ...string) {
	if c.str("provider") == "letsencrypt" {
		w.add("  # Let's Encrypt SSL\n")
		for _, name := range includes {
			w.addf("  include conf.d/include/%s.conf;\n", name)
		}
	} else {
		w.add("  # Custom SSL\n")
	}
	w.addf("  ssl_certificate %s;\n  ssl_certificate_key %s;", sslDir(c)+chainFile, sslDir(c)+keyFile)
}

// sslDir is the folder of a certificate's files.
func sslDir(c row) string {
	if c.str("provider") == "letsencrypt" {
		return fmt.Sprint(letsEncrypt, c.int("id"))
	}
	return fmt.Sprint(customSSL, c.int("id"))
}

func (w *confWriter) hsts(r, certificate row) {
	if certificate != nil {
		if r.bool("ssl_forced") {
			w.add("\n")
			if r.bool("hsts_enabled") {
				w.add("\n  # HSTS\n  add_header Strict-Transport-Security $hsts_header always;\n")
			}
			w.add("\n")
		}
		w.add("\n")
	}
	w.add("\n\n")
}

func (s *Server) forcedTLS(w *confWriter, r, certificate row) {
	if certificate != nil {
		if r.bool("ssl_forced") {
			w.add("\n    # Force SSL\n")
			if !s.old {
				trust := "F"
				if r.bool("trust_forwarded_proto") {
					trust = "T"
				}
				w.addf("    \n    set $trust_forwarded_proto \"%s\";\n    \n", trust)
			}
			w.add("    include conf.d/include/force-ssl.conf;\n")
		}
		w.add("\n")
	}
	w.add("\n")
}

func assets(r row) string {
	if !r.bool("caching_enabled") {
		return ""
	}
	return "# Asset Caching\n  include conf.d/include/assets.conf;\n"
}

func exploitsConf(r row) string {
	if !r.bool("block_exploits") {
		return ""
	}
	return "\n  # Block Exploits\n  include conf.d/include/block-exploits.conf;\n"
}

// websockets ends with the line break that its place in the file has anyway.
func websockets(r row, indent string) string {
	if !r.bool("allow_websocket_upgrade") {
		return indent + "\n"
	}
	return "\n" + indent + "proxy_set_header Upgrade $http_upgrade;\n" + indent +
		"proxy_set_header Connection $http_connection;\n" + indent + "proxy_http_version 1.1;\n" + indent + "\n"
}

// streamConf is the recorded file of a stream (streams.json). UDP has no TLS.
func streamConf(r, certificate row) string {
	var w confWriter
	w.add(rule)
	w.addf("# %d TCP: %t UDP: %t\n", r.int("incoming_port"), r.bool("tcp_forwarding"), r.bool("udp_forwarding"))
	w.add(rule, "\n\n")
	server := func(listen, name string, c row) {
		port := r.int("incoming_port")
		w.addf("server {\n  listen %d%s;\n  listen [::]:%d%s;", port, listen, port, listen)
		if c != nil {
			w.add("\n\n")
			w.pair(c, "ssl-cache-stream", "ssl-ciphers")
		}
		w.addf("\n\n  proxy_pass %s:%d;\n\n", r.str("forwarding_host"), r.int("forwarding_port"))
		w.addf("  access_log /data/logs/stream-%d_access.log stream;\n  error_log /data/logs/stream-%d_error.log warn;\n\n", r.int("id"), r.int("id"))
		w.addf("  # Custom\n  include /data/nginx/custom/server_stream[.]conf;\n  include /data/nginx/custom/server_stream_%s[.]conf;\n}\n", name)
	}
	if r.bool("enabled") && r.bool("tcp_forwarding") {
		if certificate != nil {
			server(" ssl", "tcp", certificate)
		} else {
			server("", "tcp", nil)
		}
	}
	w.add("\n\n")
	if r.bool("enabled") && r.bool("udp_forwarding") {
		server(" udp", "udp", nil)
	}
	w.add("\n\n")
	return w.String()
}

// requestConf is what answers for the names of a certificate while Let's Encrypt
// looks for its challenge.
func requestConf(r row) string {
	var w confWriter
	w.header(r)
	w.addf("server {\n  listen 80;\n  listen [::]:80;\n\n  server_name %s;\n\n", domainText(r, " "))
	w.add("  include conf.d/include/letsencrypt-acme-challenge.conf;\n\n  location / {\n    return 404;\n  }\n}\n")
	return w.String()
}
