package plan

import (
	"fmt"
	"slices"

	"github.com/no502/no502/api"
)

// down says why a container that does not run does not; nil if it runs.
func down(c *api.Container) *api.Finding {
	if c.Up() {
		return nil
	}
	say := func(code api.Code, fix, format string, args ...any) *api.Finding {
		return &api.Finding{Code: code, Message: fmt.Sprintf(format, args...), Fix: fix}
	}
	start := "docker start " + c.Name
	logs := "see why: docker logs --tail 50 " + c.Name
	switch s := c.State; s.Status {
	case api.Created:
		if s.ExitCode != 0 {
			return say(api.BackendNotStarted, "see why: "+start, "the container %s could not be started (exit code %d)", c.Name, s.ExitCode)
		}
		return say(api.BackendNotStarted, start, "the container %s was created but never started", c.Name)
	case api.Paused:
		return say(api.BackendPaused, "docker unpause "+c.Name, "the container %s is paused: it accepts connections and answers none", c.Name)
	case api.Restarting:
		return say(api.BackendRestarting, logs, "the container %s crashes and is started again and again (last exit code %d%s)",
			c.Name, s.ExitCode, exitMeaning(s))
	case api.Exited:
		if s.OOMKilled {
			return say(api.BackendOOMKilled, "give it more memory, then "+start,
				"the container %s was killed because it ran out of memory (exit code %d)", c.Name, s.ExitCode)
		}
		switch s.ExitCode {
		case 0:
			return say(api.BackendExited, start, "the container %s is stopped (exit code 0)", c.Name)
		case 130, 143: // docker stop, ^C
			return say(api.BackendExited, start, "the container %s is stopped (exit code %d%s)", c.Name, s.ExitCode, exitMeaning(s))
		}
		return say(api.BackendExited, logs, "the container %s exited (code %d%s)", c.Name, s.ExitCode, exitMeaning(s))
	case api.Removing:
		return say(api.BackendDead, "create it anew: docker compose up -d", "the container %s is being removed", c.Name)
	default:
		return say(api.BackendDead, "remove it and create it anew: docker rm -f "+c.Name, "the container %s is %s", c.Name, s.Status)
	}
}

// exitMeaning explains the exit codes that Docker and shells give.
func exitMeaning(s api.State) string {
	switch {
	case s.OOMKilled:
		return ", out of memory"
	case s.ExitCode == 125:
		return ", the Engine could not start it"
	case s.ExitCode == 126:
		return ", its command cannot be executed"
	case s.ExitCode == 127:
		return ", its command was not found"
	case s.ExitCode == 130:
		return ", interrupted: SIGINT"
	case s.ExitCode == 137:
		return ", killed: SIGKILL"
	case s.ExitCode == 139:
		return ", crashed: SIGSEGV"
	case s.ExitCode == 143:
		return ", terminated: SIGTERM"
	}
	return ""
}

// aboutToStart: what was just made is started next, and more can be said then,
// and written in one go.
func (j *judgement) aboutToStart() bool {
	if j.claim == nil || !j.m.Known() || slices.ContainsFunc(j.m.Containers, func(c *api.Container) bool {
		return c.State.Status != api.Created || !j.s.Fresh(c.CreatedAt)
	}) {
		return false
	}
	j.due(j.s.Now.Add(j.m.Containers[0].CreatedAt.Sub(j.s.FreshSince.Add(j.s.Ahead))))
	return true
}

// closed says what a port that is not open means. Owner is whose network the
// container uses.
func (j *judgement) closed(c, owner *api.Container, port uint16, state api.PortState) api.Finding {
	logs := "docker logs --tail 50 " + c.Name
	switch {
	case state == api.PortLoopback:
		return api.Finding{
			Code:    api.LoopbackOnly,
			Message: fmt.Sprintf("the app in %s listens on port %d of 127.0.0.1 only, which nobody outside its container can reach", c.Name, port),
			Fix:     "let the app listen on 0.0.0.0",
		}
	case owner != c && c.State.StartedAt.Before(owner.State.StartedAt):
		return api.Finding{
			Code: api.PortNotListening,
			Message: fmt.Sprintf("nothing accepts connections on port %d of %s: it was started before %s, whose network it uses, was restarted, and is left without a network",
				port, c.Name, owner.Name),
			Fix: "docker restart " + c.Name,
		}
	case state == api.PortSilent:
		return api.Finding{
			Code:    api.PortUnanswered,
			Message: fmt.Sprintf("port %d of %s does not answer at %s: a firewall, or the app hangs", port, c.Name, j.address(owner)),
			Fix:     "see why: " + logs,
		}
	}
	return api.Finding{
		Code: api.PortNotListening,
		Message: fmt.Sprintf("%s runs, but nothing accepts connections on its port %d: the app is not up yet, listens on another port, or on 127.0.0.1 only",
			c.Name, port),
		Fix: fmt.Sprintf("no502 waits for it; if another port is meant, name it with the label %s.port; else: %s", j.p.Prefix, logs),
	}
}

// health makes a backend ready when one of its replicas is: by its HEALTHCHECK
// where there is one, else because its port is open.
func (j *judgement) health(up []*api.Container) {
	if f := j.ill(up); f != nil {
		j.fail(&j.v.Ready, *f)
		return
	}
	j.set(&j.v.Ready, api.True, "", "")
}

// ill: every replica that runs has a HEALTHCHECK, and none has passed it.
func (j *judgement) ill(up []*api.Container) *api.Finding {
	worst := up[0]
	for _, c := range up {
		if c.State.Health == api.NoHealthcheck || c.State.Health == api.Healthy {
			return nil
		}
		if c.State.Health == api.Unhealthy {
			worst = c
		}
	}
	if worst.State.Health == api.Starting {
		return &api.Finding{
			Code:    api.BackendStarting,
			Message: fmt.Sprintf("%s is starting: its health check has not passed yet", worst.Name),
			Fix:     "no502 waits for it",
		}
	}
	message := fmt.Sprintf("the health check of %s fails", worst.Name)
	if worst.State.HealthOutput != "" {
		message += ": " + worst.State.HealthOutput
	}
	return &api.Finding{
		Code: api.BackendUnhealthy, Message: message,
		Fix: "see why: docker logs --tail 50 " + worst.Name,
	}
}
