package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"

	"github.com/no502/no502/api"
)

// The journal's files in the state directory: at rotateAt bytes the first
// becomes the second, which is forgotten then.
const (
	journalFile = "journal.jsonl"
	journalOld  = "journal.1.jsonl"
	rotateAt    = 1 << 20
)

// remembered is how many entries are kept in memory.
const remembered = 1000

// Journal keeps who changed what, when, from what, to what: the last of it in
// memory, and where there is a state directory in a file of JSON lines there.
// A disk that is full or broken harms nothing but the file.
//
// Who edits in NPM is "somebody": NPM's audit log would know the user, but only
// administrators may read it, it holds whole rows, and of several edits between
// two looks it does not tell which of them is meant.
type Journal struct {
	log logr.Logger

	mu      sync.Mutex
	dir     string // empty: in memory alone
	entries []Entry
	unsaved int // of the last entries: those that the file lacks
	failing bool
}

// NewJournal returns one that is empty and in memory.
func NewJournal(log logr.Logger) *Journal { return &Journal{log: log} }

// Keep makes the journal go on with the files in a state directory, and keep
// them. Where they cannot be written that is said, and tried again at each
// change.
func (j *Journal) Keep(dir string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	before, err := ReadJournal(dir, Filter{Limit: remembered})
	j.dir, j.entries = dir, append(before, j.entries...)
	if err == nil {
		err = j.append(nil)
	}
	j.report(err)
}

// Record adds a change.
func (j *Journal) Record(c api.Change) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entryOf(c, time.Now()))
	if more := len(j.entries) - remembered; more > 0 {
		j.entries = slices.Delete(j.entries, 0, more)
	}
	if j.dir == "" {
		return
	}
	j.unsaved = min(j.unsaved+1, len(j.entries))
	j.report(j.save())
}

// Entries are those that a Filter wants, oldest first.
func (j *Journal) Entries(f Filter) []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return f.apply(j.entries)
}

// save writes what the file lacks.
func (j *Journal) save() error {
	for j.unsaved > 0 {
		line, err := json.Marshal(j.entries[len(j.entries)-j.unsaved])
		if err != nil {
			return err
		}
		if err := j.append(append(line, '\n')); err != nil {
			return err
		}
		j.unsaved--
	}
	return nil
}

// append writes a line in one go, so that lines of two processes stay whole.
// The file is opened each time, which is seldom, since another process may have
// put it aside. It is not synced: a line that a crash of the machine loses tells
// of what NPM and Docker hold anyway.
func (j *Journal) append(line []byte) error {
	path := filepath.Join(j.dir, journalFile)
	f, err := openJournal(path)
	if err != nil {
		return err
	}
	defer func() { f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	if size >= rotateAt { // two processes at the same moment would forget the old one early
		if err := os.Rename(path, filepath.Join(j.dir, journalOld)); err != nil {
			return err
		}
		f.Close()
		if f, err = openJournal(path); err != nil {
			return err
		}
		size = 0
	}
	last := []byte{'\n'}
	if size > 0 {
		if _, err := f.ReadAt(last, size-1); err != nil {
			return err
		}
	}
	if len(line) > 0 && last[0] != '\n' { // a line that broke off spoils no other
		line = append([]byte{'\n'}, line...)
	}
	_, err = f.Write(line)
	return err
}

func openJournal(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600) // may tell of private things
}

// report logs when writing begins to fail, and when that is over.
func (j *Journal) report(err error) {
	switch {
	case err != nil && !j.failing:
		j.log.Error(stateError(j.dir, err), "the journal is kept in memory only; all else goes on")
	case err == nil && j.failing:
		j.log.Info("the journal is written again", "dir", j.dir)
	}
	j.failing = err != nil
}

// stateError says what to do about a state directory.
func stateError(dir string, err error) error {
	uid, gid := os.Getuid(), os.Getgid()
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("the state directory %s is full: make room: %w", dir, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("the state directory %s is mounted read-only: mount it writable: %w", dir, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("user %d may not write to the state directory %s: run `chown -R %d:%d` on what is mounted there: %w", uid, dir, uid, gid, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no state directory %s: mount one there: %w", dir, err)
	}
	return fmt.Errorf("the state directory %s: %w", dir, err)
}

// ReadJournal reads the entries in a state directory that a Filter wants, oldest
// first; none where there is no journal. What is not a whole entry is skipped.
func ReadJournal(dir string, f Filter) ([]Entry, error) {
	var all []Entry
	for _, name := range []string{journalOld, journalFile} {
		text, err := readJournalFile(filepath.Join(dir, name))
		if err != nil {
			return nil, stateError(dir, err)
		}
		for line := range bytes.Lines(text) {
			var e Entry
			if json.Unmarshal(line, &e) == nil && !e.Time.IsZero() {
				all = append(all, e)
			}
		}
	}
	return f.apply(all), nil
}

func readJournalFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 2*rotateAt))
}
