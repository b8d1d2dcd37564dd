package npmtest

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"maps"
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
	add("GET", base+"/:/download", s.downloadCertificate)
	add("POST", base+"/:/renew", s.renewCertificate)
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
			return s.certificateJSON(r)
		}
		return s.certificateJSON(r.with("owner", s.ownerJSON(r.int("owner_user_id"), false)), "owner")
	})}, nil
}

// getCertificate leaks a custom certificate's private key in meta (FACTS).
func (s *Server) getCertificate(c *call) (answer, error) {
	r, err := s.host(certificateKind, c, "view")
	if err != nil {
		return answer{}, err
	}
	return answer{status: 200, body: s.certificateJSON(r)}, nil
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
	maps.Copy(r, b)
	if r.str("provider") == "letsencrypt" {
		_, shown, err := s.letsEncrypt(c, r)
		return answer{status: 201, body: shown}, err
	}
	sortDomains(r)
	r = s.store.insert("certificate", r)
	shown := s.certificateJSON(r)
	s.audit(c.access.id, "created", "certificate", r.int("id"), shown)
	return answer{status: 201, body: shown}, nil
}

// certificateJSON leaves out the credentials of the DNS provider. The private key
// of a custom certificate it shows (FACTS, Others).
func (s *Server) certificateJSON(r row, expanded ...string) []byte {
	if meta, _ := r["meta"].(map[string]any); meta["dns_provider_credentials"] != nil {
		meta = maps.Clone(meta)
		delete(meta, "dns_provider_credentials")
		r = r.with("meta", meta)
	}
	return s.store.tables["certificate"].encode(r, expanded...)
}

func (s *Server) deleteCertificate(c *call) (answer, error) {
	r, err := s.host(certificateKind, c, "manage")
	if err != nil {
		return answer{}, err
	}
	s.store.remove("certificate", r.int("id"))
	s.audit(c.access.id, "deleted", "certificate", r.int("id"), s.certificateJSON(r.with("meta", cleanMeta(r))))
	if r.str("provider") == "letsencrypt" && s.opt.LetsEncrypt != nil {
		s.nginx.removePair(sslDir(r)) // revoked; hosts that use it still name the files
	}
	return ok(true)
}

// cleanMeta is a certificate's meta in the audit log: that there are files.
func cleanMeta(r row) map[string]any {
	meta, _ := r["meta"].(map[string]any)
	meta = maps.Clone(meta)
	for _, name := range sslFiles {
		if meta[name] != nil {
			meta[name] = true
		}
	}
	return meta
}

func (s *Server) downloadCertificate(c *call) (answer, error) {
	if _, err := s.host(certificateKind, c, "view"); err != nil {
		return answer{}, err
	}
	return answer{}, badRequest("Only Let'sEncrypt certificates can be downloaded")
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

// sslFiles are the fields of an upload.
var sslFiles = []string{"certificate", "certificate_key", "intermediate_certificate"}

// keyPair is an uploaded certificate.
type keyPair struct {
	chain, key string
	leaf       *x509.Certificate
	meta       map[string]any
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
	p := &keyPair{meta: map[string]any{}}
	for _, name := range sslFiles {
		if text := formText(c.Request, name); text != "" {
			p.meta[name] = text
		}
	}
	p.chain, p.key = row(p.meta).str("certificate"), row(p.meta).str("certificate_key")
	if more := row(p.meta).str("intermediate_certificate"); more != "" {
		p.chain += "\n" + more
	}
	pair, err := tls.X509KeyPair([]byte(p.chain), []byte(p.key))
	if err != nil {
		return nil, answer{}, badRequest("Certificate is not valid (%v)", err)
	}
	p.leaf = pair.Leaf
	if p.leaf.NotAfter.Before(time.Now()) {
		return nil, answer{}, badRequest("Certificate is not valid (Certificate has expired)")
	}
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
	names := []any{p.leaf.Subject.CommonName}
	switch {
	case s.old: // cannot read the subject that its openssl prints
		names[0] = nil
	case names[0] == "":
		names = []any{}
	}
	meta, _ := r["meta"].(map[string]any)
	meta = maps.Clone(meta)
	maps.Copy(meta, p.meta)
	r = s.store.patch("certificate", r.int("id"), row{"meta": meta, "domain_names": names,
		"expires_on": p.leaf.NotAfter.Local().Format(time.DateTime)})
	s.audit(c.access.id, "updated", "certificate", r.int("id"), encode(row{"id": r.int("id"), "domain_names": names,
		"meta": cleanMeta(r), "nice_name": r.str("nice_name")}))
	if err := s.nginx.writePair(sslDir(r), p.chain, p.key); err != nil {
		return answer{}, errInternal
	}
	return ok(p.meta)
}
