package npmtest

import (
	"regexp"
	"slices"
)

var (
	domainPattern = regexp.MustCompile("^[^&| @!#%^();:/\\\\}{=+?<>,~`'\"]+$")
	hostPattern   = regexp.MustCompile(`^(?:[^.*]+\.?)+[^.]$`)
	ipv4Pattern   = regexp.MustCompile(`^([0-9]{1,3}\.){3}[0-9]{1,3}(/([0-9]|[1-2][0-9]|3[0-2]))?$`)
	ipv6Pattern   = regexp.MustCompile(`^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/[0-9]{1,3})?$`)
	portMax       = 65535
	zero, one     = 0, 1
)

func str(minLen, maxLen int) *schema {
	return &schema{types: []string{"string"}, minLen: minLen, maxLen: maxLen}
}
func match(p *regexp.Regexp) *schema       { return &schema{types: []string{"string"}, pattern: p} }
func enum(values ...string) *schema        { return &schema{types: []string{"string"}, enum: values} }
func boolean() *schema                     { return &schema{types: []string{"boolean"}} }
func integer(min, max *int) *schema        { return &schema{types: []string{"integer"}, min: min, max: max} }
func anyObject() *schema                   { return &schema{types: []string{"object"}, open: true} }
func list(items *schema) *schema           { return &schema{types: []string{"array"}, items: items} }
func object(props ...prop) *schema         { return &schema{types: []string{"object"}, props: props} }
func (s *schema) need(n ...string) *schema { s.required = n; return s }

// update is the same object for a PUT: nothing required, but not empty.
func (s *schema) update(without ...string) *schema {
	u := *s
	u.required, u.minProps = nil, 1
	u.props = slices.DeleteFunc(slices.Clone(s.props), func(p prop) bool { return slices.Contains(without, p.name) })
	return &u
}

func domains(minItems int) *schema {
	s := list(match(domainPattern))
	s.minItems, s.maxItems, s.unique = minItems, 100, true
	return s
}

func certificateID() *schema {
	return &schema{anyOf: []*schema{integer(&zero, nil), match(regexp.MustCompile("^new$"))}}
}

// bodies are the request bodies of one version of the API.
type bodies struct {
	token, token2FA, code           *schema
	user, userAuth, permissions     *schema
	setting                         *schema
	proxyHost, redirectionHost      *schema
	deadHost, stream                *schema
	accessList                      *schema
	certificate, certificateDomains *schema
}

func newBodies(trustForwardedProto bool) *bodies {
	port := integer(&one, &portMax)
	return &bodies{
		token: object(
			prop{"identity", str(1, 0)},
			prop{"scope", &schema{types: []string{"string"}, minLen: 1, enum: []string{"user"}}},
			prop{"secret", str(1, 0)},
		).need("identity", "secret"),
		token2FA: object(prop{"challenge_token", str(1, 0)}, prop{"code", str(6, 8)}).need("challenge_token", "code"),
		code:     object(prop{"code", str(6, 8)}).need("code"),
		user: object(
			prop{"name", str(1, 0)}, prop{"nickname", str(0, 0)}, prop{"email", str(3, 0)},
			prop{"roles", list(str(0, 0))}, prop{"is_disabled", boolean()}, prop{"auth", anyObject()},
		).need("name", "nickname", "email"),
		userAuth:    userAuthBody(),
		permissions: permissionsBody(),
		setting: &schema{types: []string{"object"}, minProps: 1, props: []prop{
			{"value", &schema{types: []string{"string"}, minLen: 1, enum: []string{"congratulations", "404", "444", "redirect", "html"}}},
			{"meta", object(prop{"redirect", str(0, 0)}, prop{"html", str(0, 0)})},
		}},
		proxyHost:       proxyHostBody(port, trustForwardedProto),
		redirectionHost: redirectionHostBody(),
		deadHost: object(slices.Concat([]prop{{"domain_names", domains(1)}}, sslProps(),
			[]prop{{"advanced_config", str(0, 0)}, {"meta", anyObject()}})...).need("domain_names"),
		stream: object(
			prop{"incoming_port", port},
			// The served pattern has an alternative whose "format" is unknown to
			// Ajv, so any string passes: "a b;" was accepted (streams.json).
			prop{"forwarding_host", str(0, 0)},
			prop{"forwarding_port", port},
			prop{"tcp_forwarding", boolean()}, prop{"udp_forwarding", boolean()},
			prop{"certificate_id", certificateID()}, prop{"meta", anyObject()},
			prop{"domain_names", domains(1)},
		).need("incoming_port", "forwarding_host", "forwarding_port"),
		accessList:         accessListBody(),
		certificate:        certificateBody(),
		certificateDomains: object(prop{"domains", domains(1)}).need("domains"),
	}
}

func userAuthBody() *schema {
	s := object(prop{"type", match(regexp.MustCompile("^password$"))}, prop{"current", str(1, 64)}, prop{"secret", str(8, 64)})
	s.open = true
	return s.need("type", "secret")
}

func permissionsBody() *schema {
	s := object(prop{"visibility", enum("all", "user")})
	for _, name := range permissionNames {
		s.props = append(s.props, prop{name, enum("hidden", "view", "manage")})
	}
	s.open, s.minProps = true, 1
	return s
}

func sslProps() []prop {
	return []prop{
		{"certificate_id", certificateID()}, {"ssl_forced", boolean()},
		{"hsts_enabled", boolean()}, {"hsts_subdomains", boolean()}, {"http2_support", boolean()},
	}
}

func proxyHostBody(port *schema, trustForwardedProto bool) *schema {
	location := object(
		prop{"id", &schema{types: []string{"integer", "null"}}},
		prop{"path", str(1, 0)}, prop{"forward_scheme", enum("http", "https")},
		prop{"forward_host", str(1, 255)}, prop{"forward_port", port},
		prop{"forward_path", str(0, 0)}, prop{"advanced_config", str(0, 0)},
	).need("forward_scheme", "forward_host", "forward_port", "path")
	s := object(slices.Concat([]prop{
		{"domain_names", domains(1)}, {"forward_scheme", enum("http", "https")},
		{"forward_host", str(1, 255)}, {"forward_port", port},
	}, sslProps(), []prop{
		{"block_exploits", boolean()}, {"caching_enabled", boolean()}, {"allow_websocket_upgrade", boolean()},
		{"access_list_id", integer(&zero, nil)}, {"advanced_config", str(0, 0)},
		{"enabled", boolean()}, {"meta", anyObject()}, {"locations", list(location)},
	})...)
	if trustForwardedProto {
		s.props = append(s.props, prop{"trust_forwarded_proto", boolean()})
	}
	return s.need("domain_names", "forward_scheme", "forward_host", "forward_port")
}

func redirectionHostBody() *schema {
	low, high := 300, 308
	return object(slices.Concat([]prop{
		{"domain_names", domains(1)}, {"forward_http_code", integer(&low, &high)},
		{"forward_scheme", enum("auto", "http", "https")},
		{"forward_domain_name", match(hostPattern)}, {"preserve_path", boolean()},
	}, sslProps(), []prop{
		{"block_exploits", boolean()}, {"advanced_config", str(0, 0)}, {"meta", anyObject()},
	})...).need("domain_names", "forward_scheme", "forward_http_code", "forward_domain_name")
}

func accessListBody() *schema {
	address := &schema{anyOf: []*schema{match(ipv4Pattern), match(ipv6Pattern), match(regexp.MustCompile("^all$"))}}
	return object(
		prop{"name", str(1, 0)}, prop{"satisfy_any", boolean()}, prop{"pass_auth", boolean()},
		prop{"items", list(object(prop{"username", str(1, 0)}, prop{"password", str(0, 0)}))},
		prop{"clients", list(object(prop{"address", address}, prop{"directive", enum("allow", "deny")}))},
	).need("name")
}

func certificateBody() *schema {
	return object(
		prop{"provider", match(regexp.MustCompile("^(letsencrypt|other)$"))},
		prop{"nice_name", str(0, 0)}, prop{"domain_names", domains(0)},
		prop{"meta", object(
			prop{"certificate", str(1, 0)}, prop{"certificate_key", str(1, 0)},
			prop{"dns_challenge", boolean()}, prop{"dns_provider_credentials", str(0, 0)},
			prop{"dns_provider", str(0, 0)}, prop{"letsencrypt_certificate", anyObject()},
			prop{"propagation_seconds", integer(&zero, nil)}, prop{"key_type", enum("rsa", "ecdsa")},
		)},
	).need("provider")
}
