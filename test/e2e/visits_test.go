package e2e

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/test/lab"
)

// visits are what the visitor of a lab does, again and again until he gets what
// is to come.
type visits struct {
	*lab.Lab
	t *testing.T
}

// get asks for a page until it is answered with a status, and with a text that
// begins so: with the name of the service that is to answer.
func (v visits) get(url string, status int, text string) (a lab.Answer) {
	v.t.Helper()
	what := fmt.Sprintf("%s answers %d %s", url, status, text)
	eventually(v.t, what, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		a = v.Ask(req)
		if a.Status != status || text != "" && !strings.HasPrefix(a.Body, text+" ") && !strings.HasPrefix(a.Body, text+"/") {
			return fmt.Errorf("it answers %s %q", a, a.Body)
		}
		return nil
	})
	return a
}

// redirects waits for a redirection.
func (v visits) redirects(from, status, to string) {
	v.t.Helper()
	eventually(v.t, from+" redirects to "+to, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
		if err != nil {
			return err
		}
		if a := v.Ask(req); fmt.Sprint(a.Status) != status || a.Location != to {
			return fmt.Errorf("it answers %s %s", a, a.Location)
		}
		return nil
	})
}

// secure waits for a page over TLS, and for the certificate.
func (v visits) secure(domain, service, certificate string) {
	v.t.Helper()
	eventually(v.t, "https://"+domain+" is answered by "+service, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+domain+"/hello", nil)
		if err != nil {
			return err
		}
		a, leaf := v.Secure(req)
		if err := presented(leaf, certificate); err != nil || !strings.HasPrefix(a.Body, service+" answers") {
			return fmt.Errorf("it answers %s %q (%w)", a, a.Body, err)
		}
		return nil
	})
}

// presented: a server presented the certificate of this name.
func presented(leaf *x509.Certificate, name string) error {
	if leaf == nil {
		return errors.New("there is no certificate")
	}
	if leaf.Subject.CommonName != name {
		return fmt.Errorf("the certificate is for %s", leaf.Subject.CommonName)
	}
	return nil
}

// echoes waits for a round trip through a stream.
func (v visits) echoes(port int, service string) {
	v.t.Helper()
	want := service + " echoes\nping"
	eventually(v.t, fmt.Sprintf("%s echoes on port %d", service, port), func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		got, err := v.Send(ctx, port, "ping", len(want))
		if err == nil && got != want {
			err = fmt.Errorf("it answers %q", got)
		}
		return err
	})
}

// admits waits until a page is shown to somebody with a password.
func (v visits) admits(url, user, password, service string) {
	v.t.Helper()
	eventually(v.t, user+" may come in", func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		req.SetBasicAuth(user, password)
		if a := v.Ask(req); !strings.HasPrefix(a.Body, service+" answers") {
			return fmt.Errorf("it answers %s %q", a, a.Body)
		}
		return nil
	})
}
