package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"regexp"
	"strings"
	"time"
)

// Addresses prints the addresses of the machine, one to a line, but for
// loopback, those local to a link, and Docker's. For a container in host mode.
func Addresses(_ context.Context, p *Process) error {
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, link := range links {
		addrs, err := link.Addrs()
		if err != nil || strings.HasPrefix(link.Name, "docker") || strings.HasPrefix(link.Name, "br-") {
			continue
		}
		for _, a := range addrs {
			if ip, _, err := net.ParseCIDR(a.String()); err == nil && ip.IsGlobalUnicast() {
				fmt.Fprintln(p.Stdout, ip)
			}
		}
	}
	return nil
}

// Guard is an allow-list in front of the Engine's socket, as careful people have it.
// It stands for wollomatic/socket-proxy, by whose arguments it is told what to let
// through on port 2375: -allowGET=REGEXP, and so on for the other methods. Its other
// arguments mean nothing here.
func Guard(ctx context.Context, p *Process) error {
	allowed := map[string]*regexp.Regexp{}
	for _, arg := range p.Args {
		name, value, _ := strings.Cut(arg, "=")
		method, ok := strings.CutPrefix(name, "-allow")
		if !ok || method != strings.ToUpper(method) {
			continue
		}
		var err error
		if allowed[method], err = regexp.Compile("^" + value + "$"); err != nil { // as that one does
			return err
		}
	}
	l, err := p.Network.Listen("tcp", ":2375")
	if err != nil {
		return err
	}
	engine := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "docker" },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", "/var/run/docker.sock")
		}},
		FlushInterval: -1, // events
	}
	server := http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch paths := allowed[r.Method]; {
		case paths == nil:
			http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		case !paths.MatchString(r.URL.Path):
			http.Error(w, "Forbidden", http.StatusForbidden)
		default:
			engine.ServeHTTP(w, r)
		}
	})}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
