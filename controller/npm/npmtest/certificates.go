package npmtest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"time"
)

func (s *Server) certificateRoutes(add addRoute) {
	base := "/nginx/certificates"
	add("GET", base, s.listCertificates)
	add("POST", base, s.createCertificate)
	add("GET", base+"/dns-providers", s.dnsProviders)
	add("POST", base+"/validate", s.validateCertificate)
	add("POST", base+"/test-http", s.testHTTP)
	add("GET", base+"/:", s.getCertificate)
	add("DELETE", base+"/:", s.deleteCertificate)
	add("GET", base+"/:/download", s.onlyLetsEncrypt("downloaded"))
	add("POST", base+"/:/renew", s.onlyLetsEncrypt("renewed"))
	add("POST", base+"/:/upload", s.uploadCertificate)
}

var certificateKind = hostKind{table: "certificate"}

func (s *Server) listCertificates(c *call) (answer, error) {
	if !c.access.can("view", "certificates") {
		return answer{}, notFound(c.path)
	}
	expand := c.URL.Query().Get("expand")
	if expand != "" && expand != "owner" {
		return answer{}, errInternal
	}
	rows := s.store.rows("certificate", func(r row) bool { return c.access.sees(r.int("owner_user_id")) })
	return answer{status: 200, body: join(rows, func(r row) []byte {
		if expand == "" {
			return s.store.tables["certificate"].encode(r)
		}
		r = r.with("owner", s.ownerJSON(r.int("owner_user_id"), false))
		return s.store.tables["certificate"].encode(r, "owner")
	})}, nil
}

// getCertificate leaks a custom certificate's private key in meta (FACTS).
func (s *Server) getCertificate(c *call) (answer, error) {
	r, err := s.host(certificateKind, c, "view")
	if err != nil {
		return answer{}, err
	}
	return answer{status: 200, body: s.store.tables["certificate"].encode(r)}, nil
}

func (s *Server) createCertificate(c *call) (answer, error) {
	b, err := c.body(s.bodies.certificate)
	if err != nil {
		return answer{}, err
	}
	if c.access.user == nil {
		return answer{}, notFound(c.path)
	}
	if !c.access.can("manage", "certificates") {
		return answer{}, errInternal
	}
	r := row{"owner_user_id": c.access.id, "nice_name": "", "domain_names": []any{}, "meta": map[string]any{}, "expires_on": now()}
	for k, v := range b {
		r[k] = v
	}
	r = s.store.insert("certificate", r)
	if r.str("provider") == "letsencrypt" {
		s.store.remove("certificate", r.int("id"))
		return answer{}, s.certbotError(r, c.access.user.str("email"))
	}
	s.audit(c.access.id, "created", "certificate", r.int("id"), s.store.tables["certificate"].encode(r))
	return answer{status: 201, body: s.store.tables["certificate"].encode(r)}, nil
}

// certbotFailed is the end of a host's order of a new certificate without a
// network. The host's conf was taken away for the challenge and is written again
// afterwards, but its meta is not ("files" of advanced_config has 3.conf).
func (s *Server) certbotFailed(host row) error {
	if err := s.regenerate([]row{host}); err != nil {
		return err
	}
	return errInternal
}

// certbotError is what a request to Let's Encrypt ends in without a network: a
// 500 that shows the whole stack (certificates.json).
func (s *Server) certbotError(r row, email string) error {
	names := make([]string, len(r.domains()))
	for i, d := range r.domains() {
		names[i] = d.(string)
	}
	batch := " -n"
	if s.old {
		batch = ""
	}
	host := "acme-v02.api.letsencrypt.org"
	return &apiError{status: 500, msg: "Internal Error", stack: []string{
		"Error: Saving debug log to /data/logs/letsencrypt.log",
		"An unexpected error occurred:",
		"requests.exceptions.ConnectionError: HTTPSConnectionPool(host='" + host + "', port=443): Max retries exceeded with url: /directory " +
			"(Caused by NameResolutionError(\"<urllib3.connection.HTTPSConnection object at 0x7f0000000000>: Failed to resolve '" + host +
			"' ([Errno -2] Name or service not known)\"))",
		"Ask for help or search for solutions at https://community.letsencrypt.org. See the logfile /data/logs/letsencrypt.log or re-run Certbot with -v for more details.",
		"",
	}, cause: map[string]any{"code": 1, "killed": false, "signal": nil,
		"cmd": fmt.Sprintf("certbot certonly%s --config /etc/letsencrypt.ini --work-dir /tmp/letsencrypt-lib --logs-dir /data/logs "+
			"--cert-name npm-%d --agree-tos --authenticator webroot -m %s --preferred-challenges http --domains %s",
			batch, r.int("id"), email, strings.Join(names, ",")),
	}}
}

func (s *Server) deleteCertificate(c *call) (answer, error) {
	r, err := s.host(certificateKind, c, "manage")
	if err != nil {
		return answer{}, err
	}
	s.store.remove("certificate", r.int("id"))
	s.audit(c.access.id, "deleted", "certificate", r.int("id"), s.store.tables["certificate"].encode(r.with("meta", nil)))
	return ok(true)
}

func (s *Server) onlyLetsEncrypt(done string) handler {
	return func(c *call) (answer, error) {
		if _, err := s.host(certificateKind, c, "view"); err != nil {
			return answer{}, err
		}
		return answer{}, badRequest("Only Let'sEncrypt certificates can be %s", done)
	}
}

// testHTTP has no network: every domain fails.
func (s *Server) testHTTP(c *call) (answer, error) {
	b, err := c.body(s.bodies.certificateDomains)
	if err != nil {
		return answer{}, err
	}
	result := map[string]string{}
	for _, d := range b["domains"].([]any) {
		result[d.(string)] = "failed"
	}
	return ok(result)
}

// dnsProviders is a sample: the full list of 86 plugins is NPM's own text.
func (s *Server) dnsProviders(c *call) (answer, error) {
	return ok([]any{map[string]any{"id": "acmedns", "name": "ACME-DNS",
		"credentials": "dns_acmedns_api_url = http://acmedns-server/\ndns_acmedns_registration_file = /data/acme-registration.json"}})
}

// keyPair is an uploaded certificate.
type keyPair struct {
	certificate, key string
	leaf             *x509.Certificate
}

// files reads the multipart fields; without any it is not an error object but
// plain text in "error" (certificates.json, "upload nothing").
func (c *call) files() (*keyPair, answer, error) {
	nothing := answer{status: 400, body: encode(map[string]string{"error": "No files were uploaded"})}
	if !isMultipart(c.Request) {
		return nil, nothing, nil
	}
	c.Body = io.NopCloser(strings.NewReader(string(c.raw)))
	if c.ParseMultipartForm(1<<20) != nil {
		return nil, nothing, nil //nolint:nilerr // a broken upload is none
	}
	p := &keyPair{certificate: formText(c.Request, "certificate"), key: formText(c.Request, "certificate_key")}
	if _, err := tls.X509KeyPair([]byte(p.certificate), []byte(p.key)); err != nil {
		return nil, answer{}, badRequest("Certificate is not valid (%v)", err)
	}
	block, _ := pem.Decode([]byte(p.certificate))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, answer{}, badRequest("Certificate is not valid (%v)", err)
	}
	p.leaf = leaf
	return p, answer{}, nil
}

func formText(r *http.Request, name string) string {
	if r.MultipartForm == nil {
		return ""
	}
	for _, f := range r.MultipartForm.File[name] {
		if text, err := readFile(f); err == nil {
			return text
		}
	}
	return r.FormValue(name)
}

func readFile(f *multipart.FileHeader) (string, error) {
	in, err := f.Open()
	if err != nil {
		return "", err
	}
	defer in.Close()
	b, err := io.ReadAll(in)
	return string(b), err
}

func (s *Server) validateCertificate(c *call) (answer, error) {
	if c.access.user == nil {
		return answer{}, notFound(c.path)
	}
	p, a, err := c.files()
	if p == nil {
		return a, err
	}
	info := map[string]any{"issuer": p.leaf.Issuer.String(),
		"dates": map[string]int64{"from": p.leaf.NotBefore.Unix(), "to": p.leaf.NotAfter.Unix()}}
	if !s.old { // 2.13.7 cannot read the subject that its openssl prints
		info["cn"] = p.leaf.Subject.CommonName
	}
	return ok(map[string]any{"certificate": info, "certificate_key": true})
}

func (s *Server) uploadCertificate(c *call) (answer, error) {
	p, a, err := c.files()
	if p == nil {
		return a, err
	}
	r, err := s.host(certificateKind, c, "manage")
	if err != nil {
		return answer{}, err
	}
	if r.str("provider") != "other" {
		return answer{}, badRequest("Cannot upload certificates for this type of provider")
	}
	meta := map[string]any{"certificate": p.certificate, "certificate_key": p.key}
	var name any = p.leaf.Subject.CommonName
	if s.old {
		name = nil
	}
	s.store.patch("certificate", r.int("id"), row{"meta": meta, "domain_names": []any{name},
		"expires_on": p.leaf.NotAfter.Local().Format(time.DateTime)})
	return ok(meta)
}
