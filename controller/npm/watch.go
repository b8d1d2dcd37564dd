package npm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fsnotify/fsnotify"
	"github.com/go-logr/logr"

	"github.com/no502/no502/api"
)

// watch hints that NPM wrote or removed the configuration file of a host, such
// as <data>/nginx/proxy_host/<id>.conf. The directories may appear late, and be
// made anew, so their parents are watched as far as that needs.
type watch struct {
	log   logr.Logger
	data  string              // NPM's data directory; empty: nothing is watched
	nginx string              // the directory in it that holds those of the hosts
	dirs  map[string]api.Kind // these
	more  []string            // those of access lists and certificates, which are there from NPM's first start
	fs    *fsnotify.Watcher
	held  map[string]os.FileInfo // those of dirs that are watched
	told  bool
}

func newWatch(data string, log logr.Logger) *watch {
	w := &watch{log: log, dirs: map[string]api.Kind{}}
	if data != "" {
		w.data = filepath.Clean(data)
		w.nginx = filepath.Join(w.data, "nginx")
		for k := range kinds {
			w.dirs[w.dir(k)] = k
		}
		w.more = []string{filepath.Join(w.data, "access"), filepath.Join(w.data, "custom_ssl")}
	}
	return w
}

// dir is where NPM keeps the files of a kind of hosts.
func (w *watch) dir(k api.Kind) string { return filepath.Join(w.nginx, kinds[k].dir) }

// check sees to it that the directories are watched that are there now, and
// reports whether that of the proxy hosts is.
func (w *watch) check() bool {
	if w.data == "" {
		return false
	}
	if w.watching() && w.current() {
		return true
	}
	w.close()
	err := w.arm()
	switch {
	case err != nil:
		w.close()
		if !w.told {
			w.log.V(w.level()).Info("NPM's files cannot be watched; polling alone", "directory", w.nginx, "error", err.Error())
		}
		w.told = true
	case w.watching():
		w.told = false
	}
	return w.watching()
}

func (w *watch) watching() bool { return w.held[w.dir(api.KindHost)] != nil }

// current reports whether the watched directories are those that are there.
func (w *watch) current() bool {
	for dir := range w.dirs {
		now, err := os.Stat(dir)
		if was := w.held[dir]; (was != nil) != (err == nil) || was != nil && !os.SameFile(was, now) {
			return false
		}
	}
	return true
}

// level of what is said of a watch that fails: that NPM's data directory is not
// mounted at all is what most people want.
func (w *watch) level() int {
	if _, err := os.Stat(w.data); errors.Is(err, fs.ErrNotExist) {
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
	w.held = map[string]os.FileInfo{}
	if err = w.fs.Add(w.nginx); errors.Is(err, fs.ErrNotExist) {
		if err = w.fs.Add(w.data); err != nil {
			return err
		}
		// It may have appeared while its parent began to be watched.
		if err = w.fs.Add(w.nginx); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	if err != nil {
		return err
	}
	for _, dir := range w.more {
		_ = w.fs.Add(dir) // where there is none, polling does
	}
	for dir := range w.dirs { // what appears from now on, the watch of nginx tells
		if err = w.fs.Add(dir); err == nil {
			w.held[dir], err = os.Stat(dir)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
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

// hint tells what an event may mean: the key of the host whose file it is
// about, or none for a directory; ok is false if it means nothing.
func (w *watch) hint(e fsnotify.Event) (key api.Key, ok bool) {
	if e.Op == fsnotify.Chmod {
		return api.Key{}, false
	}
	file := filepath.Clean(e.Name)
	if _, ours := w.dirs[file]; ours || file == w.nginx || file == w.data {
		if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
			w.held = nil // even if another one took its place and number
		}
		return api.Key{}, true
	}
	if slices.Contains(w.more, filepath.Dir(file)) {
		return api.Key{}, true
	}
	id, isConf := strings.CutSuffix(filepath.Base(file), ".conf")
	k, ours := w.dirs[filepath.Dir(file)]
	if !isConf || !ours {
		return api.Key{}, false
	}
	return api.Key{Kind: k, ID: id}, true
}

func (w *watch) close() {
	if w.fs != nil {
		_ = w.fs.Close() // it holds nothing that closing could lose
	}
	w.fs, w.held = nil, nil
}
