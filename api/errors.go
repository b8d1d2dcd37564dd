package api

import "errors"

// ErrStale marks a change that was not made, because what it was planned for
// is no longer so. What is so is known by now: plan again.
var ErrStale = errors.New("edited meanwhile")
