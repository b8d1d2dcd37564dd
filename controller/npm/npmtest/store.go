package npmtest

import (
	"bytes"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// row is one row of NPM's database. A stored row is never changed in place:
// whoever holds one may read it without a lock.
type row map[string]any

func (r row) int(name string) int         { n, _ := r[name].(int); return n }
func (r row) str(name string) string      { s, _ := r[name].(string); return s }
func (r row) bool(name string) bool       { b, _ := r[name].(bool); return b }
func (r row) domains() []any              { d, _ := r["domain_names"].([]any); return d }
func (r row) with(name string, v any) row { c := maps.Clone(r); c[name] = v; return c }

// record is a stored row with its encoded answer, so that a list is a
// concatenation and not 10,000 encodings.
type record struct {
	key  string // sort key of lists
	row  row
	json []byte

	digest [sha1.Size]byte // of json
}

// table is one table; rows that NPM marks as deleted are removed, their ids
// are not used again.
type table struct {
	columns []string // in the order of an answer
	sortKey func(row) string
	last    int
	byID    map[int]*record
	order   []*record
}

func (t *table) insertSorted(rec *record) {
	i, _ := slices.BinarySearchFunc(t.order, rec, compareRecords)
	t.order = slices.Insert(t.order, i, rec)
}

func (t *table) removeSorted(rec *record) {
	if i, ok := slices.BinarySearchFunc(t.order, rec, compareRecords); ok {
		t.order = slices.Delete(t.order, i, i+1)
	}
}

func compareRecords(a, b *record) int {
	if c := strings.Compare(a.key, b.key); c != 0 {
		return c
	}
	return a.row.int("id") - b.row.int("id")
}

// store is NPM's database. It survives Restart.
type store struct {
	mu         sync.RWMutex
	tables     map[string]*table
	domains    map[string][]domainOwner // lower-case domain name → hosts
	generation uint64                   // counts changes; validates cached lists
}

type domainOwner struct {
	table string
	id    int
}

func newStore(trustForwardedProto bool) *store {
	ssl := []string{"hsts_enabled", "hsts_subdomains"}
	proxy := slices.Concat([]string{"id", "created_on", "modified_on", "owner_user_id", "domain_names",
		"forward_host", "forward_port", "access_list_id", "certificate_id", "ssl_forced", "caching_enabled",
		"block_exploits", "advanced_config", "meta", "allow_websocket_upgrade", "http2_support",
		"forward_scheme", "enabled", "locations"}, ssl)
	if trustForwardedProto {
		proxy = append(proxy, "trust_forwarded_proto")
	}
	byDomains := func(r row) string { return string(encode(r["domain_names"])) }
	byName := func(column string) func(row) string {
		return func(r row) string { return r.str(column) }
	}
	byID := func(r row) string { return fmt.Sprintf("%012d", r.int("id")) }
	newestFirst := func(r row) string { return fmt.Sprintf("%012d", 999_999_999_999-r.int("id")) }
	common := func(columns ...string) []string {
		return append([]string{"id", "created_on", "modified_on"}, columns...)
	}
	t := func(sortKey func(row) string, columns []string) *table {
		return &table{columns: columns, sortKey: sortKey, byID: map[int]*record{}}
	}
	return &store{domains: map[string][]domainOwner{}, tables: map[string]*table{
		"proxy_host": t(byDomains, proxy),
		"redirection_host": t(byDomains, slices.Concat(common("owner_user_id", "domain_names", "forward_domain_name",
			"preserve_path", "certificate_id", "ssl_forced", "block_exploits", "advanced_config", "meta",
			"http2_support", "enabled"), ssl, []string{"forward_scheme", "forward_http_code"})),
		"dead_host": t(byDomains, slices.Concat(common("owner_user_id", "domain_names", "certificate_id",
			"ssl_forced", "advanced_config", "meta", "http2_support", "enabled"), ssl)),
		"stream": t(func(r row) string { return fmt.Sprintf("%06d", r.int("incoming_port")) },
			common("owner_user_id", "incoming_port", "forwarding_host", "forwarding_port", "tcp_forwarding",
				"udp_forwarding", "meta", "enabled", "certificate_id")),
		"access_list":        t(byName("name"), common("owner_user_id", "name", "meta", "satisfy_any", "pass_auth")),
		"access_list_auth":   t(byID, common("access_list_id", "username", "password", "meta")),
		"access_list_client": t(byID, common("access_list_id", "address", "directive", "meta")),
		"certificate": t(byName("nice_name"), common("owner_user_id", "provider", "nice_name", "domain_names",
			"expires_on", "meta")),
		"user":      t(byName("name"), common("is_disabled", "email", "name", "nickname", "avatar", "roles")),
		"audit_log": t(newestFirst, common("user_id", "object_type", "object_id", "action", "meta")),
	}}
}

// now is NPM's clock in a row: local time, whole seconds, no zone (FACTS,
// Change detection).
func now() string { return time.Now().Format(time.DateTime) }

func (s *store) get(table string, id int) (row, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	rec, ok := s.tables[table].byID[id]
	if !ok {
		return nil, false
	}
	return rec.row, true
}

// insert adds r with the next id, or with its own where it has one.
func (s *store) insert(table string, r row) row {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[table]
	r = maps.Clone(r)
	if r.int("id") == 0 {
		r["id"] = t.last + 1
	}
	t.last = max(t.last, r.int("id"))
	if r.str("created_on") == "" {
		r["created_on"], r["modified_on"] = now(), now()
	}
	s.put(table, r)
	return r
}

// patch changes columns of a row and its modified_on, and returns the new row.
func (s *store) patch(table string, id int, change row) row {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, ok := s.tables[table].byID[id]
	if !ok {
		return nil
	}
	r := maps.Clone(rec.row)
	maps.Copy(r, change)
	r["modified_on"] = now()
	s.drop(table, id)
	s.put(table, r)
	return r
}

func (s *store) remove(table string, id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(table, id)
}

func (s *store) put(table string, r row) {
	t := s.tables[table]
	rec := &record{key: t.sortKey(r), row: r, json: t.encode(r)}
	rec.digest = sha1.Sum(rec.json)
	t.byID[r.int("id")] = rec
	t.insertSorted(rec)
	s.index(table, r, func(owners []domainOwner, o domainOwner) []domainOwner { return append(owners, o) })
	s.generation++
}

func (s *store) drop(table string, id int) {
	t := s.tables[table]
	rec, ok := t.byID[id]
	if !ok {
		return
	}
	delete(t.byID, id)
	t.removeSorted(rec)
	s.index(table, rec.row, func(owners []domainOwner, o domainOwner) []domainOwner {
		return slices.DeleteFunc(owners, func(x domainOwner) bool { return x == o })
	})
	s.generation++
}

func (s *store) index(table string, r row, change func([]domainOwner, domainOwner) []domainOwner) {
	if table == "certificate" {
		return
	}
	for _, d := range r.domains() {
		name, _ := d.(string)
		name = strings.ToLower(name)
		if owners := change(s.domains[name], domainOwner{table, r.int("id")}); len(owners) > 0 {
			s.domains[name] = owners
		} else {
			delete(s.domains, name)
		}
	}
}

// taken tells whether another host of any kind has the domain name, whatever
// its case (proxy_hosts_validation).
func (s *store) taken(domain string, self domainOwner) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.ContainsFunc(s.domains[strings.ToLower(domain)], func(o domainOwner) bool { return o != self })
}

// rows returns the rows that keep accepts, in the order of a list.
func (s *store) rows(table string, keep func(row) bool) []row {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var rows []row
	for _, rec := range s.tables[table].order {
		if keep == nil || keep(rec.row) {
			rows = append(rows, rec.row)
		}
	}
	return rows
}

// list encodes the rows that keep accepts as one JSON array. Its digest is one
// of the rows' digests: hashing 5 MB after each change would dominate.
func (s *store) list(table string, keep func(row) bool) (body []byte, digest [sha1.Size]byte) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	order := s.tables[table].order
	kept, size := make([]*record, 0, len(order)), 2
	for _, rec := range order {
		if keep(rec.row) {
			kept, size = append(kept, rec), size+len(rec.json)+1
		}
	}
	body = append(make([]byte, 0, size), '[')
	digests := make([]byte, 0, len(kept)*sha1.Size)
	for i, rec := range kept {
		if i > 0 {
			body = append(body, ',')
		}
		body, digests = append(body, rec.json...), append(digests, rec.digest[:]...)
	}
	return append(body, ']'), sha1.Sum(digests)
}

func (s *store) currentGeneration() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.generation
}

// encode writes the columns of r in the table's order, then what was expanded
// into it.
func (t *table) encode(r row, expanded ...string) []byte {
	b := []byte{'{'}
	for _, name := range slices.Concat(t.columns, expanded) {
		v, ok := r[name]
		if !ok {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), name...), '"', ':')
		b = append(b, encode(v)...)
	}
	return append(b, '}')
}

// encode is JSON as Node writes it: no escaping of <, > and &.
func encode(v any) []byte {
	switch x := v.(type) {
	case json.RawMessage:
		return x
	case []byte:
		return x
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // every value comes from JSON
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
