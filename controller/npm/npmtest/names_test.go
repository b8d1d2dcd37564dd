package npmtest_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// inBubble runs a test on a fresh 2.15.1 with an administrator, on fake time.
func inBubble(t *testing.T, f func(*replay)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newReplay(t, "2.15.1", true)) })
}

// add creates a proxy host through the API; more are further fields.
func (p *replay) add(domain, host string, port int, more string) {
	p.Helper()
	w := p.do("POST", "/api/nginx/proxy-hosts", fmt.Sprintf(
		`{"domain_names":[%q],"forward_scheme":"http","forward_host":%q,"forward_port":%d%s}`, domain, host, port, more))
	if w.Code != 201 {
		p.Fatalf("add %s: %d %s", domain, w.Code, w.Body)
	}
}

func (p *replay) want(url string, status int, body string) {
	p.Helper()
	w := p.get(url)
	if w.Code != status || !strings.HasPrefix(w.Body.String(), body) {
		p.Errorf("%s: %d %q, want %d %q", url, w.Code, w.Body, status, body)
	}
}

// TestNames holds the data plane to networks_and_names: which names resolve is
// Docker's affair; what the workers keep, and for how long, is nginx's.
func TestNames(t *testing.T) {
	inBubble(t, func(p *replay) {
		id := strings.Repeat("0123456789abcdef", 4)
		for _, name := range []string{"a", "alias", id[:12], "a.net"} {
			p.net.setName(name, "10.0.0.2")
		}
		p.net.serve("a", "10.0.0.2:8080")
		for domain, host := range map[string]string{"name.test": "A", "alias.test": "alias", "shortid.test": id[:12],
			"longid.test": id, "fqname.test": "a.net", "ip.test": "10.0.0.2", "hdi.test": "host.docker.internal"} {
			p.add(domain, host, 8080, "")
		}
		for _, domain := range []string{"name.test", "alias.test", "shortid.test", "fqname.test", "ip.test"} {
			p.want("http://"+domain+"/", 200, "backend=a ")
		}
		p.want("http://hdi.test/", 502, "<html>")
		if w, took := p.timed("http://longid.test/"); w.Code != 502 || took != 30*time.Second {
			p.Errorf("64-character name: %d after %v", w.Code, took)
		}
	})
}

// TestNameCache: a worker keeps an address for ten seconds, also when another
// container has it by then; a failure is not kept; a reload forgets (FACTS,
// Resolution).
func TestNameCache(t *testing.T) {
	inBubble(t, func(p *replay) {
		p.add("app.test", "app", 80, "")
		p.want("http://app.test/", 502, "<html>")
		p.net.setName("app", "10.0.0.2")
		p.net.serve("app", "10.0.0.2:80")
		p.want("http://app.test/", 200, "backend=app ") // at once

		p.net.setName("app", "10.0.0.3") // recreated, and another got its address
		p.net.serve("app", "10.0.0.3:80")
		p.net.moved("10.0.0.2:80", "thief")
		time.Sleep(9900 * time.Millisecond)
		p.want("http://app.test/", 200, "backend=thief ")
		time.Sleep(200 * time.Millisecond)
		p.want("http://app.test/", 200, "backend=app ")

		p.net.setName("app", "10.0.0.2")
		p.want("http://app.test/", 200, "backend=app ") // still 10.0.0.3
		p.do("PUT", "/api/nginx/proxy-hosts/1", `{"forward_port":80}`)
		p.want("http://app.test/", 200, "backend=thief ")
	})
}

// TestSharedAlias: two containers behind one name take turns; when one is gone
// and refuses, the other answers in its place.
func TestSharedAlias(t *testing.T) {
	inBubble(t, func(p *replay) {
		p.net.setName("web", "10.0.0.2", "10.0.0.3")
		p.net.serve("a", "10.0.0.2:80")
		p.net.serve("c", "10.0.0.3:80")
		p.add("app.test", "web", 80, "")
		count := map[string]int{}
		ask := func(n int) {
			clear(count)
			for range n {
				count[strings.Fields(p.get("http://app.test/").Body.String())[0]]++
			}
		}
		if ask(40); count["backend=a"] != 20 || count["backend=c"] != 20 {
			p.Errorf("40 requests: %v", count)
		}
		p.net.moved("10.0.0.3:80", "") // stopped: nothing listens
		if ask(20); count["backend=a"] != 20 {
			p.Errorf("one is gone: %v", count)
		}
	})
}

// TestReloadDelay: the API answers before the workers change (FACTS, Times).
func TestReloadDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newReplayWith(t, func(o *options) { o.ReloadDelay = 95 * time.Millisecond })
		p.net.serve("app", "10.0.0.2:80")
		p.add("app.test", "10.0.0.2", 80, "")
		p.want("http://app.test/", 200, "<!DOCTYPE html>") // still the default site
		time.Sleep(100 * time.Millisecond)
		p.want("http://app.test/", 200, "backend=app ")
	})
}

// TestStartedOnDefaultBridge: names of a network that was connected later are
// known to the C library only (npm_started_on_default_bridge).
func TestStartedOnDefaultBridge(t *testing.T) {
	inBubble(t, func(p *replay) {
		p.net.serve("a", "10.0.0.2:8080")
		p.add("name.test", "lab-a", 8080, "")
		p.want("http://name.test/", 502, "<html>")
		p.net.system["lab-a"] = []string{"10.0.0.2"}
		p.do("PUT", "/api/nginx/proxy-hosts/1", `{"forward_port":8080}`)
		p.want("http://name.test/", 502, "<html>")
		p.add("loc.test", "lab-a", 8080, `,"locations":[{"path":"/","forward_scheme":"http","forward_host":"lab-a","forward_port":8080}]`)
		p.want("http://loc.test/", 200, "backend=a ")
	})
}

// TestVariableLocation: a variable makes a custom location resolve while it
// serves (FACTS, Resolution; concurrency_races).
func TestVariableLocation(t *testing.T) {
	inBubble(t, func(p *replay) {
		location := func(host string) string {
			return `,"locations":[{"path":"/v","forward_scheme":"http","forward_host":"` + host +
				`","forward_port":8080,"advanced_config":"set $loc_up \"lab-web1\";"}]`
		}
		p.add("var.test", "main", 80, location("$loc_up"))
		p.equal(entry{Observation: map[string]any{"nginx_online": true, "nginx_err": nil}}, p.meta(1))
		p.want("http://var.test/v/x?y=1", 502, "<html>")
		p.net.setName("lab-web1", "10.0.0.2")
		p.net.serve("web1", "10.0.0.2:8080")
		p.want("http://var.test/v/x?y=1", 200, "backend=web1 port=8080 tls=false host=var.test uri=/v/x?y=1 xff=172.25.0.1 xfproto=http")

		put := func(host string) { p.do("PUT", "/api/nginx/proxy-hosts/1", "{"+location(host)[1:]+"}") }
		put("$loc_up/base") // the path replaces the whole URI
		p.want("http://var.test/v/x?y=1", 200, "backend=web1 port=8080 tls=false host=var.test uri=/base xff")
		put("lab-web1/base") // a literal one replaces the prefix
		p.want("http://var.test/v/x?y=1", 200, "backend=web1 port=8080 tls=false host=var.test uri=/base/x?y=1 xff")
		if w := p.get("http://var.test/v"); w.Header().Get("X-Served-By") != "" {
			p.Error("a custom location sends X-Served-By")
		}
		put("$server")
		p.want("http://var.test/v", 502, "<html>") // "main" does not resolve
	})
}

// TestServerNames: exact, then *.x, then x.*; the conf of a host that is gone
// is not a 502 (FACTS 13).
func TestServerNames(t *testing.T) {
	inBubble(t, func(p *replay) {
		for i, domain := range []string{"www.a.test", "*.a.test", "*.b.a.test", "www.*"} {
			ip := fmt.Sprintf("10.0.0.%d", i)
			p.net.serve(domain, ip+":80")
			p.add(domain, ip, 80, "")
		}
		for host, want := range map[string]string{"www.a.test": "www.a.test", "WWW.A.TEST:8080": "www.a.test", "x.a.test": "*.a.test",
			"x.y.a.test": "*.a.test", "x.b.a.test": "*.b.a.test", "www.c.test": "www.*"} {
			p.want("http://"+host+"/", 200, "backend="+want+" ")
		}
		p.s.RemoveConf("proxy_host/1.conf")
		p.want("http://www.a.test/", 200, "backend=www.a.test ") // the workers go on
		p.s.Restart(0)
		p.want("http://www.a.test/", 200, "backend=*.a.test ")
		p.s.RemoveConf("proxy_host/2.conf")
		p.s.Restart(0)
		p.want("http://x.a.test/", 200, "<!DOCTYPE html>")
		p.want("http://x.a.test/path", 404, "<html>")
		p.do("PUT", "/api/nginx/proxy-hosts/2", `{"meta":{}}`)
		p.want("http://x.a.test/", 200, "backend=*.a.test ")
	})
}
