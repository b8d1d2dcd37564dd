package npmtest

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

var permissionNames = []string{"proxy_hosts", "redirection_hosts", "dead_hosts", "streams", "access_lists", "certificates"}

func (s *Server) userRoutes(add addRoute) {
	add("GET", "/users", s.listUsers)
	add("POST", "/users", s.createUser)
	add("GET", "/users/:", s.getUser)
	add("PUT", "/users/:", s.updateUser)
	add("DELETE", "/users/:", s.deleteUser)
	add("PUT", "/users/:/auth", s.putUserAuth)
	add("PUT", "/users/:/permissions", s.putPermissions)
	add("POST", "/users/:/login", s.loginAs)
	add("GET", "/users/:/2fa", s.get2FA)
	add("POST", "/users/:/2fa", s.setup2FA)
	add("DELETE", "/users/:/2fa", s.disable2FA)
	add("POST", "/users/:/2fa/enable", s.enable2FA)
	add("POST", "/users/:/2fa/backup-codes", s.renewBackupCodes)
}

// health is GET /: "setup" turns true with the first user.
func (s *Server) health(*call) (answer, error) {
	type version struct {
		Major    int `json:"major"`
		Minor    int `json:"minor"`
		Revision int `json:"revision"`
	}
	var v version
	if _, err := fmt.Sscanf(s.opt.Version, "%d.%d.%d", &v.Major, &v.Minor, &v.Revision); err != nil {
		return answer{}, errInternal
	}
	return ok(struct {
		Status  string  `json:"status"`
		Setup   bool    `json:"setup"`
		Version version `json:"version"`
	}{"OK", s.isSetUp(), v})
}

func (s *Server) isSetUp() bool { return len(s.store.rows("user", nil)) > 0 }

func (s *Server) versionCheck(*call) (answer, error) {
	return ok(map[string]any{"current": nil, "latest": nil, "update_available": false})
}

// addUser stores a user with its password and the default permissions.
func (s *Server) addUser(u row, password string) row {
	u = s.store.insert("user", u)
	visibility := "user"
	if roles, _ := u["roles"].([]any); slices.Contains(roles, any("admin")) {
		visibility = "all"
	}
	p := row{"visibility": visibility}
	for _, name := range permissionNames {
		p[name] = "manage"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if password != "" {
		s.secrets[u.int("id")] = hash(password)
	}
	s.perms[u.int("id")] = p
	return u
}

// avatar is the Gravatar of the lower-cased address (permissions.json).
func avatar(email string) string {
	sum := md5.Sum([]byte(strings.ToLower(email)))
	return "//www.gravatar.com/avatar/" + hex.EncodeToString(sum[:]) + "?default=mm"
}

// userJSON is a user as an answer, optionally with its permissions.
func (s *Server) userJSON(u row, permissions bool) []byte {
	t := s.store.tables["user"]
	if !permissions {
		return t.encode(u)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.encode(u.with("permissions", s.perms[u.int("id")]), "permissions")
}

func (s *Server) listUsers(c *call) (answer, error) {
	if !c.access.admin {
		return answer{}, notFound(c.path)
	}
	expand := c.URL.Query().Get("expand")
	if expand != "" && expand != "permissions" {
		return answer{}, errInternal
	}
	return answer{status: 200, body: join(s.store.rows("user", nil), func(u row) []byte {
		return s.userJSON(u, expand != "")
	})}, nil
}

func join(rows []row, encode func(row) []byte) []byte {
	b := []byte{'['}
	for i, r := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, encode(r)...)
	}
	return append(b, ']')
}

// createUser is open to everybody until somebody used it (FACTS, Auth): that
// user becomes the administrator.
func (s *Server) createUser(c *call) (answer, error) {
	b, err := c.body(s.bodies.user)
	if err != nil {
		return answer{}, err
	}
	first := !s.isSetUp()
	if !first && !c.access.admin {
		return answer{}, notFound(c.path)
	}
	u := row{"roles": []any{}, "is_disabled": false}
	maps.Copy(u, b)
	delete(u, "auth")
	if first {
		u["roles"] = []any{"admin"}
	}
	u["avatar"] = avatar(u.str("email"))
	auth, _ := b["auth"].(map[string]any)
	password, _ := auth["secret"].(string)
	u = s.addUser(u, password)
	s.audit(u.int("id"), "created", "user", u.int("id"), s.userJSON(u, false))
	return answer{status: 201, body: s.userJSON(u, true)}, nil
}

// user finds the user of a /users/:id route; "me" is oneself, others are for
// administrators.
func (s *Server) user(c *call) (row, error) {
	id := c.id()
	if c.params[0] == "me" {
		id = c.access.id
	}
	if c.access.user == nil || !c.access.admin && id != c.access.id {
		return nil, notFound(c.path)
	}
	u, found := s.store.get("user", id)
	if !found {
		return nil, notFound(c.params[0])
	}
	return u, nil
}

func (s *Server) getUser(c *call) (answer, error) {
	u, err := s.user(c)
	if err != nil {
		return answer{}, err
	}
	return answer{status: 200, body: s.userJSON(u, c.URL.Query().Get("expand") == "permissions")}, nil
}

func (s *Server) updateUser(c *call) (answer, error) {
	b, err := c.body(s.bodies.user.update("auth"))
	if err != nil {
		return answer{}, err
	}
	u, err := s.user(c)
	if err != nil {
		return answer{}, err
	}
	if email, sent := b["email"].(string); sent {
		b["email"] = strings.ToLower(strings.TrimSpace(email))
		b["avatar"] = avatar(email)
	}
	u = s.store.patch("user", u.int("id"), b)
	s.audit(c.access.id, "updated", "user", u.int("id"), s.userJSON(u, false))
	return answer{status: 200, body: s.userJSON(u, false)}, nil
}

func (s *Server) deleteUser(c *call) (answer, error) {
	u, err := s.user(c)
	if err != nil {
		return answer{}, err
	}
	if !c.access.admin {
		return answer{}, notFound(c.path)
	}
	if u.int("id") == c.access.id {
		return answer{}, &apiError{status: 403, msg: "You cannot delete yourself."}
	}
	s.store.remove("user", u.int("id"))
	s.audit(c.access.id, "deleted", "user", u.int("id"), s.userJSON(u, false))
	return ok(true)
}

func (s *Server) putUserAuth(c *call) (answer, error) {
	b, err := c.body(s.bodies.userAuth)
	if err != nil {
		return answer{}, err
	}
	u, err := s.user(c)
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id := u.int("id"); id == c.access.id && s.secrets[id] != hash(b.str("current")) {
		return answer{}, badRequest("Current password was not supplied")
	}
	s.secrets[u.int("id")] = hash(b.str("secret"))
	return ok(true)
}

func (s *Server) putPermissions(c *call) (answer, error) {
	b, err := c.body(s.bodies.permissions)
	if err != nil {
		return answer{}, err
	}
	u, err := s.user(c)
	if err != nil {
		return answer{}, err
	}
	if !c.access.admin {
		return answer{}, notFound(c.path)
	}
	s.mu.Lock()
	p := maps.Clone(s.perms[u.int("id")])
	maps.Copy(p, b)
	s.perms[u.int("id")] = p
	s.mu.Unlock()
	s.audit(c.access.id, "updated", "user", u.int("id"), encode(b))
	return ok(true)
}

// loginAs gives an administrator a token of another user.
func (s *Server) loginAs(c *call) (answer, error) {
	u, err := s.user(c)
	if err != nil || !c.access.admin {
		return answer{}, notFound(c.path)
	}
	a, err := s.grant(u.int("id"), "1d")
	if err != nil {
		return a, err
	}
	a.body = slices.Concat(a.body[:len(a.body)-1], []byte(`,"user":`), s.userJSON(u, false), []byte("}"))
	return a, nil
}
