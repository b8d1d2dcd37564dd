package plan

import (
	"fmt"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/resolve"
)

// leaseFor is how long another process of this name is taken to be at work after
// it wrote, where Docker does not tell whether it lives.
const leaseFor = time.Minute

// holder is the other process of this instance's name that is at work; nil:
// none, this one may write.
func (b *builder) holder() *api.Holder {
	h := b.s.Lease.Holder
	if b.s.Process == "" || h == nil || h.Process == b.s.Process {
		return nil
	}
	c := b.s.Engine.Container(h.Container)
	switch {
	case h.Container != "" && h.Container == b.s.Self:
		return nil // this container's process from before
	case c != nil && atWork(c):
		return h
	case c != nil, h.Container != "" && h.Engine != "" && h.Engine == b.s.Engine.Fingerprint():
		return nil // it has ended
	case b.s.Now.Before(b.s.Lease.Seen.Add(leaseFor)):
		return h
	}
	return nil
}

// atWork: a paused process does nothing, and one whose HEALTHCHECK fails cannot.
func atWork(c *api.Container) bool {
	return (c.Up() || c.State.Status == api.Restarting) && c.State.Health != api.Unhealthy
}

// signature is what this process leaves on all that it writes.
func (b *builder) signature() *api.Holder {
	if b.s.Process == "" {
		return nil
	}
	at := b.s.Now.UTC().Truncate(time.Millisecond)
	if last := b.s.Lease.Holder; last != nil && !at.After(last.At) && last.At.Year() < 9999 { // beyond that JSON has no times
		at = last.At.Add(time.Millisecond) // the last one, by whichever clock
	}
	return &api.Holder{Process: b.s.Process, Container: b.s.Self, Engine: b.s.Engine.Fingerprint(), At: at}
}

// standBy keeps this process from changing anything while another one of the
// same name is at work, but for what it needs to see what that one sees.
func (b *builder) standBy(v *api.Verdict) {
	h := b.holder()
	if h == nil {
		return
	}
	who := "a process on another machine or outside Docker"
	if c := b.s.Engine.Container(h.Container); c != nil {
		who = "the container " + c.Name
	}
	v.Findings = append(v.Findings, api.Finding{
		Code:    api.StandingBy,
		Message: fmt.Sprintf("another no502 with the instance name %q is at work in this NPM: %s; this one changes nothing while that one lives", b.p.Instance, who),
		Fix:     "stop one of the two, or give each a name of its own (NO502_INSTANCE)",
	})
	if over := b.s.Lease.Seen.Add(leaseFor); over.After(b.s.Now) {
		v.Due = over
	}
}

// permits: standing by, nothing is changed but what no502 itself stands on.
func (b *builder) permits(a api.Action) bool {
	return a.Op == api.OpAttach && a.Container == b.s.Self
}

// Fingerprint is for comparison: all on which every key's plan stands. That is
// the topology, and who else is at work.
func Fingerprint(s *api.Snapshot, p api.Policy) string {
	b := builder{s: s, p: p, t: resolve.Locate(s, p)}
	f := b.t.Fingerprint()
	if h := b.holder(); h != nil {
		f += " beside " + h.Process
	}
	return f
}
