package plan_test

import (
	"bufio"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/no502/no502/api"
)

// parse reads a world from a scenario's sections.
func (w *world) parse(sections map[string]string) error {
	w.policy = api.Policy{Instance: "test", Prefix: "no502", Scope: api.ScopeLabelled, Mode: api.ModeRepair, TakeOver: true, MaxDeletes: 5}
	w.version, w.now = "2.15.1", longAgo.Add(24*time.Hour)
	w.certificates, w.accessLists = []api.Certificate{}, []api.AccessList{}
	w.listens, w.cached, w.machine, w.former = map[string][]listener{}, map[int]netip.Addr{}, map[netip.Addr]bool{}, map[string]string{}
	for _, s := range []struct {
		name string
		line func(words []string) error
	}{
		{"policy", w.parsePolicy}, {"npm", w.parseNPM}, {"networks", w.parseNetwork}, {"containers", w.parseContainer},
		{"machine", w.parseMachine}, {"hosts", w.parseHost}, {"memory", w.parseMemory},
	} {
		lines := bufio.NewScanner(strings.NewReader(sections[s.name]))
		for lines.Scan() {
			words := fields(lines.Text())
			if len(words) == 0 || strings.HasPrefix(words[0], "#") {
				continue
			}
			if err := s.line(words); err != nil {
				return fmt.Errorf("%s: %q: %w", s.name, lines.Text(), err)
			}
		}
	}
	return nil
}

func (w *world) parsePolicy(words []string) error {
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "scope":
			w.policy.Scope = api.Scope(value)
		case "network":
			w.policy.Network = value
		case "mode":
			w.policy.Mode = api.Mode(value)
		case "instance":
			w.policy.Instance = value
		case "npm":
			w.policy.NPM = value
		case "take-over":
			w.policy.TakeOver = value != "never"
		case "prefix":
			w.policy.Prefix = value
		case "dialect":
			w.policy.Dialects = list(w.policy.Dialects, value)
		case "snippets":
			w.policy.Snippets = value != "false"
		case "max-deletes":
			w.policy.MaxDeletes, _ = strconv.Atoi(value)
		case "dns":
			w.policy.DNSProviders = append(w.policy.DNSProviders, value)
		case "allowed":
			if value == "" {
				w.policy.AllowedDomains = nil
				continue
			}
			project, pattern, ok := strings.Cut(value, ":")
			if !ok {
				project, pattern = "", value
			}
			w.policy.AllowedDomains = append(w.policy.AllowedDomains, api.DomainPattern{Project: project, Pattern: pattern})
		case "default":
			name, value, _ := strings.Cut(value, ":")
			if w.policy.Defaults == nil {
				w.policy.Defaults = map[string]string{}
			}
			if w.policy.Defaults[name] = value; value == "" {
				delete(w.policy.Defaults, name)
			}
		case "machine":
			w.policy.MachineAddrs = append(w.policy.MachineAddrs, netip.MustParseAddr(value))
		default:
			return fmt.Errorf("unknown setting %q", key)
		}
	}
	return nil
}

// list adds a word to a setting; no word empties it.
func list(have []string, word string) []string {
	if word == "" {
		return nil
	}
	return append(slices.Clone(have), word)
}

// parseNetwork: NAME SUBNET [range=CIDR] [internal] [driver=X] [id=X] [LABEL=VALUE…]
func (w *world) parseNetwork(words []string) error {
	prefix, err := netip.ParsePrefix(words[1])
	if err != nil {
		return err
	}
	n := &api.Network{ID: "net-" + words[0], Name: words[0], Driver: "bridge", Labels: map[string]string{}}
	subnet := api.Subnet{Prefix: prefix, Gateway: prefix.Addr().Next()}
	for _, word := range words[2:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "internal":
			n.Internal = true
		case "id":
			n.ID = value
		case "driver":
			n.Driver = value
		case "range":
			subnet.Range = netip.MustParsePrefix(value)
		default:
			n.Labels[key] = value
		}
	}
	n.Subnets = []api.Subnet{subnet}
	w.networks = append(w.networks, n)
	return nil
}

// parseMachine: ADDRESS… | listens PORT/…
func (w *world) parseMachine(words []string) error {
	for _, word := range words {
		if addr, err := netip.ParseAddr(word); err == nil {
			w.machine[addr] = true
			continue
		}
		l, err := parseListener(strings.TrimPrefix(word, "listens="))
		if err != nil {
			return err
		}
		w.listens["machine"] = append(w.listens["machine"], l)
	}
	return nil
}

// parseMemory: NAME-OR-ADDRESS was CONTAINER-OR-IDENTITY | nginx remembers ADDRESS for DOMAIN
func (w *world) parseMemory(words []string) error {
	if words[0] != "nginx" {
		w.former[words[0]] = words[2]
		return nil
	}
	for _, h := range w.hosts {
		if h.Domains[0] == words[4] {
			w.cached[h.ID] = netip.MustParseAddr(words[2])
			return nil
		}
	}
	return fmt.Errorf("there is no host %s", words[4])
}

// parseHost: DOMAIN[,DOMAIN] [-> URL], and words as testdata/README.md lists them.
func (w *world) parseHost(words []string) error {
	online := true
	h := &api.Host{ID: len(w.hosts) + 1, Enabled: true, Online: &online}
	row, rest := api.Fields{}, words[1:]
	if domains := strings.Split(words[0], ","); words[0] != "-" {
		row[api.FieldDomains] = domains
	}
	if len(rest) > 1 && rest[0] == "->" {
		to, err := parseEndpoint(rest[1])
		if err != nil {
			return err
		}
		row, rest = row.With(to.Fields()), rest[2:]
	}
	for _, word := range rest {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "mark":
			h.Advanced += "# no502: " + value + "\n"
		case "advanced":
			h.Advanced += value + "\n"
		case "disabled":
			h.Enabled = false
		case "kind":
			h.Kind = api.Kind(value)
		case "managed_by", "sync_instance_id":
			h.Meta = fmt.Appendf(nil, "{%q:%q}", key, value)
		case "owner":
			service, route, _ := strings.Cut(value, "#")
			h.Ownership = &api.Ownership{Instance: "test", Origin: api.OriginDeclared, Service: api.Identity(service), Route: route, Readers: []string{"no502"}, Wrote: row}
		case "instance":
			h.Ownership.Instance = value
		case "readers":
			h.Ownership.Readers = strings.Split(value, ",")
		case "on_remove":
			h.Ownership.OnRemove = value
		case "off":
			h.Ownership.Disabled, h.Enabled = value, false
		case "backend":
			h.Ownership = &api.Ownership{Instance: "test", Backend: api.Identity(value), Wrote: row}
		case "wrote":
			e, err := parseEndpoint(value)
			if err != nil {
				return err
			}
			h.Ownership.Wrote = e.Fields()
		case "location": // PATH|URL
			path, url, _ := strings.Cut(value, "|")
			to, err := parseEndpoint(url)
			if err != nil {
				return err
			}
			row = row.With(api.Fields{api.FieldLocations: append(row.Locations(),
				api.Location{Path: path, Scheme: to.Scheme, Host: to.Host, Port: int(to.Port)})})
		case "unconfigured":
			h.Online = nil
		case "nginx_err":
			online = false
			h.NginxErr = strings.ReplaceAll(value, "'", "\"")
		default:
			f, err := parseField(key, value)
			if err != nil {
				return err
			}
			row = row.With(f)
		}
	}
	if h.Advanced != "" {
		row = row.With(api.Fields{api.FieldAdvanced: h.Advanced})
	}
	setRow(h, row)
	w.hosts = append(w.hosts, h)
	return nil
}

// parseNPM: what else NPM holds.
func (w *world) parseNPM(words []string) error {
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		parts := strings.Split(value, "|")
		switch key {
		case "stranded": // its nginx does not start
			w.stranded = true
		case "started":
			w.stranded = false
		case "version":
			w.version = value
		case "hidden":
			w.hidden = append(w.hidden, api.Kind(value))
			if value == "certificates" {
				w.certificates = nil
			}
			if value == "access-lists" {
				w.accessLists = nil
			}
		case "shown":
			w.hidden = slices.DeleteFunc(w.hidden, func(k api.Kind) bool { return k == api.Kind(value) })
		case "access-list":
			w.accessLists = append(w.accessLists, api.AccessList{ID: w.another("access list"), Name: value})
		case "no-access-list":
			w.removeList(value)
		case "access-list-name": // NAME|NEW
			for i, l := range w.accessLists {
				if l.Name == parts[0] {
					w.accessLists = slices.Clone(w.accessLists)
					w.accessLists[i].Name = parts[1]
				}
			}
		case "no-certificate":
			w.certificates = slices.DeleteFunc(slices.Clone(w.certificates), func(c api.Certificate) bool { return c.Name == value })
		case "certificate": // NAME|DOMAIN,DOMAIN|DAYS[|letsencrypt]
			days, err := strconv.Atoi(parts[2])
			if err != nil {
				return err
			}
			c := api.Certificate{ID: w.another("certificate"), Name: parts[0], Provider: "other", Domains: strings.Split(parts[1], ",")}
			c.Expires = w.now.Add(time.Duration(days) * 24 * time.Hour)
			if len(parts) > 3 {
				c.Provider = parts[3]
			}
			w.certificates = append(w.certificates, c)
		default:
			return fmt.Errorf("unknown word %q", word)
		}
	}
	return nil
}

// removeList does what NPM does: the hosts that it protected are open.
func (w *world) removeList(name string) {
	for _, l := range w.accessLists {
		for i, h := range w.hosts {
			if row := h.Fields(); l.Name == name && row.Int(api.FieldAccessList) == l.ID {
				open := *h
				setRow(&open, row.With(api.Fields{api.FieldAccessList: 0}))
				w.hosts[i] = &open
			}
		}
	}
	w.accessLists = slices.DeleteFunc(slices.Clone(w.accessLists), func(l api.AccessList) bool { return l.Name == name })
}

// fields splits a line at blanks that are not within quotation marks.
func fields(line string) []string {
	quoted := false
	words := strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t')
	})
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], "\"", "")
	}
	return words
}

func parseEndpoint(url string) (api.Endpoint, error) {
	scheme, rest, _ := strings.Cut(url, "://")
	i := strings.LastIndexByte(rest, ':')
	port, err := strconv.ParseUint(rest[i+1:], 10, 16)
	return api.Endpoint{Scheme: scheme, Host: rest[:i], Port: uint16(port)}, err
}
