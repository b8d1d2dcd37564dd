package npm

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/no502/no502/api"
)

// Errors to be told apart with errors.Is.
var (
	// ErrNoURL: SetURL was not called yet, or with nothing.
	ErrNoURL = errors.New("NPM's address is not known yet")
	// ErrNotSetUp: NPM has no user yet.
	ErrNotSetUp = errors.New("NPM is not set up yet: open its admin page and make the first user")
	// ErrGone: the host was deleted, or is hidden from no502's user. It is
	// also an api.ErrStale.
	ErrGone error = stale("deleted meanwhile")
	// ErrDisabled: the host is switched off, and so is not written. It is also
	// an api.ErrStale.
	ErrDisabled error = stale("disabled meanwhile")
	// ErrInvalid: what must not reach NPM, since nginx would read it as
	// something else.
	ErrInvalid = errors.New("not to be written to NPM")
)

// stale is an error that calls for a new plan, like api.ErrStale.
type stale string

func (e stale) Error() string        { return string(e) }
func (e stale) Is(target error) bool { return target == api.ErrStale }

// APIError is an answer of NPM that is not a success.
type APIError struct {
	Method, Path string // "PUT", "/nginx/proxy-hosts/7"
	Status       int
	Message      string    // NPM's own, without secrets
	Date         time.Time // by NPM's clock; zero: it did not say
}

func (e *APIError) Error() string {
	text := fmt.Sprintf("%s %s: NPM answered %d", e.Method, e.Path, e.Status)
	if status := http.StatusText(e.Status); status != "" {
		text += " " + status
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// hidden reports a refusal by permission: NPM answers 404 with the path in the
// message where later versions answer 403.
func (e *APIError) hidden() bool {
	return e.Status == http.StatusForbidden ||
		e.Status == http.StatusNotFound && strings.HasPrefix(e.Message, "Not Found - /")
}

// missing reports that a row does not exist: 404 with its id in the message.
func (e *APIError) missing() bool {
	return e.Status == http.StatusNotFound && !e.hidden() && strings.HasPrefix(e.Message, "Not Found")
}

// refusesLogin: a wrong password is 400, and so is an empty one.
func (e *APIError) refusesLogin() bool {
	return e.Status == http.StatusBadRequest || e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
}

// inUse: a domain belongs to another host, perhaps to one that is not seen.
func (e *APIError) inUse() bool {
	return e.Status == http.StatusBadRequest && strings.Contains(e.Message, "already in use")
}

// hiddenError says that a domain is in use by a host that the user may not see.
type hiddenError struct {
	refusal *APIError
	user    string
}

func (e hiddenError) Error() string {
	return fmt.Sprintf("%s by a host that user %s does not see", e.refusal.Message, e.user)
}

func (e hiddenError) Unwrap() error { return e.refusal }

// Is makes it an api.ErrHidden, too.
func (e hiddenError) Is(target error) bool { return target == api.ErrHidden }

// CredentialsError says that NPM refuses the user and password, or that they
// could not be read.
type CredentialsError struct {
	User string // empty where they could not be read
	Err  error
}

func (e *CredentialsError) Error() string {
	if e.User == "" {
		return fmt.Sprintf("reading the credentials for NPM: %v", e.Err)
	}
	var answer *APIError
	if errors.As(e.Err, &answer) && answer.Message != "" {
		return fmt.Sprintf("NPM refuses the password of user %s: %s", e.User, answer.Message)
	}
	return fmt.Sprintf("NPM refuses the password of user %s: %v", e.User, e.Err)
}

func (e *CredentialsError) Unwrap() error { return e.Err }

// RejectedError says that nginx did not accept a host's configuration.
type RejectedError struct {
	Host     api.Key
	NginxErr string // nginx's own words
	// Restored tells that the host is as before again. Otherwise it is
	// offline, and saved again until nginx accepts it.
	Restored bool
	Err      error // why it was not restored; may be nil
}

func (e *RejectedError) Error() string {
	first, _, _ := strings.Cut(strings.TrimSpace(e.NginxErr), "\n")
	text := fmt.Sprintf("nginx rejects %s: %s", name(e.Host), first)
	switch {
	case e.Restored:
		text += " (restored)"
	case e.Err != nil:
		text += fmt.Sprintf(" (not restored: %v)", e.Err)
	default:
		text += " (still offline)"
	}
	return text
}

func (e *RejectedError) Unwrap() error { return e.Err }

// Is makes it an api.ErrRejected, too.
func (e *RejectedError) Is(target error) bool { return target == api.ErrRejected }

// OutcomeError says that a write got no clear answer, and what became of it.
// Where NPM kept it, or that is not known, the host is saved again until NPM
// answers clearly, since nginx may not have what NPM's row says.
type OutcomeError struct {
	Host  api.Key // without an id where its making is meant
	Known bool    // NPM's row could be read afterwards
	Kept  bool    // and holds what was written
	Err   error
}

func (e *OutcomeError) Error() string {
	became := "what became of it is not known"
	switch {
	case e.Known && e.Kept:
		became = "NPM kept it, but nginx may not have it; it will be saved again"
	case e.Known:
		became = "nothing changed"
	}
	return fmt.Sprintf("writing %s: %v (%s)", name(e.Host), e.Err, became)
}

func (e *OutcomeError) Unwrap() error { return e.Err }

// Is makes it an api.ErrUnclear, too, unless it is known that nothing changed.
func (e *OutcomeError) Is(target error) bool { return target == api.ErrUnclear && (e.Kept || !e.Known) }

// refused reports an error about the credentials: retrying soon is useless,
// and a storm of logins at worst.
func refused(err error) bool {
	var credentials *CredentialsError
	var second *SecondFactorError
	return errors.As(err, &credentials) || errors.As(err, &second)
}

// sentence is an error as a person reads it on its own.
func sentence(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
