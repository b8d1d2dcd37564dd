package lab

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/no502/no502/api"
)

// Person makes proxy hosts in NPM, as somebody does in its pages: one for each
// argument DOMAIN=URL, in the NPM at NPM_URL. Those that exist stay as they are.
func Person(ctx context.Context, p *Process) error {
	l := Lab{visitor: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, strings.TrimPrefix(p.Getenv("NPM_URL"), "http://"))
		},
	}}}
	if err := l.Login(ctx); err != nil {
		return err
	}
	var have []ProxyHost
	if err := l.API(ctx, http.MethodGet, "/nginx/proxy-hosts", nil, &have); err != nil {
		return err
	}
next:
	for _, arg := range p.Args {
		domain, url, _ := strings.Cut(arg, "=")
		for _, h := range have {
			if h.DomainNames[0] == domain {
				continue next
			}
		}
		e, err := parseEndpoint(url)
		if err != nil {
			return fmt.Errorf("%q is not DOMAIN=URL: %w", arg, err)
		}
		if _, err := l.AddHost(ctx, ProxyHost{
			DomainNames: []string{domain}, ForwardScheme: e.Scheme, ForwardHost: e.Host, ForwardPort: int(e.Port),
		}); err != nil {
			return err
		}
		fmt.Fprintf(p.Stdout, "made %s forward to %s\n", domain, e)
	}
	return nil
}

func parseEndpoint(url string) (api.Endpoint, error) {
	scheme, rest, _ := strings.Cut(url, "://")
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return api.Endpoint{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return api.Endpoint{Scheme: scheme, Host: host, Port: uint16(n)}, err
}
