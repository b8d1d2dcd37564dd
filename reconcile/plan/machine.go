package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/resolve"
)

// machineProcess judges a host that is opted in and means a process on the
// machine itself, outside Docker: NPM reaches it at the proxy network's gateway.
func (j *judgement) machineProcess() {
	port := j.h.Forward.Port
	at := j.gateway()
	if !at.IsValid() {
		return // the network is not made yet
	}
	j.v.Backend = api.MachineProcess(port)
	j.set(&j.v.Resolved, api.True, "", "a process on this machine")
	p, looked := j.onMachine(at)
	if !looked {
		return
	}
	if p.Port != api.PortOpen {
		// It may listen on one address of the machine only, and NPM be right.
		typed, ok := api.HostAddr(j.h.Forward.Host)
		if ok && typed != at && typed.Is4() && !typed.IsLoopback() {
			q, looked := j.onMachine(typed)
			if !looked {
				return
			}
			if q.Port == api.PortOpen {
				at, p = typed, q
			}
		}
	}
	where := "port " + strconv.Itoa(int(port)) + " of this machine"
	switch p.Port {
	case api.PortOpen:
		j.set(&j.v.Ready, api.True, "", "")
	case api.PortLoopback:
		j.fail(&j.v.Ready, api.Finding{
			Code:    api.LoopbackOnly,
			Message: fmt.Sprintf("the process on %s listens on 127.0.0.1 only, which NPM's container cannot reach", where),
			Fix:     fmt.Sprintf("let it listen on 0.0.0.0 or on %s", at),
		})
	default:
		j.fail(&j.v.Ready, api.Finding{
			Code:    api.PortNotListening,
			Message: fmt.Sprintf("nothing answers on %s at %s: it does not run, listens on 127.0.0.1 only, or a firewall is in between", where, at),
			Fix:     fmt.Sprintf("start it, and let it listen on 0.0.0.0 or on %s", at),
		})
		return
	}
	scheme := j.h.Forward.Scheme
	if p.Port == api.PortOpen && p.TLS != p.Plain {
		scheme = map[bool]string{true: "https", false: "http"}[p.TLS]
	}
	if scheme != j.h.Forward.Scheme {
		j.wrong(api.Finding{
			Code:    api.SchemeMismatch,
			Message: fmt.Sprintf("NPM forwards with %s, but %s speaks %s", j.h.Forward.Scheme, where, speaks(scheme)),
		}, "use "+scheme)
	}
	host := j.h.Forward.Host
	if at == j.gateway() {
		host = j.gatewayHost("a process on the machine itself is meant")
	}
	j.v.Endpoint = api.Endpoint{Scheme: scheme, Host: host, Port: port}
	j.settle(nil)
}

// onMachine is what the forward port answers at an address of the machine.
func (j *judgement) onMachine(addr netip.Addr) (p api.Probe, looked bool) {
	target := api.Target{Addr: netip.AddrPortFrom(addr, j.h.Forward.Port)}
	if p, looked = j.s.Probes[target]; !looked {
		j.plan.Wants.Probes = append(j.plan.Wants.Probes, target)
		j.looking = true
	}
	return p, looked
}

// leftover: only stopped containers, which nobody labelled, publish the port,
// and a process on the machine has it now.
func (j *judgement) leftover() bool {
	if enabled, _ := resolve.Enabled(j.replicas(), j.p); enabled || j.m.Rule != resolve.ByMachine ||
		slices.ContainsFunc(j.m.Containers, (*api.Container).Up) || !j.gateway().IsValid() {
		return false
	}
	p, looked := j.onMachine(j.gateway())
	return looked && (p.Port == api.PortOpen || p.Port == api.PortLoopback)
}

// takenOnMachine: the port is published, but not at the address of the machine
// that NPM forwards to, and there something answers. Then that is meant.
func (j *judgement) takenOnMachine() bool {
	addr, ok := api.HostAddr(j.h.Forward.Host)
	if !ok || addr.IsLoopback() || j.throughMachine() {
		return false
	}
	p, looked := j.onMachine(addr)
	if looked && p.Port == api.PortOpen {
		j.set(&j.v.Resolved, api.True, "", "a process on this machine")
	}
	return !looked || p.Port == api.PortOpen
}

// gateway is the machine's address on the proxy network, or on another network
// that NPM is on where the proxy network's gateway is not the machine. Invalid
// until the network is made.
func (j *judgement) gateway() netip.Addr {
	if j.t.Proxy.ID == "" {
		return netip.Addr{}
	}
	if gw := j.t.Proxy.Gateway4(); gw.IsValid() {
		return gw
	}
	for _, n := range j.t.Networks() {
		if gw := n.Gateway4(); gw.IsValid() {
			return gw
		}
	}
	return netip.Addr{}
}

func (j *judgement) gatewayHost(meant string) string {
	gw := j.gateway().String()
	if j.h.Forward.Host != gw {
		j.wrong(api.Finding{
			Code:    api.ForwardHostMachine,
			Message: fmt.Sprintf("NPM forwards to %s, but %s", j.h.Forward.Host, meant),
		}, "forward to "+gw+", the machine's address as NPM sees it")
	}
	return gw
}

func speaks(scheme string) string {
	if scheme == "https" {
		return "TLS"
	}
	return "plain HTTP"
}
