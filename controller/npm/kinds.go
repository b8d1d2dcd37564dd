package npm

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/no502/no502/api"
)

// kind is what differs between the kinds of hosts that NPM has.
type kind struct {
	noun string // in messages
	path string // of its list, below /api
	dir  string // of its files, below NPM's nginx directory
	keep string // a required field, which Resave writes unchanged
}

var kinds = map[api.Kind]kind{
	api.KindHost:        {"proxy host", "/nginx/proxy-hosts", "proxy_host", api.FieldPort},
	api.KindRedirection: {"redirection host", "/nginx/redirection-hosts", "redirection_host", api.FieldRedirectCode},
	api.KindStream:      {"stream", "/nginx/streams", "stream", api.FieldIncoming},
	api.KindDeadHost:    {"404 host", "/nginx/dead-hosts", "dead_host", api.FieldDomains},
}

// The lists beside those of hosts.
const (
	certificatesPath = "/nginx/certificates"
	accessListsPath  = "/nginx/access-lists"
)

// permissions are NPM's names for what a user may see and manage.
var permissions = map[string]string{
	kinds[api.KindHost].path:        "proxy hosts",
	kinds[api.KindRedirection].path: "redirection hosts",
	kinds[api.KindStream].path:      "streams",
	kinds[api.KindDeadHost].path:    "404 hosts",
	certificatesPath:                "SSL certificates",
	accessListsPath:                 "access lists",
}

// permission is the one that a request needs.
func permission(path string) string {
	list, _, _ := strings.Cut(strings.TrimPrefix(path, "/nginx/"), "/")
	return permissions["/nginx/"+list]
}

func keyOf(k api.Kind, id int) api.Key { return api.Key{Kind: k, ID: strconv.Itoa(id)} }

// hostPath is where the API has a host.
func hostPath(key api.Key) string { return kinds[key.Kind].path + "/" + key.ID }

// name is a host as messages call it.
func name(key api.Key) string { return kinds[key.Kind].noun + " " + key.ID }

func compareKeys(a, b api.Key) int { return strings.Compare(a.String(), b.String()) }

// checkKey reports whether a key may name a host.
func checkKey(key api.Key) error {
	if _, err := strconv.Atoi(key.ID); err != nil || !key.IsHost() {
		return fmt.Errorf("%s is no host of NPM's", key)
	}
	return nil
}
