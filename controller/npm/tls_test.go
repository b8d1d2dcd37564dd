package npm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// authority is somebody's own certificate authority.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return &authority{t, cert, key}
}

// issue makes a certificate for a name, that holds for a while from now.
func (a *authority) issue(name string, life time.Duration) *tls.Certificate {
	a.t.Helper()
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life),
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, a.key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
}

func (a *authority) file() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// behindTLS is a bed whose NPM is at https://npm.lan, with the certificate that
// shown holds at the time.
func behindTLS(t *testing.T, shown *atomic.Pointer[tls.Certificate], opts ...func(*Options)) *bed {
	t.Helper()
	wire := newPipes()
	b := newBed(t, http.NotFoundHandler(), append(opts, func(o *Options) { o.DialContext = wire.DialContext })...)
	srv := &http.Server{Handler: b.recorded(newNPM(t, 1).API()), ErrorLog: log.New(io.Discard, "", 0)}
	go srv.Serve(tls.NewListener(wire, &tls.Config{ //nolint:errcheck // ends with Close
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return shown.Load(), nil },
	}))
	t.Cleanup(func() {
		b.Client.reads.CloseIdleConnections()
		srv.Close()
	})
	b.SetURL("https://npm.lan", true)
	b.run()
	return b
}

func hold(cert *tls.Certificate) *atomic.Pointer[tls.Certificate] {
	var p atomic.Pointer[tls.Certificate]
	p.Store(cert)
	return &p
}

// NPM behind https is verified: before that nothing is said to it, and what is
// wrong is said once, with the ways out. What is mended counts by itself.
func TestCertificateIsVerified(t *testing.T) {
	for name, c := range map[string]struct {
		name string
		life time.Duration
		want string
	}{
		"of an unknown authority": {"npm.lan", time.Hour * 24 * 365, `unknown authority (it is for npm.lan, issued by "CN=Home CA", from 1999-12-31 to 2000-12-31); ` +
			"give no502 the CA that issued it (NO502_NPM_CA_FILE), or have it not verified (NO502_NPM_INSECURE=true)."},
		"for another name": {"other.lan", time.Hour * 24, `certificate is valid for other.lan, not npm.lan (it is for other.lan, issued by "CN=Home CA", from 1999-12-31 to 2000-01-02); ` +
			"call NPM by one of these names in NO502_NPM_URL, or have it not verified (NO502_NPM_INSECURE=true)."},
		"expired": {"npm.lan", -time.Minute, `is after 1999-12-31T23:59:00Z (it is for npm.lan, issued by "CN=Home CA", from 1999-12-31 to 1999-12-31); ` +
			"renew it, or have it not verified (NO502_NPM_INSECURE=true)."},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				home := newAuthority(t, "Home CA")
				file := filepath.Join(t.TempDir(), "ca.pem")
				trusted := home
				if strings.HasPrefix(name, "of an unknown") {
					trusted = newAuthority(t, "Another CA")
				}
				write(t, file, trusted.file())
				shown := hold(home.issue(c.name, c.life))
				b := behindTLS(t, shown, func(o *Options) { o.CAFile = file })
				after(10 * time.Minute)
				if p := b.State().Problem; !strings.HasPrefix(p, "NPM's certificate is not trusted: x509: ") || !strings.HasSuffix(p, c.want) {
					t.Errorf("problem: %s", p)
				}
				eq(t, "logged", b.logged("waiting for NPM"), 1)
				eq(t, "requests", len(b.calls()), 0)
				write(t, file, home.file())
				shown.Store(home.issue("npm.lan", time.Hour))
				after(15 * time.Second)
				eq(t, "state", b.State(), State{URL: "https://npm.lan", Version: "2.15.1", Connected: true})

				if err := b.forward(t.Context(), 1, was(1), web); err != nil {
					t.Errorf("a write: %v", err)
				}
				after(2 * time.Hour) // the certificate expires, and no connection outlives it by much
				if err := b.forward(t.Context(), 1, web, was(1)); err == nil || !strings.Contains(err.Error(), "renew it") {
					t.Errorf("a write after its end: %v", err)
				}
			})
		})
	}
}

func write(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A CA that cannot be read is no reason to trust nobody's certificate, nor to
// trust any: it is said, and counts once it is there.
func TestCACannotBeRead(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"missing": {"", "Reading the CA of NPM's certificate (NO502_NPM_CA_FILE): no such file or directory."},
		"no PEM":  {"0\x82\x01canary", "The file of NO502_NPM_CA_FILE holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----."},
		"a key":   {"-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n", "The file of NO502_NPM_CA_FILE holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----."},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "ca.pem")
				if c.text != "" {
					write(t, file, []byte(c.text))
				}
				home := newAuthority(t, "Home CA")
				b := behindTLS(t, hold(home.issue("npm.lan", time.Hour)), func(o *Options) { o.CAFile = file })
				after(10 * time.Minute)
				eq(t, "problem", b.State().Problem, c.want)
				eq(t, "logged", b.logged("waiting for NPM"), 1)
				write(t, file, home.file())
				after(15 * time.Second)
				eq(t, "connected", b.State().Connected, true)
			})
		})
	}
}

// Told so, no502 trusts any certificate.
func TestCertificateIsNotVerified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := behindTLS(t, hold(newAuthority(t, "Home CA").issue("other.lan", -time.Minute)), func(o *Options) { o.Insecure = true })
		after(time.Second)
		eq(t, "connected", b.State().Connected, true)
	})
}
