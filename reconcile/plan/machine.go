package plan

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/no502/no502/api"
)

// machineProcess judges a host that is opted in and means a process on the
// machine itself, outside Docker: NPM reaches it at the proxy network's gateway.
func (j *judgement) machineProcess() {
	port := j.h.Forward.Port
	gw := j.gateway()
	if !gw.IsValid() {
		return // the network is not made yet
	}
	j.v.Backend = api.MachineProcess(port)
	j.set(&j.v.Resolved, api.True, "", "a process on this machine")
	target := api.Target{Addr: netip.AddrPortFrom(gw, port)}
	p, looked := j.s.Probes[target]
	if !looked {
		j.plan.Wants.Probes = append(j.plan.Wants.Probes, target)
		return
	}
	where := "port " + strconv.Itoa(int(port)) + " of this machine"
	switch p.Port {
	case api.PortOpen:
		j.set(&j.v.Ready, api.True, "", "")
	case api.PortLoopback:
		j.fail(&j.v.Ready, api.Finding{
			Code:    api.LoopbackOnly,
			Message: fmt.Sprintf("the process on %s listens on 127.0.0.1 only, which NPM's container cannot reach", where),
			Fix:     fmt.Sprintf("let it listen on 0.0.0.0 or on %s", gw),
		})
	default:
		j.fail(&j.v.Ready, api.Finding{
			Code:    api.PortNotListening,
			Message: fmt.Sprintf("nothing answers on %s at %s: it does not run, listens on 127.0.0.1 only, or a firewall is in between", where, gw),
			Fix:     fmt.Sprintf("start it, and let it listen on 0.0.0.0 or on %s", gw),
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
			Message: fmt.Sprintf("NPM forwards with %s, but %s speaks %s", j.h.Forward.Scheme, where, scheme),
		}, "use "+scheme)
	}
	j.v.Endpoint = api.Endpoint{Scheme: scheme, Host: j.gatewayHost(), Port: port}
	j.settle(nil)
}
