package npm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/cenkalti/backoff/v4"
)

const (
	// futileFor is how long an answer that a new login did not change is
	// taken for what it says, not for a bad token.
	futileFor = 5 * time.Minute
	// renewAgain is the pause after a renewal that failed while the token
	// still holds.
	renewAgain = time.Minute
	// unknownLife of a token whose expiry makes no sense here, since NPM's clock
	// and this one differ: NPM's tokens hold for a day.
	unknownLife = time.Hour
	leastLife   = 10 * time.Minute
	mostLife    = 48 * time.Hour
)

const tokensPath = "/tokens"

// session is the login to NPM: the token, and what became of the last attempt
// to get one. The mutex is not held while anything is waited for.
type session struct {
	credentials func() (identity, secret string, err error)
	totp        func() (string, error)

	mu          sync.Mutex
	given       credentials // the last tried, to keep them out of messages
	code        string      // likewise, of the second factor
	challenge   string      // likewise, that it answered
	used        string      // the last code that NPM took
	token       string
	expires     time.Time
	life        time.Duration
	renew       time.Time // not before
	futileUntil time.Time

	refusal error // a CredentialsError or SecondFactorError
	tried   [sha256.Size]byte
	retry   time.Time // of the same credentials, not before
	pause   *backoff.ExponentialBackOff
}

// authorized sends a request with a token, and once more after a new login if
// the answer is one of the shapes that a bad token takes.
func (c *Client) authorized(ctx context.Context, r request, read func(http.Header, io.Reader) error) error {
	var err error
	if r.token, err = c.token(ctx); err != nil {
		return err
	}
	err = c.exchange(ctx, r, read)
	suspect, certain := badToken(r.method, err)
	if !suspect || !certain && (r.proven || c.session.futile()) {
		return c.denied(r.path, err)
	}
	c.session.drop(r.token)
	if r.token, err = c.token(ctx); err != nil {
		return err
	}
	err = c.exchange(ctx, r, read)
	if suspect, certain = badToken(r.method, err); suspect && !certain {
		c.session.markFutile()
	}
	return c.denied(r.path, err)
}

// denied says of a hidden path what it means: NPM would not.
func (c *Client) denied(path string, err error) error {
	var answer *APIError
	if errors.As(err, &answer) && answer.hidden() {
		return fmt.Errorf("user %s lacks a permission (%s: manage, visibility: all): %w", c.session.name(), permission(path), err)
	}
	return err
}

// badToken tells the answers that a bad token may be the cause of. An expired
// one is 400; a token that NPM does not believe is 500 or, where the user was
// disabled, 404 with the path. A write that got a 500 is not repeated for
// that: the same token has just read the host.
func badToken(method string, err error) (suspect, certain bool) {
	var answer *APIError
	if !errors.As(err, &answer) {
		return false, false
	}
	switch answer.Status {
	case http.StatusUnauthorized:
		return true, true
	case http.StatusBadRequest:
		expired := strings.Contains(answer.Message, "Token has expired")
		return expired, expired
	case http.StatusInternalServerError:
		return method == http.MethodGet, false
	}
	return answer.hidden(), false
}

// token returns a valid token: the one there is, its successor, or one of a
// new login.
func (c *Client) token(ctx context.Context) (string, error) {
	s := &c.session
	now := time.Now()
	s.mu.Lock()
	token, left := s.token, s.expires.Sub(now)
	due := left < s.life/4 && !now.Before(s.renew)
	s.mu.Unlock()
	if token == "" || left <= 0 {
		return c.login(ctx)
	}
	if !due {
		return token, nil
	}
	renewed, err := c.askToken(ctx, request{method: http.MethodGet, path: tokensPath, token: token})
	if err != nil || renewed.Token == "" {
		c.log.V(1).Info("renewing the token failed; the old one serves on", "left", left, "error", fmt.Sprint(err))
		s.mu.Lock()
		s.renew = now.Add(renewAgain)
		s.mu.Unlock()
		return token, nil
	}
	s.keep(renewed)
	return renewed.Token, nil
}

// tokenAnswer is NPM's answer to a login or renewal.
type tokenAnswer struct {
	Token       string     `json:"token"`
	Expires     flexString `json:"expires"`
	Requires2FA flexBool   `json:"requires_2fa"`
	Challenge   string     `json:"challenge_token"`
}

func (c *Client) askToken(ctx context.Context, r request) (tokenAnswer, error) {
	var answer tokenAnswer
	r.timeout = readTimeout
	err := c.exchange(ctx, r, into(&answer))
	return answer, err
}

// login gets a new token. Credentials that were refused are not tried again
// before their pause is over, whoever asks.
func (c *Client) login(ctx context.Context) (string, error) {
	s := &c.session
	given, err := s.read()
	if refusal := s.refused(given); refusal != nil {
		return "", refusal
	}
	if err != nil {
		c.unanswered()
		return "", s.refuse(given, &CredentialsError{Err: err})
	}
	answer, err := c.askToken(ctx, request{
		method: http.MethodPost, path: tokensPath,
		body: map[string]string{"identity": given.identity, "secret": given.secret},
	})
	var answered *APIError
	if errors.As(err, &answered) && answered.refusesLogin() {
		err = &CredentialsError{User: given.identity, Err: err}
	}
	if err == nil && bool(answer.Requires2FA) {
		answer, err = c.prove(ctx, given, answer.Challenge)
	}
	switch {
	case refused(err):
		c.unanswered()
		return "", s.refuse(given, err)
	case err != nil:
		return "", fmt.Errorf("logging in to NPM: %w", err)
	case answer.Token == "":
		return "", errors.New("logging in to NPM: the answer holds no token")
	}
	s.keep(answer)
	return answer.Token, nil
}

// credentials are what no502 logs in with.
type credentials struct {
	identity, secret string
	totp             string // the second factor's secret; empty: none
}

// read asks for the credentials, and remembers them for redact.
func (s *session) read() (given credentials, err error) {
	if s.credentials == nil {
		return credentials{}, errors.New("there are none")
	}
	given.identity, given.secret, err = s.credentials()
	if err == nil && (given.identity == "" || given.secret == "") {
		err = errors.New("the user or the password is empty")
	}
	if err == nil && s.totp != nil {
		if given.totp, err = s.totp(); err == nil {
			given.totp, err = readSecret(given.totp)
		}
	}
	if err != nil {
		return credentials{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given = given
	return given, nil
}

func (given credentials) fingerprint() [sha256.Size]byte {
	return sha256.Sum256([]byte(given.identity + "\x00" + given.secret + "\x00" + given.totp))
}

// refused returns the refusal that still stands for these credentials.
func (s *session) refused(given credentials) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusal == nil || s.tried != given.fingerprint() {
		s.pause.Reset()
		return nil
	}
	if time.Now().Before(s.retry) {
		return s.refusal
	}
	return nil
}

func (s *session) refuse(given credentials, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal, s.tried = err, given.fingerprint()
	s.retry = time.Now().Add(s.pause.NextBackOff())
	var second *SecondFactorError
	if errors.As(err, &second) && second.Next.After(s.retry) {
		s.retry = second.Next // until then it would be the same code
	}
	return err
}

// retryAt is when the refused credentials may be tried again.
func (s *session) retryAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.retry
}

// mayRetry reports whether a new login makes sense: the pause is over, or the
// credentials are others than those refused.
func (s *session) mayRetry() bool {
	given, _ := s.read() // none, where they cannot be read
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusal == nil || s.tried != given.fingerprint() || !time.Now().Before(s.retry)
}

func (s *session) keep(answer tokenAnswer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	expires, _ := time.Parse(time.RFC3339, string(answer.Expires))
	s.token, s.life = answer.Token, expires.Sub(now)
	if s.life < leastLife || s.life > mostLife {
		s.life = unknownLife
	}
	s.expires = now.Add(s.life) // a later jump of a clock does not matter
	s.refusal = nil
	s.pause.Reset()
}

func (s *session) drop(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == token {
		s.token = ""
	}
}

func (s *session) futile() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.futileUntil)
}

func (s *session) markFutile() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.futileUntil = time.Now().Add(futileFor)
}

func (s *session) name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given.identity
}

// redact keeps the secrets out of a text that came from elsewhere.
func (s *session) redact(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return redact(text, s.given.secret, s.given.totp, s.code, s.challenge, s.token)
}

func redact(text string, secrets ...string) string {
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "(redacted)")
		}
	}
	return text
}

// secrets are the parts of a credentials file, lines of "name = value" or JSON,
// whichever way a message may quote or split them, longest first.
func secrets(file string) []string {
	var parts []string
	for line := range strings.Lines(strings.ReplaceAll(file, `\n`, "\n")) {
		parts = append(parts, strings.TrimSpace(line))
		for _, between := range []string{`"'{}, `, `"'{}, =:`} {
			parts = append(parts, strings.FieldsFunc(line, func(r rune) bool {
				return unicode.IsSpace(r) || strings.ContainsRune(between, r)
			})...)
		}
	}
	parts = slices.DeleteFunc(parts, func(part string) bool { return len(part) < 4 }) // punctuation, "1", "dns"
	slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) })
	return parts
}

// newBackOff never gives up.
func newBackOff(first time.Duration, factor float64, most time.Duration) *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(first), backoff.WithMultiplier(factor),
		backoff.WithMaxInterval(most), backoff.WithMaxElapsedTime(0),
		backoff.WithRandomizationFactor(0))
}
