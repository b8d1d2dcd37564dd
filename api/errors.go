package api

import (
	"errors"
	"fmt"
	"regexp"
)

// ErrStale marks a change that was not made, because what it was planned for
// is no longer so. What is so is known by now: plan again.
var ErrStale = errors.New("edited meanwhile")

// ErrRejected marks a change that nginx did not accept.
var ErrRejected = errors.New("nginx rejects it")

// ErrHidden marks a change that NPM did not make, since a domain of it belongs to
// a host that no502's user does not see.
var ErrHidden = errors.New("the domain belongs to a host that is not seen")

// ErrSubnetTaken is a subnet that overlaps one that the machine has already:
// try another.
var ErrSubnetTaken = errors.New("the subnet overlaps another network's")

// ErrUnclear marks a change that may have been made, or made in part.
var ErrUnclear = errors.New("it is not clear what became of it")

// ErrUnanswered marks what failed because the Engine did not answer. Whoever
// follows it says so, once, and when it is back.
var ErrUnanswered = errors.New("no answer")

// RefusedError is a request to the Docker Engine that something in front of it,
// such as a socket proxy, does not let through.
type RefusedError struct {
	Method string
	Path   string // as it was sent, with the API version
	Status int    // of the answer: 403 or 405
}

// Error names what must be allowed.
func (r *RefusedError) Error() string {
	return fmt.Sprintf("%s %s is refused (%d) before it reaches the Docker Engine: allow it in the socket proxy",
		r.Method, r.Path, r.Status)
}

var (
	versionPrefix = regexp.MustCompile(`^/v[0-9.]+/`)
	idInPath      = regexp.MustCompile(`^(/(?:containers|networks)/)([^/]+)(/.*)?$`)
)

// Permission is the request as docs/least-privilege.md has it: without the API's
// version and with {id} in place of one.
func (r *RefusedError) Permission() string {
	path := versionPrefix.ReplaceAllString(r.Path, "/")
	if m := idInPath.FindStringSubmatch(path); m != nil && m[2] != "json" && m[2] != "create" {
		path = m[1] + "{id}" + m[3]
	}
	return r.Method + " " + path
}
