package reconcile

import (
	"context"
	"slices"
	"time"

	"github.com/no502/no502/api"
)

// prove looks at what a plan wants to see of NPM, and remembers it.
func (r *Reconciler) prove(ctx context.Context, targets []api.ProofTarget) {
	for _, t := range targets {
		proof := r.Prober.Prove(ctx, t)
		if ctx.Err() == nil {
			r.memory.proved(t.Host, proof, time.Now())
		}
	}
}

// toProve: a write calls for a proof. The caller holds mu.
func (m *memory) toProve(a api.Action, now time.Time) {
	switch a.Op {
	case api.OpPatch, api.OpEnable, api.OpCreate, api.OpResave:
	default:
		delete(m.proving, a.Host)
		return
	}
	if a.Host.ID != "" {
		again := m.proving[a.Host].Resaved || slices.Contains(a.Because, api.NotServed)
		m.proving[a.Host] = api.Proving{Since: now, Resaved: again && a.Op == api.OpResave}
	}
}

// proved remembers what was seen.
func (m *memory) proved(host api.Key, proof api.Proof, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	pr, wanted := m.proving[host]
	if !wanted {
		return
	}
	pr.Asked, pr.Proof = now, proof
	pr.Tries++
	m.proving[host] = pr
}
