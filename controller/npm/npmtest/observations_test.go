package npmtest_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"time"
)

type check = func(*replay, entry)

func sameFiles(p *replay, e entry) { p.equal(e, p.confs()) }

func sameFilesObject(p *replay, e entry) {
	o := e.Observation.(map[string]any)
	delete(o, "err_file_present") // there is no folder for one
	p.equal(e, map[string]any{"files": p.confs()})
}

func sameConf(path string) check {
	return func(p *replay, e entry) {
		text, _ := p.s.Conf(path)
		p.equal(e, text)
	}
}

func sameLines(path, pattern string) check {
	return func(p *replay, e entry) { p.equal(e, p.confLines(path, pattern)) }
}

// accessLines were recorded trimmed and sorted.
func accessLines(p *replay, e entry) {
	lines := p.confLines("proxy_host/2.conf", `^ *(auth_basic|auth_basic_user_file|allow|deny|satisfy) `)
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	p.equal(e, lines)
}

func sameAnswer(urls ...string) check {
	return func(p *replay, e entry) {
		var got []*httptest.ResponseRecorder
		for _, url := range urls {
			got = append(got, p.get(url))
		}
		p.answers(e.Observation, got...)
	}
}

// sameTuple compares [status, body…] pairs.
func sameTuple(urls ...string) check {
	return func(p *replay, e entry) {
		list := e.Observation.([]any)
		if _, nested := list[0].([]any); !nested {
			list = []any{list}
		}
		for i, url := range urls {
			want := list[i].([]any)
			got := p.get(url)
			// Recorded as Python prints a decoded answer.
			body := strings.NewReplacer(`"`, `'`, `:`, `: `, `,`, `, `, `true`, `True`).Replace(got.Body.String())
			if int(want[0].(float64)) != got.Code || want[0] == 200.0 && !strings.HasPrefix(body, want[1].(string)) {
				p.Errorf("%s: %d %s, recorded %v", e.Name, got.Code, body, want)
			}
		}
	}
}

// observations are checks of what was measured beside the exchanges.
var observations = map[string]check{
	"auth/rate limiting: 60 wrong passwords in a row": func(p *replay, _ entry) {
		for range 60 {
			if w := p.do("POST", "/api/tokens", `{"identity":"admin@example.com","secret":"no"}`); w.Code != 400 {
				p.Errorf("wrong password: %d", w.Code)
			}
		}
	},
	"auth/10y token exp claim":   claimsOf("?expiry=10y"),
	"auth/default token payload": claimsOf(""),

	"proxy_hosts_crud/conf with unknown certificate":   sameConf("proxy_host/1.conf"),
	"proxy_hosts_crud/files in /data/nginx/proxy_host": sameFiles,

	"enable_disable/config file after PUT enabled:false (still there = nginx keeps serving)": func(p *replay, e entry) {
		if !slices.Contains(p.confs(), "5.conf") {
			p.Error("no 5.conf")
		}
	},
	"enable_disable/conf file of a host created with enabled:false": sameConf("proxy_host/6.conf"),

	"locations/conf lines": sameLines("proxy_host/7.conf", `location|proxy_pass`),
	"locations/files after rejected config": func(p *replay, e entry) {
		if slices.Contains(p.confs(), "7.conf") {
			p.Error("7.conf was not deleted")
		}
	},
	"advanced_config/files": sameFilesObject,

	"access_lists/conf access lines after create":         accessLines,
	"access_lists/conf access lines after disable+enable": accessLines,
	"access_lists/conf after a PUT":                       accessLines,
	"access_lists/host conf after list update":            accessLines,
	"access_lists/conf after list deletion":               accessLines,

	"certificates/meta": func(p *replay, e entry) { p.equal(e, p.meta(3)) },
	"certificates/http request to ssl_forced host": func(p *replay, e entry) {
		p.answers(e.Observation, p.get("http://cert.test/"))
	},
	"streams/conf": sameConf("stream/1.conf"),

	"settings_misc/unknown host with default-site 404": sameAnswer("http://unknown.test/"),
	"settings_misc/unknown host with default-site 444": func(p *replay, _ entry) {
		if !p.dropped(p.web, "http://unknown.test/") {
			p.Error("answered")
		}
	},
	"settings_misc/unknown host with default-site redirect":        sameAnswer("http://unknown.test/"),
	"settings_misc/unknown host with default-site html":            sameAnswer("http://unknown.test/"),
	"settings_misc/unknown host with default-site congratulations": sameAnswer("http://unknown.test/"),
	"settings_misc/GET /api/schema (no auth)":                      schemaStub,
	"settings_misc/backend port 3000 reached directly on the container IP, without /api prefix": func(p *replay, _ entry) {
		if w := p.request(p.s.Backend(), "GET", "http://x.test:3000/", ""); w.Code != 200 {
			p.Errorf("status %d", w.Code)
		}
	},

	"reload_stuck_by_port_conflict/data plane of host 1": func(p *replay, e entry) {
		if err := p.s.Start(); err != nil { // the host forwards to NPM's own port 81
			p.Fatal(err)
		}
		sameTuple("http://stuck1.test/api/")(p, e)
	},
	"reload_stuck_by_port_conflict/data plane of host 2 (config never loaded)":  sameTuple("http://stuck2.test/api/"),
	"reload_stuck_by_port_conflict/data plane of deleted host 1 (still served)": sameTuple("http://stuck1.test/api/"),
	"reload_stuck_by_port_conflict/fallback_error.log tail": func(p *replay, e entry) {
		log := p.s.Log("fallback_error.log")
		want := strings.Split(e.Observation.(string), "\n")
		for i, line := range log[len(log)-len(want):] {
			if normalise(line) != normalise(want[i]) {
				p.Errorf("%q, recorded %q", line, want[i])
			}
		}
	},
	"reload_stuck_by_port_conflict/after: host 2, host 1": sameTuple("http://stuck2.test/api/", "http://stuck1.test/api/"),

	"dead_host_double_disable_crash/GET /api/ after the crash (t, status)": func(p *replay, _ entry) {
		time.Sleep(60 * time.Millisecond)
		first := p.do("GET", "/api/", "").Code
		time.Sleep(1880 * time.Millisecond)
		if second := p.do("GET", "/api/", "").Code; first != 502 || second != 200 {
			p.Errorf("%d, then %d; recorded 502, 200", first, second)
		}
	},

	"modified_on_and_cursor/modified_on sequence": func(p *replay, _ entry) {
		var r struct {
			Created  string `json:"created_on"`
			Modified string `json:"modified_on"`
		}
		p.read("/api/nginx/proxy-hosts/1", &r)
		created, _ := time.Parse(time.DateTime, r.Created)
		modified, _ := time.Parse(time.DateTime, r.Modified)
		if d := modified.Sub(created); d != 11*time.Second { // 2+4+2+3 s of steps; rejected put changes nothing
			p.Errorf("modified %v after creation", d)
		}
	},
	"modified_on_and_cursor/If-None-Match with same ETag":            notModified(nil),
	"modified_on_and_cursor/If-None-Match + Cache-Control max-age=0": notModified(map[string]string{"Cache-Control": "max-age=0"}),
	"modified_on_and_cursor/If-None-Match + gzip":                    notModified(map[string]string{"Accept-Encoding": "gzip"}),
	"modified_on_and_cursor/audit-log after 110 more puts":           auditPage(100, 115, 16),
	"modified_on_and_cursor/login audited?":                          auditPage(100, 115, 16),
	"modified_on_and_cursor/delete audited":                          auditPage(100, 116, 17),
}

func (p *replay) read(path string, into any) {
	p.Helper()
	w := p.do("GET", path, "")
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		p.Fatalf("%s: %v: %s", path, err, w.Body)
	}
}

func claimsOf(query string) check {
	return func(p *replay, e entry) {
		var a struct{ Token string }
		p.read("/api/tokens"+query, &a)
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(a.Token, ".")[1])
		if err != nil {
			p.Fatal(err)
		}
		got, want := decode(p.T, payload).(map[string]any), e.Observation.(map[string]any)
		got["exp"] = got["exp"].(float64) - got["iat"].(float64)
		want["exp"] = want["exp"].(float64) - want["iat"].(float64)
		for _, m := range []map[string]any{got, want} {
			delete(m, "jti")
			delete(m, "iat")
			delete(m, "lifetime_s")
		}
		// NPM counts a year by the calendar; three leap days in ten years.
		if query != "" {
			want["exp"] = float64(10 * 365 * 86400)
		}
		p.equal(entry{Name: e.Name, Observation: want}, got)
	}
}

func notModified(headers map[string]string) check {
	return func(p *replay, e entry) {
		first := p.do("GET", "/api/nginx/proxy-hosts", "")
		r := httptest.NewRequest("GET", "http://172.25.0.2:81/api/nginx/proxy-hosts", nil)
		r.Header.Set("Authorization", "Bearer "+p.token("admin"))
		r.Header.Set("If-None-Match", first.Header().Get("ETag"))
		for k, v := range headers {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		p.api.ServeHTTP(w, r)
		if w.Code != 304 || w.Body.Len() != 0 || w.Header().Get("ETag") != first.Header().Get("ETag") {
			p.Errorf("%s: %d %v", e.Name, w.Code, w.Header())
		}
	}
}

func auditPage(n, first, last int) check {
	return func(p *replay, e entry) {
		var rows []struct{ ID int }
		p.read("/api/audit-log", &rows)
		if len(rows) != n || rows[0].ID != first || rows[n-1].ID != last {
			p.Errorf("%s: %d rows, %d to %d", e.Name, len(rows), rows[0].ID, rows[len(rows)-1].ID)
		}
	}
}

func schemaStub(p *replay, e entry) {
	var got struct {
		OpenAPI string
		Info    struct{ Title, Version string }
		Paths   map[string]any
	}
	p.read("/api/schema", &got)
	o := e.Observation.(map[string]any)
	info := o["info"].(map[string]any)
	if got.OpenAPI != o["openapi"] || got.Info.Version != info["version"] || got.Info.Title != info["title"] {
		p.Errorf("%+v", got)
	}
	if fmt.Sprint(len(got.Paths)) != fmt.Sprint(o["paths"]) {
		p.Errorf("%d paths, recorded %v", len(got.Paths), o["paths"])
	}
}
