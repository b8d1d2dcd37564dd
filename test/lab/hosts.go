package lab

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime/multipart"
	"net/http"
	"time"
)

// AddAccessList makes an access list with one user, as a person does.
func (l *Lab) AddAccessList(ctx context.Context, name, user, password string) error {
	return l.API(ctx, http.MethodPost, "/nginx/access-lists", map[string]any{
		"name": name, "satisfy_any": false, "pass_auth": false, "clients": []any{},
		"items": []any{map[string]any{"username": user, "password": password}},
	}, nil)
}

// AddCertificate uploads a certificate of its own making for the domains, as a
// person does, and returns its id.
func (l *Lab) AddCertificate(ctx context.Context, name string, domains ...string) (id int, err error) {
	var made struct{ ID int }
	err = l.API(ctx, http.MethodPost, "/nginx/certificates", map[string]any{"provider": "other", "nice_name": name}, &made)
	if err != nil {
		return 0, err
	}
	certificate, key, err := keyPair(domains)
	if err != nil {
		return 0, err
	}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	for field, text := range map[string][]byte{"certificate": certificate, "certificate_key": key} {
		part, err := w.CreateFormFile(field, field+".pem")
		if err == nil {
			_, err = part.Write(text)
		}
		if err != nil {
			return 0, err
		}
	}
	if err := w.Close(); err != nil {
		return 0, err
	}
	path := fmt.Sprintf("/nginx/certificates/%d/upload", made.ID)
	return made.ID, l.send(ctx, http.MethodPost, path, w.FormDataContentType(), &form, nil)
}

// keyPair is a self-signed certificate, and its key.
func keyPair(domains []string) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: domains[0]}, DNSNames: domains,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), err
}

// Send connects the visitor to a port of NPM's container, sends a text, and
// returns as many bytes of the answer as are wanted.
func (l *Lab) Send(ctx context.Context, port int, text string, want int) (string, error) {
	conn, err := l.Dial(ctx, port)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := io.WriteString(conn, text); err != nil {
		return "", err
	}
	data := make([]byte, want)
	n, err := io.ReadFull(conn, data)
	return string(data[:n]), errors.Join(err, ctx.Err())
}
