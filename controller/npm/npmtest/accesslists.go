package npmtest

import (
	"encoding/json"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

func (s *Server) accessListRoutes(add addRoute) {
	add("GET", "/nginx/access-lists", s.listAccessLists)
	add("POST", "/nginx/access-lists", s.createAccessList)
	add("GET", "/nginx/access-lists/:", s.getAccessList)
	add("PUT", "/nginx/access-lists/:", s.updateAccessList)
	add("DELETE", "/nginx/access-lists/:", s.deleteAccessList)
}

// accessListParts are a list's clients and its users, with passwords.
func (s *Server) accessListParts(id int) (clients, auth []row) {
	in := func(r row) bool { return r.int("access_list_id") == id }
	return s.store.rows("access_list_client", in), s.store.rows("access_list_auth", in)
}

func (s *Server) hostsWithList(id int) []row {
	return s.store.rows("proxy_host", func(r row) bool { return r.int("access_list_id") == id })
}

// accessListJSON shows passwords as a hint only, unlike a host's expansion.
func (s *Server) accessListJSON(r row, names []string) []byte {
	id := r.int("id")
	hosts := s.hostsWithList(id)
	r = r.with("proxy_host_count", len(hosts))
	clients, auth := s.accessListParts(id)
	for _, name := range names {
		switch name {
		case "owner":
			r[name] = s.ownerJSON(r.int("owner_user_id"), true)
		case "clients":
			r[name] = json.RawMessage(join(clients, s.store.tables["access_list_client"].encodeRow))
		case "items":
			r[name] = json.RawMessage(join(auth, func(a row) []byte {
				password := a.str("password")
				a = a.with("password", "")
				a["hint"] = ""
				if password != "" {
					a["hint"] = password[:1] + strings.Repeat("*", len(password)-1)
				}
				return s.store.tables["access_list_auth"].encode(a, "hint")
			}))
		case "proxy_hosts":
			r[name] = json.RawMessage(join(hosts, func(h row) []byte {
				h = h.with("certificate", s.nestedCertificate(h.int("certificate_id")))
				h["access_list"] = s.nestedAccessList(id, true)
				return s.withDeleted("proxy_host", h, "certificate", "access_list")
			}))
		}
	}
	return s.store.tables["access_list"].encode(r, append([]string{"proxy_host_count"}, names...)...)
}

var accessListParts = []string{"owner", "items", "clients", "proxy_hosts"}

// accessListExpand: a list may not expand proxy_hosts, one row may
// (access_lists.json).
func accessListExpand(text string, one bool) ([]string, error) {
	names := splitGraph(text)
	for _, name := range names {
		switch name {
		case "owner", "items", "clients":
		case "proxy_hosts":
			if !one {
				return nil, errInternal
			}
		default:
			return nil, errInternal
		}
	}
	return names, nil
}

func (s *Server) listAccessLists(c *call) (answer, error) {
	if !c.access.can("view", "access_lists") {
		return answer{}, notFound(c.path)
	}
	names, err := accessListExpand(c.URL.Query().Get("expand"), false)
	if err != nil {
		return answer{}, err
	}
	query := strings.ToLower(c.URL.Query().Get("query"))
	rows := s.store.rows("access_list", func(r row) bool {
		return c.access.sees(r.int("owner_user_id")) && strings.Contains(strings.ToLower(r.str("name")), query)
	})
	return answer{status: 200, body: join(rows, func(r row) []byte { return s.accessListJSON(r, names) })}, nil
}

func (s *Server) accessList(c *call, verb string) (row, error) {
	return s.host(hostKind{table: "access_list"}, c, verb)
}

func (s *Server) getAccessList(c *call) (answer, error) {
	r, err := s.accessList(c, "view")
	if err != nil {
		return answer{}, err
	}
	names, err := accessListExpand(c.URL.Query().Get("expand"), true)
	if err != nil {
		return answer{}, err
	}
	return answer{status: 200, body: s.accessListJSON(r, names)}, nil
}

func (s *Server) createAccessList(c *call) (answer, error) {
	b, err := c.body(s.bodies.accessList)
	if err != nil {
		return answer{}, err
	}
	if c.access.user == nil {
		return answer{}, notFound(c.path)
	}
	if !c.access.can("manage", "access_lists") {
		return answer{}, errInternal
	}
	r := row{"owner_user_id": c.access.id, "meta": map[string]any{}, "satisfy_any": false, "pass_auth": true}
	for _, name := range []string{"name", "satisfy_any", "pass_auth"} {
		if v, sent := b[name]; sent {
			r[name] = v
		}
	}
	r = s.store.insert("access_list", r)
	s.setAccessListParts(r.int("id"), b)
	a := s.accessListJSON(r, accessListParts)
	s.audit(c.access.id, "created", "access-list", r.int("id"), a)
	return answer{status: 201, body: a}, nil
}

// setAccessListParts replaces the users and clients that were sent; a user
// without a password keeps the one it has.
func (s *Server) setAccessListParts(id int, b row) {
	clients, auth := s.accessListParts(id)
	if items, sent := b["items"].([]any); sent {
		known := map[string]string{}
		for _, a := range auth {
			known[a.str("username")] = a.str("password")
			s.store.remove("access_list_auth", a.int("id"))
		}
		for _, x := range items {
			item := row(x.(map[string]any))
			password := item.str("password")
			if password == "" {
				password = known[item.str("username")]
			}
			s.store.insert("access_list_auth", row{"access_list_id": id, "username": item.str("username"),
				"password": password, "meta": map[string]any{}})
		}
	}
	if items, sent := b["clients"].([]any); sent {
		for _, old := range clients {
			s.store.remove("access_list_client", old.int("id"))
		}
		for _, x := range items {
			item := row(x.(map[string]any))
			s.store.insert("access_list_client", row{"access_list_id": id, "address": item.str("address"),
				"directive": item.str("directive"), "meta": map[string]any{}})
		}
	}
}

func (s *Server) updateAccessList(c *call) (answer, error) {
	b, err := c.body(s.bodies.accessList.update())
	if err != nil {
		return answer{}, err
	}
	r, err := s.accessList(c, "manage")
	if err != nil {
		return answer{}, err
	}
	id, change := r.int("id"), row{}
	for _, name := range []string{"name", "satisfy_any", "pass_auth"} {
		if v, sent := b[name]; sent {
			change[name] = v
		}
	}
	if len(change) > 0 {
		r = s.store.patch("access_list", id, change)
	}
	s.setAccessListParts(id, b)
	s.audit(c.access.id, "updated", "access-list", id, encode(b))
	if err := s.regenerate(s.hostsWithList(id), withAll); err != nil {
		return answer{}, err
	}
	return answer{status: 200, body: s.accessListJSON(r, accessListParts)}, nil
}

// regenerate rewrites the conf of hosts without testing each, and reloads.
func (s *Server) regenerate(hosts []row, have loaded) error {
	for _, h := range hosts {
		s.nginx.write(confPath("proxy_host", h.int("id")), s.hostConf("proxy_host", h, have))
	}
	if err := s.nginx.reload(); err != nil {
		return errInternal
	}
	return nil
}

// deleteAccessList opens the hosts that used the list: their access_list_id
// becomes 0 (FACTS, Others). Their certificates are not at hand then, so they are
// off port 443 until their next PUT.
func (s *Server) deleteAccessList(c *call) (answer, error) {
	r, err := s.accessList(c, "manage")
	if err != nil {
		return answer{}, err
	}
	hosts := s.hostsWithList(r.int("id"))
	s.store.remove("access_list", r.int("id"))
	for i, h := range hosts {
		hosts[i] = s.store.patch("proxy_host", h.int("id"), row{"access_list_id": 0})
	}
	if err := s.regenerate(hosts, bareRow); err != nil {
		return answer{}, err
	}
	s.audit(c.access.id, "deleted", "access-list", r.int("id"), s.store.tables["access_list"].encode(r))
	return ok(true)
}

// allowed applies an access list: addresses, users, and satisfy.
func (x *exchange) allowed(rules *scope) bool {
	address := x.addressAllowed(rules.clients)
	user := rules.auth == "" || x.userAllowed(rules.auth)
	switch {
	case rules.any && rules.auth != "" && (address || user), !rules.any && address && user,
		rules.auth == "" && address:
		return true
	case !address && (!rules.any || rules.auth == ""):
		x.errorLog("access forbidden by rule", "")
		x.page(403)
	default:
		x.w.Header().Set("WWW-Authenticate", `Basic realm="Authorization required"`)
		x.page(401)
	}
	return false
}

// addressAllowed takes the first rule that matches; without rules all may.
func (x *exchange) addressAllowed(clients [][2]string) bool {
	addr, _ := netip.ParseAddr(x.client())
	for _, c := range clients {
		prefix, err := netip.ParsePrefix(c[1])
		one, errOne := netip.ParseAddr(c[1])
		if c[1] == "all" || err == nil && prefix.Contains(addr) || errOne == nil && one == addr {
			return c[0] == "allow"
		}
	}
	return true
}

// userAllowed looks the Authorization header up in /data/access/ID.
func (x *exchange) userAllowed(file string) bool {
	id, _ := strconv.Atoi(filepath.Base(file))
	name, password, sent := x.r.BasicAuth()
	if !sent {
		return false
	}
	_, users := x.accessListParts(id)
	for _, u := range users {
		if u.str("username") == name && u.str("password") == password {
			return true
		}
	}
	return false
}
