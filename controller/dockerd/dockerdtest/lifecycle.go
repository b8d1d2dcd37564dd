package dockerdtest

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// defaultStopTimeout is how long a stop waits before it kills, in seconds and as a duration.
const defaultStopTimeout = 10 * time.Second

// run is one run of a container: from a start to the next exit.
type run struct {
	container *container
	proc      *process
	pid       int
	cancel    context.CancelFunc // tells the program to stop
	bare      bool               // no program runs: a signal ends it at once
	once      sync.Once
	done      chan struct{} // closed when the container counts as exited
}

// start starts a container that is not running. e.mu is held. On failure the container keeps the error in its
// state, as the Engine does.
func (e *Engine) start(c *container) error {
	c.cancelRestart()
	if err := c.join(); err != nil {
		c.leave()
		c.stateError, c.exitCode = err.Error(), 128
		return err
	}
	e.pid++
	r := &run{container: c, proc: newProcess(c.ns, &c.freeze), pid: e.pid, done: make(chan struct{})}
	ctx, cancel := context.WithCancel(e.ctx)
	r.cancel = cancel
	c.run = r
	c.exitOnNext, c.manualStop, c.oomKilled, c.stateError, c.exitCode = false, false, false, "", 0
	c.startedAt = c.e.now()
	c.startHealth()
	c.event("start", nil)
	c.notify()
	if c.image == nil || c.image.program == nil {
		r.bare = true
		return nil
	}
	box, program := c.newBox(r.proc), c.image.program
	e.goFunc(func() {
		code := program(ctx, box)
		cancel()
		r.exit(code)
	})
	return nil
}

func (c *container) newBox(p *process) *Box {
	return &Box{
		Args:     slices.Concat(c.config.Entrypoint, c.config.Cmd),
		Env:      slices.Clone(c.config.Env),
		Hostname: c.config.Hostname,
		Binds:    slices.Clone(c.hostConfig.Binds),
		Stdin:    eofReader{},
		Stdout:   c.logs.writer(1),
		Stderr:   c.logs.writer(2),
		process:  func() (*process, error) { return p, nil },
	}
}

// exit records that the run is over, once: its open files are closed, its addresses released.
func (r *run) exit(code int) {
	r.once.Do(func() {
		r.cancel()
		r.proc.end()
		e := r.container.e
		e.mu.Lock()
		defer e.mu.Unlock()
		e.exited(r, code)
		close(r.done)
	})
}

// exited moves the container on after the end of its run. e.mu is held.
func (e *Engine) exited(r *run, code int) {
	c := r.container
	c.run = nil
	c.exitCode, c.finishedAt = code, e.now()
	c.paused = false
	c.freeze.set(false)
	c.stopHealth()
	if c.health != nil {
		c.health.Status = "unhealthy" // so the Engine says of a container that is not running
	}
	for _, x := range e.execs {
		if x.container == c {
			x.kill()
		}
	}
	if e.closed {
		return
	}
	c.event("die", map[string]string{"exitCode": strconv.Itoa(code)})
	c.leave()
	defer c.notify()
	if e.restartLater(c, code) {
		return
	}
	if c.hostConfig.AutoRemove {
		e.destroy(c)
	}
}

// stop tells the program to end.
func (r *run) stop() {
	r.cancel()
	if r.bare {
		r.container.e.goFunc(func() { r.exit(0) })
	}
}

// awaitExit waits for the run's end, and kills it after grace; a negative grace waits for ever.
func (e *Engine) awaitExit(r *run, grace time.Duration) {
	var timeout <-chan time.Time
	if grace >= 0 {
		t := time.NewTimer(grace)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-r.done:
		return
	case <-e.ctx.Done():
	case <-timeout:
		e.mu.Lock()
		if r.container.run == r {
			r.container.event("kill", map[string]string{"signal": "9"})
		}
		e.mu.Unlock()
		r.exit(137)
	}
}

// stop stops a running or restarting container; false if it was neither. The caller does not hold e.mu.
func (e *Engine) stop(c *container, grace time.Duration) bool {
	e.mu.Lock()
	if c.run == nil {
		waiting := c.restartTimer != nil
		if waiting {
			c.cancelRestart()
			c.manualStop = true
			c.event("stop", nil)
			c.notify()
		}
		e.mu.Unlock()
		return waiting
	}
	r := c.run
	e.signal(c, stopSignal(c))
	e.mu.Unlock()
	e.awaitExit(r, grace)
	e.mu.Lock()
	defer e.mu.Unlock()
	c.event("stop", nil)
	return true
}

func (c *container) stopTimeout(query string) time.Duration {
	if n, err := strconv.Atoi(query); err == nil {
		return time.Duration(n) * time.Second
	}
	if c.config.StopTimeout != nil {
		return time.Duration(*c.config.StopTimeout) * time.Second
	}
	return defaultStopTimeout
}

// signal delivers a signal to a running container and emits its event. e.mu is held. Signals that end a program
// by default end the program's context; the others are only told of.
func (e *Engine) signal(c *container, sig int) {
	c.exitOnNext = true // measured: any signal sent through the API keeps the container from being restarted
	c.manualStop = true
	c.event("kill", map[string]string{"signal": strconv.Itoa(sig)})
	if c.paused {
		c.setPaused(false)
		c.event("unpause", nil)
	}
	switch sig {
	case 1, 2, 3, 15: // HUP, INT, QUIT, TERM
		c.run.stop()
	}
}

// setPaused freezes or thaws.
func (c *container) setPaused(p bool) {
	c.paused = p
	c.freeze.set(p)
}

// kill ends a running container with SIGKILL and waits. The caller does not hold e.mu.
func (e *Engine) kill(c *container) error {
	e.mu.Lock()
	r := c.run
	if r == nil {
		e.mu.Unlock()
		return errf(http.StatusConflict, "Cannot kill container: %s: Container %s is not running", c.name, c.id)
	}
	e.signal(c, 9)
	e.mu.Unlock()
	r.exit(137)
	return nil
}

// destroy removes a container that is not running. e.mu is held.
func (e *Engine) destroy(c *container) {
	c.cancelRestart()
	delete(e.containers, c.id)
	delete(e.names, c.name)
	if i := slices.Index(e.order, c); i >= 0 {
		e.order = slices.Delete(e.order, i, i+1)
	}
	for _, id := range c.execIDs {
		delete(e.execs, id)
	}
	c.removing = true
	c.logs.end()
	c.event("destroy", nil)
	c.notify()
}

// restart delays of the Engine's restart manager: the first, and the longest. A run of 10 seconds or more starts
// the series anew.
const (
	firstRestartDelay = 100 * time.Millisecond
	maxRestartDelay   = time.Minute
	healthyRun        = 10 * time.Second
)

// restartLater applies the restart policy after an exit; e.mu is held.
func (e *Engine) restartLater(c *container, code int) bool {
	if c.exitOnNext || !c.policyRestarts(code) {
		return false
	}
	switch {
	case c.finishedAt.Sub(c.startedAt) >= healthyRun || c.restartDelay == 0:
		c.restartDelay = firstRestartDelay
	default:
		c.restartDelay = min(2*c.restartDelay, maxRestartDelay)
	}
	c.restartCount++
	c.restartTimer = time.AfterFunc(c.restartDelay, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if c.restartTimer == nil || c.run != nil || e.closed {
			return
		}
		c.restartTimer = nil
		_ = e.start(c) // its error stays in the container's state
	})
	return true
}

func (c *container) policyRestarts(code int) bool {
	policy := c.hostConfig.RestartPolicy
	switch {
	case policy.IsAlways():
		return true
	case policy.IsUnlessStopped():
		return !c.manualStop
	case policy.IsOnFailure():
		return code != 0 && (policy.MaximumRetryCount == 0 || c.restartCount < policy.MaximumRetryCount)
	}
	return false
}

// startsWithEngine says whether the Engine starts the container when it comes up.
func (c *container) startsWithEngine() bool {
	policy := c.hostConfig.RestartPolicy
	switch {
	case policy.IsAlways():
		return true
	case policy.IsUnlessStopped():
		return c.wasUp
	case policy.IsOnFailure():
		return c.wasUp && c.exitCode != 0
	}
	return false
}

func (c *container) cancelRestart() {
	if c.restartTimer != nil {
		c.restartTimer.Stop()
		c.restartTimer = nil
	}
}

var signals = map[string]int{
	"HUP": 1, "INT": 2, "QUIT": 3, "KILL": 9, "USR1": 10, "USR2": 12, "TERM": 15, "CONT": 18, "STOP": 19, "WINCH": 28,
}

// parseSignal reads "SIGTERM", "TERM" or "15".
func parseSignal(s string) (int, error) {
	if n, err := strconv.Atoi(s); err == nil && n > 0 && n < 65 {
		return n, nil
	}
	name := s
	if len(name) > 3 && (name[:3] == "SIG" || name[:3] == "sig") {
		name = name[3:]
	}
	if n, ok := signals[name]; ok {
		return n, nil
	}
	return 0, errf(http.StatusBadRequest, "Invalid signal: %s", s)
}

func stopSignal(c *container) int {
	if n, err := parseSignal(c.config.StopSignal); err == nil {
		return n
	}
	return 15
}
