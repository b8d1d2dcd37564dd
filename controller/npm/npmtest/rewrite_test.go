package npmtest_test

import (
	"encoding/json"
	"testing"
	"time"
)

// location is a further field of a host: one custom location.
func location(path, host, advanced string) string {
	l, _ := json.Marshal(map[string]any{"path": path, "forward_scheme": "http", "forward_host": host, "forward_port": 8080,
		"advanced_config": advanced})
	return `,"locations":[` + string(l) + `]`
}

// TestStripPrefix: a location behind a variable whose prefix a rewrite takes off.
// A rewrite works on the decoded, normalised URI, and keeps the arguments.
func TestStripPrefix(t *testing.T) {
	inBubble(t, func(p *replay) {
		p.net.setName("api", "10.0.0.2")
		p.net.serve("api", "10.0.0.2:8080")
		p.add("a.test", "main", 80, location("/api", "$no502_api", "set $no502_api \"api\";\nrewrite ^/api/?(.*)$ /$1 break;"))
		for sent, want := range map[string]string{
			"/api": "/", "/api/": "/", "/api?x=1": "/?x=1", "/api/v1/x?y=1&z=2": "/v1/x?y=1&z=2",
			"/api//v1/./y/../z/": "/v1/z/", "/api/a%20b%3Fc": "/a%20b%3Fc",
		} {
			p.want("http://a.test"+sent, 200, "backend=api port=8080 tls=false host=a.test uri="+want+" xff=172.25.0.1 ")
		}
		p.want("http://a.test/x/../../api", 400, "<html>")

		p.net.setName("api", "10.0.0.3") // recreated: as a main location, within ten seconds
		p.net.moved("10.0.0.2:8080", "")
		p.net.serve("new", "10.0.0.3:8080")
		p.want("http://a.test/api", 502, "<html>")
		time.Sleep(10 * time.Second)
		p.want("http://a.test/api/x", 200, "backend=new ")
	})
}

// TestRewrite: the flags, and what a literal proxy_pass makes of a changed URI.
func TestRewrite(t *testing.T) {
	inBubble(t, func(p *replay) {
		p.net.serve("app", "10.0.0.2:8080")
		for i, c := range []struct{ host, advanced, sent, want string }{
			{"10.0.0.2", "", "/l//x%20y?a=1", "/l//x%20y?a=1"}, // untouched
			{"10.0.0.2/base", "", "/l/x%20y?a=1", "/base/x%20y?a=1"},
			{"10.0.0.2/base", "rewrite ^/l/(.*)$ /m/$1 break;", "/l/x", "/m/x"}, // the path of proxy_pass is ignored
			{"10.0.0.2", "rewrite ^/l/(.*)$ /m?id=$1 break;", "/l/x?a=1", "/m?id=x&a=1"},
			{"10.0.0.2", "rewrite ^/l/(.*)$ /m?id=$1 break;", "/l/x%20y", "/m?id=x%20y"},
			{"10.0.0.2", "rewrite ^/l/(.*)$ /m? break;", "/l/x?a=1", "/m"},
			{"10.0.0.2", "rewrite ^/no $scheme://x.test;\nbreak;\nreturn 418;", "/l/x", "/l/x"},
			{"10.0.0.2", "rewrite ^/l/(.*)$ /l2/$1;\nrewrite ^/l2/(.*)$ /l/$1 break;", "/l/x", "/l/x"},
		} {
			if i == 0 {
				p.add("a.test", "main", 80, location("/l", c.host, c.advanced))
			}
			p.do("PUT", "/api/nginx/proxy-hosts/1", "{"+location("/l", c.host, c.advanced)[1:]+"}")
			p.wantOffline("proxy-hosts/1", "")
			p.want("http://a.test"+c.sent, 200, "backend=app port=8080 tls=false host=a.test uri="+c.want+" ")
		}
		for advanced, status := range map[string]int{
			"rewrite ^/l/(.*)$ /$1;": 502, "rewrite ^/l/(.*)$ /$1 last;": 502, // the main location's
			"rewrite ^ /l/x;":                         500, // for ever
			"rewrite ^/l/(.*)$ http://b.test/$1;":     302,
			"rewrite ^/l/(.*)$ /$1 permanent;":        301,
			"return 403;":                             403,
			"set $x 404;\nreturn 301 https://$host/;": 301,
		} {
			p.do("PUT", "/api/nginx/proxy-hosts/1", "{"+location("/l", "10.0.0.2", advanced)[1:]+"}")
			if w := p.get("http://a.test/l/x"); w.Code != status {
				p.Errorf("%s: %d, want %d", advanced, w.Code, status)
			}
		}
	})
}

// TestRewriteErrors: what nginx refuses takes the host offline.
func TestRewriteErrors(t *testing.T) {
	inBubble(t, func(p *replay) {
		p.add("a.test", "main", 80, "")
		for advanced, want := range map[string]string{
			"rewrite ^/x;":           `invalid number of arguments in "rewrite" directive`,
			"rewrite ^/x /y often;":  `invalid parameter "often"`,
			"rewrite ^/(x /y;":       `pcre2_compile() failed: `,
			"set x y;":               `invalid variable name "x"`,
			"add_header X $nobody;":  `unknown "nobody" variable`,
			"rewrite ^/(x) /${y}$1;": `unknown "y" variable`,
			"return 200":             `invalid number of arguments in "return" directive`, // the next line belongs to it
		} {
			p.do("PUT", "/api/nginx/proxy-hosts/1", "{"+location("/l", "10.0.0.2", advanced)[1:]+"}")
			p.wantOffline("proxy-hosts/1", want)
		}
	})
}

// TestVariablesAreShared: a variable that one host sets is known to all; without
// that host every write fails (FACTS 3), and where nobody set it for a request it
// is empty.
func TestVariablesAreShared(t *testing.T) {
	inBubble(t, func(p *replay) {
		p.add("a.test", "main", 80, location("/l", "$up", ""))
		p.wantOffline("proxy-hosts/1", `unknown "up" variable`)
		p.add("b.test", "main", 80, location("/l", "$up", `set $up "api";`))
		p.do("PUT", "/api/nginx/proxy-hosts/1", `{"meta":{}}`)
		p.wantOffline("proxy-hosts/1", "")
		p.want("http://a.test/l", 500, "<html>") // no host in upstream
		if w := p.do("DELETE", "/api/nginx/proxy-hosts/2", ""); w.Code != 500 {
			p.Errorf("delete: %d", w.Code)
		}
	})
}
