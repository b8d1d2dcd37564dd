package npm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/no502/no502/api"
)

// certbotTimeout: NPM answers when certbot is done, which waits for DNS to
// spread.
const certbotTimeout = 15 * time.Minute

// readCertificates reads of certificates what is no secret: their meta holds
// private keys, and the credentials of DNS providers.
func readCertificates(body io.Reader) (*[]api.Certificate, error) {
	all := []api.Certificate{}
	err := eachRow(body, "certificates", func(raw json.RawMessage) error {
		var row struct {
			ID       flexInt     `json:"id"`
			Name     flexString  `json:"nice_name"`
			Provider flexString  `json:"provider"`
			Domains  flexStrings `json:"domain_names"`
			Expires  flexString  `json:"expires_on"`
		}
		if json.Unmarshal(raw, &row) != nil || row.ID <= 0 {
			return errors.New("a certificate's row has no id") // and nothing of it is shown
		}
		expires := expiry(string(row.Expires))
		all = append(all, api.Certificate{ID: int(row.ID), Name: string(row.Name), Provider: string(row.Provider),
			Domains: row.Domains, Expires: expires})
		return nil
	})
	return &all, err
}

// expiry reads the end of a certificate: SQLite gives it without a zone, other
// databases in ISO 8601. One that cannot be read is taken for far away, lest a
// certificate that works is dropped.
func expiry(text string) time.Time {
	for _, layout := range []string{time.DateTime, time.RFC3339Nano} {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	return time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)
}

func sameCertificates(a, b []api.Certificate) bool {
	return (a == nil) == (b == nil) && slices.EqualFunc(a, b, func(a, b api.Certificate) bool {
		return a.ID == b.ID && a.Name == b.Name && a.Provider == b.Provider &&
			slices.Equal(a.Domains, b.Domains) && a.Expires.Equal(b.Expires)
	})
}

func readAccessLists(body io.Reader) (*[]api.AccessList, error) {
	all := []api.AccessList{}
	err := eachRow(body, "access lists", func(raw json.RawMessage) error {
		var row struct {
			ID   flexInt    `json:"id"`
			Name flexString `json:"name"`
		}
		if json.Unmarshal(raw, &row) != nil || row.ID <= 0 {
			return errors.New("an access list's row has no id")
		}
		all = append(all, api.AccessList{ID: int(row.ID), Name: string(row.Name)})
		return nil
	})
	return &all, err
}

// RequestCertificate has NPM ask Let's Encrypt for a certificate, by the DNS
// challenge of a provider, or by HTTP where dnsProvider is empty. credentials
// are the content of that provider's credentials file. If NPM has a certificate
// for these domains, or is just asking for one, nothing is asked. NPM answers
// when certbot is done, and writes nothing else meanwhile.
func (c *Client) RequestCertificate(ctx context.Context, domains []string, dnsProvider, credentials string) error {
	if err := checkDomains(domains); err != nil {
		return err
	}
	return c.inTurn(ctx, func() ([]api.Key, error) {
		certificates := list{path: certificatesPath}
		foreign, err := c.look(ctx, certificates)
		if err != nil {
			return foreign, err
		}
		have, err := c.covered(domains, -api.CertificatePending)
		if have || err != nil {
			return foreign, err
		}
		ctx, cancel := lasting(ctx)
		defer cancel()
		err = c.askCertbot(ctx, domains, dnsProvider, credentials)
		if err == nil || unclear(err) {
			foreign = append(foreign, c.saveServing(ctx, domains)...)
		}
		news, lookErr := c.look(ctx, certificates)
		if lookErr != nil {
			c.listed = time.Time{} // the next look sees what came of it
		}
		have, coverErr := c.covered(domains, 0)
		switch {
		case have && err != nil && unclear(err):
			err = nil
		case !have && err == nil && lookErr == nil && coverErr == nil: // it would be asked for for ever
			err = fmt.Errorf("NPM got a certificate for %s that is not valid by this machine's clock, which says %s: set the clock",
				strings.Join(domains, ", "), time.Now().UTC().Format(time.DateTime))
		}
		return append(foreign, news...), err
	})
}

// saveServing saves the hosts again that serve these domains: while it asks,
// NPM takes their files away, and then writes them without their certificates
// and the rules of their access lists (2.13.7 and 2.15.1). What fails here Run
// tries again.
func (c *Client) saveServing(ctx context.Context, domains []string) (foreign []api.Key) {
	var keys []api.Key
	c.View(func(n *api.NPM) {
		for _, d := range domains {
			if h := n.Serving(d); h != nil && h.Enabled {
				keys = append(keys, h.Key())
			}
		}
	})
	slices.SortFunc(keys, compareKeys)
	for _, key := range slices.Compact(keys) {
		c.doubted(key)
		h, changed, err := c.get(ctx, key)
		if changed {
			foreign = append(foreign, key)
		}
		if err == nil && h.Enabled {
			err = c.save(ctx, h)
		}
		if err != nil {
			c.log.V(1).Info("saving a host again failed", "host", key.String(), "error", err.Error())
		}
	}
	return foreign
}

// covered reports whether NPM has a certificate of Let's Encrypt for domains
// that holds for some time yet.
func (c *Client) covered(domains []string, left time.Duration) (have bool, err error) {
	c.View(func(n *api.NPM) {
		if n.Certificates == nil {
			err = fmt.Errorf("user %s lacks a permission (SSL certificates: manage)", c.session.name())
		}
		have = slices.ContainsFunc(n.Certificates, func(cert api.Certificate) bool { return cert.Issued(domains, time.Now().Add(left)) })
	})
	return have, err
}

// askCertbot is the request; of its answer nothing is kept, since that repeats
// the credentials.
func (c *Client) askCertbot(ctx context.Context, domains []string, dnsProvider, credentials string) error {
	meta := map[string]any{"dns_challenge": dnsProvider != ""}
	if dnsProvider != "" {
		meta["dns_provider"], meta["dns_provider_credentials"] = dnsProvider, credentials
	}
	var made struct{}
	err := c.authorized(ctx, request{
		method: http.MethodPost, path: certificatesPath, timeout: certbotTimeout, secret: credentials,
		body: map[string]any{"provider": "letsencrypt", "domain_names": domains, "meta": meta},
	}, into(&made))
	if err != nil {
		return fmt.Errorf("asking Let's Encrypt for a certificate for %s: %w", strings.Join(domains, ", "), err)
	}
	return nil
}
