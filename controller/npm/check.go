package npm

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"

	"github.com/no502/no502/api"
)

// What may stand in nginx's configuration, where NPM puts most fields as they
// are: of a domain NPM looks at no more than the first pattern's characters.
var (
	domainPattern   = regexp.MustCompile("^[^&| @!#%^();:/\\\\}{=+?<>,~`'\"$\\[\\]\\pC\\pZ]+$")
	redirectPattern = regexp.MustCompile("^([^&| @!#%^();:/\\\\}{=+?<>,~`'\"$\\[\\]\\pC\\pZ*.]+\\.)*" +
		"[^&| @!#%^();:/\\\\}{=+?<>,~`'\"$\\[\\]\\pC\\pZ*.]+(:[0-9]{1,5})?$")
	variablePattern = regexp.MustCompile(`^\$[a-z0-9_]+$`)
	pathPattern     = regexp.MustCompile("^[^{};\"'`#\\pC]+$")
)

// maxDomains of one host, by NPM's schema.
const maxDomains = 100

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// checkChange is check for a host that is there. What it said before no502 wrote
// to it may be put back, whatever it is.
func (c *Client) checkChange(key api.Key, from, to api.Fields) error {
	c.View(func(n *api.NPM) {
		if h := n.Get(key); h != nil && h.Ownership != nil {
			to = to.Differing(h.Ownership.Was)
		}
	})
	if err := check(key.Kind, from, to); err != nil {
		return fmt.Errorf("%s: %w", name(key), err)
	}
	return nil
}

// check reports whether fields may be written to NPM, as an ErrInvalid, where
// from, what the row says already, is to become to. It is the last check before
// NPM, which itself looks at no more of a forward host than its length.
func check(k api.Kind, from, to api.Fields) error {
	for _, field := range to.Names() {
		if _, said := from[field]; said && from.Says(field, to[field]) {
			continue
		}
		var err error
		switch field {
		case api.FieldHost, api.FieldStreamHost:
			err = checkHost(to.Text(field))
		case api.FieldPort, api.FieldStreamPort, api.FieldIncoming:
			err = checkPort(to.Int(field))
		case api.FieldScheme:
			err = checkScheme(k, to.Text(field))
		case api.FieldDomains:
			err = checkDomains(to.Strings(field))
		case api.FieldRedirectTo:
			err = checkRedirect(to.Text(field))
		case api.FieldLocations:
			err = checkLocations(from.Locations(), to.Locations())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func checkRedirect(to string) error {
	if !redirectPattern.MatchString(to) {
		return invalid("%q is no domain", to)
	}
	return nil
}

func checkHost(host string) error {
	if !api.IsForwardHost(host) {
		return invalid("%q is no host name and no IPv4 address", host)
	}
	return nil
}

func checkPort(port int) error {
	if port < 1 || port > 65535 {
		return invalid("port %d", port)
	}
	return nil
}

func checkScheme(k api.Kind, scheme string) error {
	if scheme != "http" && scheme != "https" && (k != api.KindRedirection || scheme != "auto") {
		return invalid("scheme %q is neither http nor https", scheme)
	}
	return nil
}

func checkDomains(domains []string) error {
	if len(domains) == 0 || len(domains) > maxDomains {
		return invalid("%d domains", len(domains))
	}
	for _, d := range domains {
		if !domainPattern.MatchString(d) {
			return invalid("%q is no domain", d)
		}
	}
	return nil
}

// checkLocations looks at the locations that are not there already: a person's
// own may say whatever NPM allows.
func checkLocations(have, want []api.Location) error {
	for _, l := range want {
		i := slices.IndexFunc(have, func(h api.Location) bool { return h.Path == l.Path })
		if i >= 0 && have[i] == l {
			continue
		}
		old := api.Location{Path: "\n", Host: "\n"} // unlike any
		if i >= 0 {
			old = have[i]
		}
		if err := checkLocation(old, l); err != nil {
			return err
		}
	}
	return nil
}

func checkLocation(old, l api.Location) error {
	switch {
	case l.Path != old.Path && !pathPattern.MatchString(l.Path):
		return invalid("%q is no path", l.Path)
	case l.ForwardPath != old.ForwardPath && l.ForwardPath != "" && !pathPattern.MatchString(l.ForwardPath):
		return invalid("%q is no path", l.ForwardPath)
	case l.Host != old.Host && !api.IsForwardHost(l.Host) && !variablePattern.MatchString(l.Host):
		return invalid("%q is no host name, no IPv4 address and no variable", l.Host)
	}
	return cmp.Or(checkScheme(api.KindHost, l.Scheme), checkPort(l.Port))
}
