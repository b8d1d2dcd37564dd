package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/controller/dockerd/stage"
)

// examples are the folders of examples/, and what is to come of each.
var examples = map[string]func(p *project){
	"quickstart": func(p *project) {
		p.get("http://photos.example.com/hello", 200, "")
		p.get("http://wiki.example.com/hello", 200, "")
	},
	"declared": func(p *project) {
		p.get("http://wiki.example.com/hello", 200, "wiki")
		p.get("http://docs.example.com/hello", 200, "wiki")
		p.get("http://whoami.example.com/hello", 200, "whoami")
		p.get("http://queue.example.com/hello", 200, "queue answers on :15672")
		p.get("http://queue-metrics.example.com/hello", 200, "queue answers on :15692")
	},
	"https":       exampleHTTPS,
	"access-list": exampleAccessList,
	"locations": func(p *project) {
		p.get("http://shop.example.com/hello", 200, "shop")
		if a := p.get("http://shop.example.com/api/orders/7", 200, "orders"); !strings.HasSuffix(a.Body, "shop.example.com/orders/7") {
			p.t.Errorf("the service is asked for another page: %s", a.Body)
		}
	},
	"streams": func(p *project) {
		p.echoes(5432, "db")
		p.echoes(16379, "store")
		eventually(p.t, "dns answers by UDP", func(ctx context.Context) error {
			_, text, err := p.Exec(ctx, p.container("visitor"), stage.Binary, "demo", "datagram", p.container("npm")+":1053", "ping")
			if err == nil && text != "dns echoes\nping" {
				err = errors.New(text)
			}
			return err
		})
	},
	"redirects": func(p *project) {
		p.get("http://example.com/hello", 200, "site")
		for from, to := range map[string][]string{
			"http://www.example.com/news?a=b": {"301", "http://example.com/news?a=b"},
			"http://shop.example.com/news":    {"302", "https://shop.example.net"},
			"http://store.example.com/news":   {"302", "https://shop.example.net"},
		} {
			p.redirects(from, to[0], to[1])
		}
		// NPM answers 404 for a domain that it does not know as well, but not for "/".
		p.get("http://old.example.com/", 404, "")
		p.get("http://older.example.com/", 404, "")
	},
	"hardened": func(p *project) {
		p.get("http://wiki.example.com/hello", 200, "wiki")
		log, err := p.Logs(p.t.Context(), p.container("no502"))
		log = strings.ReplaceAll(log, "connection refused", "") // while NPM starts
		if err != nil || strings.Contains(log, "refused") {
			p.t.Errorf("no502 asks for more than it may (%v):\n%s", err, log)
		}
	},
	"lifecycle": exampleLifecycle,
	"take-over": exampleTakeOver,
	"dialects": func(p *project) {
		p.get("http://blog.example.com/hello", 200, "blog")
		p.get("http://whoami.example.com/hello", 200, "whoami")
		p.get("http://wiki.example.com/hello", 200, "wiki")
		code, text, err := p.Exec(p.t.Context(), p.container("no502"), stage.Binary, "migrate")
		if err != nil || code != 0 || !strings.Contains(text, p.Label("no502.host")) {
			p.t.Errorf("no502 migrate exits with %d (%v):\n%s", code, err, text)
		}
	},
}

// TestExamples: every example does what it says, as it stands.
func TestExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../examples/*/compose.yaml")
	must(t, err)
	if len(files) != len(examples) {
		t.Errorf("examples/ has %v, and the tests know of %d", files, len(examples))
	}
	for _, file := range files {
		folder := filepath.Base(filepath.Dir(file))
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			test := examples[folder]
			if test == nil {
				t.Fatal("the tests do not know what is to come of it")
			}
			test(example(t, folder))
		})
	}
}

func exampleHTTPS(p *project) {
	p.get("http://wiki.example.com/hello", 200, "wiki")
	_, err := p.AddCertificate(p.t.Context(), "wildcard", "*.example.com")
	must(p.t, err)
	p.secure("wiki.example.com", "wiki", "*.example.com")
	p.redirects("http://wiki.example.com/hello", "301", "https://wiki.example.com/hello")
	if realNPM() {
		return // Let's Encrypt is not asked by tests
	}
	p.secure("cloud.example.com", "cloud", "cloud.example.com")
	p.redirects("http://cloud.example.com/hello", "301", "https://cloud.example.com/hello")
}

func exampleAccessList(p *project) {
	const url = "http://status.example.com/hello"
	eventually(p.t, "no502 says that the list is missing", func(ctx context.Context) error {
		log, err := p.Logs(ctx, p.container("no502"))
		if err == nil && !strings.Contains(log, "AccessListMissing") {
			err = errors.New("it does not")
		}
		return err
	})
	p.get(url, 404, "")
	must(p.t, p.AddAccessList(p.t.Context(), "family", "granny", "apple"))
	p.get(url, 401, "")
	p.admits(url, "granny", "apple", "status")
}

func exampleTakeOver(p *project) {
	const url = "http://wiki.example.com/hello"
	p.get(url, 200, "wiki")
	var hosts []host
	must(p.t, p.API(p.t.Context(), http.MethodGet, "/nginx/proxy-hosts", nil, &hosts))
	if len(hosts) != 1 || hosts[0].Meta.No502.Was["forward_host"] != "localhost" {
		p.t.Errorf("NPM has %+v, want one host, with what it said before", hosts)
	}
	code, text, err := p.Exec(p.t.Context(), p.container("no502"), stage.Binary, "undo", "wiki.example.com")
	if err != nil || code != 0 {
		p.t.Errorf("no502 undo exits with %d (%v):\n%s", code, err, text)
	}
	p.get(url, 502, "")
}

// exampleLifecycle also takes the whole project down and up again: no host
// notices.
func exampleLifecycle(p *project) {
	names := []string{"archive", "office", "preview"}
	for _, name := range names {
		p.get("http://"+name+".example.com/hello", 200, name)
	}
	before, err := p.Rows(p.t.Context())
	must(p.t, err)
	p.down()
	p.up()
	for _, name := range names {
		p.get("http://"+name+".example.com/hello", 200, name)
	}
	after, err := p.Rows(p.t.Context())
	must(p.t, err)
	if diff := cmp.Diff(before, after); diff != "" {
		p.t.Errorf("docker compose down and up changed the hosts:\n%s", diff)
	}

	must(p.t, p.Stop(p.t.Context(), p.container("preview")))
	must(p.t, p.Stop(p.t.Context(), p.container("office")))
	must(p.t, p.Remove(p.t.Context(), p.container("archive")))
	eventually(p.t, "preview is deleted, office switched off, archive as it was", func(ctx context.Context) error {
		var hosts []host
		if err := p.API(ctx, http.MethodGet, "/nginx/proxy-hosts", nil, &hosts); err != nil {
			return err
		}
		slices.SortFunc(hosts, func(a, b host) int { return strings.Compare(a.DomainNames[0], b.DomainNames[0]) })
		if len(hosts) != 2 || !hosts[0].Enabled || hosts[1].Enabled {
			return fmt.Errorf("NPM has %+v", hosts)
		}
		return nil
	})
	must(p.t, p.Start(p.t.Context(), p.container("preview")))
	must(p.t, p.Start(p.t.Context(), p.container("office")))
	p.get("http://preview.example.com/hello", 200, "preview")
	p.get("http://office.example.com/hello", 200, "office")
}

// host is any of NPM's hosts, as far as the tests look at it.
type host struct {
	ID           int
	DomainNames  []string `json:"domain_names"`
	Enabled      bool
	Websockets   bool   `json:"allow_websocket_upgrade"`
	ForwardHost  string `json:"forward_host"`
	IncomingPort int    `json:"incoming_port"`
	Meta         struct {
		No502 struct {
			Service string
			Was     map[string]any
		}
	}
}
