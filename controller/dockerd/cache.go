package dockerd

import (
	"slices"
	"sync"
	"time"

	"github.com/no502/no502/api"
)

// cache is what is known of the Engine. Answers may overtake each other, so
// every observation carries a number drawn when it began, and is kept only if
// none that began later was kept about the same thing.
type cache struct {
	mu     sync.RWMutex
	engine *api.Engine // nil before the first complete list
	clock  uint64      // the last number drawn
	floor  uint64      // when the list in use began
	kept   map[string]uint64
}

// begin draws a number.
func (c *cache) begin() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	return c.clock
}

func (c *cache) synced() bool { return c.view(func(*api.Engine) {}) }

func (c *cache) view(f func(*api.Engine)) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.engine == nil {
		return false
	}
	f(c.engine)
	return true
}

// since reports whether the thing was observed after a number was drawn.
func (c *cache) since(id string, number uint64) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return max(c.kept[id], c.floor) > number
}

// keep changes one thing as it was observed, unless a later observation was
// kept already. Before the first complete list there is nothing to change.
func (c *cache) keep(id string, began uint64, change func(*api.Engine)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.engine == nil {
		return true
	}
	if began < max(c.kept[id], c.floor) {
		return false
	}
	c.note(id, began)
	change(c.engine)
	return true
}

// remove forgets a container or network that is gone, and sees to it that no
// list or inspection from before brings it back.
func (c *cache) remove(id string, began uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if began < max(c.kept[id], c.floor) {
		return false
	}
	c.note(id, began)
	if c.engine != nil {
		c.engine.RemoveContainer(id)
		c.engine.RemoveNetwork(id)
	}
	return true
}

func (c *cache) note(id string, began uint64) {
	if c.kept == nil {
		c.kept = map[string]uint64{}
	}
	c.kept[id] = began
}

// listing is a complete list, and when its parts were observed.
type listing struct {
	began      uint64
	containers []*api.Container
	networks   []*api.Network
	inspected  map[string]uint64 // by container: when its inspection began
}

// swap puts a whole list in place of what was known. What was observed after
// the list stays as it is.
func (c *cache) swap(l listing) {
	next := api.NewEngine(l.containers, l.networks)
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.began < c.floor {
		return // a later list is in place already
	}
	kept := make(map[string]uint64, len(l.inspected))
	for id, began := range l.inspected {
		kept[id] = began
	}
	for id, at := range c.kept {
		if at > max(l.began, l.inspected[id]) {
			kept[id] = at
			carry(next, c.engine, id)
		}
	}
	next.Inherit(c.engine)
	if c.engine != nil {
		next.Since = c.engine.Since
	}
	c.engine, c.kept, c.floor = next, kept, l.began
}

// followedSince notes from when on events are followed without a break.
func (c *cache) followedSince(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.engine != nil {
		c.engine.Since = t
	}
}

// carry makes one thing in next as it is in now, be it there or not.
func carry(next, now *api.Engine, id string) {
	if now == nil { // only removals are noted before the first list
		now = api.NewEngine(nil, nil)
	}
	if c := now.Container(id); c != nil {
		next.SetContainer(c)
	} else {
		next.RemoveContainer(id)
	}
	if n := now.Network(id); n != nil {
		next.SetNetwork(n)
	} else {
		next.RemoveNetwork(id)
	}
}

// setNetwork adds a network, also to the attachments that knew only its name:
// the Engine gives no ID for the networks of a container that never ran.
func setNetwork(e *api.Engine, n *api.Network) {
	e.SetNetwork(n)
	if e.NetworkByName(n.Name) == nil {
		return
	}
	for _, c := range e.Containers() {
		for i, a := range c.Attachments {
			if a.NetworkID != "" || a.Network != n.Name {
				continue
			}
			changed := *c
			changed.Attachments = slices.Clone(c.Attachments)
			changed.Attachments[i].NetworkID = n.ID
			e.SetContainer(&changed)
		}
	}
}
