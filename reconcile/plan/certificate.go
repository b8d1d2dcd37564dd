package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
)

// expiring certificates come after those that last.
const expiring = 14 * 24 * time.Hour

// certificate sets the certificate: the one that is named; else the one that
// fits best. Where nothing is said of it, a new host begins with that, and has
// it followed as long as nobody chooses another in NPM.
func (j *judgement) certificate(row, want api.Fields) {
	said := j.claim.Route.Certificate
	if said == "" && (j.claim.Kind == api.KindStream || !j.new && !(j.ours() && j.untouched(row, api.FieldCertificate))) {
		return
	}
	if j.s.NPM.Certificates == nil && said != intent.CertificateNone {
		j.keep(row, want, api.FieldCertificate)
		if said != "" {
			j.v.Findings = append(j.v.Findings, api.Finding{
				Code:    api.NotSupported,
				Message: fmt.Sprintf("no502's user may not see NPM's certificates, so %s is left with what it has", j.v.Name),
				Fix:     "give the user the permission to view certificates in NPM",
			})
		}
		return
	}
	domains := j.domains(row, want)
	switch said {
	case "", intent.CertificateAuto:
		best := j.best(j.s.NPM.Certificates, domains)
		if best == nil && said != "" {
			j.v.Findings = append(j.v.Findings, api.Finding{
				Code:    api.CertificateMissing,
				Message: fmt.Sprintf("NPM has no certificate for %s", strings.Join(domains, ", ")),
				Fix:     "upload one in NPM, or ask for one with the label certificate: letsencrypt",
			})
		}
		switch {
		case best != nil:
			want[api.FieldCertificate] = best.ID
		case j.serves(row.Int(api.FieldCertificate), domains): // though it expired
			want[api.FieldCertificate] = row.Int(api.FieldCertificate)
		default:
			want[api.FieldCertificate] = 0
		}
	case intent.CertificateNone:
		want[api.FieldCertificate] = 0
	case intent.CertificateLetsEncrypt:
		j.ignoredEmail()
		j.keep(row, want, api.FieldCertificate)
		if c := j.issued(domains); c != nil && c.Expires.After(j.s.Now) {
			want[api.FieldCertificate] = c.ID
		}
	default:
		j.keep(row, want, api.FieldCertificate)
		j.namedCertificate(said, domains, want)
	}
}

// serves: NPM has a certificate, and it is for one of these domains.
func (j *judgement) serves(id int, domains []string) bool {
	return slices.ContainsFunc(j.s.NPM.Certificates, func(c api.Certificate) bool {
		return c.ID == id && slices.ContainsFunc(domains, func(d string) bool { covered, _ := c.Covers(d); return covered })
	})
}

// domains are those that the host serves, or is to serve.
func (j *judgement) domains(row, want api.Fields) []string {
	if d := want.Strings(api.FieldDomains); d != nil {
		return d
	}
	return row.Strings(api.FieldDomains)
}

func (j *judgement) namedCertificate(said string, domains []string, want api.Fields) {
	var found []api.Certificate
	for _, c := range j.s.NPM.Certificates {
		if c.Name == said || strconv.Itoa(c.ID) == said {
			found = append(found, c)
		}
	}
	if len(found) == 0 {
		j.fail(&j.v.InSync, api.Finding{
			Code:    api.CertificateMissing,
			Message: fmt.Sprintf("NPM has no certificate %q, which %s is to have", said, j.v.Name),
			Fix:     "upload it in NPM, or correct the label certificate",
		})
		return
	}
	want[api.FieldCertificate] = found[0].ID
	if best := j.best(found, domains); best != nil {
		want[api.FieldCertificate] = best.ID
	}
}

// best is the certificate that fits some domains best: all of them over some,
// one that lasts over one that expires, exact names over wildcards, then the one
// that lasts longest. Expired ones, and those for which Let's Encrypt is still
// being asked, never fit.
func (j *judgement) best(certificates []api.Certificate, domains []string) *api.Certificate {
	type fit struct {
		covered, exact int
		lasts          bool
		c              *api.Certificate
	}
	var fits []fit
	for i := range certificates {
		c := &certificates[i]
		f := fit{c: c, lasts: c.Expires.After(j.s.Now.Add(expiring))}
		for _, d := range domains {
			covered, exact := c.Covers(d)
			f.covered += count(covered)
			f.exact += count(exact)
		}
		if f.covered > 0 && c.Expires.After(j.s.Now) {
			fits = append(fits, f)
		}
	}
	if len(fits) == 0 {
		return nil
	}
	return slices.MaxFunc(fits, func(a, b fit) int {
		return cmp.Or(a.covered-b.covered, count(a.lasts)-count(b.lasts), a.exact-b.exact,
			a.c.Expires.Compare(b.c.Expires), b.c.ID-a.c.ID)
	}).c
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

// secured are the options that need something of NPM, by their labels.
var secured = []struct{ field, needs, label string }{
	{api.FieldForceSSL, api.FieldCertificate, "force-ssl"},
	{api.FieldHTTP2, api.FieldCertificate, "http2"},
	{api.FieldHSTS, api.FieldForceSSL, "hsts"},
	{api.FieldHSTSSubs, api.FieldHSTS, "hsts-subdomains"},
}

// tls applies NPM's own rules: without a certificate nothing can be forced to
// HTTPS, and without that there is no HSTS.
func (j *judgement) tls(row, want api.Fields) {
	now := row.With(want)
	var idle []string // labels without effect
	for _, o := range secured {
		if now.Int(o.needs) != 0 || now.Bool(o.needs) {
			continue
		}
		if j.claim.Route.Claims.Bool(o.field) {
			idle = append(idle, o.label)
		}
		if now.Bool(o.field) {
			want[o.field], now[o.field] = false, false
		}
		if j.new {
			delete(want, o.field)
		}
	}
	f := api.Finding{
		Code:    api.CertificateNeeded,
		Message: fmt.Sprintf("%s has no certificate, so these labels have no effect: %s", j.v.Name, strings.Join(idle, ", ")),
		Fix:     "upload one in NPM, or ask for one with the label certificate: letsencrypt",
	}
	if now.Int(api.FieldCertificate) != 0 {
		f.Code = api.NotSupported
		f.Message = fmt.Sprintf("NPM sends HSTS only where it redirects to HTTPS, so these labels of %s have no effect: %s", j.v.Name, strings.Join(idle, ", "))
		f.Fix = "add the label force-ssl, or hsts for hsts-subdomains"
	}
	if len(idle) > 0 {
		j.v.Findings = append(j.v.Findings, f)
	}
}

// issued is Let's Encrypt's certificate for exactly these domains or more, valid
// or still being asked for; nil: none was.
func (j *judgement) issued(domains []string) *api.Certificate {
	var found []api.Certificate
	for _, c := range j.s.NPM.Certificates {
		if c.Issued(domains, j.s.Now.Add(-api.CertificatePending)) {
			found = append(found, c)
		}
	}
	if best := j.best(found, domains); best != nil || len(found) == 0 {
		return best
	}
	return &found[0]
}

// letsEncryptPauses are how long Let's Encrypt is left alone after it refused. It
// counts failures by the hour and by the week.
var letsEncryptPauses = api.Backoff{First: 2 * time.Hour, Last: 32 * time.Hour}

// askForCertificate asks Let's Encrypt once: never while it has given one, or is
// being asked, and not soon again after it refused.
func (j *judgement) askForCertificate() {
	if j.claim == nil || j.claim.Route.Certificate != intent.CertificateLetsEncrypt || j.s.NPM.Certificates == nil {
		return
	}
	domains := j.h.Fields().Strings(api.FieldDomains)
	if len(domains) == 0 || j.issued(domains) != nil {
		return
	}
	f := j.cannotAsk(domains)
	if f == nil {
		f = j.refusedLately()
	}
	if f != nil {
		j.v.Findings = append(j.v.Findings, *f)
		return
	}
	j.v.Findings = append(j.v.Findings, api.Finding{
		Code:    api.CertificateMissing,
		Message: "NPM has no certificate of Let's Encrypt for " + strings.Join(domains, ", "),
		Fix:     "no502 asks for one",
	})
	j.builder.act(api.Action{
		Op: api.OpCertificate, Host: j.v.Key, Domain: j.v.Name, Because: []api.Code{api.CertificateMissing},
		Certificate: api.CertificateRequest{Domains: domains, DNSProvider: j.claim.Route.DNSProvider}, Ownership: j.h.Ownership,
	})
}

// cannotAsk says what is missing for a request to Let's Encrypt.
func (j *judgement) cannotAsk(domains []string) *api.Finding {
	provider := j.claim.Route.DNSProvider
	switch {
	case j.claim.Kind == api.KindDeadHost:
		// Asked without a memory of what was refused, Let's Encrypt would be
		// asked too often.
		return &api.Finding{
			Code:    api.NotSupported,
			Message: fmt.Sprintf("no502 asks Let's Encrypt for no certificate for the 404 host %s, since NPM keeps no note there of what was refused", j.v.Name),
			Fix:     "ask for it in NPM, under SSL Certificates, and no502 uses it",
		}
	case provider != "" && !slices.Contains(j.p.DNSProviders, provider):
		return &api.Finding{
			Code:    api.NotPermitted,
			Message: fmt.Sprintf("there are no credentials for the DNS provider %s", provider),
			Fix:     fmt.Sprintf("mount a file %s.ini into the directory NO502_DNS_CREDENTIALS", provider),
		}
	case provider == "" && slices.ContainsFunc(domains, func(d string) bool { return strings.HasPrefix(d, "*") }):
		return &api.Finding{
			Code:    api.CertificateFailed,
			Message: "Let's Encrypt gives a certificate for a wildcard only with a DNS challenge",
			Fix:     "name the DNS provider with the label letsencrypt.dns-provider",
		}
	}
	return nil
}

// refusedLately says that Let's Encrypt refused, and is left alone for now.
func (j *judgement) refusedLately() *api.Finding {
	o := j.h.Ownership
	if o == nil || o.LetsEncrypt == nil {
		return nil
	}
	last := o.LetsEncrypt.Last
	if last.After(j.s.Now) {
		last = j.s.Engine.Since // the clock that noted it was ahead, perhaps by years
	}
	again := last.Add(letsEncryptPauses.After(o.LetsEncrypt.Failures))
	if !j.s.Now.Before(again) {
		return nil
	}
	j.due(again)
	return &api.Finding{
		Code:    api.CertificateFailed,
		Message: fmt.Sprintf("%s has no certificate of Let's Encrypt yet: %s", j.v.Name, o.LetsEncrypt.Error),
		Fix:     "see NPM's log (/data/logs/letsencrypt.log); no502 asks again at " + again.UTC().Format("2006-01-02 15:04 MST"),
	}
}

// ignoredEmail: NPM from 2.13 on tells Let's Encrypt the e-mail address of its own
// user, and takes no other (read in the source of 2.13.7 and 2.15.1).
func (j *judgement) ignoredEmail() {
	if j.claim.Route.Email == "" {
		return
	}
	j.v.Findings = append(j.v.Findings, api.Finding{
		Code:    api.NotSupported,
		Message: fmt.Sprintf("NPM tells Let's Encrypt the e-mail address of the user with which no502 logs in, not %s", j.claim.Route.Email),
		Fix:     "give that user the address that you want, and take the label letsencrypt.email away",
	})
}
