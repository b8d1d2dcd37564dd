package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing/synctest"
	"time"
)

// serveEngine puts a handler where no502 finds the Engine, until its server is
// closed. People reach the Engine itself.
func (w *world) serveEngine(h http.Handler) *http.Server {
	w.t.Helper()
	const socket = "127.0.0.1:2375"
	l, err := w.docker.Host().Listen("tcp", socket)
	w.must(err)
	server := &http.Server{ErrorLog: quiet, Handler: h}
	go server.Serve(l) //nolint:errcheck // ends when it is closed
	w.place.engine = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return w.docker.Host().DialContext(ctx, network, socket)
	}
	return server
}

// front puts a handler before the Engine's API, as a socket proxy is.
func (w *world) front(handle func(rw http.ResponseWriter, r *http.Request, engine http.Handler)) {
	w.t.Helper()
	server := w.serveEngine(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		handle(rw, r, w.docker)
	}))
	w.closers = append(w.closers, func() { server.Close() })
}

// half writes the first half of an answer, and then breaks the connection.
func half(rw http.ResponseWriter, r *http.Request, engine http.Handler) {
	whole := httptest.NewRecorder()
	engine.ServeHTTP(whole, r)
	rw.WriteHeader(whole.Code)
	_, _ = rw.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
	rw.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// daemon is the Engine's process behind no502's socket: it can be stopped, killed
// and started again, and be slow, while its containers live on in the double.
// People reach it at once and always.
type daemon struct {
	w      *world
	server *http.Server
	delay  atomic.Int64 // of every answer
}

func (w *world) daemon() *daemon {
	w.t.Helper()
	d := &daemon{w: w}
	w.closers = append(w.closers, func() { d.kill() })
	d.start()
	return d
}

func (d *daemon) start() {
	d.w.t.Helper()
	d.server = d.w.serveEngine(d)
}

func (d *daemon) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	select {
	case <-time.After(time.Duration(d.delay.Load())):
		d.w.docker.ServeHTTP(rw, r)
	case <-r.Context().Done():
	}
}

// kill ends it at once: who waits for an answer gets none.
func (d *daemon) kill() { d.server.Close() }

// stop lets it answer first, and end the streams of events.
func (d *daemon) stop() {
	d.w.t.Helper()
	done := make(chan error, 1)
	go func() { done <- d.server.Shutdown(context.Background()) }()
	synctest.Wait()
	d.w.docker.CutEvents()
	d.w.must(<-done)
}
