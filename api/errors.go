package api

import "errors"

// ErrStale marks a change that was not made, because what it was planned for
// is no longer so. What is so is known by now: plan again.
var ErrStale = errors.New("edited meanwhile")

// ErrRejected marks a change that nginx did not accept.
var ErrRejected = errors.New("nginx rejects it")

// ErrSubnetTaken is a subnet that overlaps one that the machine has already:
// try another.
var ErrSubnetTaken = errors.New("the subnet overlaps another network's")

// ErrUnanswered marks what failed because the Engine did not answer. Whoever
// follows it says so, once, and when it is back.
var ErrUnanswered = errors.New("no answer")
