package npmtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DataPlane is what nginx serves on port 80. It drops connections while nginx
// is not running.
func (s *Server) DataPlane() http.Handler {
	proxy := s.newProxy()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		workers := s.nginx.serve()
		if workers == nil {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Server", "nginx")
		x := &exchange{Server: s, workers: workers, w: w, r: r, host: hostOf(r), proxy: proxy}
		x.serve() //nolint:contextcheck // the exchange carries its request
	})
}

// serve returns the workers, or nil while nginx is not running.
func (n *nginx) serve() *workers {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.running {
		return nil
	}
	return n.workers
}

// hostOf is nginx's $host: lower case, without port and trailing dot.
func hostOf(r *http.Request) string {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// exchange is one request on the data plane.
type exchange struct {
	*Server
	workers  *workers
	w        http.ResponseWriter
	r        *http.Request
	host     string
	proxy    *httputil.ReverseProxy
	server   *server
	location *location
	vars     map[string]string

	uri, args string // nginx's $uri and $args
	rewritten bool   // they are no longer what the client sent
	again     bool   // a rewrite asks for another location
}

func (x *exchange) serve() {
	x.server = x.workers.find(x.host, x.r.TLS != nil)
	if x.server == nil {
		x.defaultSite()
		return
	}
	var ok bool
	if x.uri, ok = normalised(x.r.URL.Path); !ok {
		x.page(400)
		return
	}
	x.args = x.r.URL.RawQuery
	if x.run(x.server.rules.script) || x.locate() {
		return
	}
	if x.location.rules.haveList && !x.allowed(&x.location.rules) {
		return
	}
	if x.location.pass == "" {
		x.page(404)
		return
	}
	x.pass()
}

// locate finds the location and runs its steps, which may lead to another one.
func (x *exchange) locate() (answered bool) {
	for range 11 {
		x.again = false
		if x.location = x.server.location(x.uri); x.location == nil {
			x.page(404)
			return true
		}
		if x.run(x.location.rules.script) {
			return true
		}
		if !x.again {
			return false
		}
	}
	x.errorLog("rewrite or internal redirection cycle while processing \""+x.uri+"\"", "")
	x.page(500)
	return true
}

// defaultSite answers for a Host that no server has (settings_misc.json). That of
// port 443 closes the connection.
func (x *exchange) defaultSite() {
	if x.r.TLS != nil {
		panic(http.ErrAbortHandler)
	}
	if site := x.workers.defaultSite(); site != nil {
		x.server, x.location = site, site.location("/")
		for _, st := range x.location.rules.script {
			if st.name == "return" && len(st.args) > 1 && st.args[0] == "200" {
				x.w.Header().Set("Content-Type", "text/html")
			}
		}
		x.run(x.location.rules.script)
		return
	}
	if x.r.URL.Path != "/" && x.r.URL.Path != "/index.html" {
		x.page(404)
		return
	}
	x.w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(x.w, congratulations) // the client may have gone
}

const congratulations = `<!DOCTYPE html>
<html lang="en">
    <head>
        <meta charset="utf-8">
        <title>Default Site</title>
    </head>
    <body>
        <h1>Congratulations!</h1>
        <p>You've successfully started the Nginx Proxy Manager.</p>
    </body>
</html>
`

// give carries out a return directive: a status, a text, or a redirect.
func (x *exchange) give(ret []string) {
	status, err := strconv.Atoi(ret[0])
	if err != nil { // "return URL"
		x.redirect(302, x.expand(ret[0]))
		return
	}
	switch {
	case status == 444:
		panic(http.ErrAbortHandler)
	case len(ret) > 1 && slices.Contains([]int{301, 302, 303, 307, 308}, status):
		x.redirect(status, x.expand(ret[1]))
	case len(ret) > 1:
		x.addHeaders(x.w.Header(), status)
		x.w.WriteHeader(status)
		_, _ = io.WriteString(x.w, x.expand(ret[1])) // the client may have gone
	default:
		x.page(status)
	}
}

func (x *exchange) redirect(status int, url string) {
	x.w.Header().Set("Location", url)
	x.page(status)
}

var reasons = map[int]string{302: "Found", 401: "Authorization Required", 503: "Service Temporarily Unavailable", 504: "Gateway Time-out"}

// errorPage is nginx's own HTML, as recorded ([Length 150] for a 502).
func errorPage(status int) string {
	reason := reasons[status]
	if reason == "" {
		reason = http.StatusText(status)
	}
	return fmt.Sprintf("<html>\r\n<head><title>%d %s</title></head>\r\n<body>\r\n<center><h1>%d %s</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
		status, reason, status, reason)
}

func (x *exchange) page(status int) {
	x.addHeaders(x.w.Header(), status)
	if status < 300 {
		x.w.WriteHeader(status)
		return
	}
	body := errorPage(status)
	x.w.Header().Set("Content-Type", "text/html")
	x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	_, _ = io.WriteString(x.w, body) // the client may have gone
}

func (x *exchange) client() string {
	host, _, err := net.SplitHostPort(x.r.RemoteAddr)
	if err != nil {
		return x.r.RemoteAddr
	}
	return host
}

func (x *exchange) set(name, value string) {
	if x.vars == nil {
		x.vars = map[string]string{}
	}
	x.vars[name] = value
}

// expand replaces $name and ${name}.
func (x *exchange) expand(text string) string {
	if !strings.Contains(text, "$") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '$' {
			b.WriteByte(text[i])
			continue
		}
		end := i + 1
		if end < len(text) && text[end] == '{' {
			if n := strings.IndexByte(text[end:], '}'); n > 0 {
				b.WriteString(x.variable(text[end+1 : end+n]))
				i = end + n
				continue
			}
		}
		if end < len(text) && text[end] >= '1' && text[end] <= '9' { // a capture of a rewrite
			b.WriteString(x.variable(text[end : end+1]))
			i = end
			continue
		}
		for end < len(text) && (text[end] == '_' || text[end]|0x20 >= 'a' && text[end]|0x20 <= 'z' || text[end] >= '0' && text[end] <= '9') {
			end++
		}
		b.WriteString(x.variable(text[i+1 : end]))
		i = end - 1
	}
	return b.String()
}

func (x *exchange) variable(name string) string {
	if v, set := x.vars[name]; set {
		return v
	}
	switch name {
	case "host":
		return x.host
	case "scheme":
		return x.scheme()
	case "request_uri":
		return x.r.URL.RequestURI()
	case "uri":
		return x.uri
	case "args", "query_string":
		return x.args
	case "is_args":
		if x.args != "" {
			return "?"
		}
	case "hsts_header":
		if x.r.TLS != nil {
			return x.workers.hstsHeader()
		}
	case "remote_addr":
		return x.client()
	case "request_method":
		return x.r.Method
	}
	if header, found := strings.CutPrefix(name, "http_"); found {
		return x.r.Header.Get(strings.ReplaceAll(header, "_", "-"))
	}
	return ""
}

func (x *exchange) scheme() string {
	if x.r.TLS != nil {
		return "https"
	}
	return "http"
}

// newProxy copies between client and backend; everything that decides is in the
// exchange.
func (s *Server) newProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport:     s.newTripper(),
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		Rewrite:       func(p *httputil.ProxyRequest) { exchangeOf(p.In.Context()).rewrite(p) },
		ModifyResponse: func(resp *http.Response) error {
			exchangeOf(resp.Request.Context()).answer(resp)
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			x := exchangeOf(r.Context())
			var u *upstreamError
			if !errors.As(err, &u) { // the client gave up: 499, nobody reads it
				panic(http.ErrAbortHandler)
			}
			x.page(u.status)
		},
	}
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// answer adds nginx's headers to a backend's response.
func (x *exchange) answer(resp *http.Response) {
	resp.Header.Del("Server") // nginx sends its own
	x.addHeaders(resp.Header, resp.StatusCode)
}

// addHeaders carries out add_header: those of the location replace those of the
// server. X-Served-By is one of a main location, and has no "always" (FACTS 13).
func (x *exchange) addHeaders(h http.Header, status int) {
	if x.server == nil {
		return
	}
	headers := x.server.rules.headers
	if x.location != nil && len(x.location.rules.headers) > 0 {
		headers = x.location.rules.headers
	}
	success := slices.Contains([]int{200, 201, 204, 206, 301, 302, 303, 304, 307, 308}, status)
	for _, a := range headers {
		if value := x.expand(a.value); value != "" && (success || a.always) {
			h.Add(a.name, value)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
