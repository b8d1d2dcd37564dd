package main

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text []string
	all  bytes.Buffer
	news chan struct{} // closed at the next line; nil while nobody waits
}

// Write takes one line: the logger writes each in one go.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, string(p))
	l.all.Write(p)
	if l.news != nil {
		close(l.news)
		l.news = nil
	}
	return len(p), nil
}

// take returns the lines since the last take.
func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text
	l.text = nil
	return text
}

// await waits until a text was logged so often since the last take.
func (l *lines) await(t testing.TB, times int, text string) {
	t.Helper()
	patience := time.After(30 * time.Second)
	for {
		l.mu.Lock()
		found := len(with(l.text, text))
		if l.news == nil {
			l.news = make(chan struct{})
		}
		news := l.news
		l.mu.Unlock()
		if found >= times {
			return
		}
		select {
		case <-news:
		case <-patience:
			t.Fatalf("%q was logged %d times, want %d, in\n%s", text, found, times, l.everything())
		}
	}
}

// everything is the whole log.
func (l *lines) everything() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// with are the lines that hold all of these texts.
func with(lines []string, texts ...string) (found []string) {
next:
	for _, line := range lines {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}
