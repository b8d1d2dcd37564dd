package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/resolve"
)

// report is for hosts of containers that are not opted in: what is visible
// without touching or probing anything.
func (j *judgement) report() {
	if !slices.ContainsFunc(j.m.Containers, (*api.Container).Up) {
		j.reportDown(j.m.Containers)
		return
	}
	if j.throughMachine() {
		return
	}
	wrong := j.visible()
	if len(wrong) == 0 {
		return
	}
	f := api.Finding{
		Code:    api.NotOptedIn,
		Message: strings.Join(wrong, "; "),
		Fix:     fmt.Sprintf("label the container %s with %s.enable: \"true\", and no502 repairs it", j.m.Containers[0].Name, j.p.Prefix),
	}
	if _, denied := resolve.Enabled(j.replicas(), j.p); denied {
		f.Fix = fmt.Sprintf("%s is opted out, so no502 leaves it alone", j.m.Containers[0].Name)
	}
	j.fail(&j.v.InSync, f)
}

// visible is what is wrong with the way to the backend, and with the words.
func (j *judgement) visible() (wrong []string) {
	for _, c := range j.m.Containers {
		if f := j.reachOwner(c, false); f != nil {
			wrong = append(wrong, f.Message)
			break
		}
	}
	at := resolve.NetOwner(j.s.Engine, j.m.Containers[0])
	switch {
	case at == nil:
	case at.NetworkMode == "host":
		wrong = append(wrong, fmt.Sprintf("NPM forwards to %s, but %s uses the machine's own network", j.h.Forward.Host, at.Name))
	default:
		f := resolve.CheckForwardHost(j.s, j.t, j.m, j.h.Forward.Host, []*api.Container{at})
		// Another case resolves as well: that is no trouble to anybody.
		if f != nil && f.Code != api.ForwardHostCase {
			wrong = append(wrong, f.Message)
		}
	}
	return wrong
}

// byAddress: NPM reaches the backend without a name: at an address on a network
// that both are on, the default bridge among them, or through the machine.
func (j *judgement) byAddress() bool {
	addr, ok := api.HostAddr(j.h.Forward.Host)
	return ok && slices.ContainsFunc(j.m.Containers, func(c *api.Container) bool {
		return slices.ContainsFunc(c.Attachments, func(a api.Attachment) bool {
			_, both := j.t.NetOwner.Attachment(a.NetworkID)
			return both && a.Has(addr)
		})
	}) || j.throughMachine()
}

// throughMachine: NPM reaches the backend by an address of the machine and a
// published port. That is a way to do it, and it works without no502.
func (j *judgement) throughMachine() bool {
	addr, ok := api.HostAddr(j.h.Forward.Host)
	if !ok || addr.IsLoopback() || !j.m.Machine {
		return false
	}
	return slices.ContainsFunc(j.m.Containers, func(c *api.Container) bool {
		return c.NetworkMode == "host" || slices.ContainsFunc(c.Ports(), func(p api.Published) bool {
			return p.HostPort == j.h.Forward.Port && p.Port.Protocol == "tcp" &&
				(p.HostIP == addr || !p.HostIP.IsValid() || p.HostIP.IsUnspecified())
		})
	})
}

func hostPort(e api.Endpoint) string { return fmt.Sprintf("%s:%d", e.Host, e.Port) }
