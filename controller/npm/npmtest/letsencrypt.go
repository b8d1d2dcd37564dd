package npmtest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// LetsEncryptRequest is what NPM asks certbot for.
type LetsEncryptRequest struct {
	CertificateID          int
	DomainNames            []string
	Email                  string // of the user whose request it is
	DNSChallenge           bool
	DNSProvider            string
	DNSProviderCredentials string
	PropagationSeconds     int    // 0: the plugin's own
	KeyType                string // "rsa", "ecdsa", or "": certbot's own
	Renew                  bool
}

// lifetime is that of Let's Encrypt's certificates.
const lifetime = 90 * 24 * time.Hour

// letsEncrypt orders a certificate. Its row is there meanwhile; when certbot fails
// it goes.
func (s *Server) letsEncrypt(c *call, r row) (saved row, shown []byte, err error) {
	if len(r.domains()) == 0 {
		return nil, nil, errInternal
	}
	r["nice_name"] = domainText(r, ", ")
	r["domain_names"] = slices.Clone(r.domains())
	sortDomains(r)
	r = s.store.insert("certificate", r)
	id := r.int("id")
	if err := s.challenge(r, c.access.user.str("email")); err != nil {
		s.store.remove("certificate", id)
		return nil, nil, err
	}
	r, info := s.issue(r)
	meta, _ := r["meta"].(map[string]any)
	meta = maps.Clone(meta)
	meta["letsencrypt_certificate"] = info
	shown = s.certificateJSON(r.with("meta", meta))
	s.audit(c.access.id, "created", "certificate", id, shown)
	return r, shown, nil
}

// orderCertificate is certificate_id "new" of a host.
func (s *Server) orderCertificate(c *call, names []any, meta map[string]any) (id int, err error) {
	if !c.access.can("manage", "certificates") {
		return 0, errInternal
	}
	r, _, err := s.letsEncrypt(c, row{"provider": "letsencrypt", "owner_user_id": c.access.id, "domain_names": names,
		"meta": meta, "expires_on": now()})
	if err != nil { // only the routes of certificates show certbot's words
		return 0, errInternal
	}
	return r.int("id"), nil
}

// challenge runs certbot. The hosts that have one of the names are off meanwhile;
// then their conf files are written from bare rows: without the certificate that
// they have, and without the rules of their access list. After a success nginx is
// not told of these files: unless the reload before them was slow enough to find
// them (ReloadDelay), they come back with the next write of anything.
func (s *Server) challenge(r row, email string) (err error) {
	q := s.request(r, email)
	inUse := s.hostsNamed(r.domains())
	for path := range inUse {
		s.nginx.remove(path, false)
	}
	request := fmt.Sprintf("temp/letsencrypt_%d.conf", q.CertificateID)
	if !q.DNSChallenge {
		s.nginx.write(request, requestConf(r))
	}
	if err = s.nginx.reload(); err == nil {
		err = s.certbot(q)
	}
	s.nginx.remove(request, false)
	if err == nil {
		err = s.nginx.reload()
	}
	for path, host := range inUse {
		table, _, _ := strings.Cut(path, "/")
		s.nginx.write(path, s.hostConf(table, host, bareRow))
	}
	if err != nil && s.nginx.reload() != nil {
		return errInternal
	}
	return err
}

// hostsNamed are the hosts of any kind that have one of the names, disabled ones
// too, by conf file.
func (s *Server) hostsNamed(names []any) map[string]row {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	hosts := map[string]row{}
	for _, name := range names {
		for _, o := range s.store.domains[strings.ToLower(name.(string))] {
			hosts[confPath(o.table, o.id)] = s.store.tables[o.table].byID[o.id].row
		}
	}
	return hosts
}

func (s *Server) request(r row, email string) LetsEncryptRequest {
	m, _ := r["meta"].(map[string]any)
	meta := row(m)
	q := LetsEncryptRequest{CertificateID: r.int("id"), Email: email, DNSChallenge: meta.bool("dns_challenge"),
		DNSProvider: meta.str("dns_provider"), DNSProviderCredentials: meta.str("dns_provider_credentials"),
		KeyType: meta.str("key_type")}
	q.PropagationSeconds, _ = strconv.Atoi(fmt.Sprint(meta["propagation_seconds"])) // a host's meta has any type
	for _, d := range r.domains() {
		q.DomainNames = append(q.DomainNames, d.(string))
	}
	return q
}

// certbot lets other writes pass while it runs, as a process of its own does.
func (s *Server) certbot(q LetsEncryptRequest) error {
	if s.opt.LetsEncrypt == nil {
		return s.certbotError(q)
	}
	if s.opt.WriteWindow == 0 {
		s.writing.Unlock()
		defer s.writing.Lock()
	}
	if err := s.opt.LetsEncrypt(q); err != nil {
		return &apiError{status: 500, msg: "Internal Error", stack: []string{"Error: " + err.Error()}}
	}
	return nil
}

// issue writes the certificate's files and its expires_on, and returns what NPM
// reads in it.
func (s *Server) issue(r row) (saved row, info map[string]any) {
	from := s.opt.Clock().Truncate(time.Second)
	to := from.Add(lifetime)
	names := s.request(r, "").DomainNames
	chain, key := selfSigned(names, from, to)
	if err := s.nginx.writePair(sslDir(r), chain, key); err != nil {
		panic(fmt.Errorf("npmtest: %w", err)) // DataDir is unusable
	}
	info = map[string]any{"issuer": "CN=" + names[0], "dates": map[string]int64{"from": from.Unix(), "to": to.Unix()}}
	if !s.old { // 2.13.7 cannot read the subject that its openssl prints
		info["cn"] = names[0]
	}
	return s.store.patch("certificate", r.int("id"), row{"expires_on": to.Local().Format(time.DateTime)}), info
}

// renewCertificate answers with the whole row: here the DNS provider's
// credentials do show. nginx is not reloaded.
func (s *Server) renewCertificate(c *call) (answer, error) {
	r, err := s.host(certificateKind, c, "manage")
	if err != nil {
		return answer{}, err
	}
	if r.str("provider") != "letsencrypt" {
		return answer{}, badRequest("Only Let'sEncrypt certificates can be renewed")
	}
	q := s.request(r, c.access.user.str("email"))
	q.Renew = true
	if err := s.certbot(q); err != nil {
		return answer{}, err
	}
	r, _ = s.issue(r)
	shown := s.withDeleted("certificate", r)
	s.audit(c.access.id, "renewed", "certificate", r.int("id"), shown)
	return answer{status: 200, body: shown}, nil
}

// certbotError is what a request to Let's Encrypt ends in without a network: a
// 500 that shows the whole stack (certificates.json).
func (s *Server) certbotError(q LetsEncryptRequest) error {
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
			batch, q.CertificateID, q.Email, strings.Join(q.DomainNames, ",")),
	}}
}
