package plan

import (
	"fmt"

	"github.com/no502/no502/api"
)

// mayNot: something in front of the Engine refused such a change lately.
func (b *builder) mayNot(op api.Op) bool {
	was, refused := b.s.Refused[op]
	return refused && b.s.Now.Before(was.Until)
}

// attaches: no502 may attach a container to a network, and make that first if
// there is none.
func (b *builder) attaches(n api.Network) bool {
	return !b.mayNot(api.OpAttach) && (n.ID != "" || !b.mayNot(api.OpCreateNetwork))
}

// byHand is what a person does where no502 does not attach a container.
func byHand(n api.Network, c *api.Container) string {
	connect := fmt.Sprintf("docker network connect %s %s", n.Name, c.Name)
	if n.ID == "" {
		connect = fmt.Sprintf("docker network create --internal %s, and %s", n.Name, connect)
	}
	return connect
}

// refused says what no502 is not allowed to do.
func (b *builder) refused(v *api.Verdict) {
	for _, op := range []api.Op{api.OpCreateNetwork, api.OpAttach} {
		was, is := b.s.Refused[op]
		if !is {
			continue
		}
		what := "attach containers to networks"
		if op == api.OpCreateNetwork {
			what = "make a network"
		}
		v.Findings = append(v.Findings, api.Finding{
			Code:    api.EngineRefuses,
			Message: fmt.Sprintf("no502 may not %s: %s is refused (%d) before it reaches the Docker Engine", what, was.Permission, was.Status),
			Fix:     fmt.Sprintf("allow %s in the socket proxy; until then what needs it is only reported", was.Permission),
		})
	}
}
