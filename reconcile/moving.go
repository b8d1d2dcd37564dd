package reconcile

import (
	"maps"
	"slices"
	"time"

	"github.com/no502/no502/api"
)

// movesFor is how long it is remembered that a host's service moved.
const movesFor = 10 * time.Minute

// moves are, by host, the writes that were made because its service had moved, or
// was back.
type moves map[api.Key]api.Moved

// did counts a write that was made.
func (m moves) did(a api.Action, now time.Time) {
	_, streams := a.To[api.FieldStreamHost]
	resaved := a.Op == api.OpResave && slices.Contains(a.Because, api.AddressChanged)
	back := a.Op == api.OpEnable && slices.Contains(a.Because, api.HostBack)
	if !resaved && !back && !(a.Op == api.OpPatch && streams) {
		return
	}
	was, _ := m.of(a.Host, now)
	m[a.Host] = api.Moved{Times: was.Times + 1, Last: now}
}

func (m moves) of(host api.Key, now time.Time) (was api.Moved, lately bool) {
	was, lately = m[host]
	if now.Sub(was.Last) > movesFor {
		return api.Moved{}, false
	}
	return was, lately
}

// forget drops what is long ago.
func (m moves) forget(now time.Time) {
	maps.DeleteFunc(m, func(_ api.Key, was api.Moved) bool { return now.Sub(was.Last) > movesFor })
}
