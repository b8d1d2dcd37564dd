package reconcile

import (
	"net/netip"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/resolve"
)

// adminPort is where NPM's API answers, inside its container.
const adminPort = 81

// FindNPM tells the NPM client where NPM is; nowhere while it does not run:
// another container may have its address by then, and would be given its
// password.
func (r *Reconciler) FindNPM() {
	url, own := r.NPMURL, true
	if url == "" {
		r.snapshot(func(s *api.Snapshot) {
			t := resolve.Locate(s, r.Policy)
			if at := t.Entry(s, adminPort); at.IsValid() {
				url, own = "http://"+at.String(), t.Has(at.Addr())
			}
		})
	}
	r.NPM.SetURL(url, own)
}

// SharedWithNPM reports whether this is an address of no502's own container, or
// of the one whose network it uses, on a network that NPM is on too.
func (r *Reconciler) SharedWithNPM(addr netip.Addr) (shared bool) {
	r.snapshot(func(s *api.Snapshot) {
		if self := s.Engine.Container(s.Self); self != nil {
			owner := resolve.NetOwner(s.Engine, self)
			shared = owner != nil && resolve.Locate(s, r.Policy).Reaches(owner, addr)
		}
	})
	return shared
}

// PublishedPort is the machine's port that leads to no502's own status port;
// 0 where it is not published.
func (r *Reconciler) PublishedPort(port uint16) (published uint16) {
	r.Engine.View(func(e *api.Engine) {
		c := e.Container(self(e, r.SelfHints))
		if c == nil {
			return
		}
		for _, p := range c.Published {
			if p.Port.Number == port && p.Port.Protocol == "tcp" {
				published = p.HostPort
			}
		}
	})
	return published
}
