package npmtest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// claims are the payload of NPM's tokens (auth.json: "default token payload").
type claims struct {
	Issuer    string   `json:"iss"`
	Attrs     attrs    `json:"attrs"`
	Scope     []string `json:"scope"`
	ExpiresIn string   `json:"expiresIn"`
	ID        string   `json:"jti"`
	IssuedAt  int64    `json:"iat"`
	Expires   int64    `json:"exp"`
}

type attrs struct {
	ID int `json:"id"`
}

const challengeScope = "2fa-challenge"

// access is who asks.
type access struct {
	user      row // nil without a valid token of an enabled user
	id        int
	admin     bool
	perms     row
	challenge bool
}

func (a access) sees(owner int) bool {
	return a.perms.str("visibility") == "all" || owner == a.id
}

// can tells whether the user may "view" or "manage" one kind of object.
func (a access) can(verb, object string) bool {
	if a.user == nil {
		return false
	}
	p := a.perms.str(object)
	return a.admin || p == "manage" || p == verb
}

// sign makes a token. NPM signs with RS256; a client cannot tell.
func (s *Server) sign(user int, scope, expiry string, lifetime time.Duration) (string, time.Time) {
	now := s.opt.Clock()
	expires := now.Add(lifetime)
	payload := encode(claims{Issuer: "api", Attrs: attrs{user}, Scope: []string{scope}, ExpiresIn: expiry,
		ID: rand.Text()[:16], IssuedAt: now.Unix(), Expires: expires.Unix()})
	b64 := base64.RawURLEncoding
	text := b64.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + b64.EncodeToString(payload)
	return text + "." + b64.EncodeToString(s.mac(text)), expires
}

func (s *Server) mac(text string) []byte {
	m := hmac.New(sha256.New, s.secret)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// parse verifies a token: a malformed or foreign one is an internal error, an
// expired one a 400 (FACTS 5).
func (s *Server) parse(token string) (claims, error) {
	var c claims
	text, sig, _ := cutLast(token, ".")
	mac, err := base64.RawURLEncoding.DecodeString(sig)
	if err != nil || !hmac.Equal(mac, s.mac(text)) {
		return c, errInternal
	}
	_, payload, _ := strings.Cut(text, ".")
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || json.Unmarshal(raw, &c) != nil {
		return c, errInternal
	}
	if expires := time.Unix(c.Expires, 0); !s.opt.Clock().Before(expires) {
		return c, &apiError{status: 400, msg: "Token has expired", i18n: map[string]any{
			"name": "TokenExpiredError", "message": "jwt expired", "expiredAt": iso(expires),
		}}
	}
	return c, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func iso(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// authenticate reads the Authorization header. No token is no error yet: each
// route decides what a stranger may do.
func (s *Server) authenticate(r *http.Request) (access, error) {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !found {
		return access{}, nil
	}
	c, err := s.parse(token)
	if err != nil {
		return access{}, err
	}
	if !slices.Contains(c.Scope, "user") {
		return access{challenge: true}, nil
	}
	user, ok := s.store.get("user", c.Attrs.ID)
	if !ok || user.bool("is_disabled") {
		return access{}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	roles, _ := user["roles"].([]any)
	return access{user: user, id: c.Attrs.ID, admin: slices.Contains(roles, "admin"), perms: s.perms[c.Attrs.ID]}, nil
}

func (s *Server) tokenRoutes(add addRoute) {
	add("POST", "/tokens", s.login).open = true
	add("POST", "/tokens/2fa", s.login2FA).open = true
	add("GET", "/tokens", s.refresh)
}

func (s *Server) login(c *call) (answer, error) {
	b, err := c.body(s.bodies.token)
	if err != nil {
		return answer{}, err
	}
	email := strings.ToLower(strings.TrimSpace(b.str("identity")))
	users := s.store.rows("user", func(u row) bool { return u.str("email") == email && !u.bool("is_disabled") })
	if len(users) == 0 {
		return answer{}, badRequest("Invalid email or password")
	}
	id := users[0].int("id")
	s.mu.Lock()
	right := s.secrets[id] == hash(b.str("secret"))
	second := s.twoFA[id].enabled()
	s.mu.Unlock()
	switch {
	case !right:
		return answer{}, &apiError{status: 400, msg: "Invalid email or password", i18n: "error.invalid-auth"}
	case second:
		token, _ := s.sign(id, challengeScope, "5m", challengeLifetime)
		return ok(row{"requires_2fa": true, "challenge_token": token})
	}
	return s.grant(id, "1d")
}

func (s *Server) grant(id int, expiry string) (answer, error) {
	lifetime, valid := parseExpiry(expiry)
	if !valid {
		return answer{}, badRequest("Invalid expiry time: %s", expiry)
	}
	token, expires := s.sign(id, "user", expiry, lifetime)
	return ok(row{"token": token, "expires": iso(expires)})
}

// refresh answers 500 to a stranger (FACTS 5) and ignores ?scope.
func (s *Server) refresh(c *call) (answer, error) {
	if c.access.user == nil {
		return answer{}, errInternal
	}
	expiry := c.URL.Query().Get("expiry")
	if expiry == "" {
		expiry = "1d"
	}
	return s.grant(c.access.id, expiry)
}

// parseExpiry reads "3s", "1d", "10y", the forms that NPM's date helper knows.
func parseExpiry(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	n, err := strconv.Atoi(s[:len(s)-1])
	day := 24 * time.Hour
	unit, known := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour,
		'd': day, 'w': 7 * day, 'M': 30 * day, 'y': 365 * day}[s[len(s)-1]]
	return time.Duration(n) * unit, err == nil && known
}

func hash(password string) string {
	sum := sha256.Sum256([]byte("npmtest" + password))
	return string(sum[:])
}
