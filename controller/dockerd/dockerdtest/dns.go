package dockerdtest

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// LookupHost asks Docker's embedded DNS server. It knows, for the user-defined networks that this container
// shares: container names, network aliases and 12-character ids (from API 1.44 on hostnames as well), each also
// with ".network" behind, case-blind, of running containers. It does not know /etc/hosts, hence neither
// "localhost" nor extra_hosts; containers on the default bridge only, and the host, know no names at all. An
// address answers for itself. The answers are sorted, where a real Engine shuffles them.
func (b *Box) LookupHost(_ context.Context, name string) ([]string, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []string{a.String()}, nil
	}
	p, err := b.process()
	if err != nil {
		return nil, &net.DNSError{Err: err.Error(), Name: name, IsTemporary: true}
	}
	e := p.ns.e
	e.mu.Lock()
	defer e.mu.Unlock()
	var answer []string
	for _, a := range p.ns.lookupName(strings.ToLower(strings.TrimSuffix(name, "."))) {
		answer = append(answer, a.String())
	}
	if answer == nil {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return answer, nil
}

// lookupName tries a.b.c as a name, then a.b in network c, then a in network b.c, each on every network in
// turn, and takes the first that answers, as libnetwork's resolver does. e.mu is held.
func (n *netns) lookupName(name string) []netip.Addr {
	if !n.live() {
		return nil
	}
	var eps []*endpoint
	for _, ep := range n.container.sorted() {
		if ep.active && ep.network.userDefined() {
			eps = append(eps, ep)
		}
	}
	head, network := name, ""
	for {
		for _, ep := range eps {
			if network != "" && !strings.EqualFold(ep.network.name, network) {
				continue
			}
			if found := ep.network.resolve(head); found != nil {
				return found
			}
		}
		i := strings.LastIndexByte(head, '.')
		if i <= 0 {
			return nil
		}
		network = strings.TrimSuffix(head[i+1:]+"."+network, ".")
		head = head[:i]
	}
}

// resolve finds the addresses that a lower-case name has on the network.
func (nw *network) resolve(name string) []netip.Addr {
	var found []netip.Addr
	for _, ep := range nw.active {
		if slices.ContainsFunc(ep.dnsNames(), func(s string) bool { return strings.EqualFold(s, name) }) {
			found = append(found, ep.addr)
		}
	}
	slices.SortFunc(found, netip.Addr.Compare)
	return found
}

// dnsNames are the names of an endpoint on its network.
func (ep *endpoint) dnsNames() []string {
	c := ep.container
	names := append([]string{c.name}, ep.settings.Aliases...)
	names = append(names, c.shortID())
	if c.e.atLeast("1.44") {
		names = append(names, c.config.Hostname)
	}
	return names
}

// LookupEtcHosts looks a name up in the container's /etc/hosts: localhost, its own hostname, and
// HostConfig.ExtraHosts (with host-gateway being the default bridge's gateway). Nil if it is not there.
func (b *Box) LookupEtcHosts(name string) []string {
	if strings.EqualFold(name, "localhost") {
		return []string{"127.0.0.1"}
	}
	p, err := b.process()
	if err != nil {
		return nil
	}
	ns := p.ns
	ns.e.mu.Lock()
	defer ns.e.mu.Unlock()
	if !ns.live() {
		return nil
	}
	c := ns.container
	for _, extra := range c.hostConfig.ExtraHosts {
		host, addr, _ := strings.Cut(extra, ":")
		if !strings.EqualFold(host, name) {
			continue
		}
		if addr == "host-gateway" {
			addr = ns.e.network("bridge").gateway.String()
		}
		return []string{addr}
	}
	if strings.EqualFold(name, c.config.Hostname) {
		for _, ep := range c.sorted() {
			if ep.active && ep.addr.IsValid() {
				return []string{ep.addr.String()}
			}
		}
	}
	return nil
}
