package npm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
)

const (
	secondFactorPath = tokensPath + "/2fa"
	// codeLife is how long a code holds: of the steps before and after NPM takes
	// none. Its codes are of six digits (both measured on 2.15.1).
	codeLife = 30 * time.Second
)

// errNoSecret says nothing of what was read instead: it may be a secret all the same.
var errNoSecret = errors.New("NO502_NPM_TOTP_FILE holds neither a secret in base32 nor an otpauth://totp/ URI")

// readSecret takes the secret of a second factor from what NPM shows of it: the
// secret in base32, in groups or not, or an otpauth:// URI.
func readSecret(text string) (string, error) {
	secret := strings.ToUpper(strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '-' || r <= ' ' }), ""))
	if strings.HasPrefix(secret, "OTPAUTH:") {
		key, err := otp.NewKeyFromURL(text)
		if err != nil || !strings.EqualFold(key.Type(), "totp") {
			return "", errNoSecret
		}
		secret = key.Secret()
	}
	if _, err := totp.GenerateCode(secret, time.Time{}); err != nil || secret == "" {
		return "", errNoSecret
	}
	return secret, nil
}

// prove answers NPM's question for a second factor, and gets the token for that.
func (c *Client) prove(ctx context.Context, given credentials, challenge string) (tokenAnswer, error) {
	if given.totp == "" {
		return tokenAnswer{}, &SecondFactorError{User: given.identity}
	}
	now := time.Now()
	code, err := totp.GenerateCode(given.totp, now)
	if err != nil {
		return tokenAnswer{}, &CredentialsError{Err: errNoSecret}
	}
	used := c.session.spend(code, challenge)
	answer, err := c.askToken(ctx, request{
		method: http.MethodPost, path: secondFactorPath,
		body: map[string]string{"challenge_token": challenge, "code": code},
	})
	var answered *APIError
	if errors.As(err, &answered) && answered.refusesLogin() {
		step, then := now.Truncate(codeLife), time.Now()
		refusal := &SecondFactorError{User: given.identity, Used: used, Next: step.Add(codeLife), Err: answered}
		if !answered.Date.IsZero() {
			then = answered.Date
			ahead := now.Sub(then).Round(time.Second)
			refusal.Ahead = &ahead
		}
		refusal.Missed = !then.Truncate(codeLife).Equal(step)
		return tokenAnswer{}, refusal
	}
	if err == nil {
		c.session.mu.Lock()
		c.session.used = code
		c.session.mu.Unlock()
	}
	return answer, err
}

// spend remembers what is to appear nowhere, and reports whether NPM took this
// code before.
func (s *session) spend(code, challenge string) (used bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.code, s.challenge = code, challenge
	return s.used == code
}

// SecondFactorError says that NPM wants a code for this user that no502 cannot
// give, or refuses the one that it gave.
type SecondFactorError struct {
	User   string
	Used   bool           // the code had been used
	Ahead  *time.Duration // this machine's clock of NPM's; nil: not known
	Missed bool           // NPM was at another code by then
	Next   time.Time      // when there is another code
	Err    error          // NPM's refusal; nil where no502 has no secret
}

func (e *SecondFactorError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("NPM asks for a second factor for user %s; give no502 its secret in a file (NO502_NPM_TOTP_FILE), or a user of its own without one", e.User)
	}
	why := "is the secret in NO502_NPM_TOTP_FILE this user's, and this machine's clock right?"
	switch {
	case e.Used:
		why = "it was used before, and the next one is tried"
	case e.Ahead != nil && e.Ahead.Abs() >= codeLife:
		why = fmt.Sprintf("is this machine's clock right? It is %v %s NPM's", e.Ahead.Abs(), map[bool]string{true: "ahead of", false: "behind"}[*e.Ahead > 0])
	case e.Missed:
		why = "its 30 s were over, or had not begun, by NPM's clock, and the next one is tried"
	case e.Ahead == nil:
	default:
		why = "the clocks agree, so is the secret in NO502_NPM_TOTP_FILE this user's?"
	}
	said := e.Err.Error()
	var answer *APIError
	if errors.As(e.Err, &answer) {
		said = cmp.Or(answer.Message, said)
	}
	return fmt.Sprintf("NPM refuses the code of the second factor of user %s (%s): %s", e.User, said, why)
}

func (e *SecondFactorError) Unwrap() error { return e.Err }
