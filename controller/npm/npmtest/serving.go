package npmtest

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// serving are the listeners of a started server: the back end's own, and those
// of nginx, which come and go with it.
type serving struct {
	s       *Server
	backend *httpPort
	http    []*httpPort // 80, 81 and 443
	streams map[streamPort]closer
}

// Start listens: on :80 the data plane, on :443 the same with the
// hosts' certificates, on :81 the admin port (the API under /api), on :3000 the back end, and on the ports of the streams. While nginx
// cannot start only :3000 is there, as in FACTS 4. It returns when the
// listeners are bound.
func (s *Server) Start() error {
	v := &serving{s: s, streams: map[streamPort]closer{}}
	if err := v.listenBackend(); err != nil {
		return err
	}
	n := s.nginx
	n.mu.Lock()
	defer n.mu.Unlock()
	n.serving = v
	if !n.running {
		return nil // the supervisor listens when nginx starts
	}
	if err := v.listen(); err != nil {
		v.backend.close()
		n.serving = nil
		return err
	}
	v.listenStreams(n.workers.streamPorts())
	return nil
}

func (v *serving) listenBackend() error {
	p, err := v.serveHTTP(3000, v.s.Backend())
	if err != nil {
		return err
	}
	v.backend = p
	return nil
}

// Close ends the server, its listeners and connections. It can be called more
// than once.
func (s *Server) Close() {
	n := s.nginx
	n.mu.Lock()
	v := n.serving
	n.serving, n.closed, n.running = nil, true, false
	n.mu.Unlock()
	if v != nil {
		v.unlisten()
		v.backend.close()
	}
	s.save()
	s.saver.Lock()
	defer s.saver.Unlock()
	s.saved = true // a save that is on its way finds nothing to do any more
}

// Run starts the server and serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Start(); err != nil { //nolint:contextcheck // connections end with Close
		return err
	}
	defer s.Close() //nolint:contextcheck // see above
	<-ctx.Done()
	return nil
}

// Stop is "docker stop": connections break, and nothing answers until Restart.
func (s *Server) Stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.nginx.stop()
}

// Restart is "docker restart": the database and tokens survive, connections
// break, and nginx is loaded anew from the conf files as they are (those in
// DataDir, when set: one that was deleted by hand is not made again). While a
// literal name of a custom location or stream cannot be resolved nginx does not
// start; it tries again every second (FACTS 4).
//
// The back end needs boot to come up, 1.3 to 1.8 s in NPM; until then port 81
// answers 502 and port 3000 nothing. It panics when port 3000 cannot be bound
// again.
func (s *Server) Restart(boot time.Duration) {
	s.Stop()
	if s.opt.DataDir != "" {
		s.nginx.readTree()
	}
	s.mu.Lock()
	s.stopped, s.crashed = false, time.Now().Add(boot)
	s.mu.Unlock()
	s.nginx.mu.Lock()
	if v := s.nginx.serving; v != nil {
		if err := v.listenBackend(); err != nil {
			s.nginx.mu.Unlock()
			panic(err)
		}
	}
	s.nginx.mu.Unlock()
	s.nginx.start()
}

// readTree takes the conf files from the disk.
func (n *nginx) readTree() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for path := range n.tree {
		n.set(path, nil)
	}
	for _, dir := range confDirs {
		files, _ := filepath.Glob(filepath.Join(n.s.opt.DataDir, "nginx", dir, "*.conf"))
		for _, file := range files {
			if text, err := os.ReadFile(file); err == nil {
				path := dir + "/" + filepath.Base(file)
				n.set(path, parseConf(path, string(text)))
			}
		}
	}
}

// listen binds nginx's own ports. The caller holds nginx.mu, as for the others.
func (v *serving) listen() error {
	for number, h := range map[int]http.Handler{80: v.s.DataPlane(), 81: v.s.API()} {
		p, err := v.serveHTTP(number, h)
		if err != nil {
			v.unlisten()
			return err
		}
		v.http = append(v.http, p)
	}
	p, err := v.serveTLS(443, v.s.DataPlane())
	if err != nil {
		v.unlisten()
		return err
	}
	v.http = append(v.http, p)
	return nil
}

func (v *serving) unlisten() {
	for _, p := range v.http {
		p.close()
	}
	v.http = nil
	v.listenStreams(nil)
}

// API is what nginx serves on port 81: the back end under /api, and a page in
// place of NPM's user interface. It drops connections while nginx is not
// running, and answers 502 while the back end is away.
func (s *Server) API() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.nginx.serve() == nil {
			panic(http.ErrAbortHandler)
		}
		x := &exchange{Server: s, w: w, r: r, host: hostOf(r)}
		path, api := strings.CutPrefix(r.URL.Path, "/api")
		switch {
		case r.URL.Path == "/api":
			x.redirect(302, "http://"+x.host+":81/api/")
		case !api || !strings.HasPrefix(path, "/"):
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<!DOCTYPE html>\n<title>Nginx Proxy Manager</title>\n") // the client may have gone
		case s.backendDown():
			x.page(502)
		default:
			in := r.Clone(r.Context())
			in.URL.Path, in.URL.RawPath = path, strings.TrimPrefix(r.URL.RawPath, "/api")
			s.serveBackend(w, in)
		}
	})
}
