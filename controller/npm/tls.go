package npm

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"
)

const handshakeTimeout = 10 * time.Second

// dialTLS connects to NPM behind https. The operator's CA is read for each
// connection: a file that was corrected or renewed counts at once.
func (o Options) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{ServerName: host, InsecureSkipVerify: o.Insecure}
	if o.CAFile != "" {
		if config.RootCAs, err = withCA(o.CAFile); err != nil {
			return nil, &CertificateError{Err: err}
		}
	}
	plain, err := o.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	conn := tls.Client(plain, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = plain.Close() // nothing was said that could get lost
		var unverified *tls.CertificateVerificationError
		if errors.As(err, &unverified) && len(unverified.UnverifiedCertificates) > 0 {
			return nil, &CertificateError{Certificate: unverified.UnverifiedCertificates[0], Err: unverified.Err}
		}
		return nil, err
	}
	return conn, nil
}

// withCA are the machine's certificate authorities and those of a PEM file.
func withCA(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err // the status port says it too, and no paths
	}
	if err != nil {
		return nil, fmt.Errorf("reading the CA of NPM's certificate (NO502_NPM_CA_FILE): %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil { // a container without any
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("the file of NO502_NPM_CA_FILE holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----")
	}
	return pool, nil
}

// CertificateError says that NPM's certificate could not be verified.
type CertificateError struct {
	Certificate *x509.Certificate // NPM's; nil: the operator's CA could not be read
	Err         error
}

func (e *CertificateError) Error() string {
	if e.Certificate == nil {
		return e.Err.Error()
	}
	names := append([]string{}, e.Certificate.DNSNames...)
	for _, ip := range e.Certificate.IPAddresses {
		names = append(names, ip.String())
	}
	fix := "give no502 the CA that issued it (NO502_NPM_CA_FILE)"
	var other x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(e.Err, &other):
		fix = "call NPM by one of these names in NO502_NPM_URL"
	case errors.As(e.Err, &invalid) && invalid.Reason == x509.Expired:
		fix = "renew it"
	}
	return oneLine(fmt.Sprintf("NPM's certificate is not trusted: %v (it is for %s, issued by %q, from %s to %s); %s, or have it not verified (NO502_NPM_INSECURE=true)",
		e.Err, strings.Join(names, ", "), e.Certificate.Issuer.String(),
		e.Certificate.NotBefore.Format(time.DateOnly), e.Certificate.NotAfter.Format(time.DateOnly), fix))
}

func (e *CertificateError) Unwrap() error { return e.Err }
