package dockerdtest

import (
	"encoding/binary"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// maxLog bounds a container's log in writes kept; the oldest are dropped.
const maxLog = 4096

// logEntry is one write of a program: stream 1 is stdout, 2 stderr.
type logEntry struct {
	stream byte
	time   time.Time
	data   []byte
}

// logBuffer is a container's log over all its runs.
type logBuffer struct {
	mu      sync.Mutex
	entries []logEntry
	dropped int
	ended   bool
	changed chan struct{}
}

func newLogBuffer() *logBuffer { return &logBuffer{changed: make(chan struct{})} }

func (b *logBuffer) writer(stream byte) io.Writer { return &logWriter{b, stream} }

type logWriter struct {
	buf    *logBuffer
	stream byte
}

func (w *logWriter) Write(p []byte) (int, error) {
	b := w.buf
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.entries) == maxLog {
		b.entries = b.entries[1:]
		b.dropped++
	}
	b.entries = append(b.entries, logEntry{w.stream, now(), append([]byte(nil), p...)})
	b.wake()
	return len(p), nil
}

func (b *logBuffer) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// end tells followers that the container is gone.
func (b *logBuffer) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.wake()
}

// from returns the entries after the first n ever written, how many there are now, and what to wait for.
func (b *logBuffer) from(n int) (entries []logEntry, total int, changed <-chan struct{}, ended bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	total = b.dropped + len(b.entries)
	return b.entries[max(0, n-b.dropped):], total, b.changed, b.ended
}

// frame writes data with the header of Docker's multiplexed streams.
func frame(w io.Writer, stream byte, data []byte) error {
	var h [8]byte
	h[0] = stream
	binary.BigEndian.PutUint32(h[4:], uint32(len(data)))
	if _, err := w.Write(append(h[:], data...)); err != nil {
		return err
	}
	return nil
}

func (e *Engine) getLogs(w http.ResponseWriter, r *http.Request) error {
	c, err := e.get(r)
	if err != nil {
		return err
	}
	want := [3]bool{1: isTrue(r.FormValue("stdout")), 2: isTrue(r.FormValue("stderr"))}
	if !want[1] && !want[2] {
		return errf(http.StatusBadRequest, "Bad parameters: you must choose at least one stream")
	}
	since, err := parseTime(r.FormValue("since"))
	if err != nil {
		return errf(http.StatusBadRequest, "%v", err)
	}
	next := 0
	if n, err := strconv.Atoi(r.FormValue("tail")); err == nil {
		_, total, _, _ := c.logs.from(0)
		next = max(0, total-n)
	}
	w.WriteHeader(http.StatusOK)
	flush(w)
	for {
		e.mu.Lock()
		running, stopped := c.run != nil || c.restartTimer != nil, c.changed
		e.mu.Unlock()
		entries, total, changed, ended := c.logs.from(next)
		next = total
		for _, entry := range entries {
			if !want[entry.stream] || entry.time.Before(since) {
				continue
			}
			if err := c.writeEntry(w, entry, isTrue(r.FormValue("timestamps"))); err != nil {
				return nil // the client has gone
			}
		}
		flush(w)
		if !isTrue(r.FormValue("follow")) || ended || !running {
			return nil
		}
		select {
		case <-changed:
		case <-stopped:
		case <-r.Context().Done():
			return nil
		case <-e.ctx.Done():
			return nil
		}
	}
}

func (c *container) writeEntry(w io.Writer, entry logEntry, timestamps bool) error {
	data := entry.data
	if timestamps {
		data = append([]byte(entry.time.Format(time.RFC3339Nano)+" "), data...)
	}
	if c.config.Tty {
		_, err := w.Write(data)
		return err
	}
	return frame(w, entry.stream, data)
}
