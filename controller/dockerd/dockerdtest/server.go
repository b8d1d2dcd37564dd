package dockerdtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/system"
)

// apiError is an answer of the Engine that is no success.
type apiError struct {
	status int
	msg    string
}

func (e *apiError) Error() string { return e.msg }

func errf(status int, format string, args ...any) *apiError {
	return &apiError{status: status, msg: fmt.Sprintf(format, args...)}
}

// writeError answers with an error; one without a status is a 500, as in the Engine.
func writeError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if ae := (*apiError)(nil); errors.As(err, &ae) {
		status = ae.status
	}
	if status == http.StatusNotModified {
		w.WriteHeader(status)
		return
	}
	writeJSON(w, status, types.ErrorResponse{Message: err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone needs no answer
}

func flush(w http.ResponseWriter) {
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}

// readJSON reads a request's body.
func readJSON(r *http.Request, v any) error {
	err := json.NewDecoder(r.Body).Decode(v)
	if err != nil && !errors.Is(err, io.EOF) {
		return errf(http.StatusBadRequest, "%v", err)
	}
	return nil
}

var versionPrefix = regexp.MustCompile(`^/v([0-9]+\.[0-9]+)(/.*)$`)

// ServeHTTP answers the Engine API, with or without a version prefix.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := Call{Method: r.Method, Path: r.URL.Path, Query: r.URL.Query()}
	if m := versionPrefix.FindStringSubmatch(r.URL.Path); m != nil {
		call.Version, call.Path = m[1], m[2]
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawPath = m[2], ""
	}
	e.record(call)
	h := w.Header()
	h.Set("Api-Version", e.opts.APIVersion)
	h.Set("Docker-Experimental", "false")
	h.Set("Ostype", "linux")
	h.Set("Date", e.now().Format(http.TimeFormat))
	h.Set("Server", "Docker/"+e.opts.Version+" (linux)")
	e.mu.Lock()
	hook := e.fault
	e.mu.Unlock()
	if hook != nil {
		if f := hook(r); f != nil && e.strike(f, w, r) {
			return
		}
	}
	if err := e.checkVersion(call.Version); err != nil {
		writeError(w, err)
		return
	}
	e.mux.ServeHTTP(w, r)
}

func (e *Engine) checkVersion(v string) error {
	switch {
	case v == "":
		return nil
	case compareVersions(v, e.opts.APIVersion) > 0:
		return errf(http.StatusBadRequest, "client version %s is too new. Maximum supported API version is %s", v, e.opts.APIVersion)
	case compareVersions(v, e.opts.MinAPIVersion) < 0:
		return errf(http.StatusBadRequest, "client version %s is too old. Minimum supported API version is %s, "+
			"please upgrade your client to a newer version", v, e.opts.MinAPIVersion)
	}
	return nil
}

// atLeast says whether the Engine speaks a version.
func (e *Engine) atLeast(v string) bool { return compareVersions(e.opts.APIVersion, v) >= 0 }

func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		var x, y int
		if i < len(as) {
			x, _ = strconv.Atoi(as[i])
		}
		if i < len(bs) {
			y, _ = strconv.Atoi(bs[i])
		}
		if x != y {
			return x - y
		}
	}
	return 0
}

// handler is an endpoint of the API; its error becomes the answer.
type handler func(w http.ResponseWriter, r *http.Request) error

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h(w, r); err != nil {
		writeError(w, err)
	}
}

func (e *Engine) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /_ping":                      e.getPing, // and HEAD
		"GET /version":                    e.getVersion,
		"GET /info":                       e.getInfo,
		"GET /events":                     e.getEvents,
		"GET /containers/json":            e.getContainers,
		"POST /containers/create":         e.postContainerCreate,
		"GET /containers/{name}/json":     e.getContainer,
		"GET /containers/{name}/logs":     e.getLogs,
		"POST /containers/{name}/start":   e.postStart,
		"POST /containers/{name}/stop":    e.postStop,
		"POST /containers/{name}/restart": e.postRestart,
		"POST /containers/{name}/kill":    e.postKill,
		"POST /containers/{name}/pause":   e.postPause,
		"POST /containers/{name}/unpause": e.postUnpause,
		"POST /containers/{name}/rename":  e.postRename,
		"POST /containers/{name}/wait":    e.postWait,
		"POST /containers/{name}/exec":    e.postExecCreate,
		"DELETE /containers/{name}":       e.deleteContainer,
		"POST /exec/{id}/start":           e.postExecStart,
		"POST /exec/{id}/resize":          e.postExecResize,
		"GET /exec/{id}/json":             e.getExec,
		"GET /networks":                   e.getNetworks,
		"GET /networks/{$}":               e.getNetworks,
		"GET /networks/{id}":              e.getNetwork,
		"POST /networks/create":           e.postNetworkCreate,
		"POST /networks/{id}/connect":     e.postConnect,
		"POST /networks/{id}/disconnect":  e.postDisconnect,
		"DELETE /networks/{id}":           e.deleteNetwork,
		"GET /images/json":                e.getImages,
		"GET /images/{name...}":           e.getImage,
		"POST /images/create":             e.postImageCreate,
		"DELETE /images/{name...}":        e.deleteImage,
		"/":                               func(http.ResponseWriter, *http.Request) error { return errf(http.StatusNotFound, "page not found") },
	} {
		mux.Handle(pattern, h)
	}
	return mux
}

func (e *Engine) getPing(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Cache-Control", "no-cache, no-store, must-revalidate")
	w.Header().Set("Pragma", "no-cache")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "OK")
	return nil
}

func (e *Engine) getVersion(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, types.Version{
		Version: e.opts.Version, APIVersion: e.opts.APIVersion, MinAPIVersion: e.opts.MinAPIVersion,
		Os: "linux", Arch: "amd64",
		Components: []types.ComponentVersion{{Name: "Engine", Version: e.opts.Version, Details: map[string]string{
			"ApiVersion": e.opts.APIVersion, "MinAPIVersion": e.opts.MinAPIVersion, "Os": "linux", "Arch": "amd64",
		}}},
	})
	return nil
}

func (e *Engine) getInfo(w http.ResponseWriter, _ *http.Request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	info := system.Info{
		ID: "dockerdtest", Name: e.opts.Hostname, ServerVersion: e.opts.Version, OSType: "linux",
		OperatingSystem: "dockerdtest", Architecture: "x86_64", Driver: "overlay2", NCPU: 1,
		Containers: len(e.order), Images: len(e.images), LoggingDriver: "json-file",
	}
	for _, c := range e.order {
		switch {
		case c.paused:
			info.ContainersPaused++
		case c.run != nil:
			info.ContainersRunning++
		default:
			info.ContainersStopped++
		}
	}
	writeJSON(w, http.StatusOK, info)
	return nil
}
