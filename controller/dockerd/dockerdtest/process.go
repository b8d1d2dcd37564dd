package dockerdtest

import (
	"io"
	"net"
	"os"
	"sync"
)

// process owns what a program opened: its end closes it all.
type process struct {
	ns     *netns
	freeze *freezer // its container's; nil on the host and on machines

	mu   sync.Mutex
	open map[io.Closer]struct{}
	done chan struct{} // closed at its end
}

func newProcess(ns *netns, f *freezer) *process {
	return &process{ns: ns, freeze: f, open: map[io.Closer]struct{}{}, done: make(chan struct{})}
}

// own adds what the process opened, or closes it at once if the process has ended.
func (p *process) own(c io.Closer) error {
	p.mu.Lock()
	if isClosed(p.done) {
		p.mu.Unlock()
		c.Close()
		return net.ErrClosed
	}
	p.open[c] = struct{}{}
	p.mu.Unlock()
	return nil
}

func (p *process) forget(c io.Closer) {
	if p == nil {
		return
	}
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
}

// end closes everything the process holds.
func (p *process) end() {
	p.mu.Lock()
	if !isClosed(p.done) {
		close(p.done)
	}
	open := p.open
	p.open = map[io.Closer]struct{}{}
	p.mu.Unlock()
	for c := range open {
		c.Close()
	}
}

// thaw waits while the process is frozen. A nil channel never ends the wait.
func (p *process) thaw(closed, deadline <-chan struct{}) error {
	if p == nil || p.freeze == nil {
		return nil
	}
	for {
		frozen := p.freeze.wait()
		if frozen == nil {
			return nil
		}
		select {
		case <-frozen:
		case <-closed:
			return net.ErrClosed
		case <-p.done:
			return net.ErrClosed
		case <-deadline:
			return os.ErrDeadlineExceeded
		}
	}
}

// freezer is the cgroup freezer of a container. A goroutine cannot be frozen; what can is whatever it
// does to the outside: its connections and listeners stand still.
type freezer struct {
	mu     sync.Mutex
	frozen chan struct{} // nil while running; closed when thawed
}

func (f *freezer) set(frozen bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case frozen && f.frozen == nil:
		f.frozen = make(chan struct{})
	case !frozen && f.frozen != nil:
		close(f.frozen)
		f.frozen = nil
	}
}

func (f *freezer) wait() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.frozen
}
