package api

import "errors"

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
