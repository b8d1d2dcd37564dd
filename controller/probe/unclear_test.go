package probe

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/no502/no502/api"
)

// A server of TLS that fails at the handshake still turns plain requests away
// with a 400. That is no plain HTTP, for which a right https would be given up.
func TestTLSThatFailsIsNotPlain(t *testing.T) {
	for name, config := range map[string]*tls.Config{
		"slow": {GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			time.Sleep(700 * time.Millisecond)
			return nil, nil
		}},
		"wants a certificate": {ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12},
		"knows no such name": {GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return nil, errors.New("no certificate for an address")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.TLS = config
			s.StartTLS()
			defer s.Close()
			p := New(Options{Timeout: 300 * time.Millisecond})
			found := probeOne(t, p, api.Target{Container: "c", StartedAt: 1, Addr: addrOf(s)})
			if found != (api.Probe{Port: api.PortOpen}) {
				t.Errorf("found %+v, want an open port of which nothing is known", found)
			}
		})
	}
}
