package npmtest

import (
	"encoding/json"
	"slices"
	"strings"
)

// expansion is what ?expand= adds to a host.
type expansion struct {
	names           []string
	accessListItems bool
	isDeleted       bool // the owner shows that column
}

func (e expansion) has(name string) bool { return slices.Contains(e.names, name) }

// parseExpand reads ?expand=. What the kind does not allow is an internal error.
func (s *Server) parseExpand(table, text string) (e expansion, err error) {
	allowed := []string{"owner", "certificate"}
	if table == "proxy_host" {
		allowed = append(allowed, "access_list")
	}
	for _, name := range splitGraph(text) {
		if base, inner, nested := strings.Cut(name, "."); nested && base == "access_list" {
			for _, x := range splitGraph(strings.Trim(inner, "[]")) {
				if x != "clients" && x != "items" {
					return e, errInternal
				}
			}
			name, e.accessListItems = base, true
		}
		if !slices.Contains(allowed, name) {
			return e, errInternal
		}
		e.names = append(e.names, name)
	}
	return e, nil
}

// splitGraph splits "a,b.[c,d]" at its outer commas.
func splitGraph(text string) []string {
	depth := 0
	return strings.FieldsFunc(text, func(r rune) bool {
		switch r {
		case '[':
			depth++
		case ']':
			depth--
		}
		return r == ',' && depth == 0
	})
}

// fullExpand is what the answer to a POST or PUT carries.
func (s *Server) fullExpand(table string) expansion {
	e := expansion{names: []string{"owner", "certificate"}}
	if table == "proxy_host" {
		e.names, e.accessListItems = append(e.names, "access_list"), true
	}
	e.isDeleted = table == "redirection_host" || table == "dead_host"
	return e
}

// expanded is a host as an answer.
func (s *Server) expanded(table string, r row, e expansion) []byte {
	if len(e.names) == 0 {
		return s.store.tables[table].encode(r)
	}
	r = r.with("", nil)
	delete(r, "")
	if e.has("owner") {
		r["owner"] = s.ownerJSON(r.int("owner_user_id"), e.isDeleted)
	}
	if e.has("certificate") {
		r["certificate"] = s.nestedCertificate(r.int("certificate_id"))
	}
	if e.has("access_list") {
		r["access_list"] = s.nestedAccessList(r.int("access_list_id"), e.accessListItems)
	}
	return s.store.tables[table].encode(r, "owner", "certificate", "access_list")
}

var null = json.RawMessage("null")

// ownerJSON is a user inside another object; some carry is_deleted.
func (s *Server) ownerJSON(id int, isDeleted bool) json.RawMessage {
	u, found := s.store.get("user", id)
	if !found {
		return null
	}
	if isDeleted {
		return s.withDeleted("user", u)
	}
	return s.userJSON(u, false)
}

// withDeleted shows the is_deleted column, as NPM does in nested objects.
func (s *Server) withDeleted(table string, r row, expanded ...string) json.RawMessage {
	return s.store.tables[table].encode(r.with("is_deleted", false), append([]string{"is_deleted"}, expanded...)...)
}

func (s *Server) nestedCertificate(id int) json.RawMessage {
	r, found := s.store.get("certificate", id)
	if !found {
		return null
	}
	return s.withDeleted("certificate", r.with("meta", map[string]any{}))
}

// nestedAccessList shows passwords in clear (access_lists.json).
func (s *Server) nestedAccessList(id int, items bool) json.RawMessage {
	r, found := s.store.get("access_list", id)
	if !found {
		return null
	}
	if !items {
		return s.withDeleted("access_list", r)
	}
	clients, auth := s.accessListParts(id)
	r = r.with("clients", json.RawMessage(join(clients, s.store.tables["access_list_client"].encodeRow)))
	r["items"] = json.RawMessage(join(auth, s.store.tables["access_list_auth"].encodeRow))
	return s.withDeleted("access_list", r, "clients", "items")
}

func (t *table) encodeRow(r row) []byte { return t.encode(r) }
