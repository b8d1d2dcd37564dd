package api

import (
	"net/netip"
	"time"
)

// Snapshot is everything a plan may look at. Whoever builds one sees to it
// that nothing in it changes while the plan is made.
type Snapshot struct {
	Engine *Engine
	NPM    *NPM // nil while its hosts are not known
	// Self is the ID of no502's own container; empty outside Docker.
	Self string
	// Process is what this process signs as; empty: it only looks, and nobody
	// else's lease concerns it.
	Process string
	// Lease is who wrote to NPM last in this instance's name.
	Lease Lease
	// Probes are the ports looked at so far.
	Probes map[Target]Probe
	// Machine tells of addresses, as far as it was asked, whether they are
	// this machine's: proven, or proven not to be.
	Machine map[netip.Addr]bool
	// Cached is, by proxy host, the address that nginx may still hold for the
	// forward host: it was true moments ago.
	Cached map[int]netip.Addr
	// Loaded is, by host, what nginx made of the names that it looks up when it
	// loads, as far as it is known.
	Loaded map[Key]Loaded
	// Proving is, by proxy host, what is known of the proof of the last write.
	Proving map[Key]Proving
	// Proven is, by proxy host, what was seen to be right: a port that is
	// closed since is late.
	Proven map[int]Proven
	// FreshSince is the moment after which a container must have started for a
	// port of its that is closed to be one that may still open. Nothing is
	// concluded from such a port. Zero: none is so fresh.
	FreshSince time.Time

	// Now is when the snapshot was made.
	Now time.Time
	// Ahead is how far the Engine's clock, by which containers are made and
	// started, is ahead of the one of Now and all else.
	Ahead time.Duration
	// Idle is, by host, since when its service has been away, without a break
	// in the observation.
	Idle map[Key]IdleSince
	// Deletes counts the hosts that wait for their deletion and those that were
	// deleted since the last resync. Landslide: they were too many at once,
	// and a person has to look.
	Deletes   int
	Landslide bool
	// Rejected is, by Action.Rejection, the last change that was not accepted: by
	// nginx, of which each try takes the host off line for a moment, or by NPM,
	// since a host that is not seen has the domain.
	Rejected map[Key]Rejected
	// Moved is, by host, how often it was written lately because its service had
	// moved.
	Moved map[Key]Moved
	// Contested is what somebody else keeps undoing.
	Contested map[Subject]Contest
	// Refused is what no502 is not allowed to do in Docker.
	Refused map[Op]Refused
}

// Refused is a kind of change that something in front of the Engine refuses.
type Refused struct {
	Permission string // that is missing: "POST /networks/{id}/connect"
	Status     int    // of the refusal
	Times      int
	Until      time.Time // when it may be tried again
}

// Loaded is where the names of a host led that nginx looks up when it loads.
type Loaded struct {
	Addrs []netip.Addr // when last looked at
	Stale bool         // they led elsewhere when nginx last loaded
}

// Fresh reports whether something happened just now, by the Engine's clock. What
// that dates far in the future happened before the clock was put back.
func (s *Snapshot) Fresh(at time.Time) bool {
	if s.FreshSince.IsZero() {
		return false
	}
	at = at.Add(-s.Ahead)
	return at.After(s.FreshSince) && at.Before(s.Now.Add(s.Now.Sub(s.FreshSince)))
}

// Rejected is a change that was not accepted.
type Rejected struct {
	Hidden bool   // by NPM, as ErrHidden says; else by nginx
	Change string // as Action.Exactly has it
	Reason string
	Times  int
	Until  time.Time // when it may be tried again
}

// Moved is how often a host was written because its service had moved, and when
// that was last.
type Moved struct {
	Times int
	Last  time.Time
}

// IdleSince is since when a host has been idle for a reason.
type IdleSince struct {
	Idle
	Since time.Time
}

// Proven is an endpoint at which a backend was ready.
type Proven struct {
	Backend  Identity
	Endpoint Endpoint
}

// index finds the IDs filed under a key.
type index[K, ID comparable] map[K][]ID

// add files an ID. Whoever files one thing under several keys does so in one
// go, so that a repetition can only be the last entry: many containers may be
// of one image.
func (x index[K, ID]) add(key K, id ID) {
	if ids := x[key]; len(ids) == 0 || ids[len(ids)-1] != id {
		x[key] = append(ids, id)
	}
}

func (x index[K, ID]) remove(key K, id ID) {
	ids := x[key]
	for i, have := range ids {
		if have != id {
			continue
		}
		if len(ids) == 1 {
			delete(x, key)
			return
		}
		// A new array: whoever read the old one keeps what was read.
		kept := make([]ID, 0, len(ids)-1)
		x[key] = append(append(kept, ids[:i]...), ids[i+1:]...)
		return
	}
}
