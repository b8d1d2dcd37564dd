package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/resolve"
)

// leads is where a service is reached: as its labels say, else as far as that
// is clear, else as it was. Not ok while it is not clear, or where more is to be
// looked at.
func (j *judgement) leads(service []*api.Container, said, was api.Endpoint, field string) (to api.Endpoint, ok bool) {
	up, at, owners, ok := j.ways(service)
	if !ok {
		return to, false
	}
	if len(at) > 0 && j.blind(at) {
		j.plan.Wants.Attached, j.unsettled = true, true
		return to, false
	}
	if to.Port = said.Port; to.Port == 0 {
		if to.Port, ok = j.portOf(service[0], up, at, field); !ok {
			return to, false
		}
	}
	if to.Scheme = said.Scheme; to.Scheme == "" {
		p, known := j.probed(up, at, to.Port)
		switch {
		case !known:
			j.unsettled = true
			return to, false
		case p.TLS && !p.Plain:
			to.Scheme = "https"
		case p.Plain && !p.TLS || was.Scheme == "":
			to.Scheme = "http"
		default: // it speaks both, or nothing now
			to.Scheme = was.Scheme
		}
	}
	to.Host = j.nameOf(service, owners, at, was.Host)
	return to, to.Host != ""
}

// ways are a service's containers that run and that NPM reaches, and whose
// network each of them uses; owners are those of all that it may reach. Not ok
// where there is none, or one is to be attached first.
func (j *judgement) ways(service []*api.Container) (up, at, owners []*api.Container, ok bool) {
	waiting := false
	for _, c := range service {
		if f := j.reachOwner(c, j.act); f != nil {
			j.v.Findings = append(j.v.Findings, *f)
			waiting = waiting || f.Code == api.NotOnProxyNetwork
			continue
		}
		owner := resolve.NetOwner(j.s.Engine, c)
		owners = append(owners, owner)
		if c.Up() && owner.Up() {
			up, at = append(up, c), append(at, owner)
		}
	}
	return up, at, owners, len(owners) > 0 && !waiting
}

// portOf is a service's port where no label says it: the only one that its image
// exposes, or of several the only one that answers HTTP.
func (j *judgement) portOf(c *api.Container, up, at []*api.Container, field string) (uint16, bool) {
	ports := tcpPorts(c)
	if len(ports) == 1 {
		return ports[0], true
	}
	var open []uint16
	for _, port := range ports {
		if len(up) == 0 || len(ports) > manyPorts {
			break
		}
		p, known := j.probed(up, at, port)
		if !known {
			j.unsettled = true
		} else if p.Plain || p.TLS {
			open = append(open, port)
		}
	}
	switch {
	case j.unsettled:
		return 0, false
	case len(open) == 1 && !j.fresh(up):
		return open[0], true
	case len(up) > 0 && j.fresh(up):
		j.due(j.s.Now.Add(freshPause)) // the others may yet answer
	}
	names := portNames(ports)
	f := api.Finding{
		Code:       api.PortAmbiguous,
		Message:    fmt.Sprintf("it is not clear which port of %s is meant: %s", c.Name, strings.Join(names, ", ")),
		Fix:        "say which with the label " + j.label(field),
		Candidates: names,
	}
	switch {
	case len(ports) == 0:
		f.Message = fmt.Sprintf("it is not clear which port of %s is meant: its image exposes none", c.Name)
	case len(open) == 0 && len(up) > 0 && len(ports) <= manyPorts:
		f.Code = api.PortNotListening // so it is looked at again
		f.Message = fmt.Sprintf("it is not clear which port of %s is meant: none answers HTTP yet of %s", c.Name, strings.Join(names, ", "))
	}
	j.fail(&j.v.Ready, f)
	return 0, false
}

// freshPause is how long to wait for the other ports of what started just now.
const freshPause = 5 * time.Second

// nameOf is the forward host by which NPM reaches a service; empty where there
// is none. The name in use stays while it is good: during a recreate two
// containers are there for a moment.
func (j *judgement) nameOf(service, owners, at []*api.Container, was string) string {
	if owners[0].NetworkMode == "host" {
		if gw := j.gateway(); gw.IsValid() {
			return gw.String()
		}
		return ""
	}
	if api.IsForwardHost(was) && !resolve.Shared(j.s, j.t, owners, was) &&
		!slices.ContainsFunc(at, func(c *api.Container) bool { return !j.t.Answers(c, was) }) {
		return was
	}
	m := resolve.Resolution{Containers: service, Backend: service[0].Identity()}
	name := resolve.Name(j.s, j.t, m, owners)
	if !api.IsForwardHost(name) || resolve.Shared(j.s, j.t, owners, name) {
		j.v.Findings = append(j.v.Findings, api.Finding{
			Code:    api.ForwardHostShared,
			Message: fmt.Sprintf("%s has no name of its own: others answer to %s as well", service[0].Name, name),
			Fix:     renameOne,
		})
		return ""
	}
	return name
}
