package dockerdtest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how many bytes one direction of a connection holds before a write waits for the reader,
// as a TCP window does. A write smaller than this never waits for a peer that is not reading yet.
const window = 64 << 10

// stream is one direction of a connection. It uses channels and not a sync.Cond, so that deadlines can
// interrupt a wait.
type stream struct {
	mu      sync.Mutex
	buf     []byte
	eof     bool          // the writing side is done
	gone    bool          // the reading side is closed: a write fails
	changed chan struct{} // closed and replaced at each change
}

func newStream() *stream { return &stream{changed: make(chan struct{})} }

// update runs f under the lock and wakes whoever waits.
func (s *stream) update(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// read returns what there is, or waits for it.
func (s *stream) read(p []byte, closed, deadline <-chan struct{}) (int, error) {
	for {
		s.mu.Lock()
		n, eof, changed := copy(p, s.buf), s.eof, s.changed
		if n > 0 {
			s.buf = s.buf[n:]
			close(s.changed)
			s.changed = make(chan struct{})
		}
		s.mu.Unlock()
		switch {
		case n > 0 || len(p) == 0:
			return n, nil
		case eof:
			return 0, io.EOF
		}
		select {
		case <-changed:
		case <-closed:
			return 0, net.ErrClosed
		case <-deadline:
			return 0, os.ErrDeadlineExceeded
		}
	}
}

// write appends all of p, waiting whenever the window is full.
func (s *stream) write(p []byte, closed, deadline <-chan struct{}) (n int, err error) {
	for {
		s.mu.Lock()
		if s.gone || s.eof {
			s.mu.Unlock()
			return n, syscall.EPIPE
		}
		m := min(len(p)-n, window-len(s.buf))
		changed := s.changed
		if m > 0 {
			s.buf = append(s.buf, p[n:n+m]...)
			n += m
			close(s.changed)
			s.changed = make(chan struct{})
			changed = s.changed
		}
		s.mu.Unlock()
		if n == len(p) {
			return n, nil
		}
		select {
		case <-changed:
		case <-closed:
			return n, net.ErrClosed
		case <-deadline:
			return n, os.ErrDeadlineExceeded
		}
	}
}

// conn is one end of a virtual TCP connection.
type conn struct {
	in, out       *stream
	local, remote *net.TCPAddr
	proc          *process // whose file it is; nil for the Engine's own transport
	once          sync.Once
	closed        chan struct{}
	readBy        deadline
	writeBy       deadline
}

// newConnPair joins two ends. The processes may be nil.
func newConnPair(a, b *net.TCPAddr, pa, pb *process) (*conn, *conn) {
	ab, ba := newStream(), newStream()
	return newConn(ba, ab, a, b, pa), newConn(ab, ba, b, a, pb)
}

func newConn(in, out *stream, local, remote *net.TCPAddr, p *process) *conn {
	return &conn{
		in: in, out: out, local: local, remote: remote, proc: p,
		closed: make(chan struct{}), readBy: newDeadline(), writeBy: newDeadline(),
	}
}

// Read implements net.Conn. The end of a paused container reads nothing until it is unpaused.
func (c *conn) Read(p []byte) (int, error) {
	if isClosed(c.closed) {
		return 0, c.fail("read", net.ErrClosed)
	}
	deadline := c.readBy.wait()
	if err := c.proc.thaw(c.closed, deadline); err != nil {
		return 0, c.fail("read", err)
	}
	n, err := c.in.read(p, c.closed, deadline)
	if ferr := c.proc.thaw(c.closed, nil); ferr != nil && err == nil {
		err = ferr // it was frozen while it waited, and ended before it was thawed
	}
	return n, c.fail("read", err)
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if isClosed(c.closed) {
		return 0, c.fail("write", net.ErrClosed)
	}
	deadline := c.writeBy.wait()
	if err := c.proc.thaw(c.closed, deadline); err != nil {
		return 0, c.fail("write", err)
	}
	n, err := c.out.write(p, c.closed, deadline)
	return n, c.fail("write", err)
}

func (c *conn) fail(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.out.update(func() { c.out.eof = true })
		c.in.update(func() { c.in.gone = true })
		c.readBy.set(time.Time{})
		c.writeBy.set(time.Time{})
		c.proc.forget(c)
	})
	return nil
}

// CloseWrite shuts down the writing side, as (*net.TCPConn).CloseWrite does.
func (c *conn) CloseWrite() error {
	c.out.update(func() { c.out.eof = true })
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.readBy.set(t)
	c.writeBy.set(t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { c.readBy.set(t); return nil }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { c.writeBy.set(t); return nil }

// deadline is net.Pipe's: a channel that is closed when the time has come.
type deadline struct {
	mu     *sync.Mutex
	timer  *time.Timer
	cancel chan struct{}
}

func newDeadline() deadline {
	return deadline{mu: &sync.Mutex{}, cancel: make(chan struct{})}
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.cancel // the timer's function is running: wait until it has closed the channel
	}
	d.timer = nil
	closed := isClosed(d.cancel)
	if t.IsZero() {
		if closed {
			d.cancel = make(chan struct{})
		}
		return
	}
	if dur := time.Until(t); dur > 0 {
		if closed {
			d.cancel = make(chan struct{})
		}
		cancel := d.cancel
		d.timer = time.AfterFunc(dur, func() { close(cancel) })
		return
	}
	if !closed {
		close(d.cancel)
	}
}

func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cancel
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
