package reconcile

import (
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/no502/no502/api"
)

// refusedPauses are those before something that is not allowed is tried again:
// somebody may have allowed it.
var refusedPauses = api.Backoff{First: time.Minute, Last: time.Hour}

// refusals remembers what something in front of the Engine does not let through.
// It is allowed or refused for all alike, so that one try tells.
type refusals struct {
	mu   sync.Mutex
	of   map[api.Op]api.Refused
	news bool
}

// now is what is refused.
func (r *refusals) now() map[api.Op]api.Refused {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.of)
}

// note remembers that a change was refused, or made after all. It reports whether
// it was refused.
func (r *refusals) note(op api.Op, err error, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var refused *api.RefusedError
	was, before := r.of[op]
	if !errors.As(err, &refused) {
		if err == nil && before {
			delete(r.of, op)
			r.news = true
		}
		return false
	}
	if r.of == nil {
		r.of = map[api.Op]api.Refused{}
	}
	times := was.Times + 1
	r.of[op] = api.Refused{
		Permission: refused.Permission(), Status: refused.Status,
		Times: times, Until: now.Add(refusedPauses.After(times)),
	}
	r.news = r.news || !before
	return true
}

// told reports whether there are news for the system's verdict, once.
func (r *refusals) told() (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	news, r.news = r.news, false
	return news
}
