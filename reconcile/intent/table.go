package intent

import (
	"time"

	"github.com/no502/no502/api"
)

const (
	booleans = `"true" or "false" (1, 0, yes, no, on, off)`
	names    = "domain names, separated by commas or spaces"
	services = "the name of a service, project/service, or a container's name"
	asked    = "what the container answers"
)

// subjects are the table of all labels: from it come the parser and the
// reference.
var subjects = []subject{
	{"Opting in", []field{
		{name: "enable", values: booleans, initial: "true with host, redirect-from, stream or parked", example: "true", alone: true, also: []string{"enabled"},
			meaning: "true: attach this container, and repair every host that means it. false: never touch it, whatever else says so.",
			read: func(t target, v string) error {
				on, err := boolean(v)
				t.in.Enabled, t.in.Denied = err == nil && on, err != nil || !on
				return err
			}},
		{name: "egress", values: booleans, initial: "false", example: "true",
			meaning: "Attach it although all its networks are internal, which gives it a way out.",
			read:    into(boolean, func(t target) *bool { return &t.in.Egress })},
		{name: api.RoleLabel, values: `"proxy"`, example: "proxy", alone: true,
			meaning: "On a container that publishes port 80 or 443: this is NPM, where none has NPM's own image. On a network: this is the one to share.",
			read: func(t target, v string) error {
				if v != api.RoleProxy {
					return errValue
				}
				t.in.Role = v
				return nil
			}},
	}, []string{`enable: "true"`}},

	{"Proxy hosts", []field{
		{name: "host", values: names, example: "app.example.com", kinds: proxy, declares: proxy, alone: true,
			also:    []string{"hosts", "hostname", "domain", "domains", "url"},
			meaning: "The domains of the proxy host, which is made where there is none. Also *.example.com.",
			read:    into(domains, func(t target) *[]string { return &t.route.Domains })},
		{name: "port", values: "a number from 1 to 65535", initial: asked, example: "8080", kinds: proxy | streams, alone: true, refines: true,
			meaning: "Forward to this port of the container.",
			read:    into(port, func(t target) *uint16 { return &t.route.Port })},
		{name: "scheme", values: `"http" or "https"`, initial: asked, example: "https", kinds: proxy, refines: true, also: []string{"protocol"},
			meaning: "Forward with this scheme.",
			read:    into(oneOf("http", "https"), func(t target) *string { return &t.route.Scheme })},
		{name: "upstream", values: services, initial: "this container", example: "backend", kinds: proxy | streams, alone: true, withholds: true,
			also: []string{"service", "backend", "target"}, meaning: "Forward to another service, which is opted in as well.",
			read: into(service, func(t target) *string { return &t.route.Upstream })},
	}, []string{"host: app.example.com", `port: "8080"`, "api.host: api.example.com", `api.port: "9000"`}},

	{"Certificates", []field{
		{name: "certificate", values: "auto, none, letsencrypt, or a certificate's name or id", initial: "auto", example: "wildcard example.com", kinds: every,
			also:    []string{"cert", "ssl", "tls"},
			meaning: "auto: the best that NPM has for the domains. letsencrypt: ask for one where there is none. A stream needs a name or an id.",
			read:    into(certificate, func(t target) *string { return &t.route.Certificate })},
		{name: "letsencrypt.email", values: "an e-mail address", example: "you@example.com", kinds: web, also: []string{"email"},
			meaning: "To whom Let's Encrypt writes. NPM 2.13 and later give the address of the NPM user with which no502 logs in instead.",
			read:    into(email, func(t target) *string { return &t.route.Email })},
		{name: "letsencrypt.dns-provider", values: "one of NPM's DNS providers, in lower case", initial: "the HTTP challenge", example: "cloudflare", kinds: web,
			meaning: "Use the DNS challenge, with the credentials that the operator mounted for this provider.",
			read:    into(provider, func(t target) *string { return &t.route.DNSProvider })},
		option("force-ssl", api.FieldForceSSL, web, "Redirect http to https.", "https-redirect"),
		option("http2", api.FieldHTTP2, web, "Speak HTTP/2 with visitors."),
		option("hsts", api.FieldHSTS, web, "Tell browsers to come back by https only."),
		option("hsts-subdomains", api.FieldHSTSSubs, web, "The same for all domains below."),
	}, []string{"host: app.example.com", "certificate: letsencrypt", `force-ssl: "true"`}},

	{"Options of hosts", []field{
		begins(option("websockets", api.FieldWebsockets, proxy, "Let WebSockets through.", "websocket", "ws")),
		begins(option("block-exploits", api.FieldExploits, proxy|redirection, "Block common exploits.")),
		option("cache", api.FieldCache, proxy, "Cache assets.", "caching"),
		option("trust-forwarded-proto", api.FieldTrustProto, proxy, "Believe the X-Forwarded-Proto of a proxy in front of NPM."),
		{name: "access-list", values: "an access list's name or id", example: "family", kinds: proxy, shuts: true,
			meaning: "Who may come in. While NPM has no such list the host is not published.",
			read: func(t target, v string) (err error) {
				if t.route.AccessList, err = text(v); err != nil {
					// It was to be protected: no list has such a name.
					t.route.AccessList = quote(v)
				}
				return err
			}},
		{name: SnippetLabel, values: "nginx directives, up to 64 kB", example: "client_max_body_size 1g;", kinds: web, claim: api.FieldAdvanced, withholds: true,
			meaning: "The whole Advanced tab. Refused, and the host not published, unless the operator sets NO502_ALLOW_SNIPPETS=true.",
			read:    claiming(snippet, api.FieldAdvanced)},
	}, []string{"host: app.example.com", "access-list: family", `cache: "true"`}},

	{"Custom locations", []field{
		{name: "location.<n>.path", values: `a path that begins with "/", of letters, digits and ._~/-`, example: "/api", kinds: proxy, alone: true,
			meaning: "What is below this path is forwarded elsewhere. <n> is any name, such as api.",
			read:    into(locationPath, func(t target) *string { return &t.loc.Path })},
		{name: "location.<n>.port", values: "a number from 1 to 65535", initial: asked, example: "9000", kinds: proxy, alone: true,
			meaning: "Forward it to this port.",
			read:    into(port, func(t target) *uint16 { return &t.loc.Port })},
		{name: "location.<n>.scheme", values: `"http" or "https"`, initial: asked, example: "http", kinds: proxy, alone: true,
			meaning: "Forward it with this scheme.",
			read:    into(oneOf("http", "https"), func(t target) *string { return &t.loc.Scheme })},
		{name: "location.<n>.upstream", values: services, initial: "this container", example: "backend", kinds: proxy, alone: true,
			meaning: "Forward it to another service, which is opted in as well.",
			read:    into(service, func(t target) *string { return &t.loc.Upstream })},
		{name: "location.<n>.strip-prefix", values: booleans, initial: "false", example: "true", kinds: proxy, alone: true,
			meaning: "Take the path away from what the service is asked for.",
			read:    into(boolean, func(t target) *bool { return &t.loc.StripPrefix })},
	}, []string{"host: app.example.com", "location.api.path: /api", "location.api.upstream: backend", `location.api.port: "9000"`}},

	{"Redirections", []field{
		{name: "redirect-from", values: names, example: "www.example.com", kinds: redirection, declares: redirection, alone: true, also: []string{"redirect"},
			meaning: "The domains of a redirection host.",
			read:    into(domains, func(t target) *[]string { return &t.route.redirect.From })},
		{name: "redirect-to", values: "a domain name, if need be with http:// or https:// in front and :port behind", initial: "the first of host",
			example: "https://example.com", kinds: redirection, alone: true,
			meaning: "Where it leads. Without http:// or https:// the visitor's scheme stays.",
			read: func(t target, v string) error {
				scheme, to, err := redirectTo(v)
				t.route.redirect.Scheme, t.route.redirect.To = scheme, to
				return err
			}},
		{name: "redirect-code", values: "301, 302, 303, 307 or 308", initial: "301", example: "302", kinds: redirection,
			meaning: "The status with which it answers.",
			read:    into(redirectCode, func(t target) *int { return &t.route.redirect.Code })},
		{name: "redirect-keep-path", values: booleans, initial: "true", example: "false", kinds: redirection,
			meaning: "Take the visitor's path along.",
			read:    into(boolean, func(t target) *bool { return &t.route.redirect.KeepPath })},
	}, []string{"host: example.com", "redirect-from: www.example.com"}},

	{"Streams", []field{
		{name: "stream", values: "a port such as 25565, 53/udp or 5432/tcp+udp, but not 80, 81, 443 or 3000", example: "25565", kinds: streams, declares: streams, alone: true,
			also:    []string{"tcp", "udp"},
			meaning: "Forward this port of NPM's container, which must publish it, to the same port of this container or to the one that port says.",
			read:    into(stream, func(t target) **Stream { return &t.route.Stream })},
	}, []string{"stream: 53/udp", `port: "5353"`}},

	{"Parked domains", []field{
		{name: "parked", values: names, example: "old.example.com", kinds: dead, declares: dead, alone: true,
			meaning: "Domains that answer 404. Such a host is deleted where another would be disabled.",
			read:    into(domains, func(t target) *[]string { return &t.route.Parked })},
	}, []string{"parked: old.example.com, older.example.com"}},

	{"When a service stops or goes away", []field{
		{name: "on-stop", values: "keep, disable or delete", initial: "keep", example: "disable", kinds: every,
			meaning: "What becomes of this route's hosts while all containers are stopped.",
			read:    into(oneOf(Keep, Disable, Delete), func(t target) *End { return &t.route.OnStop })},
		{name: "on-remove", values: "keep, disable or delete", initial: "disable", example: "delete", kinds: every,
			meaning: "What becomes of them when the containers or this route's labels are gone. Only hosts that no502 made are deleted.",
			read:    into(oneOf(Keep, Disable, Delete), func(t target) *End { return &t.route.OnRemove })},
		{name: "grace", values: "a time from 5s to 720h, such as 30s, 5m or 2h", initial: "30s", example: "5m", kinds: every,
			meaning: "How long it must last before either is done.",
			read:    into(grace, func(t target) *time.Duration { return &t.route.Grace })},
	}, []string{"host: app.example.com", "on-stop: disable", "on-remove: delete", "grace: 5m"}},
}
