package lab

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/stage"
)

// A visitor comes by TLS, with a password, and through a stream.
func TestOtherWaysIntoTheLab(t *testing.T) {
	l := raised(t)
	_, err := l.Run(t.Context(), stage.Container{
		Name: l.Name("web"), Image: l.Image, Network: l.Home(), Env: []string{"NAME=web"},
		Cmd: []string{"demo", "backend", "8080/http", "9000/echo"},
	})
	must(t, err)
	id, err := l.AddCertificate(t.Context(), "mine", "tls.example.com")
	must(t, err)
	must(t, l.AddAccessList(t.Context(), "family", "granny", "apple"))
	addr, err := l.Address(t.Context(), l.Name("web"), l.Home())
	must(t, err)
	made := map[string]any{"domain_names": []string{"tls.example.com"}, "forward_scheme": "http", "forward_host": l.Name("web"),
		"forward_port": 8080, "certificate_id": id, "access_list_id": 1}
	must(t, l.API(t.Context(), http.MethodPost, "/nginx/proxy-hosts", made, nil))
	must(t, l.API(t.Context(), http.MethodPost, "/nginx/streams", map[string]any{
		"incoming_port": 25565, "forwarding_host": addr, "forwarding_port": 9000, "tcp_forwarding": true,
	}, nil))
	gets(t, l, "tls.example.com", 401)

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://tls.example.com/a", nil)
	must(t, err)
	req.SetBasicAuth("granny", "apple")
	a, leaf := l.Secure(req)
	if leaf == nil || leaf.Subject.CommonName != "tls.example.com" || !strings.HasSuffix(a.Body, "to tls.example.com/a") {
		t.Errorf("%s %q, certificate %+v", a, a.Body, leaf)
	}

	const want = "web echoes\nping"
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for got := ""; got != want; {
		got, err = l.Send(ctx, 25565, "ping", len(want)) // the port opens when nginx has reloaded
		must(t, ctx.Err())
		if err == nil && got != want {
			t.Fatalf("the stream answers %q", got)
		}
	}
}

func TestABackendSaysWhatItCannotSpeak(t *testing.T) {
	l := raised(t)
	for name, word := range map[string]string{"nothing": "8080", "strange": "8080/gopher", "no-udp-here": "53/datagrams"} {
		_, err := l.Run(t.Context(), stage.Container{
			Name: l.Name(name), Image: l.Image, Network: l.Home(), Cmd: []string{"demo", "backend", word},
		})
		must(t, err)
		text := ""
		for range 100 {
			if text, err = l.Logs(t.Context(), l.Name(name)); err != nil || text != "" {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err != nil || !strings.Contains(text, "backend: ") {
			t.Errorf("%s says %q (%v)", word, text, err)
		}
	}
}
