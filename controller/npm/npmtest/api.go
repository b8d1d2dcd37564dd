package npmtest

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Call is one API request that the server saw.
type Call struct {
	Method string
	Path   string // without /api, with the query: "/nginx/proxy-hosts?query=x"
	Body   string // of the request
	Status int    // of the answer; 0 when the connection was dropped
}

// maxBody is the limit of the back end's body parser (proxy_hosts_validation:
// 110 kB gives 413, 90 kB is fine).
const maxBody = 100 << 10

// apiError is an answer other than success.
type apiError struct {
	status int
	msg    string
	i18n   any
	stack  []string // shown under /nginx/certificates
	cause  any
}

func (e *apiError) Error() string { return e.msg }

func badRequest(format string, args ...any) error {
	return &apiError{status: 400, msg: fmt.Sprintf(format, args...)}
}

var errInternal = &apiError{status: 500, msg: "Internal Error"}

func notFound(what any) error {
	return &apiError{status: 404, msg: fmt.Sprintf("Not Found - %v", what)}
}

// call is one request on its way through the API.
type call struct {
	*http.Request
	path   string // without /api and query
	params []string
	raw    []byte
	access access
	cut    bool // see Fault
}

func (c *call) id() int { n, _ := strconv.Atoi(c.params[0]); return n }

// answer is a success; body is JSON text unless kind says otherwise.
type answer struct {
	status int
	body   []byte
	etag   string
	kind   string
}

func ok(v any) (answer, error) { return answer{status: 200, body: encode(v)}, nil }

type handler func(*call) (answer, error)

type route struct {
	method string
	path   []string // a segment ":" matches anything
	open   bool     // does not look at the token
	write  bool
	handle handler
}

func (s *Server) apiRoutes() []route {
	var routes []route
	add := func(method, path string, h handler) *route {
		routes = append(routes, route{method: method, path: segments(path), write: method != "GET", handle: h})
		return &routes[len(routes)-1]
	}
	add("GET", "/", s.health).open = true
	add("GET", "/schema", s.apiSchema).open = true
	s.tokenRoutes(add)
	s.userRoutes(add)
	for _, k := range s.hostKinds() {
		s.hostRoutes(add, k)
	}
	s.accessListRoutes(add)
	s.certificateRoutes(add)
	add("GET", "/audit-log", s.listAudit)
	add("GET", "/audit-log/:", s.getAudit)
	add("GET", "/reports/hosts", s.report)
	add("GET", "/settings", s.listSettings)
	add("GET", "/settings/:", s.getSetting)
	add("PUT", "/settings/:", s.putSetting)
	add("GET", "/version/check", s.versionCheck)
	return routes
}

type addRoute func(method, path string, h handler) *route

func segments(path string) []string {
	return strings.Split(strings.Trim(path, "/"), "/")
}

func (r route) match(method string, path []string) ([]string, bool) {
	if r.method != method || len(r.path) != len(path) {
		return nil, false
	}
	var params []string
	for i, seg := range r.path {
		if seg == ":" {
			params = append(params, path[i])
		} else if seg != path[i] {
			return nil, false
		}
	}
	return params, true
}

// Backend is the API as the back end serves it on port 3000, without the /api
// prefix. It answers even while nginx cannot start (FACTS 4).
func (s *Server) Backend() http.Handler { return http.HandlerFunc(s.serveBackend) }

func (s *Server) serveBackend(w http.ResponseWriter, r *http.Request) {
	if s.backendDown() {
		panic(http.ErrAbortHandler)
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	seen := Call{Method: r.Method, Path: r.URL.RequestURI(), Body: string(raw)}
	record := func(status int) {
		seen.Status = status
		s.mu.Lock()
		s.calls = append(s.calls, seen)
		s.mu.Unlock()
	}
	var f Fault
	if s.opt.Fault != nil {
		if p := s.opt.Fault(r); p != nil {
			f = *p
		}
	}
	if f.Delay > 0 {
		sleep(r.Context(), f.Delay)
	}
	lost := f.Drop || f.Status != 0
	var a answer
	if !lost || f.After {
		a = s.do(&call{Request: r, path: r.URL.Path, raw: raw, cut: f.Cut})
	}
	switch {
	case f.Drop:
		record(0)
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		a = answer{status: f.Status, body: []byte(f.Body)}
	}
	record(a.status)
	s.send(w, r, a)
}

// do runs one request and never fails: an error is an answer too.
func (s *Server) do(c *call) answer {
	a, err := s.dispatch(c)
	if err == nil {
		return a
	}
	var e *apiError
	if !errors.As(err, &e) {
		panic(err)
	}
	body := map[string]any{"message": e.msg}
	if e.status != 500 || !s.old { // 2.13.7 has no code there
		body["code"] = e.status
	}
	if e.i18n != nil {
		body["message_i18n"] = e.i18n
	}
	out := map[string]any{"error": body}
	if strings.HasPrefix(c.path, "/nginx/certificates") { // NPM debugs these routes
		debug := map[string]any{"stack": e.stack}
		if e.stack == nil {
			debug["stack"] = []string{"Error: " + e.msg}
		}
		if e.cause != nil {
			debug["previous"] = e.cause
		}
		out["debug"] = debug
	}
	a = answer{status: e.status, body: encode(out)}
	if e == errBody || e == errTooLarge {
		a.kind = "parser"
	}
	return a
}

var (
	errBody     = &apiError{status: 400, msg: "Internal Error"}
	errTooLarge = &apiError{status: 413, msg: "Internal Error"}
)

func (s *Server) dispatch(c *call) (answer, error) {
	method := c.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if method == http.MethodOptions {
		return answer{status: 204, body: []byte("No Content")}, nil // the body shows in the ETag only
	}
	if len(c.raw) > maxBody && !isMultipart(c.Request) {
		return answer{}, errTooLarge
	}
	if isJSON(c.Request) && len(c.raw) > 0 && (!json.Valid(c.raw) || !strings.ContainsAny(string(bytes.TrimSpace(c.raw)[:1]), "{[")) {
		return answer{}, errBody
	}
	path := segments(c.path)
	for _, r := range s.routes {
		params, found := r.match(method, path)
		if !found {
			continue
		}
		c.params = params
		if !r.open {
			var err error
			if c.access, err = s.authenticate(c.Request); err != nil {
				return answer{}, err
			}
		}
		if r.write {
			defer s.changed()
		}
		if r.write && s.opt.WriteWindow == 0 {
			s.writing.Lock()
			defer s.writing.Unlock()
		}
		return r.handle(c)
	}
	return answer{}, notFound(c.path)
}

func isJSON(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/json")
}

func isMultipart(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/")
}

// body decodes and validates the request body.
func (c *call) body(s *schema) (row, error) {
	var v any
	switch {
	case len(c.raw) == 0:
		return nil, badRequest("Payload is undefined")
	case strings.HasPrefix(c.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		form, _ := url.ParseQuery(string(c.raw))
		m := map[string]any{}
		for k := range form {
			m[k] = form.Get(k)
		}
		v = m
	case isJSON(c.Request):
		d := json.NewDecoder(bytes.NewReader(c.raw))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			return nil, errBody
		}
	default:
		return nil, badRequest("Payload is undefined")
	}
	v, errs := s.validate("data", v)
	if errs != nil {
		return nil, badRequest("%s", strings.Join(errs, ", "))
	}
	return row(v.(map[string]any)), nil
}

// send writes an answer as Express does: weak ETag, 304 on If-None-Match.
func (s *Server) send(w http.ResponseWriter, r *http.Request, a answer) {
	h := w.Header()
	if a.kind != "parser" { // the body parser answers before that header is set
		h.Set("Cache-Control", "no-cache, no-store, max-age=0, must-revalidate")
	}
	if a.etag == "" {
		a.etag = etag(a.body)
	}
	h.Set("ETag", a.etag)
	fresh := slices.Contains(strings.Split(strings.ReplaceAll(r.Header.Get("If-None-Match"), " ", ""), ","), a.etag) &&
		!strings.Contains(r.Header.Get("Cache-Control"), "no-cache")
	if fresh && a.status == 200 && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if a.status == 204 {
		w.WriteHeader(204)
		return
	}
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body) // the client may have gone
	}
}

func etag(body []byte) string {
	return weak(len(body), sha1.Sum(body))
}

// weak is an ETag as Express makes it.
func weak(size int, sum [sha1.Size]byte) string {
	return fmt.Sprintf("W/\"%x-%s\"", size, base64.StdEncoding.EncodeToString(sum[:])[:27])
}

// Calls returns every API request since New or ResetCalls, in the order of
// their answers.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// ResetCalls forgets the requests seen so far.
func (s *Server) ResetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
}

func (s *Server) backendDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped || time.Now().Before(s.crashed)
}
