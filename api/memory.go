package api

// The memory of names and addresses that once were is bounded: in all, and for
// each backend, of which the oldest are forgotten.
const (
	formerLimit  = 10_000
	formerOfEach = 64
)

// memory tells whose a name or an address was, after it no longer is.
type memory struct {
	whose map[string]Identity
	of    index[Identity, string]
}

func newMemory() memory {
	return memory{whose: map[string]Identity{}, of: index[Identity, string]{}}
}

func (m memory) remember(what string, id Identity) {
	was, have := m.whose[what]
	switch {
	case was == id && have:
		return
	case have:
		m.of.remove(was, what)
	case len(m.whose) >= formerLimit:
		for old := range m.whose {
			m.forget(old)
			break
		}
	}
	if of := m.of[id]; len(of) >= formerOfEach {
		m.forget(of[0])
	}
	m.whose[what] = id
	m.of.add(id, what)
}

func (m memory) forget(what string) {
	if id, have := m.whose[what]; have {
		delete(m.whose, what)
		m.of.remove(id, what)
	}
}

// recall remembers what a container was called and where it was, as far as
// that is no longer so. Now is nil where it is gone; a renamed container keeps
// its old name in memory under its new identity. A one-off container's names
// mean nobody.
func (m memory) recall(old, now *Container) {
	if old == now || old.OneOff() {
		return
	}
	names, addrs, id := old.Names(), old.Addrs(), old.Identity()
	if now != nil {
		id = now.Identity()
		for name := range now.Names() {
			delete(names, name)
		}
		for addr := range now.Addrs() {
			delete(addrs, addr)
		}
	}
	for name := range names {
		m.remember(name, id)
	}
	for addr := range addrs {
		m.remember(addr.String(), id)
	}
}

// renew forgets what is a container's again. What was another backend's stays
// in memory: then one word has had two meanings.
func (m memory) renew(c *Container) {
	id := c.Identity()
	if len(m.of[id]) == 0 {
		return
	}
	for name := range c.Names() {
		if m.whose[name] == id {
			m.forget(name)
		}
	}
	for addr := range c.Addrs() {
		if what := addr.String(); m.whose[what] == id {
			m.forget(what)
		}
	}
}

// Former finds the backend that had this name or address before. Somebody else
// may have it now.
func (e *Engine) Former(nameOrAddr string) (Identity, bool) {
	id, ok := e.former.whose[BareHost(nameOrAddr)]
	return id, ok
}

// FormerlyOf lists the names and addresses that a backend had before.
func (e *Engine) FormerlyOf(id Identity) []string { return e.former.of[id] }

// Inherit takes over another Engine's memory of former names and addresses,
// and adds what that one held and this one does not.
func (e *Engine) Inherit(before *Engine) {
	if before == nil {
		return
	}
	for what, id := range before.former.whose {
		e.former.remember(what, id)
	}
	for id, c := range before.containers {
		e.former.recall(c, e.containers[id])
	}
}
