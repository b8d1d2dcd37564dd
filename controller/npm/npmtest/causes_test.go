package npmtest_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// causesSteps set the scene of dataplane_502_causes, with its addresses.
var causesSteps = map[string]func(*replay){
	"dataplane_502_causes/host ok.test": func(p *replay) {
		n := p.net
		for name, ip := range map[string]string{"lab-web1": "172.25.0.4", "lab-tls": "172.25.0.5", "lab-lo": "172.25.0.6",
			"lab-nodetls": "172.25.0.7", "lab-pub": "172.25.0.8"} {
			n.setName(name, ip)
		}
		n.serve("lab-web1", "172.25.0.4:8080")
		n.serve("lab-pub", "172.25.0.8:8080")
		n.serveTLS(p, "lab-tls", "172.25.0.5:8443", false)
		n.serveTLS(p, "nodetls", "172.25.0.7:8443", true)
		n.setDead("172.25.0.250", syscall.EHOSTUNREACH)
		n.setDead("192.168.0.2", nil)
		n.setDead("192.168.16.2", nil)
	},
	"dataplane_502_causes/4 container up, process not listening yet (START_DELAY)": func(p *replay) {
		p.net.setName("lab-delay", "172.25.0.9")
	},
	"dataplane_502_causes/4 recovery after start delay 20s": func(p *replay) {
		p.net.serve("lab-delay", "172.25.0.9:8080")
	},
	"dataplane_502_causes/4 docker stop, immediately after a good request": func(p *replay) {
		p.net.setName("lab-stop", "172.25.0.10")
		p.net.serve("lab-stop", "172.25.0.10:8080")
		if w := p.get("http://stop.test/"); w.Code != 200 {
			p.Errorf("good request: %d", w.Code)
		}
		p.net.setName("lab-stop")
		p.net.setDead("172.25.0.10", syscall.EHOSTUNREACH)
	},
	"dataplane_502_causes/4 docker stop, 12 s later": func(*replay) { time.Sleep(12 * time.Second) },
	"dataplane_502_causes/4 paused container": func(p *replay) {
		p.net.setName("lab-pause", "172.25.0.11")
		ln, err := p.net.Listen("tcp", "172.25.0.11:8080")
		if err != nil {
			p.Fatal(err)
		}
		p.Cleanup(func() { ln.Close() })
		go func() { // the kernel accepts and buffers, nobody answers
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					buf := make([]byte, 4096)
					for {
						if _, err := c.Read(buf); err != nil {
							return
						}
					}
				}()
			}
		}()
	},
	"dataplane_502_causes/3 fix: docker network connect (container name) -> seconds to 200": func(p *replay) {
		p.net.setName("lab-other1", "172.25.0.12")
		p.net.serve("lab-other1", "172.25.0.12:8080")
	},
}

// causesObservations are the causes of FACTS' table, each with the recorded
// answer and the recorded line of the error log.
func causesObservations() map[string]check {
	checks := map[string]check{
		"dataplane_502_causes/4 recovery after start delay 20s":                                 works("http://delay.test/"),
		"dataplane_502_causes/3 fix: docker network connect (container name) -> seconds to 200": works("http://othernet.test/"),
		"dataplane_502_causes/client gives up after 1 s":                                        givesUp,
	}
	for _, name := range []string{"0 control", "0 control upper-case name", "1 wrong hostname", "1 wrong hostname with dot",
		"1 nonsense name", "1 url as host", "2 published host port instead of the internal one", "2 localhost + published port",
		"2 127.0.0.1 + published port", "2 gateway ip + port published on 127.0.0.1 only", "3 other docker network, by name",
		"4 backend listens on 127.0.0.1 only", "5 http to a TLS backend (Go)", "5 https to an http backend (Go)",
		"5 https to a self-signed TLS backend works", "5 http to a TLS backend (node)", "5 https to node TLS works",
		"bare ipv6 forward_host", "4 backend container does not exist", "4 container up, process not listening yet (START_DELAY)",
		"4 container exited a moment ago (name gone, IP maybe cached)", "4 container exited > 10 s ago",
		"4 docker stop, immediately after a good request", "4 docker stop, 12 s later", "upstream answers 500 itself",
		"upstream answers 502 itself", "unused IP on the docker network", "4 paused container",
		"3 other docker network, by IP", "backend slower than proxy_read_timeout"} {
		checks["dataplane_502_causes/"+name] = cause
	}
	return checks
}

// requestLine finds what was asked in the recorded access log; the last line is
// the request's.
var requestLine = regexp.MustCompile(`GET http (\S+) "([^"]*)" \[Client [^]]*\] \[Length (\d+)\]`)

func cause(p *replay, e entry) {
	o := e.Observation.(map[string]any)
	m := requestLine.FindStringSubmatch(o["access_log"].(string))
	if m == nil {
		p.Fatalf("%s: no request in %v", e.Name, o)
	}
	w, took := p.timed("http://" + m[1] + m[2])
	result := o["result"].(map[string]any)
	p.answers(result, w)
	if served, _ := result["x_served_by"].(string); w.Header().Get("X-Served-By") != served {
		p.Errorf("%s: X-Served-By %q, recorded %q", e.Name, w.Header().Get("X-Served-By"), served)
	}
	if length, _ := strconv.Atoi(m[3]); strings.HasPrefix(w.Body.String(), "<html>") && w.Body.Len() != length {
		p.Errorf("%s: page of %d bytes, recorded %d", e.Name, w.Body.Len(), length)
	}
	if s, _ := result["s"].(float64); s > 80 && took.Round(time.Second) != 90*time.Second {
		p.Errorf("%s: after %v, recorded %v s", e.Name, took, s)
	}
	log := fmt.Sprintf("proxy-host-%d_error.log", p.hosts[m[1]])
	if want := o["error_log"].(string); want != "" {
		p.sameLogLine(log, want)
	} else if lines := p.s.Log(log); len(lines) > 0 {
		p.Errorf("%s: logged %q", e.Name, lines)
	}
}

func works(url string) check {
	return func(p *replay, e entry) {
		if w := p.get(url); w.Code != 200 {
			p.Errorf("%s: %d", e.Name, w.Code)
		}
	}
}

// givesUp: nobody answers a client that went away, and nothing is logged.
func givesUp(p *replay, e entry) {
	ctx, cancel := context.WithTimeout(p.Context(), time.Second)
	defer cancel()
	defer func() {
		if !aborted(recover()) {
			p.Errorf("%s: answered", e.Name)
		}
		if lines := p.s.Log(fmt.Sprintf("proxy-host-%d_error.log", p.hosts["slow.test"])); len(lines) > 0 {
			p.Errorf("%s: logged %q", e.Name, lines)
		}
	}()
	p.web.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "http://slow.test/?sleep=5s", nil).WithContext(ctx))
}

// echo says what it saw, as the recordings' backends did, and obeys ?status and
// ?sleep.
func echo(name, port string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d, err := time.ParseDuration(r.URL.Query().Get("sleep")); err == nil {
			select {
			case <-time.After(d):
			case <-r.Context().Done():
				return
			}
		}
		if status, err := strconv.Atoi(r.URL.Query().Get("status")); err == nil {
			w.WriteHeader(status)
		}
		fmt.Fprintf(w, "backend=%s port=%s tls=%t host=%s uri=%s xff=%s xfproto=%s addrs=[]\n", name, port, r.TLS != nil,
			r.Host, r.RequestURI, r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"))
	})
}

// serveTLS is a backend with a self-signed certificate. Go answers plain HTTP
// with a 400; Node just closes.
func (n *fakeNet) serveTLS(p *replay, name, addr string, node bool) {
	pair, err := tls.X509KeyPair(selfSigned(p.T, name))
	if err != nil {
		p.Fatal(err)
	}
	ln, err := n.Listen("tcp", addr)
	if err != nil {
		p.Fatal(err)
	}
	_, port, _ := strings.Cut(addr, ":")
	handler := echo(name, port)
	if node {
		handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "nodetls") })
		ln = closeOnPlain{ln}
	}
	srv := &http.Server{Handler: handler, TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}, ErrorLog: quietLog}
	go srv.ServeTLS(ln, "", "") //nolint:errcheck // ends with stop
	n.stops = append(n.stops, func() { srv.Close() })
}

// closeOnPlain closes connections that do not begin with a TLS record.
type closeOnPlain struct{ net.Listener }

func (l closeOnPlain) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &peekConn{Conn: c}, nil
}

type peekConn struct {
	net.Conn
	buf []byte
}

func (c *peekConn) Read(b []byte) (int, error) {
	if c.buf == nil {
		buf := make([]byte, 4096)
		n, err := c.Conn.Read(buf)
		if err != nil {
			return 0, err
		}
		if buf[0] != 0x16 { // not a handshake
			c.Close()
			return 0, net.ErrClosed
		}
		c.buf = buf[:n]
	}
	if len(c.buf) > 0 {
		n := copy(b, c.buf)
		c.buf = c.buf[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}
