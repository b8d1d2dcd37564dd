package npm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/fsnotify/fsnotify"
	"github.com/go-logr/logr"
)

// watch hints that NPM wrote or removed the configuration file of a proxy
// host: <data>/nginx/proxy_host/<id>.conf. The directory may appear late, and
// be made anew, so its parents are watched as far as that needs.
type watch struct {
	log  logr.Logger
	dirs []string // the directory itself, then its parents up to the data directory
	fs   *fsnotify.Watcher
	held os.FileInfo // the directory as it is watched; nil: it is not
	told bool
}

func newWatch(data string, log logr.Logger) *watch {
	w := &watch{log: log}
	if data != "" {
		data = filepath.Clean(data)
		nginx := filepath.Join(data, "nginx")
		w.dirs = []string{filepath.Join(nginx, "proxy_host"), nginx, data}
	}
	return w
}

// check sees to it that the directory is watched that is there now, and
// reports whether one is.
func (w *watch) check() bool {
	if w.dirs == nil {
		return false
	}
	if now, err := os.Stat(w.dirs[0]); w.held != nil && err == nil && os.SameFile(w.held, now) {
		return true
	}
	w.close()
	err := w.arm()
	switch {
	case err != nil:
		w.close()
		if !w.told {
			w.log.V(w.level()).Info("NPM's files cannot be watched; polling alone", "directory", w.dirs[0], "error", err.Error())
		}
		w.told = true
	case w.held != nil:
		w.told = false
	}
	return w.held != nil
}

// level of what is said of a watch that fails: that NPM's data directory is not
// mounted at all is what most people want.
func (w *watch) level() int {
	if _, err := os.Stat(w.dirs[len(w.dirs)-1]); errors.Is(err, fs.ErrNotExist) {
		return 1
	}
	return 0
}

// arm begins with a new watcher: the old one may hold, under the same name, a
// directory that is no more.
func (w *watch) arm() error {
	var err error
	if w.fs, err = fsnotify.NewWatcher(); err != nil {
		return err
	}
	// A directory that appears while its parent begins to be watched would be
	// missed, so look again.
	for range 3 {
		for i, dir := range w.dirs {
			if err = w.fs.Add(dir); err == nil && i == 0 {
				if w.held, err = os.Stat(dir); err == nil {
					return w.fs.Add(w.dirs[1]) // tells of its being made anew
				}
			}
			if err == nil {
				break
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return err
}

// events of the files; nil without a watch.
func (w *watch) events() <-chan fsnotify.Event {
	if w.fs == nil {
		return nil
	}
	return w.fs.Events
}

// errs of the watch, such as lost events; nil without one.
func (w *watch) errs() <-chan error {
	if w.fs == nil {
		return nil
	}
	return w.fs.Errors
}

// hint tells what an event may mean: id of the host whose file it is about,
// or 0 for the directory itself; ok is false if it means nothing.
func (w *watch) hint(e fsnotify.Event) (id int, ok bool) {
	if e.Op == fsnotify.Chmod {
		return 0, false
	}
	name := filepath.Clean(e.Name)
	for _, dir := range w.dirs {
		if name == dir {
			if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
				w.held = nil // even if another one took its place and number
			}
			return 0, true
		}
	}
	base, isConf := strings.CutSuffix(filepath.Base(name), ".conf")
	if !isConf || filepath.Dir(name) != w.dirs[0] {
		return 0, false
	}
	id, _ = strconv.Atoi(base)
	return id, true
}

func (w *watch) close() {
	if w.fs != nil {
		_ = w.fs.Close() // it holds nothing that closing could lose
	}
	w.fs, w.held = nil, nil
}
