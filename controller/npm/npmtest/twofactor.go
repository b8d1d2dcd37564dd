package npmtest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// challengeLifetime is how long a challenge token waits for its second factor
// (FACTS, Auth).
const challengeLifetime = 5 * time.Minute

// twoFactor is a user's second factor; a secret without codes is pending.
type twoFactor struct {
	secret string
	on     bool
	backup []string
}

func (t *twoFactor) enabled() bool { return t != nil && t.on }

// accepts checks a TOTP code of this period, of no other one (measured on
// 2.15.1), or spends a backup code. A TOTP code may be used again (two_factor:
// "same code again").
func (t *twoFactor) accepts(code string) bool {
	if TOTP(t.secret, time.Now()) == code {
		return true
	}
	i := slices.Index(t.backup, strings.ToUpper(code))
	if i < 0 {
		return false
	}
	t.backup = slices.Delete(t.backup, i, i+1)
	return true
}

const totpPeriod = 30 * time.Second

// TOTP is the six-digit code of a base32 secret at t (RFC 6238).
func TOTP(secret string, t time.Time) string {
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		return ""
	}
	m := hmac.New(sha1.New, key)
	_ = binary.Write(m, binary.BigEndian, uint64(t.Unix())/uint64(totpPeriod/time.Second)) // a hash never fails
	sum := m.Sum(nil)
	offset := sum[len(sum)-1] & 0xf
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[offset:])&0x7fffffff%1_000_000)
}

func (s *Server) login2FA(c *call) (answer, error) {
	b, err := c.body(s.bodies.token2FA)
	if err != nil {
		return answer{}, err
	}
	claims, err := s.parse(b.str("challenge_token"))
	if err != nil || !slices.Contains(claims.Scope, challengeScope) {
		return answer{}, badRequest("Invalid or expired challenge token")
	}
	id := claims.Attrs.ID
	s.mu.Lock()
	t := s.twoFA[id]
	right := t.enabled() && t.accepts(b.str("code"))
	s.mu.Unlock()
	if !right {
		return answer{}, errInvalidCode
	}
	return s.grant(id, "1d")
}

var errInvalidCode = &apiError{status: 400, msg: "Invalid verification code", i18n: "error.invalid-2fa"}

// own finds the user of a /users/:id/2fa route: oneself only.
func (s *Server) own(c *call) (row, error) {
	if c.access.user == nil || c.id() != c.access.id {
		return nil, notFound(c.path)
	}
	return c.access.user, nil
}

func (s *Server) get2FA(c *call) (answer, error) {
	u, err := s.own(c)
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.twoFA[u.int("id")]
	if !t.enabled() {
		return ok(row{"enabled": false, "backup_codes_remaining": 0})
	}
	return ok(row{"enabled": true, "backup_codes_remaining": len(t.backup)})
}

func (s *Server) setup2FA(c *call) (answer, error) {
	u, err := s.own(c)
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.twoFA[u.int("id")].enabled() {
		return answer{}, badRequest("2FA is already enabled")
	}
	raw := make([]byte, 20)
	_, _ = rand.Read(raw) // never fails
	secret := base32.StdEncoding.EncodeToString(raw)
	s.twoFA[u.int("id")] = &twoFactor{secret: secret}
	label := strings.ReplaceAll(url.QueryEscape("Nginx Proxy Manager"), "+", "%20")
	return ok(row{"secret": secret, "otpauth_url": "otpauth://totp/" + label + ":" + url.QueryEscape(u.str("email")) +
		"?secret=" + secret + "&issuer=" + label})
}

func (s *Server) enable2FA(c *call) (answer, error) {
	return s.withCode(c, func(t *twoFactor, code string) (answer, error) {
		if t == nil || t.on {
			return answer{}, badRequest("No pending 2FA setup found")
		}
		if !t.accepts(code) {
			return answer{}, badRequest("Invalid verification code")
		}
		t.on, t.backup = true, newBackupCodes()
		return ok(row{"backup_codes": t.backup})
	})
}

func (s *Server) renewBackupCodes(c *call) (answer, error) {
	return s.withCode(c, func(t *twoFactor, code string) (answer, error) {
		if !t.enabled() {
			return answer{}, badRequest("2FA is not enabled")
		}
		if !t.accepts(code) {
			return answer{}, badRequest("Invalid verification code")
		}
		t.backup = newBackupCodes()
		return ok(row{"backup_codes": t.backup})
	})
}

func (s *Server) withCode(c *call, do func(*twoFactor, string) (answer, error)) (answer, error) {
	u, err := s.own(c)
	if err != nil {
		return answer{}, err
	}
	b, err := c.body(s.bodies.code)
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return do(s.twoFA[u.int("id")], b.str("code"))
}

func (s *Server) disable2FA(c *call) (answer, error) {
	u, err := s.own(c)
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.twoFA[u.int("id")]
	if !t.enabled() {
		return answer{}, badRequest("2FA is not enabled")
	}
	if !t.accepts(c.URL.Query().Get("code")) {
		return answer{}, badRequest("Invalid verification code")
	}
	delete(s.twoFA, u.int("id"))
	return ok(true)
}

func newBackupCodes() []string {
	codes := make([]string, 8)
	for i := range codes {
		raw := make([]byte, 4)
		_, _ = rand.Read(raw) // never fails
		codes[i] = strings.ToUpper(hex.EncodeToString(raw))
	}
	return codes
}
