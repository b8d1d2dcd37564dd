package npmtest

import (
	"encoding/json"
	"maps"
	"strings"
	"time"
)

// auditLimit is how many entries a list shows: the newest, newest first
// (modified_on_and_cursor: 110 more writes, still 100).
const auditLimit = 100

func (s *Server) audit(user int, action, objectType string, objectID int, meta []byte) {
	s.store.insert("audit_log", row{"user_id": user, "object_type": objectType, "object_id": objectID,
		"action": action, "meta": json.RawMessage(meta)})
}

func (s *Server) auditJSON(r row, user bool) []byte {
	t := s.store.tables["audit_log"]
	if !user {
		return t.encode(r)
	}
	return t.encode(r.with("user", s.ownerJSON(r.int("user_id"), true)), "user")
}

func (s *Server) auditExpand(c *call) (user bool, err error) {
	if !c.access.admin {
		return false, notFound(c.path)
	}
	switch c.URL.Query().Get("expand") {
	case "":
		return false, nil
	case "user":
		return true, nil
	}
	return false, errInternal
}

// listAudit ignores limit and offset; its query matches the end of an entry's
// meta only, so that a domain name finds nothing ("audit-log query").
func (s *Server) listAudit(c *call) (answer, error) {
	user, err := s.auditExpand(c)
	if err != nil {
		return answer{}, err
	}
	query, n := c.URL.Query().Get("query"), 0
	rows := s.store.rows("audit_log", func(r row) bool {
		keep := n < auditLimit && (query == "" || strings.HasSuffix(string(encode(r["meta"])), query))
		if keep {
			n++
		}
		return keep
	})
	return answer{status: 200, body: join(rows, func(r row) []byte { return s.auditJSON(r, user) })}, nil
}

func (s *Server) getAudit(c *call) (answer, error) {
	user, err := s.auditExpand(c)
	if err != nil {
		return answer{}, err
	}
	r, found := s.store.get("audit_log", c.id())
	if !found {
		return answer{}, notFound(c.params[0])
	}
	return answer{status: 200, body: s.auditJSON(r, user)}, nil
}

// report counts the hosts that the user sees; hidden kinds count too
// (permissions.json, "hidden reports").
func (s *Server) report(c *call) (answer, error) {
	if c.access.user == nil {
		return answer{}, notFound(c.path)
	}
	count := func(table string) int {
		return len(s.store.rows(table, func(r row) bool { return c.access.sees(r.int("owner_user_id")) }))
	}
	return ok(map[string]int{"proxy": count("proxy_host"), "redirection": count("redirection_host"),
		"stream": count("stream"), "dead": count("dead_host")})
}

func (s *Server) defaultSite(c *call) (row, error) {
	if !c.access.admin {
		return nil, notFound(c.path)
	}
	if len(c.params) > 0 && c.params[0] != "default-site" {
		return nil, notFound(c.params[0])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.setting, nil
}

func (s *Server) listSettings(c *call) (answer, error) {
	r, err := s.defaultSite(c)
	if err != nil {
		return answer{}, err
	}
	return ok([]row{r})
}

func (s *Server) getSetting(c *call) (answer, error) {
	r, err := s.defaultSite(c)
	if err != nil {
		return answer{}, err
	}
	return ok(r)
}

func (s *Server) putSetting(c *call) (answer, error) {
	b, err := c.body(s.bodies.setting)
	if err != nil {
		return answer{}, err
	}
	r, err := s.defaultSite(c)
	if err != nil {
		return answer{}, err
	}
	r = maps.Clone(r)
	maps.Copy(r, b)
	s.mu.Lock()
	s.setting = r
	s.mu.Unlock()
	s.nginx.write(sitePath, siteConf(r))
	if err := s.nginx.reload(); err != nil {
		return answer{}, errInternal
	}
	return ok(r)
}

// apiSchema is a stub of the OpenAPI document: the real one is not ours to copy.
func (s *Server) apiSchema(c *call) (answer, error) {
	paths := map[string]map[string]any{}
	for _, r := range s.routes {
		path := "/" + strings.ReplaceAll(strings.Join(r.path, "/"), ":", "{id}")
		if paths[path] == nil {
			paths[path] = map[string]any{}
		}
		paths[path][strings.ToLower(r.method)] = map[string]any{
			"responses": map[string]any{"default": map[string]any{"description": "see the recordings"}}}
	}
	return ok(map[string]any{
		"openapi": "3.1.0",
		"info":    map[string]any{"title": "Nginx Proxy Manager API", "version": s.opt.Version},
		"servers": []any{map[string]any{"url": "http://" + c.Host + "/api"}},
		"paths":   paths,
	})
}

// crash is the end of the back end's process after an unhandled rejection. It
// is back in 1.9 s (FACTS 12); nginx goes on, and answers 502 for the API.
func (s *Server) crash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crashed = time.Now().Add(1900 * time.Millisecond)
}
