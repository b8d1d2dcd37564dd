package npmtest_test

import (
	"fmt"
	"net/http/httptest"
	"regexp"
	"strings"
	"time"
)

// resolutionObservations are about names that nginx resolves while it loads.
var resolutionObservations = map[string]check{
	"locations_resolution/(a) meta": func(p *replay, e entry) { p.equal(e, p.meta(1)) },
	"locations_resolution/(a) data plane: whole host is gone (default site answers)": sameAnswer("http://a.test/", "http://a.test/loc"),
	"locations_resolution/(a) after the container appeared: does it heal by itself? (after 12 s)": func(p *replay, e entry) {
		o := e.Observation.([]any)
		p.answers(o[0], p.get("http://a.test/"))
		p.equal(entry{Name: e.Name, Observation: o[1]}, p.meta(1))
	},
	"locations_resolution/(a) after PUT": func(p *replay, e entry) {
		p.answers(e.Observation, p.get("http://a.test/"), p.get("http://a.test/loc"))
	},
	"locations_resolution/(b) before": sameAnswer("http://a.test/loc", "http://a.test/"),
	"locations_resolution/(b) location container recreated with another IP, right after": func(p *replay, e entry) {
		if w, took := p.timed("http://a.test/loc"); w.Code != 504 || took != 90*time.Second {
			p.Errorf("%s: %d after %v", e.Name, w.Code, took)
		}
	},
	"locations_resolution/(b) 15 s later":                                                            sameAnswer("http://a.test/loc"),
	"locations_resolution/(b) error log":                                                             sameLog("proxy-host-1_error.log"),
	"locations_resolution/(b) location after any reload":                                             sameAnswer("http://a.test/loc"),
	"locations_resolution/(b2) old IP reused by ANOTHER container: requests go to the wrong backend": sameAnswer("http://a.test/loc"),

	"broken_nginx_cascade/data plane right after removal (workers keep running)": sameAnswer("http://a.test/", "http://b.test/"),
	"broken_nginx_cascade/conf on disk still old":                                sameLines("proxy_host/2.conf", `set \$port`),
	"broken_nginx_cascade/conf of c.test": func(p *replay, e entry) {
		if _, there := p.s.Conf("proxy_host/3.conf"); there {
			p.Error("c.test has a conf file")
		}
	},
	"broken_nginx_cascade/files": sameFiles,
	"broken_nginx_cascade/data plane of disabled b.test (reload never happened)": sameAnswer("http://b.test/"),
	"broken_nginx_cascade/conf A still has the location":                         sameLines("proxy_host/1.conf", `proxy_pass`),
	"broken_nginx_cascade/b data plane":                                          sameAnswer("http://b.test/"),
	"broken_nginx_cascade/b data plane after PUT":                                sameAnswer("http://b.test/"),

	"restart_with_unresolvable_location/12 s after restart: port 81, port 80 (b.test), backend port 3000": func(p *replay, _ entry) {
		if !p.dropped(p.api, "http://172.25.0.2:81/api/") || !p.dropped(p.web, "http://b.test/") {
			p.Error("nginx runs")
		}
		if w := p.request(p.s.Backend(), "GET", "http://172.25.0.2:3000/", ""); w.Code != 200 {
			p.Errorf("back end: %d", w.Code)
		}
	},
	"restart_with_unresolvable_location/log": func(p *replay, e entry) {
		want := `host not found in upstream "lab-x" in /data/nginx/proxy_host/1.conf:48`
		if log := p.s.Log("fallback_error.log"); !strings.Contains(log[len(log)-1], want) {
			p.Errorf("%q", log)
		}
	},
	"restart_with_unresolvable_location/disable A through port 3000": func(p *replay, e entry) {
		w := p.request(p.s.Backend(), "POST", "http://172.25.0.2:3000/nginx/proxy-hosts/1/disable", "")
		p.equal(e, map[string]any{"status": w.Code, "body": decode(p.T, w.Body.Bytes())})
	},
	"restart_with_unresolvable_location/files": sameFiles,
	"restart_with_unresolvable_location/seconds until port 81 is back": func(p *replay, _ entry) {
		time.Sleep(1100 * time.Millisecond) // the supervisor tries every second
		if !p.s.Running() {
			p.Error("nginx is not back after a second")
		}
	},
	"restart_with_unresolvable_location/b.test": sameAnswer("http://b.test/"),
	"restart_with_unresolvable_location/again broken": func(p *replay, _ entry) {
		if !p.dropped(p.api, "http://172.25.0.2:81/api/") {
			p.Error("nginx runs")
		}
	},
	"restart_with_unresolvable_location/self heals once the name resolves: seconds to port 81": func(p *replay, _ entry) {
		p.net.setName("lab-x", "172.31.77.21")
		time.Sleep(1100 * time.Millisecond) // the supervisor tries every second
		if p.dropped(p.api, "http://172.25.0.2:81/api/") {
			p.Error("nginx does not run")
		}
	},
}

// timed asks the data plane and says how long the answer took.
func (p *replay) timed(url string) (*httptest.ResponseRecorder, time.Duration) {
	start := time.Now()
	w := p.get(url)
	return w, time.Since(start)
}

// logNoise is what differs between two runs in a line of an error log.
var logNoise = regexp.MustCompile(`^\S+ \S+ \[error\] \d+#\d+: \*\d+|client: [\d.]+|172\.31\.7[78]`)

func sameLog(name string) check {
	return func(p *replay, e entry) {
		want, _ := e.Observation.(string)
		p.sameLogLine(name, want)
	}
}

func (p *replay) sameLogLine(name, want string) {
	p.Helper()
	log := p.s.Log(name)
	if len(log) == 0 {
		p.Errorf("%s is empty, recorded %q", name, want)
		return
	}
	want = want[strings.LastIndex(want, "\n")+1:]
	if got := log[len(log)-1]; logNoise.ReplaceAllString(got, "") != logNoise.ReplaceAllString(want, "") {
		p.Errorf("%s: %q, recorded %q", name, got, want)
	}
}

// injectionResult checks what became of the host that was created last.
func injectionResult(p *replay, e entry) {
	o := e.Observation.(map[string]any)
	path := fmt.Sprintf("proxy_host/%d.conf", p.lastID)
	p.equal(entry{Name: e.Name, Observation: o["meta"]}, p.meta(p.lastID))
	rest, there := p.s.Conf(path)
	lines, _ := o["conf"].([]any)
	if o["conf"] != nil && there != (len(lines) > 0) {
		p.Errorf("%s: conf file: %t", e.Name, there)
	}
	for _, line := range lines {
		_, after, found := strings.Cut(rest, line.(string)+"\n")
		if !found {
			p.Errorf("%s: no line %q in what is left of %s:\n%s", e.Name, line, path, rest)
		}
		rest = after
	}
}
