package main

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// leastOfNPM are the permissions of docs/least-privilege.md's second table, in the
// words of NPM's API: "proxy_hosts" → "manage".
func leastOfNPM(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile("../../docs/least-privilege.md")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{
		"Item Visibility": "visibility", "Proxy Hosts": "proxy_hosts", "Redirection Hosts": "redirection_hosts", "404 Hosts": "dead_hosts",
		"Streams": "streams", "Certificates": "certificates", "Access Lists": "access_lists",
	}
	may := map[string]any{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]*): \*([A-Z][a-z]+)`).FindAllStringSubmatch(string(text), -1) {
		for _, kind := range strings.Split(row[1], ", ") {
			if kinds[kind] == "" {
				t.Fatalf("%q is no permission of NPM", kind)
			}
			may[kinds[kind]] = strings.ToLower(row[2])
		}
	}
	if len(may) != len(kinds) {
		t.Fatalf("the table has %v, want all of %v", may, kinds)
	}
	return may
}

// A user of NPM with just the permissions of the table does for repairs and for
// hosts from labels.
func TestLeastPrivilegeInNPM(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const email, password = "no502-user@example.com", "canary-user-91c2"
		w.person(http.MethodPost, "/users", map[string]any{
			"name": "no502", "nickname": "no502", "email": email, "roles": []string{}, "is_disabled": false,
			"auth": map[string]any{"type": "password", "secret": password},
		}, nil)
		w.person(http.MethodPut, "/users/2/permissions", leastOfNPM(t), nil)
		w.settings.npmEmail, w.settings.npmPassword = email, password
		w.strangers(2)
		w.startNPM()
		g := w.guard()
		g.services(2)
		c := anApp("declared", "svc1_default")
		c.Labels = map[string]string{"no502.host": "declared.example.com", "no502.redirect-from": "www.declared.example.com"}
		_, err := w.people.Run(t.Context(), c)
		w.must(err)
		g.expects("declared.example.com", "declared")
		w.start()
		pass(time.Minute)
		g.holds("with a user of its own")
		if said := w.log.take(); len(with(said, "NotSupported"))+len(with(said, `"level":"error"`)) > 0 {
			t.Errorf("logged\n%s", strings.Join(said, ""))
		}
	})
}
