package npmtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The folders of certificates in NPM's container. Below DataDir the second one
// is "letsencrypt/live".
const (
	customSSL   = "/data/custom_ssl/npm-"
	letsEncrypt = "/etc/letsencrypt/live/npm-"
	chainFile   = "/fullchain.pem"
	keyFile     = "/privkey.pem"
)

func (s *Server) sslDir(dir string) string {
	dir = strings.Replace(strings.TrimPrefix(dir, "/data"), "/etc", "", 1)
	return filepath.Join(s.opt.DataDir, dir)
}

// writePair writes a certificate's two files. nginx reads them at its next
// reload, and not before.
func (n *nginx) writePair(dir, chain, key string) error {
	pair, err := tls.X509KeyPair([]byte(chain), []byte(key))
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.certs[dir+chainFile] = &pair
	n.mu.Unlock()
	if n.s.opt.DataDir == "" {
		return nil
	}
	disk := n.s.sslDir(dir)
	return errors.Join(os.MkdirAll(disk, 0o755), os.WriteFile(disk+chainFile, []byte(chain), 0o600),
		os.WriteFile(disk+keyFile, []byte(key), 0o600))
}

// removePair deletes a certificate's files. Conf files that name them fail every
// test from then on.
func (n *nginx) removePair(dir string) {
	n.mu.Lock()
	delete(n.certs, dir+chainFile)
	n.mu.Unlock()
	if n.s.opt.DataDir != "" {
		if err := os.RemoveAll(n.s.sslDir(dir)); err != nil {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.log("fallback_error.log", err.Error())
		}
	}
}

// readPairs takes up the certificates that an earlier process left in DataDir.
func (n *nginx) readPairs() error {
	for _, prefix := range []string{customSSL, letsEncrypt} {
		dirs, err := filepath.Glob(n.s.sslDir(prefix) + "*")
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			pair, err := tls.LoadX509KeyPair(dir+chainFile, dir+keyFile)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			n.certs[filepath.Dir(prefix)+"/"+filepath.Base(dir)+chainFile] = &pair
		}
	}
	return nil
}

// missing finds a certificate that a conf file names and that is not there. The
// caller holds mu.
func (n *nginx) missing(f *confFile) string {
	for _, file := range f.certs {
		if n.certs[file] == nil {
			return "cannot load certificate \"" + file + "\": BIO_new_file() failed (SSL: error:80000002:system library::" +
				"No such file or directory:calling fopen(" + file + ", r) error:10000080:BIO routines::no such file)"
		}
	}
	return ""
}

// rejecting is ssl_reject_handshake: without a certificate the handshake ends
// with the alert "unrecognized name".
var rejecting = &tls.Config{MinVersion: tls.VersionTLS12}

// handshake chooses the server by the name that the client sends.
func (s *Server) handshake(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	workers := s.nginx.serve()
	if workers == nil {
		return rejecting, nil
	}
	server := workers.find(strings.ToLower(hello.ServerName), true)
	if server == nil {
		return rejecting, nil
	}
	c := workers.terminate(server.certificate)
	c.NextProtos = []string{"http/1.1"}
	if server.http2 {
		c.NextProtos = []string{"h2", "http/1.1"}
	}
	return c, nil
}

// terminate is TLS with a certificate as it was when nginx loaded it.
func (w *workers) terminate(file string) *tls.Config {
	w.mu.RLock()
	defer w.mu.RUnlock()
	c := rejecting.Clone()
	if pair := w.certs[file]; pair != nil {
		c.Certificates = []tls.Certificate{*pair}
	}
	return c
}

func (v *serving) serveTLS(number int, h http.Handler) (*httpPort, error) {
	p, err := v.s.bind(number)
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: h, ErrorLog: quiet, TLSConfig: &tls.Config{
		MinVersion: tls.VersionTLS12, GetConfigForClient: v.s.handshake}}
	go srv.ServeTLS(p, "", "") //nolint:errcheck // ends with close
	return &httpPort{p, srv}, nil
}

// selfSigned stands for a certificate of Let's Encrypt.
func selfSigned(names []string, from, to time.Time) (chain, key string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // never fails
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(from.UnixNano()), Subject: pkix.Name{CommonName: names[0]},
		DNSNames: names, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		panic(fmt.Errorf("npmtest: no certificate for %q: %w", names, err))
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		panic(err) // an ECDSA key always can
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}
