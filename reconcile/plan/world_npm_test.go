package plan_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/no502/no502/api"
)

// setRow makes a host say what a row of NPM's says.
func setRow(h *api.Host, row api.Fields) {
	raw, err := json.Marshal(row)
	if err != nil {
		panic(err)
	}
	h.Raw = raw
	row = h.Fields() // what does not survive JSON is not what NPM says
	h.Forward, h.Domains = row.Endpoint(), row.Strings(api.FieldDomains)
	h.Advanced = row.Text(api.FieldAdvanced)
}

// applyNPM does what NPM would do, and refuses what it would refuse.
func (w *world) applyNPM(a api.Action) error {
	for _, name := range []string{api.FieldHost, api.FieldStreamHost} {
		if host, said := a.To[name]; said && a.Op != api.OpResave && !api.IsForwardHost(host.(string)) {
			return fmt.Errorf("%q is no forward host", host)
		}
	}
	switch a.Op {
	case api.OpCreate:
		return w.create(a)
	case api.OpCertificate:
		return w.issue(a)
	}
	i := slices.IndexFunc(w.hosts, func(h *api.Host) bool { return h.Key() == a.Host })
	if i < 0 {
		return errors.New("there is no such host")
	}
	h := *w.hosts[i]
	row := h.Fields()
	w.wrote(a.Host)
	if a.Op != api.OpDelete && a.Op != api.OpDisable && h.Kind == api.KindDeadHost && len(a.To) > 0 {
		return errors.New("NPM does not apply edits of 404 hosts")
	}
	switch a.Op {
	case api.OpDelete:
		if h.Ownership == nil || h.Ownership.Origin != api.OriginDeclared || h.Ownership.Instance != w.policy.Instance {
			return errors.New("no502 did not make it")
		}
		w.hosts = slices.Delete(slices.Clone(w.hosts), i, i+1)
		return nil
	case api.OpDisable, api.OpEnable:
		if on := a.Op == api.OpEnable; h.Enabled == on {
			return errors.New("it is so already")
		}
		h.Enabled = a.Op == api.OpEnable
	case api.OpResave:
		if a.From.Endpoint() != a.To.Endpoint() {
			return fmt.Errorf("%v to %v", a.From, a.To)
		}
	}
	for name, value := range a.From {
		if !row.Says(name, value) {
			return fmt.Errorf("%s is %v, not %v", name, row[name], value)
		}
	}
	if a.Op == api.OpPatch && len(a.To.Differing(row)) == 0 && len(a.To) > 0 {
		return errors.New("it says so already")
	}
	if a.Op != api.OpResave {
		h.Ownership = a.Ownership
	}
	if err := w.save(&h, row.With(a.To)); err != nil {
		return err
	}
	w.hosts[i] = &h
	if id, ok := a.Host.HostID(); ok {
		delete(w.cached, id)
	}
	return nil
}

func (w *world) wrote(key api.Key) {
	if w.writes == nil {
		w.writes = map[api.Key]int{}
	}
	w.writes[key]++
	for other, l := range w.loaded { // nginx loads all anew
		l.Stale = false
		w.loaded[other] = l
	}
	delete(w.loaded, key)
}

func (w *world) create(a api.Action) error {
	h := &api.Host{Kind: a.Host.Kind, ID: 100 + w.another("host"), Enabled: true, Ownership: a.Ownership}
	if h.Kind == api.KindHost {
		h.Kind = ""
	}
	if err := w.save(h, a.To); err != nil {
		return err
	}
	w.hosts = append(w.hosts, h)
	w.wrote(h.Key())
	return nil
}

// save checks a row as NPM does, and cleans it as NPM does.
func (w *world) save(h *api.Host, row api.Fields) error {
	row = row.With(nil)
	if domains := slices.Clone(row.Strings(api.FieldDomains)); h.Kind != api.KindStream {
		slices.Sort(domains)
		row[api.FieldDomains] = domains
	}
	if row.Int(api.FieldCertificate) == 0 {
		row[api.FieldForceSSL], row[api.FieldHTTP2] = false, false
	}
	if !row.Bool(api.FieldForceSSL) {
		row[api.FieldHSTS] = false
	}
	if !row.Bool(api.FieldHSTS) {
		row[api.FieldHSTSSubs] = false
	}
	setRow(h, row)
	if len(h.Serves()) == 0 {
		return errors.New("it serves nothing")
	}
	online := true
	h.Online, h.NginxErr = &online, ""
	for _, name := range h.Serves() {
		for _, other := range w.hosts {
			if other.Key() != h.Key() && slices.Contains(other.Serves(), name) {
				return fmt.Errorf("%s is already in use", name)
			}
		}
	}
	return nil
}

// issue is Let's Encrypt, which knows every domain but those that begin with
// "refused".
func (w *world) issue(a api.Action) error {
	i := slices.IndexFunc(w.hosts, func(h *api.Host) bool { return h.Key() == a.Host })
	h := *w.hosts[i]
	own := *a.Ownership
	if strings.HasPrefix(a.Certificate.Domains[0], "refused") {
		attempt := api.Attempt{Failures: 1, Last: w.now, Error: "the domain does not lead here"}
		if own.LetsEncrypt != nil {
			attempt.Failures += own.LetsEncrypt.Failures
		}
		own.LetsEncrypt = &attempt
		h.Ownership = &own
		w.hosts[i] = &h
		return nil
	}
	w.certificates = append(w.certificates, api.Certificate{
		ID: w.another("certificate"), Name: a.Certificate.Domains[0], Provider: "letsencrypt",
		Domains: a.Certificate.Domains, Expires: w.now.Add(90 * 24 * time.Hour),
	})
	return nil
}
