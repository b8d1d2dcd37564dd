package npmtest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/controller/npm/npmtest"
)

// client talks to the server over its listeners.
func (p *replay) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: p.net.dialAny, DisableKeepAlives: true}}
}

func (p *replay) fetch(method, url string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(p.Context(), method, url, nil)
	if err != nil {
		return 0, "", err
	}
	if strings.Contains(url, "/nginx/") {
		req.Header.Set("Authorization", "Bearer "+p.token("admin"))
	}
	resp, err := p.client().Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func (p *replay) fetches(url string, want int) {
	p.Helper()
	if status, _, err := p.fetch("GET", url); status != want {
		p.Errorf("%s: %d %v, want %d", url, status, err, want)
	}
}

// TestListeners: what is there while nginx runs, while it cannot start
// (restart_with_unresolvable_location), and while the back end boots.
func TestListeners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newReplay(t, "2.15.1", true)
		ctx, cancel := context.WithCancel(p.Context())
		done := make(chan error)
		go func() { done <- p.s.Run(ctx) }()
		synctest.Wait()
		p.net.setName("x", "10.0.0.2")
		p.add("a.test", "127.0.0.1", 3000, "")
		p.add("b.test", "127.0.0.1", 3000, `,"locations":[{"path":"/x","forward_scheme":"http","forward_host":"x","forward_port":80}]`)
		const admin, web, backend = "http://npm.test:81/api/", "http://a.test/", "http://npm.test:3000/"
		for _, url := range []string{admin, web, backend, "http://npm.test:81/"} {
			p.fetches(url, 200)
		}
		p.net.setName("x")
		p.s.Restart(1500 * time.Millisecond)
		p.fetches(backend, 0)
		p.fetches(admin, 0)
		time.Sleep(2 * time.Second)
		p.fetches(backend, 200)
		p.fetches(admin, 0)
		p.fetches(web, 0)
		if status, _, _ := p.fetch("POST", "http://npm.test:3000/nginx/proxy-hosts/2/disable"); status != 500 {
			p.Errorf("disable without nginx: %d, recorded 500", status)
		}
		time.Sleep(1100 * time.Millisecond)
		p.fetches(admin, 200)
		p.fetches(web, 200)
		p.s.Restart(1500 * time.Millisecond)
		synctest.Wait()
		p.fetches(admin, 502)
		time.Sleep(2 * time.Second)
		p.fetches(admin, 200)
		p.s.Stop()
		for _, url := range []string{admin, web, backend} {
			p.fetches(url, 0)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestStream: a stream forwards to the address that its name had when nginx
// loaded it; a stream on port 80 stops reloads (FACTS 7) and starts.
func TestStream(t *testing.T) {
	inBubble(t, func(p *replay) {
		if err := p.s.Start(); err != nil {
			p.Fatal(err)
		}
		p.net.setName("db", "10.0.0.2")
		p.net.serve("db", "10.0.0.2:5432")
		body := `{"incoming_port":%d,"forwarding_host":%q,"forwarding_port":5432,"tcp_forwarding":true}`
		p.do("POST", "/api/nginx/streams", fmt.Sprintf(body, 5000, "db"))
		p.fetches("http://npm.test:5000/", 200)
		p.net.setName("db", "10.0.0.3")
		p.net.serve("new", "10.0.0.3:5432")
		if _, text, _ := p.fetch("GET", "http://npm.test:5000/"); !strings.HasPrefix(text, "backend=db ") {
			p.Errorf("before a reload: %q", text)
		}
		p.do("PUT", "/api/nginx/streams/1", `{"forwarding_port":5432}`)
		if _, text, _ := p.fetch("GET", "http://npm.test:5000/"); !strings.HasPrefix(text, "backend=new ") {
			p.Errorf("after a reload: %q", text)
		}
		p.do("POST", "/api/nginx/streams", fmt.Sprintf(body, 80, "10.0.0.2"))
		p.do("DELETE", "/api/nginx/streams/1", "")
		p.fetches("http://npm.test:5000/", 200) // never applied
		p.s.Restart(0)
		p.fetches("http://npm.test:81/api/", 0)
		p.request(p.s.Backend(), "DELETE", "http://172.25.0.2:3000/nginx/streams/2", "")
		time.Sleep(1100 * time.Millisecond)
		p.fetches("http://npm.test:81/api/", 200)
		p.fetches("http://npm.test:5000/", 0)
	})
}

// TestWebsocket: an upgrade passes only where allow_websocket_upgrade is set.
func TestWebsocket(t *testing.T) {
	inBubble(t, func(p *replay) {
		if err := p.s.Start(); err != nil {
			p.Fatal(err)
		}
		p.net.serveHandler("10.0.0.2:80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Upgrade") != "websocket" {
				w.WriteHeader(http.StatusUpgradeRequired)
				return
			}
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				p.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			line, err := rw.ReadString('\n')
			if err != nil {
				p.Error(err)
			}
			fmt.Fprint(conn, "echo "+line)
		}))
		p.add("off.test", "10.0.0.2", 80, "")
		p.add("on.test", "10.0.0.2", 80, `,"allow_websocket_upgrade":true`)
		ask := func(host string) (status int, reply string) {
			conn, err := p.net.DialContext(p.Context(), "tcp", "172.25.0.2:80")
			if err != nil {
				p.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", host)
			in := bufio.NewReader(conn)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				p.Fatal(err)
			}
			if resp.StatusCode == 101 {
				fmt.Fprint(conn, "hello\n")
				reply, _ = in.ReadString('\n')
			}
			return resp.StatusCode, reply
		}
		if status, _ := ask("off.test"); status != 426 {
			p.Errorf("without: %d", status)
		}
		if status, reply := ask("on.test"); status != 101 || reply != "echo hello\n" {
			p.Errorf("with: %d %q", status, reply)
		}
	})
}

// TestAccessList: addresses and users on the data plane, and what disable and
// enable do to them (FACTS 9).
func TestAccessList(t *testing.T) {
	for version, afterEnable := range map[string]int{"2.15.1": 200, "2.13.7": 403} {
		synctest.Test(t, func(t *testing.T) {
			p := newReplay(t, version, true)
			p.net.serve("app", "10.0.0.2:80")
			auth := `"items":[{"username":"bob","password":"secret1"}]`
			lan := `"clients":[{"address":"172.25.0.0/16","directive":"allow"}]`
			other := `"clients":[{"address":"10.0.0.0/8","directive":"allow"}]`
			for i, list := range []string{auth, lan, other, auth + "," + other, auth + "," + other + `,"satisfy_any":true`, auth + "," + lan} {
				p.do("POST", "/api/nginx/access-lists", fmt.Sprintf(`{"name":"l%d",%s}`, i, list))
				p.add(fmt.Sprintf("l%d.test", i+1), "10.0.0.2", 80, fmt.Sprintf(`,"access_list_id":%d`, i+1))
			}
			try := func(host string, user bool, want int) {
				t.Helper()
				r := httptest.NewRequest("GET", "http://"+host+"/", nil)
				r.RemoteAddr = "172.25.0.1:1"
				if user {
					r.SetBasicAuth("bob", "secret1")
				}
				w := httptest.NewRecorder()
				p.web.ServeHTTP(w, r)
				if w.Code != want {
					t.Errorf("%s %s, user %t: %d, want %d", version, host, user, w.Code, want)
				}
			}
			closed := 403
			if version == "2.15.1" { // 2.13.7 ends every list with "deny all"
				try("l1.test", false, 401)
				try("l1.test", true, 200)
			} else {
				try("l1.test", true, closed)
			}
			try("l2.test", false, 200)
			try("l3.test", false, closed)
			try("l4.test", true, closed)
			try("l5.test", false, 401)
			try("l5.test", true, 200)
			try("l6.test", false, 401)
			try("l6.test", true, 200)
			p.do("POST", "/api/nginx/proxy-hosts/6/disable", "")
			p.do("POST", "/api/nginx/proxy-hosts/6/enable", "")
			try("l6.test", false, afterEnable)
			p.do("PUT", "/api/nginx/proxy-hosts/6", `{"meta":{}}`)
			try("l6.test", false, 401)
			p.do("DELETE", "/api/nginx/access-lists/6", "")
			try("l6.test", false, 200)
		})
	}
}

// TestOtherHosts: redirection hosts and dead hosts on the data plane.
func TestOtherHosts(t *testing.T) {
	inBubble(t, func(p *replay) {
		p.do("POST", "/api/nginx/redirection-hosts", `{"domain_names":["old.test"],"forward_scheme":"auto",
			"forward_http_code":301,"forward_domain_name":"new.test","preserve_path":true}`)
		p.do("POST", "/api/nginx/dead-hosts", `{"domain_names":["dead.test"]}`)
		w := p.get("http://old.test/path?q=1")
		if l := w.Header().Get("Location"); w.Code != 301 || l != "http://new.test/path?q=1" {
			p.Errorf("%d %s", w.Code, l)
		}
		p.want("http://dead.test/", 404, "<html>")
	})
}

// TestFault: an answer instead of the effect, after it, and a lost connection.
func TestFault(t *testing.T) {
	var fault *npmtest.Fault
	synctest.Test(t, func(t *testing.T) {
		p := newReplayWith(t, func(o *options) {
			o.Fault = func(r *http.Request) *npmtest.Fault {
				if r.Method == "PUT" {
					return fault
				}
				return nil
			}
		})
		p.add("a.test", "10.0.0.2", 80, "")
		port := func() (n int) {
			var r struct {
				Port int `json:"forward_port"`
			}
			p.read("/api/nginx/proxy-hosts/1", &r)
			return r.Port
		}
		put := func(n int) (w *httptest.ResponseRecorder, dropped bool) {
			defer func() { dropped = aborted(recover()) }()
			return p.do("PUT", "/api/nginx/proxy-hosts/1", fmt.Sprintf(`{"forward_port":%d}`, n)), false
		}
		for i, c := range []struct {
			fault   npmtest.Fault
			status  int
			changes bool
		}{
			{npmtest.Fault{Status: 503, Body: "busy"}, 503, false},
			{npmtest.Fault{Status: 500, After: true}, 500, true},
			{npmtest.Fault{Drop: true}, 0, false},
			{npmtest.Fault{Drop: true, After: true}, 0, true},
			{npmtest.Fault{Delay: time.Minute}, 200, true},
		} {
			fault = &c.fault
			p.s.ResetCalls()
			start, before := time.Now(), port()
			w, dropped := put(100 + i)
			if dropped != c.fault.Drop || w != nil && w.Code != c.status {
				t.Errorf("%+v: %v", c.fault, w)
			}
			if changed := port() != before; changed != c.changes {
				t.Errorf("%+v: row changed: %t", c.fault, changed)
			}
			if took := time.Since(start); took != c.fault.Delay {
				t.Errorf("%+v: took %v", c.fault, took)
			}
			calls := p.s.Calls()
			want := npmtest.Call{Method: "PUT", Path: "/nginx/proxy-hosts/1", Body: fmt.Sprintf(`{"forward_port":%d}`, 100+i), Status: c.status}
			if len(calls) != 3 || calls[1] != want {
				t.Errorf("%+v: calls %+v", c.fault, calls)
			}
		}
	})
}

// TestChallengeExpires: a second factor has five minutes (FACTS, Auth).
func TestChallengeExpires(t *testing.T) {
	inBubble(t, func(p *replay) {
		var setup struct{ Secret string }
		if err := decodeInto(p.do("POST", "/api/users/1/2fa", ""), &setup); err != nil {
			p.Fatal(err)
		}
		p.do("POST", "/api/users/1/2fa/enable", fmt.Sprintf(`{"code":%q}`, npmtest.TOTP(setup.Secret, time.Now())))
		login := func(wait time.Duration) int {
			var c struct {
				Token string `json:"challenge_token"`
			}
			if err := decodeInto(p.do("POST", "/api/tokens", `{"identity":"admin@example.com","secret":"changeme123"}`), &c); err != nil {
				p.Fatal(err)
			}
			time.Sleep(wait)
			return p.do("POST", "/api/tokens/2fa", fmt.Sprintf(`{"challenge_token":%q,"code":%q}`, c.Token, npmtest.TOTP(setup.Secret, time.Now()))).Code
		}
		if early, late := login(299*time.Second), login(301*time.Second); early != 200 || late != 400 {
			p.Errorf("after 299 s: %d, after 301 s: %d", early, late)
		}
	})
}

func decodeInto(w *httptest.ResponseRecorder, v any) error {
	if w.Code >= 300 {
		return errors.New(w.Body.String())
	}
	return json.Unmarshal(bytes.TrimSpace(w.Body.Bytes()), v)
}
