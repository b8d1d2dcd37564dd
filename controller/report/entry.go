package report

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/no502/no502/api"
)

// Entry is one change in the journal.
type Entry struct {
	Time      time.Time  `json:"time"` // RFC 3339, UTC, to the millisecond
	Who       api.Actor  `json:"who"`
	Instance  string     `json:"instance,omitempty"` // of no502
	Op        api.Op     `json:"op"`
	Host      string     `json:"host,omitempty"` // "proxy-host/7"; of create: the kind
	Domain    string     `json:"domain,omitempty"`
	Domains   []string   `json:"domains,omitempty"` // where there are several
	Container string     `json:"container,omitempty"`
	Network   string     `json:"network,omitempty"`
	From      shown      `json:"from,omitempty"`
	To        shown      `json:"to,omitempty"`
	Because   []api.Code `json:"because,omitempty"`
	Error     string     `json:"error,omitempty"`
}

// shown are fields as people read them, by NPM's names; "forward" is a proxy
// host's whole endpoint. Long texts are cut: the journal is no backup.
type shown map[string]string

// Of an Entry's texts, in characters.
const (
	shownLimit = 300
	errorLimit = 600
)

const fieldForward = "forward"

func entryOf(c api.Change, now time.Time) Entry {
	e := Entry{
		Time: now.UTC().Truncate(time.Millisecond), Who: c.By, Instance: c.Instance, Op: c.Op,
		Domain: c.Domain, Container: c.Name, Network: c.Network, Because: c.Because,
	}
	if c.Host.IsHost() {
		e.Host = c.Host.String()
	}
	if len(c.Domains) > 1 {
		e.Domains = c.Domains
	}
	if c.Err != nil {
		e.Error = clip(strings.Join(strings.Fields(c.Err.Error()), " "), errorLimit)
	}
	switch c.Op {
	case api.OpPatch, api.OpEnable:
		to := c.To.Differing(c.From)
		e.From, e.To = show(to.Of(c.From), c.From), show(to, c.To)
	case api.OpCreate:
		e.To = show(c.To, c.To)
	case api.OpDelete:
		e.From = show(c.From.Differing(nil), c.From)
	case api.OpCertificate:
		e.To = shown{api.FieldDomains: clip(strings.Join(c.Certificate.Domains, ","), shownLimit)}
	case api.OpAttach:
		if c.Address.IsValid() {
			e.To = shown{"address": c.Address.String()}
		}
	case api.OpCreateNetwork:
		if c.Subnet.Prefix.IsValid() {
			e.To = shown{"subnet": c.Subnet.Prefix.String()}
		}
	}
	return e
}

// show puts some fields of a row into words.
func show(some, row api.Fields) shown {
	all := shown{}
	for name, value := range some {
		switch name {
		case api.FieldScheme, api.FieldHost, api.FieldPort:
			if row.Int(api.FieldPort) != 0 {
				all[fieldForward] = clip(row.Endpoint().String(), shownLimit)
				continue
			}
		}
		all[name] = clip(api.Told(name, value), shownLimit)
	}
	return all
}

func clip(s string, limit int) string {
	if runes := []rune(s); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return s
}

// concerns reports whether an entry is about a domain or a container.
func (e *Entry) concerns(name string) bool {
	is := func(s string) bool { return strings.EqualFold(s, name) }
	return is(e.Domain) || is(e.Container) || slices.ContainsFunc(e.Domains, is)
}

// again reports whether an entry is the same change as the one before it of the
// same thing: a value cannot become another one twice in a row, so two processes
// have seen it, as a running no502 sees what `no502 undo` does.
func (e *Entry) again(before Entry) bool {
	if len(e.From) == 0 || e.Error != "" || before.Error != "" || e.Who != before.Who || e.Op != before.Op {
		return false
	}
	return fmt.Sprint(e.From, e.To) == fmt.Sprint(before.From, before.To) // maps are printed sorted
}

// Filter chooses entries. The zero Filter is all of them.
type Filter struct {
	Name  string // a domain or a container; empty: all
	Since time.Time
	Limit int // the last ones; 0: all
}

// apply returns the entries that are wanted, oldest first, each change once.
func (f Filter) apply(entries []Entry) []Entry {
	wanted := []Entry{}
	last := map[string]Entry{}
	for _, e := range entries {
		about := e.Host + e.Container
		repeated := e.again(last[about])
		last[about] = e
		if !repeated && (f.Name == "" || e.concerns(f.Name)) && !e.Time.Before(f.Since) {
			wanted = append(wanted, e)
		}
	}
	if f.Limit > 0 && len(wanted) > f.Limit {
		wanted = wanted[len(wanted)-f.Limit:]
	}
	return wanted
}

// Query is a Filter as /api/v1/history takes it.
func (f Filter) Query() url.Values {
	q := url.Values{}
	if f.Name != "" {
		q.Set("domain", f.Name)
	}
	if !f.Since.IsZero() {
		q.Set("since", f.Since.UTC().Format(time.RFC3339))
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return q
}

// filterOf reads what Query writes.
func filterOf(q url.Values) (f Filter, err error) {
	f.Name = q.Get("domain")
	if text := q.Get("since"); text != "" {
		if f.Since, err = time.Parse(time.RFC3339, text); err != nil {
			return f, fmt.Errorf("since=%q is not a time such as 2026-01-31T12:00:00Z", clip(text, 40))
		}
	}
	if text := q.Get("limit"); text != "" {
		if f.Limit, err = strconv.Atoi(text); err != nil || f.Limit < 1 {
			return f, fmt.Errorf("limit=%q is not a number from 1 up", clip(text, 40))
		}
	}
	return f, nil
}
