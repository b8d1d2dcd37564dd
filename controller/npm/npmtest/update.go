package npmtest

import (
	"maps"
	"slices"
	"strings"
)

// newCertificate tells whether a write asks for a new certificate. What else it
// says of certificate_id is nothing then.
func newCertificate(b row) bool {
	wanted := b["certificate_id"] == "new"
	if wanted {
		delete(b, "certificate_id")
	}
	return wanted
}

func sortDomains(b row) {
	slices.SortFunc(b.domains(), func(x, y any) int { return strings.Compare(x.(string), y.(string)) })
}

// cleanSSL applies the rules between certificate_id and the TLS switches to the
// fields of a write. An explicit certificate_id counts as a certificate even when
// it is 0 (FACTS 11).
func cleanSSL(b, existing row) {
	_, explicit := b["certificate_id"]
	effective := func(name string) bool {
		if v, sent := b[name]; sent {
			return v == true
		}
		return existing.bool(name)
	}
	if !explicit && existing.int("certificate_id") == 0 {
		b["ssl_forced"], b["http2_support"] = false, false
	}
	if !effective("ssl_forced") {
		b["hsts_enabled"] = false
	}
	if !effective("hsts_enabled") {
		b["hsts_subdomains"] = false
	}
}

func (s *Server) updateHost(k hostKind, c *call) (answer, error) {
	b, err := c.body(k.update)
	if err != nil {
		return answer{}, err
	}
	old, err := s.host(k, c, "manage")
	if err != nil {
		return answer{}, err
	}
	if err := s.checkDomains(b, domainOwner{k.table, old.int("id")}); err != nil {
		return answer{}, err
	}
	if newCertificate(b) { // ordering it comes before the row
		names, meta := old.domains(), map[string]any{}
		if b.domains() != nil {
			names = b.domains()
		}
		for _, r := range []row{old, b} {
			m, _ := r["meta"].(map[string]any)
			maps.Copy(meta, m)
		}
		if b["certificate_id"], err = s.orderCertificate(c, names, meta); err != nil {
			return answer{}, err
		}
	}
	r, err := s.saveHost(k, c, old, b)
	if err != nil {
		return answer{}, err
	}
	return answer{status: 200, body: s.expanded(k.table, r, s.fullExpand(k.table))}, nil
}

// saveHost patches a row, and configures nginx with it.
func (s *Server) saveHost(k hostKind, c *call, old, b row) (row, error) {
	id := old.int("id")
	sortDomains(b)
	change := maps.Clone(b)
	if k.table != "stream" {
		cleanSSL(b, old)
	}
	if k.table != "dead_host" { // of a dead host the cleaned fields are logged only
		change = b
	}
	logged := maps.Clone(old)
	maps.Copy(logged, b)
	r := s.store.patch(k.table, id, change)
	if r == nil { // deleted meanwhile (WriteWindow)
		return nil, notFound(id)
	}
	s.audit(c.access.id, "updated", k.audit, id, s.store.tables[k.table].encode(logged))
	switch {
	case k.table == "dead_host": // with the row as it was before: see TestDeadHostPut
		_, err := s.configure(k.table, old, bareRow)
		return r, err
	case k.table == "proxy_host" && !r.bool("enabled"): // is not configured (FACTS 8)
		return r, nil
	}
	meta, err := s.configure(k.table, r, withAll)
	if err != nil {
		return nil, err
	}
	return r.with("meta", meta), nil
}

// withNewCertificate orders a certificate for a row that was just made, and
// updates it with its id. ssl_forced, which wants a certificate, is off by then.
func (s *Server) withNewCertificate(k hostKind, c *call, r row, names []any) (row, error) {
	meta, _ := r["meta"].(map[string]any)
	id, err := s.orderCertificate(c, names, meta)
	if err != nil {
		return nil, err
	}
	return s.saveHost(k, c, r, row{"certificate_id": id})
}
