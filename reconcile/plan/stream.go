package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/resolve"
)

// stream judges whether a stream's backend can answer.
func (j *judgement) stream() {
	service := resolve.Upstream(j.s.Engine, j.p, j.claim.Lead, j.claim.Route.Upstream)
	if len(service) == 0 {
		j.fail(&j.v.Resolved, j.noUpstream(j.claim.Route.Upstream, "upstream"))
		return
	}
	j.v.Backend = service[0].Identity()
	j.set(&j.v.Resolved, api.True, "", string(resolve.ByLabel))
	if !slices.ContainsFunc(service, (*api.Container).Up) {
		j.reportDown(service)
	}
}

// forwardStream sets where a stream leads: to an address. A name would be looked
// up when nginx loads, and one that is not there then keeps nginx from starting.
// While no address is known the stream stays as it is.
func (j *judgement) forwardStream(row, want api.Fields) {
	r := j.claim.Route
	want[api.FieldStreamPort] = int(r.Stream.Port)
	if r.Port != 0 && len(r.Domains) == 0 {
		want[api.FieldStreamPort] = int(r.Port)
	}
	j.published()
	addr, at := j.streamAddress(row)
	if !addr.IsValid() {
		return
	}
	if want[api.FieldStreamHost] = addr.String(); !j.new && !row.Says(api.FieldStreamHost, addr.String()) && !j.stays(at) {
		want[api.FieldStreamHost] = row.Text(api.FieldStreamHost)
	}
	j.v.Addresses = []netip.Addr{addr}
}

// streamAddress is where one of a service's containers is reached: the one to
// which the stream leads already, if it runs; else the first that runs; else one
// whose address is settled before it is started. At are those that run.
func (j *judgement) streamAddress(row api.Fields) (addr netip.Addr, at []*api.Container) {
	service := resolve.Upstream(j.s.Engine, j.p, j.claim.Lead, j.claim.Route.Upstream)
	if len(service) == 0 && j.new {
		j.v.Findings = append(j.v.Findings, j.noUpstream(j.claim.Route.Upstream, "upstream"))
	}
	_, at, owners, _ := j.ways(service)
	var running, settled netip.Addr
	for _, owner := range owners {
		addr := j.address4(owner)
		switch {
		case !addr.IsValid():
		case !slices.Contains(at, owner):
			settled = cmp.Or(settled, addr)
		case addr.String() == row.Text(api.FieldStreamHost):
			return addr, at
		default:
			running = cmp.Or(running, addr)
		}
	}
	return cmp.Or(running, settled), at
}

// address4 is a container's address, or the one that it will have once it is
// started. NPM writes it without brackets.
func (j *judgement) address4(owner *api.Container) netip.Addr {
	if addr := j.address(owner); addr.Is4() {
		return addr
	}
	for _, a := range j.t.SharedWith(owner) {
		if a.Pinned.Is4() {
			return a.Pinned
		}
	}
	return netip.Addr{}
}

// published: a stream's port is reached from outside only where NPM's container
// publishes it.
func (j *judgement) published() {
	s := j.claim.Route.Stream
	for _, protocol := range []string{"tcp", "udp"} {
		port := api.Port{Number: s.Port, Protocol: protocol}
		wanted := protocol == "tcp" && s.TCP || protocol == "udp" && s.UDP
		if !wanted || slices.ContainsFunc(j.t.NetOwner.Ports(), func(p api.Published) bool { return p.Port == port }) {
			continue
		}
		j.v.Findings = append(j.v.Findings, api.Finding{
			Code:    api.PortUnpublished,
			Message: fmt.Sprintf("NPM's container %s does not publish port %d/%s, so nobody outside can reach the stream", j.t.NetOwner.Name, s.Port, protocol),
			Fix:     fmt.Sprintf("add \"%d:%d/%s\" to its ports", s.Port, s.Port, protocol),
		})
	}
}
