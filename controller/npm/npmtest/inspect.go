package npmtest

import (
	"encoding/json"
	"io"
	"log"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

var quiet = log.New(io.Discard, "", 0)

// Snapshot returns every row of the hosts, access lists and certificates as the
// API shows it, by "proxy_host/12": to assert that what a test did not mean to
// change is byte for byte the same. It copies references, not rows.
func (s *Server) Snapshot() map[string]json.RawMessage {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	rows := map[string]json.RawMessage{}
	for _, name := range []string{"proxy_host", "redirection_host", "dead_host", "stream", "access_list", "certificate"} {
		for id, rec := range s.store.tables[name].byID {
			rows[name+"/"+strconv.Itoa(id)] = rec.json
		}
	}
	return rows
}

// Rows returns the rows below a path of the API, as in "proxy-hosts", "streams"
// or "certificates", in the order of its list.
func (s *Server) Rows(path string) []json.RawMessage {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	var rows []json.RawMessage
	for _, rec := range s.store.tables[strings.TrimSuffix(strings.ReplaceAll(path, "-", "_"), "s")].order {
		rows = append(rows, rec.json)
	}
	return rows
}

// Writes counts the requests that would write, whatever their answer, by the same
// paths.
func (s *Server) Writes() map[string]int {
	writes := map[string]int{}
	for _, c := range s.Calls() {
		if path := segments(c.Path); c.Method != http.MethodGet && len(path) > 1 && path[0] == "nginx" {
			writes[path[1]]++
		}
	}
	return writes
}

// Conf returns the text of a conf file, as in "proxy_host/1.conf".
func (s *Server) Conf(path string) (string, bool) {
	s.nginx.mu.Lock()
	defer s.nginx.mu.Unlock()
	f, ok := s.nginx.tree[path]
	if !ok {
		return "", false
	}
	return f.text, true
}

// ConfFiles returns the paths of the conf tree, sorted.
func (s *Server) ConfFiles() []string {
	s.nginx.mu.Lock()
	defer s.nginx.mu.Unlock()
	return slices.Sorted(maps.Keys(s.nginx.tree))
}

// RemoveConf deletes a conf file by hand. The workers go on until the next
// reload.
func (s *Server) RemoveConf(path string) { s.nginx.remove(path, false) }

// WriteConf writes a conf file by hand.
func (s *Server) WriteConf(path, text string) { s.nginx.write(path, text) }

// Log returns the lines of a file below /data/logs, such as
// "proxy-host-1_error.log" or "fallback_error.log".
func (s *Server) Log(name string) []string {
	s.nginx.mu.Lock()
	defer s.nginx.mu.Unlock()
	return slices.Clone(s.nginx.logs[name])
}

// Running reports whether nginx runs; it does not while a literal name of the
// conf tree was missing when it started.
func (s *Server) Running() bool { return s.nginx.serve() != nil }
