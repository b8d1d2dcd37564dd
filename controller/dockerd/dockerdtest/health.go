package dockerdtest

import (
	"bytes"
	"context"
	"time"

	containertypes "github.com/docker/docker/api/types/container"
)

// the Engine's defaults for a healthcheck that leaves them out.
const (
	defaultInterval = 30 * time.Second
	defaultTimeout  = 30 * time.Second
	defaultRetries  = 3
	maxHealthLog    = 5
)

// startHealth begins the health of a run: "starting", and then what the check says. The check's command runs as an
// exec of the image's program, which is to look at its arguments. e.mu is held.
func (c *container) startHealth() {
	hc := c.config.Healthcheck
	c.health = nil
	if hc == nil || len(hc.Test) == 0 || hc.Test[0] == "NONE" {
		return
	}
	c.health = &containertypes.Health{Status: "starting", Log: []*containertypes.HealthcheckResult{}}
	if c.image == nil || c.image.program == nil {
		return
	}
	ctx, cancel := context.WithCancel(c.e.ctx)
	c.healthStop = cancel
	c.e.goFunc(func() { c.probe(ctx, hc) })
}

// stopHealth ends the checks of the run.
func (c *container) stopHealth() {
	if c.healthStop != nil {
		c.healthStop()
		c.healthStop = nil
	}
}

// probe checks at every interval until ctx ends.
func (c *container) probe(ctx context.Context, hc *containertypes.HealthConfig) {
	interval := hc.Interval
	if interval <= 0 {
		interval = defaultInterval
	}
	cmd := hc.Test[1:]
	if hc.Test[0] == "CMD-SHELL" {
		cmd = append([]string{"/bin/sh", "-c"}, cmd...)
	}
	for {
		t := time.NewTimer(interval)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
		c.check(ctx, hc, cmd)
	}
}

// check runs the command once and counts its result.
func (c *container) check(ctx context.Context, hc *containertypes.HealthConfig, cmd []string) {
	e := c.e
	e.mu.Lock()
	if ctx.Err() != nil || c.paused {
		e.mu.Unlock()
		return
	}
	x := e.newExec(c, containertypes.ExecOptions{Cmd: cmd, AttachStdout: true, AttachStderr: true})
	e.mu.Unlock()
	timeout := hc.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	limit := time.AfterFunc(timeout, x.kill)
	var out bytes.Buffer
	begin := now()
	code, err := e.runExec(x, eofReader{}, &out, &out)
	if !limit.Stop() {
		code = -1
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.execs, x.id)
	c.dropExec(x.id)
	if err != nil || ctx.Err() != nil {
		return
	}
	c.count(hc, &containertypes.HealthcheckResult{Start: begin, End: now(), ExitCode: code, Output: out.String()})
}

// count applies one result, as the Engine's handleProbeResult does.
func (c *container) count(hc *containertypes.HealthConfig, result *containertypes.HealthcheckResult) {
	h := c.health
	h.Log = append(h.Log, result)
	if len(h.Log) > maxHealthLog {
		h.Log = h.Log[1:]
	}
	if result.ExitCode == 0 {
		h.FailingStreak = 0
		c.setHealth("healthy")
		return
	}
	if h.Status == "starting" && time.Since(c.startedAt) < hc.StartPeriod {
		return
	}
	h.FailingStreak++
	retries := hc.Retries
	if retries <= 0 {
		retries = defaultRetries
	}
	if h.FailingStreak >= retries {
		c.setHealth("unhealthy")
	}
}

// setHealth notes a status and emits its event if it is another one.
func (c *container) setHealth(status string) {
	if c.health.Status == status {
		return
	}
	c.health.Status = status
	c.event("health_status: "+status, nil)
}

func (c *container) dropExec(id string) {
	for i, x := range c.execIDs {
		if x == id {
			c.execIDs = append(c.execIDs[:i:i], c.execIDs[i+1:]...)
			return
		}
	}
}
