package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/resolve"
)

// probed is what a backend's port answered: of its replicas the one that
// answers best. Not known while some replica was not looked at yet.
func (j *judgement) probed(up, at []*api.Container, port uint16) (best api.Probe, known bool) {
	known = true
	for i, c := range up {
		addr := j.address(at[i])
		if !addr.IsValid() {
			known = false // just attached: its address is not known yet
			continue
		}
		target := api.Target{
			Container: c.ID, StartedAt: resolve.Started(c, at[i]).UnixNano(), Pid: c.State.Pid,
			Addr: netip.AddrPortFrom(addr, port),
		}
		p, looked := j.s.Probes[target]
		if !looked {
			j.plan.Wants.Probes = append(j.plan.Wants.Probes, target)
			j.looking, known = true, false
			continue
		}
		if p.Port == api.PortOpen {
			return p, true
		}
		if best.Port == "" || p.Port == api.PortLoopback {
			best = p
		}
	}
	return best, known
}

// address is where NPM reaches a container: on a network that they share, or
// on the machine itself.
func (j *judgement) address(c *api.Container) netip.Addr {
	if c.NetworkMode == "host" {
		return j.gateway()
	}
	for _, a := range j.t.SharedWith(c) {
		if a.IPv4.IsValid() {
			return a.IPv4
		}
		if a.IPv6.IsValid() {
			return a.IPv6
		}
	}
	return netip.Addr{}
}

// blind: no502 is not (yet) on the network where NPM reaches the backend, and
// so cannot see what NPM sees. Outside Docker it reaches every network.
func (j *judgement) blind(at []*api.Container) bool {
	self := j.s.Engine.Container(j.s.Self)
	shared := j.t.SharedWith(at[0])
	if self == nil || len(shared) == 0 || at[0].NetworkMode == "host" {
		return false
	}
	n := j.s.Engine.Network(shared[0].NetworkID)
	return n != nil && missing(self, n)
}

// port is the container's port that NPM should forward to: what the label
// says; what the machine's published port leads to; the forward port if the
// backend listens there; else the only one that answers.
func (j *judgement) port(up, at []*api.Container) (uint16, bool) {
	forward := j.h.Forward.Port
	inner, published := leadsTo(up, forward)
	if !published {
		inner, published = leadsTo(at, forward) // of the container whose network it uses
	}
	switch {
	case j.m.Said.Port != 0:
		if j.m.Said.Port != forward {
			j.wrongPort(api.ForwardPortWrong, up[0], j.m.Said.Port, "the label says "+strconv.Itoa(int(j.m.Said.Port)))
		}
		return j.m.Said.Port, j.listening(up, at, j.m.Said.Port)
	case j.m.Machine && published:
		if inner != forward {
			j.publishedPort(up[0], inner)
		}
		return inner, j.listening(up, at, inner)
	}
	p, known := j.probed(up, at, forward)
	if !known || p.Port == api.PortOpen {
		return forward, known
	}
	if published && inner != forward && !j.proven() && !(j.fresh(up) && slices.Contains(tcpPorts(up[0]), forward)) {
		if !j.listening(up, at, inner) {
			return 0, false
		}
		j.publishedPort(up[0], inner)
		return inner, true
	}
	if j.settledPort(up) {
		return 0, j.listening(up, at, forward)
	}
	return j.onlyPort(up, at)
}

// settledPort: the image declares the forward port, or it was right before, or
// the container may still be starting. Then the backend is late, not elsewhere.
func (j *judgement) settledPort(up []*api.Container) bool {
	o := j.h.Ownership
	return slices.Contains(tcpPorts(up[0]), j.h.Forward.Port) || o != nil && o.Wrote.Endpoint() == j.h.Forward || j.proven() || j.fresh(up)
}

// proven: the host was seen to be right as it is.
func (j *judgement) proven() bool {
	return j.s.Proven[j.h.ID] == api.Proven{Backend: j.m.Backend, Endpoint: j.h.Forward}
}

// fresh: what is closed may still open.
func (j *judgement) fresh(up []*api.Container) bool {
	return slices.ContainsFunc(up, func(c *api.Container) bool {
		return c.State.Health == api.Starting || j.s.Fresh(c.State.StartedAt)
	})
}

// manyPorts are a range, and no answer.
const manyPorts = 16

// onlyPort looks for the port in what the container exposes. A port that is
// exposed and closed is a candidate too: it may only be late.
func (j *judgement) onlyPort(up, at []*api.Container) (uint16, bool) {
	ports := tcpPorts(up[0])
	if len(ports) > manyPorts {
		return 0, j.listening(up, at, j.h.Forward.Port)
	}
	var open, late []uint16
	complete := true
	for _, port := range ports {
		p, known := j.probed(up, at, port)
		complete = complete && known
		switch {
		case p.Port != api.PortOpen:
			late = append(late, port)
		case p.Plain || p.TLS:
			open = append(open, port)
		}
	}
	switch {
	case !complete:
		return 0, false
	case len(open) == 0:
		return 0, j.listening(up, at, j.h.Forward.Port)
	case len(open) == 1 && len(late) == 0 && !j.m.Doubtful:
		j.wrongPort(api.ForwardPortWrong, up[0], open[0], fmt.Sprintf("%d is the only one that answers", open[0]))
		return open[0], true
	}
	j.portAmbiguous(up[0], slices.Sorted(slices.Values(append(open, late...))))
	return 0, false
}

func (j *judgement) portAmbiguous(c *api.Container, ports []uint16) {
	names := portNames(ports)
	f := api.Finding{
		Code: api.PortAmbiguous,
		Message: fmt.Sprintf("nothing listens on port %d of %s, and several other ports may be meant: %s",
			j.h.Forward.Port, c.Name, strings.Join(names, ", ")),
		Fix:        fmt.Sprintf("say which with the label %s.port", j.p.Prefix),
		Candidates: names,
	}
	if j.m.Doubtful {
		f.Message = fmt.Sprintf("nothing listens on port %d of %s, which has the address %s now: the host may have been made for another container",
			j.h.Forward.Port, c.Name, j.h.Forward.Host)
		f.Fix = fmt.Sprintf("label the container that is meant with %s.host: %q", j.p.Prefix, j.h.Domain())
	}
	j.fail(&j.v.Ready, f)
}

func (j *judgement) wrongPort(code api.Code, c *api.Container, port uint16, why string) {
	j.wrong(api.Finding{
		Code:    code,
		Message: fmt.Sprintf("NPM forwards to port %d of %s, but %s", j.h.Forward.Port, c.Name, why),
	}, "forward to port "+strconv.Itoa(int(port)))
}

func (j *judgement) publishedPort(c *api.Container, inner uint16) {
	j.wrongPort(api.ForwardPortPublished, c, inner,
		fmt.Sprintf("that is the machine's port; inside the container it is %d", inner))
}

// listening reports whether a port is open, and says what is the matter where
// it is not.
func (j *judgement) listening(up, at []*api.Container, port uint16) bool {
	p, known := j.probed(up, at, port)
	if known && p.Port != api.PortOpen {
		if ill := j.ill(up); ill != nil {
			j.fail(&j.v.Ready, *ill)
		}
		if up[0].State.Health != api.Starting || p.Port != api.PortClosed {
			j.fail(&j.v.Ready, j.closed(up[0], at[0], port, p.Port))
		}
	}
	return known && p.Port == api.PortOpen
}

// scheme is what the port speaks; what the label says outweighs it, and a
// port that speaks both, or neither, is left as it is.
func (j *judgement) scheme(up, at []*api.Container, port uint16) string {
	scheme, why := j.h.Forward.Scheme, ""
	p, _ := j.probed(up, at, port)
	switch {
	case j.m.Said.Scheme != "":
		scheme, why = j.m.Said.Scheme, "the label says "+j.m.Said.Scheme
	case p.TLS && !p.Plain:
		scheme = "https"
	case p.Plain && !p.TLS:
		scheme = "http"
	}
	if scheme != j.h.Forward.Scheme {
		if why == "" {
			why = fmt.Sprintf("port %d of %s speaks %s", port, up[0].Name, speaks(scheme))
		}
		j.wrong(api.Finding{
			Code:    api.SchemeMismatch,
			Message: fmt.Sprintf("NPM forwards with %s, but %s", j.h.Forward.Scheme, why),
		}, "use "+scheme)
	}
	return scheme
}

// leadsTo is the container port behind a published port of the machine; none
// where it depends on the machine's address.
func leadsTo(cs []*api.Container, port uint16) (inner uint16, ok bool) {
	for _, c := range cs {
		for _, p := range c.Ports() {
			if p.HostPort != port || p.Port.Protocol != "tcp" {
				continue
			}
			if ok && p.Port.Number != inner {
				return 0, false
			}
			inner, ok = p.Port.Number, true
		}
	}
	return inner, ok
}

func portNames(ports []uint16) []string {
	names := make([]string, len(ports))
	for i, port := range ports {
		names[i] = strconv.Itoa(int(port))
	}
	return names
}

func tcpPorts(c *api.Container) []uint16 {
	var ports []uint16
	for _, p := range c.Exposed {
		if p.Protocol == "tcp" && !slices.Contains(ports, p.Number) {
			ports = append(ports, p.Number)
		}
	}
	return ports
}
