package npm

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/go-logr/logr"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/npm/npmtest"
)

// newWatched is a Client that runs on real time and real files, and the keys
// that it is told. Only a watch makes it look before its hour-long poll.
func newWatched(t *testing.T, s *npmtest.Server, data string) (*Client, <-chan string) {
	t.Helper()
	srv := httptest.NewServer(s.API())
	t.Cleanup(srv.Close)
	c := New(Options{
		DataDir: data, Poll: time.Hour,
		Credentials: func() (string, string, error) { return testUser, testSecret, nil },
	})
	c.SetURL(srv.URL, true)
	keys := make(chan string, 100)
	done := make(chan error)
	ctx := t.Context()
	go func() { done <- c.Run(ctx, func(k api.Key) { keys <- k.String() }) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	wait(t, keys, "system")
	return c, keys
}

func wait(t *testing.T, keys <-chan string, want string) {
	t.Helper()
	select {
	case got := <-keys:
		eq(t, "notified", got, want)
	case <-time.After(30 * time.Second):
		t.Fatalf("not notified of %s", want)
	}
}

// person is somebody at NPM's own pages.
func person(t *testing.T, s *npmtest.Server) *Client {
	t.Helper()
	srv := httptest.NewServer(s.API())
	t.Cleanup(srv.Close)
	c := New(Options{Credentials: func() (string, string, error) { return testUser, testSecret, nil }})
	t.Cleanup(c.reads.CloseIdleConnections)
	c.SetURL(srv.URL, true)
	return c
}

func dataDir(dir string) func(*npmtest.Options) {
	return func(o *npmtest.Options) { o.DataDir = dir }
}

// A file of any kind of host hints at a change.
func TestWatchNoticesOtherKinds(t *testing.T) {
	s := newNPM(t, 1)
	nginx := filepath.Join(t.TempDir(), "nginx")
	for _, k := range kinds {
		if err := os.MkdirAll(filepath.Join(nginx, k.dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, keys := newWatched(t, s, filepath.Dir(nginx))
	admin := person(t, s)
	for _, n := range newHosts[1:] {
		key, err := admin.Create(t.Context(), n.kind, n.fields, declared("x", nil))
		if err == nil {
			err = os.WriteFile(filepath.Join(nginx, kinds[n.kind].dir, key.ID+".conf"), nil, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		wait(t, keys, key.String())
	}
}

func TestWatchNoticesAPersonsSave(t *testing.T) {
	dir := t.TempDir()
	s := newNPM(t, 2, dataDir(dir))
	c, keys := newWatched(t, s, dir)
	eq(t, "watching", c.State().Watching, true)
	if err := person(t, s).forward(t.Context(), 2, was(2), web); err != nil {
		t.Fatal(err)
	}
	wait(t, keys, "proxy-host/2")
	var h *api.Host
	c.View(func(n *api.NPM) { h = n.Host(2) })
	eq(t, "forward", h.Forward, web)
}

// NPM's directories may come late, go, and come again.
func TestWatchDirectoriesComeAndGo(t *testing.T) {
	s := newNPM(t, 1)
	dir := filepath.Join(t.TempDir(), "data")
	hosts := filepath.Join(dir, "nginx", "proxy_host")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	_, keys := newWatched(t, s, dir)
	for _, step := range []func() error{
		func() error { return os.MkdirAll(hosts, 0o755) },
		func() error { return os.WriteFile(filepath.Join(hosts, "1.conf"), nil, 0o644) },
		func() error { return os.RemoveAll(filepath.Join(dir, "nginx")) },
		func() error { return os.MkdirAll(hosts, 0o755) },
		func() error { return os.Rename(hosts, hosts+".old") },
		func() error { return os.Mkdir(hosts, 0o755) },
		func() error { return os.WriteFile(filepath.Join(hosts, "2.conf"), nil, 0o644) },
	} {
		id := s.AddHost(npmtest.ProxyHost{DomainNames: []string{t.Name() + time.Now().String()}, ForwardHost: "x", ForwardPort: 1})
		if err := step(); err != nil {
			t.Fatal(err)
		}
		wait(t, keys, api.HostKey(id).String())
	}
}

func TestWatchWithoutDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, newNPM(t, 1).API(), func(o *Options) { o.DataDir = filepath.Join(t.TempDir(), "absent") })
		b.run()
		synctest.Wait()
		b.calls()
		after(time.Minute)
		eq(t, "polls", count(b.calls(), "GET /nginx/proxy-hosts "), 4)
		eq(t, "logged", b.logged("cannot be watched"), 1)
		eq(t, "watching", b.State().Watching, false)
	})
}

// What an event means.
func TestWatchHint(t *testing.T) {
	w := newWatch("/data/", logr.Discard())
	for _, c := range []struct {
		name string
		op   fsnotify.Op
		key  string
		ok   bool
	}{
		{"/data/nginx/proxy_host/12.conf", fsnotify.Create, "proxy-host/12", true},
		{"/data/nginx/proxy_host/12.conf", fsnotify.Remove, "proxy-host/12", true},
		{"/data/nginx/proxy_host/12.conf", fsnotify.Chmod, "", false},
		{"/data/nginx/proxy_host/odd.conf", fsnotify.Write, "proxy-host/odd", true},
		{"/data/nginx/proxy_host/12.conf.swp", fsnotify.Write, "", false},
		{"/data/nginx/proxy_host", fsnotify.Remove, "", true},
		{"/data/nginx", fsnotify.Create, "", true},
		{"/data/nginx/stream", fsnotify.Create, "", true},
		{"/data/nginx/stream/3.conf", fsnotify.Create, "stream/3", true},
		{"/data/nginx/redirection_host/4.conf", fsnotify.Write, "redirection-host/4", true},
		{"/data/nginx/dead_host/5.conf", fsnotify.Write, "dead-host/5", true},
		{"/data/nginx/temp/6.conf", fsnotify.Write, "", false},
		{"/data/database.sqlite", fsnotify.Write, "", false},
	} {
		key, ok := w.hint(fsnotify.Event{Name: c.name, Op: c.op})
		eq(t, c.name+" "+c.op.String(), []any{key.String(), ok}, []any{c.key, c.ok})
	}
}

// Events are gathered; those of our own writes are none. While the files are
// watched and nothing happens, polls are rare.
func TestRestWithEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, newNPM(t, 2).API())
		events, errs := make(chan fsnotify.Event), make(chan error)
		w := newWatch("/data", logr.Discard())
		w.fs = &fsnotify.Watcher{Events: events, Errors: errs}
		r := &runner{Client: b.Client, watch: w, site: b.at(), up: true, watching: true}
		b.answers = true
		rest := func() time.Duration {
			r.looked = time.Now()
			r.rest(t.Context())
			return time.Since(r.looked)
		}
		save := func(ids ...string) {
			for _, id := range ids {
				events <- fsnotify.Event{Name: w.dir(api.KindHost) + "/" + id + ".conf", Op: fsnotify.Write}
				time.Sleep(10 * time.Millisecond)
			}
		}
		eq(t, "quiet", rest(), slowPoll)
		go save("1", "1", "1", "1")
		eq(t, "saved by a person", rest(), coalesce)
		go func() { errs <- fsnotify.ErrEventOverflow }()
		eq(t, "events lost", rest(), coalesce)

		r.looked = time.Now()
		if err := b.Resave(t.Context(), api.HostKey(1)); err != nil {
			t.Fatal(err)
		}
		go save("1", "1", "2", "1")
		eq(t, "another's save after our own", rest(), 20*time.Millisecond+coalesce)
		time.Sleep(settle)
		go save("1")
		eq(t, "a person's save later", rest(), coalesce)

		over := b.hush(api.HostKey(1))
		go func() {
			save("1", "1", "1")
			time.Sleep(time.Second)
			over()
			save("1")
		}()
		eq(t, "our own write", rest(), b.opt.Poll)
	})
}
