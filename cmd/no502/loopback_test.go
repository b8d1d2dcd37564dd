package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/controller/npm/npmtest"
)

// loopback is an Engine on a unix socket and an NPM on a loopback port, for a
// no502 in another process. The proxy network's addresses are of 127.0.0.0/8,
// where the containers' ports really are.
type loopback struct {
	docker *dockerdtest.Engine
	npm    *npmtest.Server

	socket, url string
	people      *stage.Stage
	backends    http.Server
	closers     []func()
}

// newLoopback serves the doubles, with n containers and a proxy host for each.
// Another test on this machine may have the same addresses: then with others.
func newLoopback(ctx context.Context, dir string, n int) (w *loopback, err error) {
	for range 5 {
		subnet := fmt.Sprintf("127.%d.%d.0/18", 64+rand.IntN(190), 64*rand.IntN(4))
		if w, err = newLoopbackAt(ctx, dir, n, subnet); !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return w, err
}

func newLoopbackAt(ctx context.Context, dir string, n int, subnet string) (w *loopback, err error) {
	w = &loopback{docker: dockerdtest.New(dockerdtest.Options{}), socket: filepath.Join(dir, "docker.sock")}
	w.closers = append(w.closers, w.docker.Close)
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.people, err = stage.Open(ctx, "test", "", w.docker.DialContext); err != nil {
		return w, err
	}
	w.closers = append(w.closers, func() { w.people.Close() })
	if err := w.people.Network(ctx, "proxy", subnet, nil); err != nil {
		return w, err
	}
	if _, err := w.docker.AddApp("npm", dockerdtest.App{Image: "jc21/nginx-proxy-manager:2", Networks: []string{"proxy"}}); err != nil {
		return w, err
	}
	w.npm = npmtest.New(npmtest.Options{AdminEmail: testEmail, AdminPassword: testPassword})
	w.closers = append(w.closers, w.npm.Close)
	w.backends = http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(rw, "hello,", r.Host)
	})}
	w.closers = append(w.closers, func() { w.backends.Close() })
	for i := 1; i <= n; i++ {
		if err := w.add(ctx, i); err != nil {
			return w, err
		}
	}
	engine, err := net.Listen("unix", w.socket)
	if err != nil {
		return w, err
	}
	w.serve(engine, w.docker)
	npm, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return w, err
	}
	w.url = "http://" + npm.Addr().String()
	w.serve(npm, w.npm.API())
	return w, nil
}

func (w *loopback) serve(l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h, ErrorLog: quiet}
	go server.Serve(l) //nolint:errcheck // ends with Close
	w.closers = append(w.closers, func() { server.Close() })
}

// add makes container appI and its proxy host, as they should be.
func (w *loopback) add(ctx context.Context, i int) error {
	name := fmt.Sprintf("app%d", i)
	_, err := w.docker.AddApp(name, dockerdtest.App{Labels: enabled, Networks: []string{"proxy"}, Expose: []string{"8080"}})
	if err != nil {
		return err
	}
	addr, err := w.people.Address(ctx, name, "proxy")
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(addr, "8080"))
	if err != nil {
		return err
	}
	go w.backends.Serve(l) //nolint:errcheck // ends with Close
	w.npm.AddHost(npmtest.ProxyHost{
		ID: i, DomainNames: []string{name + ".example.com"}, ForwardHost: name, ForwardPort: 8080,
	})
	return nil
}

func (w *loopback) close() {
	for i := len(w.closers) - 1; i >= 0; i-- {
		w.closers[i]()
	}
}

// serveDoubles serves the doubles with so many hosts until its input ends. It
// prints the socket and the URL, and after each line of input the number of
// requests to NPM.
func serveDoubles(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("how many hosts?")
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "doubles-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	w, err := newLoopback(ctx, dir, n)
	if err != nil {
		return err
	}
	defer w.close()
	fmt.Fprintln(out, "unix://"+w.socket, w.url)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		fmt.Fprintln(out, len(w.npm.Calls()))
	}
	return nil
}
