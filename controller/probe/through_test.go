package probe

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/dockerdtest"
	"github.com/no502/no502/controller/npm/npmtest"
)

// TestProve asks an NPM and the backends behind it. The error lines are those
// that a real nginx wrote for the same causes.
func TestProve(t *testing.T) {
	docker := dockerdtest.New(dockerdtest.Options{})
	t.Cleanup(docker.Close)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	answer, err := docker.Client().Post("http://docker/networks/create", "application/json", strings.NewReader(`{"Name":"proxy"}`))
	must(err)
	answer.Body.Close()
	for _, name := range []string{"npm", "no502", "web"} {
		_, err := docker.AddApp(name, dockerdtest.App{Networks: []string{"proxy"}})
		must(err)
	}
	at := func(name string) netip.Addr {
		t.Helper()
		addrs, err := docker.Box("no502").LookupHost(t.Context(), name)
		must(err)
		return netip.MustParseAddr(addrs[0])
	}
	data := t.TempDir()
	npm := npmtest.New(npmtest.Options{Network: docker.Box("npm"), DataDir: data, AdminEmail: "a@example.com", AdminPassword: "changeme"})
	t.Cleanup(npm.Close)
	must(npm.Start())
	l, err := docker.Box("web").Listen("tcp", ":8080")
	must(err)
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Host, "closed.") && strings.HasPrefix(r.RemoteAddr, at("npm").String()) {
			panic(http.ErrAbortHandler)
		}
		if strings.HasPrefix(r.Host, "teapot.") {
			w.WriteHeader(http.StatusTeapot)
		}
		_, _ = w.Write([]byte("the page"))
	})}
	go server.Serve(l) //nolint:errcheck // ends with the test
	t.Cleanup(func() { server.Close() })

	p := New(Options{DialContext: docker.Box("no502").DialContext, NPMData: data})
	for i, test := range []struct {
		name, domain string
		host         npmtest.ProxyHost
		want         api.Proof
		works        bool
	}{
		{"served", "ok.example.com", npmtest.ProxyHost{ForwardHost: at("web").String(), ForwardPort: 8080},
			api.Proof{Through: api.Answer{Status: 200}, Direct: api.Answer{Status: 200}}, true},
		{"its own error", "teapot.example.com", npmtest.ProxyHost{ForwardHost: at("web").String(), ForwardPort: 8080},
			api.Proof{Through: api.Answer{Status: 418}, Direct: api.Answer{Status: 418}}, true},
		{"another port", "port.example.com", npmtest.ProxyHost{ForwardHost: at("web").String(), ForwardPort: 81},
			api.Proof{Through: api.Answer{Status: 502}, Direct: api.Answer{Status: 200},
				Log: "connect() failed (111: Connection refused) while connecting to upstream http://" + at("web").String() + ":81"}, false},
		{"another name", "name.example.com", npmtest.ProxyHost{ForwardHost: "nobody", ForwardPort: 8080},
			api.Proof{Through: api.Answer{Status: 502}, Direct: api.Answer{Status: 200}, Log: "nobody could not be resolved (3: Host not found)"}, false},
		{"turned away", "closed.example.com", npmtest.ProxyHost{ForwardHost: at("web").String(), ForwardPort: 8080},
			api.Proof{Through: api.Answer{Status: 502}, Direct: api.Answer{Status: 200},
				Log: "upstream prematurely closed connection while reading response header from upstream http://" + at("web").String() + ":8080"}, false},
		{"an access rule", "list.example.com", npmtest.ProxyHost{ForwardHost: at("web").String(), ForwardPort: 8080, AdvancedConfig: "location / { return 403; }"},
			api.Proof{Through: api.Answer{Status: 403}, Direct: api.Answer{Status: 200}}, true},
		{"not served", "off.example.com", npmtest.ProxyHost{ForwardHost: at("web").String(), ForwardPort: 8080, Disabled: true},
			api.Proof{Through: api.Answer{Status: 200}, Direct: api.Answer{Status: 200}, Default: true}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.host.ID, test.host.DomainNames = i+1, []string{test.domain}
			npm.AddHost(test.host)
			got := p.Prove(t.Context(), api.ProofTarget{
				Host: api.HostKey(i + 1), Domain: test.domain, HTTP: netip.AddrPortFrom(at("npm"), 80), HTTPS: netip.AddrPortFrom(at("npm"), 443),
				Direct: netip.AddrPortFrom(at("web"), 8080),
			})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if got.Works() != test.works {
				t.Errorf("works: %t", got.Works())
			}
		})
	}
}

// A redirection to https is followed, to the same domain only, and whatever the
// certificate; what TLS cannot do is the answer.
func TestProveFollowsToTLS(t *testing.T) {
	docker := dockerdtest.New(dockerdtest.Options{})
	t.Cleanup(docker.Close)
	if _, err := docker.AddApp("no502", dockerdtest.App{}); err != nil {
		t.Fatal(err)
	}
	box := docker.Box("no502")
	to := map[string]string{"ok.example.com": "https://ok.example.com/", "away.example.com": "https://login.example.com/", "broken.example.com": "https://broken.example.com/"}
	serve := func(port string, h http.HandlerFunc, certificate *tls.Certificate) {
		t.Helper()
		l, err := box.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		if certificate != nil {
			l = tls.NewListener(l, &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				if hello.ServerName == "ok.example.com" {
					return certificate, nil
				}
				return nil, errors.New("no such host")
			}})
		}
		server := http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
		go server.Serve(l) //nolint:errcheck // ends with the test
		t.Cleanup(func() { server.Close() })
	}
	unstarted := httptest.NewTLSServer(nil)
	unstarted.Close()
	serve("80", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to[r.Host], http.StatusMovedPermanently)
	}, nil)
	serve("443", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("by TLS")) }, &unstarted.TLS.Certificates[0])
	serve("8080", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("by TLS")) }, nil)
	p := New(Options{DialContext: box.DialContext})
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port) }
	for domain, want := range map[string]api.Answer{
		"ok.example.com": {Status: 200}, "away.example.com": {Status: 301}, "broken.example.com": {Err: "tls: internal error"},
	} {
		got := p.Prove(t.Context(), api.ProofTarget{Host: api.HostKey(1), Domain: domain, HTTP: at(80), HTTPS: at(443), Direct: at(8080)})
		if got.Through != want || got.Works() != (want.Err == "") {
			t.Errorf("%s: %+v, works: %t, want %+v", domain, got, got.Works(), want)
		}
	}
}

// Where nobody answers there is an error, not a status.
func TestProveWithoutAnswer(t *testing.T) {
	docker := dockerdtest.New(dockerdtest.Options{})
	t.Cleanup(docker.Close)
	if _, err := docker.AddApp("no502", dockerdtest.App{}); err != nil {
		t.Fatal(err)
	}
	nobody := netip.MustParseAddrPort("127.0.0.1:9")
	p := New(Options{DialContext: docker.Box("no502").DialContext})
	got := p.Prove(t.Context(), api.ProofTarget{Host: api.HostKey(1), Domain: "a.example.com", HTTP: nobody, HTTPS: nobody, Direct: nobody, TLS: true})
	refused := api.Answer{Err: "connection refused"}
	if diff := cmp.Diff(api.Proof{Through: refused, Direct: refused}, got); diff != "" {
		t.Error(diff)
	}
}

// What a backend sends in place of an answer may be of any length; little of it is
// read, and less is told.
func TestProveRubbish(t *testing.T) {
	for _, sends := range []string{strings.Repeat("\x01", 8<<20) + "\r\n\r\n", strings.Repeat("\x01", 1000) + "\r\n\r\n"} {
		backend, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { backend.Close() })
		go func() {
			conn, err := backend.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = conn.Read(make([]byte, 1000))
			_, _ = io.WriteString(conn, sends)
		}()
		p := New(Options{})
		got := p.visit(t.Context(), "http", netip.MustParseAddrPort(backend.Addr().String()), "a.example.com")
		if got.Err == "" || len(got.Err) > 200 {
			t.Errorf("%d bytes: told %d", len(sends), len(got.Err))
		}
	}
}

func TestReasonOfAnErrorLine(t *testing.T) {
	const line = `2026/11/22 22:25:42 [error] 241#241: *153 connect() failed (111: Connection refused) while connecting to upstream, ` +
		`client: 172.25.0.1, server: hostport.test, request: "GET /in?token=x HTTP/1.1", upstream: "http://172.25.0.8:18080/in?token=x", host: "hostport.test"`
	if got := reason(line); got != "connect() failed (111: Connection refused) while connecting to upstream http://172.25.0.8:18080" {
		t.Error(got)
	}
}
