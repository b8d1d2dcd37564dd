package npmtest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-cmp/cmp"
)

// between are the steps that were taken between two exchanges without being
// recorded as one: time that passed, containers that came and went.
var between = map[string]func(*replay){
	"auth/list with expired token":                  func(*replay) { time.Sleep(4 * time.Second) },
	"modified_on_and_cursor/put same value (no-op)": func(*replay) { time.Sleep(2 * time.Second) },
	"modified_on_and_cursor/disable":                func(*replay) { time.Sleep(4 * time.Second) },
	"modified_on_and_cursor/put on disabled":        func(*replay) { time.Sleep(2 * time.Second) },
	"modified_on_and_cursor/enable":                 func(*replay) { time.Sleep(3 * time.Second) },
	"modified_on_and_cursor/audit-log after 110 more puts": func(p *replay) {
		for range 110 {
			p.do("PUT", "/api/nginx/proxy-hosts/1", `{"forward_port":8080}`)
		}
	},
	"locations_resolution/create with location to a non-existing container": func(p *replay) {
		p.net.setName("lab-m", "172.31.77.11")
		p.net.serve("lab-m@11", "172.31.77.11:8080")
	},
	"locations_resolution/(a) after the container appeared: does it heal by itself? (after 12 s)": func(p *replay) {
		p.net.setName("lab-x", "172.31.77.10")
		p.net.serve("lab-x@10", "172.31.77.10:8080")
		time.Sleep(12 * time.Second)
	},
	"locations_resolution/(b) location container recreated with another IP, right after": func(p *replay) {
		p.net.setName("lab-x", "172.31.77.20")
		p.net.setDead("172.31.77.10", nil)
		p.net.serve("lab-x@20", "172.31.77.20:8080")
	},
	"locations_resolution/(b) 15 s later": func(p *replay) {
		time.Sleep(15 * time.Second)
		p.net.setDead("172.31.77.10", syscall.EHOSTUNREACH)
	},
	"locations_resolution/(b2) old IP reused by ANOTHER container: requests go to the wrong backend": func(p *replay) {
		p.net.moved("172.31.77.20:8080", "lab-thief@20")
		p.net.setName("lab-x", "172.31.77.21")
	},
	"broken_nginx_cascade/fine: put other host": func(p *replay) {
		p.net.setName("lab-x", "172.31.77.21")
		p.net.moved("172.31.77.11:8080", "lab-m@35")
	},
	"broken_nginx_cascade/data plane right after removal (workers keep running)": func(p *replay) {
		p.net.setName("lab-x")
	},
	"restart_with_unresolvable_location/A gets its location back": func(p *replay) {
		p.net.setName("lab-x", "172.31.77.21")
	},
	"restart_with_unresolvable_location/12 s after restart: port 81, port 80 (b.test), backend port 3000": func(p *replay) {
		p.net.setName("lab-x")
		p.s.Restart(0)
		time.Sleep(12 * time.Second)
	},
	"restart_with_unresolvable_location/enable A again": func(p *replay) { p.net.setName("lab-x", "172.31.77.21") },
	"restart_with_unresolvable_location/again broken": func(p *replay) {
		p.net.setName("lab-x")
		p.s.Restart(0)
	},
}

// do makes an API request as administrator.
func (p *replay) do(method, path, body string) *httptest.ResponseRecorder {
	p.Helper()
	return p.request(p.api, method, "http://172.25.0.2:81"+path, body)
}

func (p *replay) request(h http.Handler, method, url, body string) *httptest.ResponseRecorder {
	p.Helper()
	r := httptest.NewRequest(method, url, strings.NewReader(body))
	r.RemoteAddr = "172.25.0.1:50000"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if !strings.HasPrefix(r.URL.Host, "172.") {
		r.RequestURI = r.URL.RequestURI() // as a server sees it
	} else {
		r.Header.Set("Authorization", "Bearer "+p.token("admin"))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// get asks the data plane.
func (p *replay) get(url string) *httptest.ResponseRecorder { return p.request(p.web, "GET", url, "") }

// dropped reports whether a handler breaks the connection.
func (p *replay) dropped(h http.Handler, url string) (dropped bool) {
	p.Helper()
	defer func() { dropped = aborted(recover()) }()
	p.request(h, "GET", url, "")
	return false
}

// aborted tells whether a handler panicked to break the connection.
func aborted(recovered any) bool {
	err, _ := recovered.(error)
	return errors.Is(err, http.ErrAbortHandler)
}

func (p *replay) equal(e entry, got any) {
	p.Helper()
	text, _ := json.Marshal(got)
	if diff := cmp.Diff(normalise(e.Observation), normalise(decode(p.T, text))); diff != "" {
		p.Errorf("%s/%s (-recorded +got):\n%s", p.scenario, e.Name, diff)
	}
}

// answers compares data plane answers with recorded {"status", "body"}, where
// the body is cut.
func (p *replay) answers(observed any, got ...*httptest.ResponseRecorder) {
	p.Helper()
	list, several := observed.([]any)
	if !several {
		list = []any{observed}
	}
	for i, w := range got {
		o, _ := list[i].(map[string]any)
		if status, _ := o["status"].(float64); int(status) != w.Code {
			p.Errorf("%s: status %d, recorded %v: %s", p.scenario, w.Code, status, w.Body)
		}
		want, _ := o["body"].(string)
		if !strings.HasPrefix(w.Body.String(), want) {
			p.Errorf("%s: body %q, recorded %q", p.scenario, w.Body, want)
		}
		if l := w.Header().Get("Location"); o["location"] != nil && l != o["location"] {
			p.Errorf("%s: Location %q, recorded %q", p.scenario, l, o["location"])
		}
	}
}

// confs lists the conf files of proxy hosts, without folder.
func (p *replay) confs() []string {
	files := []string{}
	for _, f := range p.s.ConfFiles() {
		if name, found := strings.CutPrefix(f, "proxy_host/"); found {
			files = append(files, name)
		}
	}
	return files
}

// confLines are the lines of a conf file that match.
func (p *replay) confLines(path, pattern string) []string {
	text, _ := p.s.Conf(path)
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return !regexp.MustCompile(pattern).MatchString(l) })
	return append([]string{}, lines...)
}

func (p *replay) meta(id int) any {
	w := p.do("GET", fmt.Sprintf("/api/nginx/proxy-hosts/%d", id), "")
	return decode(p.T, w.Body.Bytes()).(map[string]any)["meta"]
}
