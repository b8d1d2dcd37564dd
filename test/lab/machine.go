package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
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

// Guard is an allow-list in front of the Engine's socket, as careful people
// have it: on port 2375 it lets through what reads, and answers 403 to the rest.
func Guard(ctx context.Context, p *Process) error {
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
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "Forbidden", http.StatusForbidden)
			return
		}
		engine.ServeHTTP(w, r)
	})}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
