package npmtest

import (
	"maps"
	"net/http"
	"strings"
)

// hostKind is what differs between proxy hosts, redirection hosts, dead hosts
// and streams.
type hostKind struct {
	table    string // "proxy_host": also the folder of its conf files
	path     string // "proxy-hosts"
	audit    string // "proxy-host"
	noun     string // in messages
	defaults func() row
	create   *schema
	update   *schema
}

// permission is the kind's name in a user's permissions.
func (k hostKind) permission() string { return k.table + "s" }

func proxyHostDefaults() row {
	return row{"domain_names": []any{}, "access_list_id": 0, "certificate_id": 0, "ssl_forced": false,
		"caching_enabled": false, "block_exploits": false, "advanced_config": "", "meta": map[string]any{},
		"allow_websocket_upgrade": false, "http2_support": false, "forward_scheme": "http", "enabled": true,
		"locations": nil, "hsts_enabled": false, "hsts_subdomains": false, "trust_forwarded_proto": false}
}

func plainHostDefaults() row {
	return row{"certificate_id": 0, "ssl_forced": false, "advanced_config": "", "meta": map[string]any{},
		"http2_support": false, "enabled": true, "hsts_enabled": false, "hsts_subdomains": false}
}

func (s *Server) hostKinds() []hostKind {
	b := s.bodies
	return []hostKind{
		{"proxy_host", "proxy-hosts", "proxy-host", "Host", proxyHostDefaults,
			b.proxyHost, b.proxyHost.update()},
		{"redirection_host", "redirection-hosts", "redirection-host", "Host", func() row {
			r := plainHostDefaults()
			r["preserve_path"], r["block_exploits"] = false, false
			return r
		}, b.redirectionHost, b.redirectionHost.update()},
		{"dead_host", "dead-hosts", "dead-host", "Host", plainHostDefaults, b.deadHost, b.deadHost.update()},
		{"stream", "streams", "stream", "Stream", func() row {
			return row{"tcp_forwarding": false, "udp_forwarding": false, "meta": map[string]any{},
				"enabled": true, "certificate_id": 0}
		}, b.stream, b.stream.update("domain_names")},
	}
}

func (s *Server) hostRoutes(add addRoute, k hostKind) {
	on := func(h func(hostKind, *call) (answer, error)) handler {
		return func(c *call) (answer, error) { return h(k, c) }
	}
	base := "/nginx/" + k.path
	add("GET", base, on(s.listHosts))
	add("POST", base, on(s.createHost))
	add("GET", base+"/:", on(s.getHost))
	add("PUT", base+"/:", on(s.updateHost))
	add("DELETE", base+"/:", on(s.deleteHost))
	add("POST", base+"/:/enable", on(s.enableHost))
	add("POST", base+"/:/disable", on(s.disableHost))
}

func (s *Server) listHosts(k hostKind, c *call) (answer, error) {
	if !c.access.can("view", k.permission()) {
		return answer{}, notFound(c.path)
	}
	q := c.URL.Query()
	expand, err := s.parseExpand(k.table, q.Get("expand"))
	if err != nil {
		return answer{}, err
	}
	if expand.accessListItems && s.old { // FACTS, Proxy hosts; one host works
		return answer{}, errInternal
	}
	query := strings.ToLower(q.Get("query"))
	keep := func(r row) bool {
		return c.access.sees(r.int("owner_user_id")) &&
			(query == "" || strings.Contains(strings.ToLower(k.searchText(r)), query))
	}
	owner := 0
	if c.access.perms.str("visibility") != "all" {
		owner = c.access.id
	}
	return s.cachedList(listKey{k.table, q.Get("expand"), query, owner}, func() answer {
		if len(expand.names) == 0 {
			body, digest := s.store.list(k.table, keep)
			return answer{status: 200, body: body, etag: weak(len(body), digest)}
		}
		body := join(s.store.rows(k.table, keep), func(r row) []byte { return s.expanded(k.table, r, expand) })
		return answer{status: 200, body: body, etag: etag(body)}
	}), nil
}

// searchText is the column that ?query= searches.
func (k hostKind) searchText(r row) string {
	if k.table == "stream" {
		return string(encode(r["incoming_port"]))
	}
	return string(encode(r["domain_names"]))
}

type listKey struct {
	table, expand, query string
	owner                int
}

// cachedList builds a list once per change of the database: a conditional
// request for 10,000 hosts costs a map look-up.
func (s *Server) cachedList(key listKey, build func() answer) answer {
	generation := s.store.currentGeneration()
	s.mu.Lock()
	if s.listsGen != generation || s.lists == nil {
		s.lists, s.listsGen = map[listKey]answer{}, generation
	}
	a, hit := s.lists[key]
	s.mu.Unlock()
	if hit {
		return a
	}
	a = build()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listsGen == generation {
		s.lists[key] = a
	}
	return a
}

// host finds the row of a route, or the recorded error: 404 with the path
// without permission, 404 with the id when missing or somebody else's.
func (s *Server) host(k hostKind, c *call, verb string) (row, error) {
	if !c.access.can(verb, k.permission()) {
		return nil, notFound(c.path)
	}
	if c.id() < 1 {
		if c.Method == "GET" || c.Method == "HEAD" {
			return nil, badRequest("Internal Error")
		}
		return nil, &apiError{status: 404, msg: "Not Found"}
	}
	r, found := s.store.get(k.table, c.id())
	if !found || !c.access.sees(r.int("owner_user_id")) {
		return nil, notFound(c.id())
	}
	return r, nil
}

func (s *Server) getHost(k hostKind, c *call) (answer, error) {
	r, err := s.host(k, c, "view")
	if err != nil {
		return answer{}, err
	}
	expand, err := s.parseExpand(k.table, c.URL.Query().Get("expand"))
	if err != nil {
		return answer{}, err
	}
	return answer{status: 200, body: s.expanded(k.table, r, expand)}, nil
}

func (s *Server) createHost(k hostKind, c *call) (answer, error) {
	b, err := c.body(k.create)
	if err != nil {
		return answer{}, err
	}
	if c.access.user == nil {
		return answer{}, notFound(c.path)
	}
	if !c.access.can("manage", k.permission()) {
		return answer{}, errInternal // FACTS 5
	}
	if err := s.checkDomains(b, domainOwner{}); err != nil {
		return answer{}, err
	}
	wanted := newCertificate(b)
	b["owner_user_id"] = c.access.id
	names := b.domains()
	if k.table == "stream" {
		delete(b, "domain_names")
	} else {
		sortDomains(b)
		cleanSSL(b, row{})
	}
	sent := maps.Clone(b)
	r := k.defaults()
	maps.Copy(r, b)
	r = s.store.insert(k.table, r)
	if c.cut {
		s.crash()
		panic(http.ErrAbortHandler)
	}
	if wanted { // when it fails the row stays (certificate_id_zero_coercion)
		if r, err = s.withNewCertificate(k, c, r, names); err != nil {
			return answer{}, err
		}
	}
	body := s.expanded(k.table, r, s.fullExpand(k.table))
	if _, err := s.configure(k.table, r, withAll); err != nil {
		return answer{}, err
	}
	s.audit(c.access.id, "created", k.audit, r.int("id"), encode(createdMeta(k, sent)))
	return answer{status: 201, body: body}, nil
}

// createdMeta is what the audit log keeps of a creation: what was sent, and a
// few defaults.
func createdMeta(k hostKind, sent row) row {
	defaults := row{"meta": map[string]any{}}
	if k.table != "stream" {
		maps.Copy(defaults, row{"ssl_forced": false, "http2_support": false, "hsts_enabled": false,
			"hsts_subdomains": false, "advanced_config": ""})
	}
	maps.Copy(defaults, sent)
	return defaults
}

func (s *Server) checkDomains(b row, self domainOwner) error {
	for _, d := range b.domains() {
		if name, _ := d.(string); s.store.taken(name, self) {
			return badRequest("%s is already in use", name)
		}
	}
	return nil
}

func (s *Server) deleteHost(k hostKind, c *call) (answer, error) {
	r, err := s.host(k, c, "manage")
	if err != nil {
		return answer{}, err
	}
	s.store.remove(k.table, r.int("id"))
	if err := s.unconfigure(k.table, r.int("id")); err != nil {
		return answer{}, err
	}
	s.audit(c.access.id, "deleted", k.audit, r.int("id"), s.store.tables[k.table].encode(r))
	return ok(true)
}

func (s *Server) enableHost(k hostKind, c *call) (answer, error) {
	r, err := s.host(k, c, "manage")
	if err != nil {
		return answer{}, err
	}
	if r.bool("enabled") {
		return answer{}, badRequest("%s is already enabled", k.noun)
	}
	logged := r.with("enabled", 1)
	r = s.store.patch(k.table, r.int("id"), row{"enabled": true})
	if r == nil { // deleted meanwhile (WriteWindow)
		return answer{}, notFound(c.id())
	}
	// Unlike a PUT it does not load the access list's items and clients (FACTS 9).
	if _, err := s.configure(k.table, r, withCertificate); err != nil {
		return answer{}, err
	}
	expand := s.fullExpand(k.table)
	expand.accessListItems = false
	s.audit(c.access.id, "enabled", k.audit, r.int("id"), s.expanded(k.table, logged, expand))
	return ok(true)
}

func (s *Server) disableHost(k hostKind, c *call) (answer, error) {
	a, err := s.disable(k, c)
	if k.table != "dead_host" {
		return a, err
	}
	// The route of dead hosts does not wait for the result: it answers with the
	// promise, and a failure ends the process (dead_host_double_disable_crash).
	if err != nil {
		s.crash()
	}
	return ok(map[string]any{})
}

func (s *Server) disable(k hostKind, c *call) (answer, error) {
	r, err := s.host(k, c, "manage")
	if err != nil {
		return answer{}, err
	}
	if !r.bool("enabled") {
		return answer{}, badRequest("%s is already disabled", k.noun)
	}
	logged := r.with("enabled", 0)
	s.store.patch(k.table, r.int("id"), row{"enabled": false})
	if err := s.unconfigure(k.table, r.int("id")); err != nil {
		return answer{}, err
	}
	s.audit(c.access.id, "disabled", k.audit, r.int("id"), s.store.tables[k.table].encode(logged))
	return ok(true)
}
