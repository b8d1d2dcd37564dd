package npmtest_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"mime/multipart"
	"testing"
	"time"
)

// selfSigned makes a certificate and its key for a name, valid for 30 days.
func selfSigned(t *testing.T, cn string) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	name := pkix.Name{CommonName: cn}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: name, Issuer: name, DNSNames: []string{cn},
		NotBefore: time.Now(), NotAfter: time.Now().Add(30 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// multipartBody is the upload of a certificate for a name.
func multipartBody(t *testing.T, cn string) (body []byte, kind string) {
	t.Helper()
	certificate, key := selfSigned(t, cn)
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for field, text := range map[string][]byte{"certificate": certificate, "certificate_key": key} {
		f, err := w.CreateFormFile(field, field+".pem")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.FormDataContentType()
}
