package api

import (
	"strings"
	"time"
)

// Holder is a process of no502 that writes to an NPM, as it signs what it writes:
// of several with the same instance name the one that wrote last is at work, as
// long as it lives, and the others stand by.
type Holder struct {
	Process   string    `json:"process"`             // random
	Container string    `json:"container,omitempty"` // its ID; empty outside Docker
	Engine    string    `json:"engine,omitempty"`    // that container's; see Engine.Fingerprint
	At        time.Time `json:"at"`                  // when it wrote
}

// Is reports whether two signatures are of the same process.
func (h *Holder) Is(o *Holder) bool { return h != nil && o != nil && h.Process == o.Process }

// before puts signatures in order, also those of the same moment.
func (h *Holder) before(o *Holder) bool {
	if h == nil || o == nil {
		return h == nil && o != nil
	}
	if d := h.At.Compare(o.At); d != 0 {
		return d < 0
	}
	return strings.Compare(h.Process, o.Process) < 0
}

// Lease is the last signature of an instance, and since when it is known here.
// Clocks of other machines are not to be trusted.
type Lease struct {
	Holder *Holder
	Seen   time.Time
}

// LastWriter is the last signature of an instance among all hosts; nil where
// there is none.
func (n *NPM) LastWriter(instance string) *Holder { return n.signed[instance] }

// resign keeps the last signatures true when a host changes; old or now may be
// nil.
func (n *NPM) resign(old, now *Host) {
	if old != nil && old.Ownership != nil {
		instance := old.Ownership.Instance
		last := n.signed[instance]
		if last != nil && last == old.Ownership.By && (now.OwnedBy(instance) == nil || now.Ownership.By.before(last)) {
			n.signed[instance] = nil
			for _, h := range n.All() {
				if o := h.OwnedBy(instance); o != nil && h.Key() != old.Key() && n.signed[instance].before(o.By) {
					n.signed[instance] = o.By
				}
			}
		}
	}
	if now != nil && now.Ownership != nil && !now.Ownership.By.before(n.signed[now.Ownership.Instance]) {
		n.signed[now.Ownership.Instance] = now.Ownership.By
	}
}
