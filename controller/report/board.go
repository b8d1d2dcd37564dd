// Package report tells people what no502 sees and does: one line in the log for
// each change, the journal of who changed what, and the answers of the status port.
package report

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/no502/no502/api"
)

// Board holds the latest verdict about each key, and logs what changes.
type Board struct {
	log     logr.Logger
	journal *Journal

	mu       sync.Mutex
	verdicts map[api.Key]api.Verdict
}

// NewBoard returns an empty Board, which notes changes in a journal.
func NewBoard(log logr.Logger, journal *Journal) *Board {
	return &Board{log: log, journal: journal, verdicts: map[api.Key]api.Verdict{}}
}

// Verdict records a verdict. What was said before is not logged again.
func (b *Board) Verdict(v api.Verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.verdicts[v.Key]
	now := time.Now()
	since(&v.Resolved, old.Resolved, now)
	since(&v.Ready, old.Ready, now)
	since(&v.InSync, old.InSync, now)
	since(&v.Served, old.Served, now)
	b.verdicts[v.Key] = v
	for _, f := range v.Findings {
		if !old.Says(f) {
			b.log.Info("found", "about", v.Name, "finding", f.Code, "message", f.Message, "fix", f.Fix)
		}
	}
	if v.Key.Kind == api.KindHost && good(v) && !good(old) {
		b.log.Info("proxy host is right", "host", v.Name, "forward", v.Forward.String())
	}
}

// Done records a change that was made.
func (b *Board) Done(a api.Action) {
	b.log.Info("done", "action", a.String(), "because", a.Why())
}

// Changed records who changed what.
func (b *Board) Changed(c api.Change) { b.journal.Record(c) }

// Forget drops what is gone.
func (b *Board) Forget(key api.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.verdicts, key)
}

// Verdicts returns all verdicts, as Sort has them.
func (b *Board) Verdicts() []api.Verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]api.Verdict, 0, len(b.verdicts))
	for _, v := range b.verdicts {
		all = append(all, v)
	}
	Sort(all)
	return all
}

// Sort puts verdicts in the order in which people see them: by kind and name,
// which unlike IDs outlive a recreate.
func Sort(verdicts []api.Verdict) {
	slices.SortFunc(verdicts, func(x, y api.Verdict) int {
		return cmp.Or(strings.Compare(string(x.Key.Kind), string(y.Key.Kind)),
			strings.Compare(x.Name, y.Name), strings.Compare(x.Key.ID, y.Key.ID))
	})
}

func good(v api.Verdict) bool {
	return v.Ready.Status == api.True && v.InSync.Status == api.True && len(v.Findings) == 0
}

func since(c *api.Condition, old api.Condition, now time.Time) {
	if c.Since = old.Since; c.Status != old.Status || c.Since.IsZero() {
		c.Since = now
	}
}
