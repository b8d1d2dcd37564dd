package dockerdtest

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	containertypes "github.com/docker/docker/api/types/container"
)

// execution is an exec instance: a second program in a running container's namespace.
type execution struct {
	id        string
	container *container
	opts      containertypes.ExecOptions
	pid       int

	mu      sync.Mutex
	started bool
	running bool
	code    int
	cancel  context.CancelFunc
}

func (e *Engine) postExecCreate(w http.ResponseWriter, r *http.Request) error {
	var opts containertypes.ExecOptions
	if err := readJSON(r, &opts); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.find(r.PathValue("name"))
	switch {
	case err != nil:
		return err
	case len(opts.Cmd) == 0:
		return errf(http.StatusBadRequest, "No exec command specified")
	case c.run == nil:
		return errf(http.StatusConflict, "Container %s is not running", c.id)
	case c.paused:
		return errf(http.StatusConflict, "Container %s is paused, unpause the container before exec", c.name)
	}
	x := e.newExec(c, opts)
	writeJSON(w, http.StatusCreated, containertypes.ExecCreateResponse{ID: x.id})
	return nil
}

// newExec registers an exec instance; e.mu is held.
func (e *Engine) newExec(c *container, opts containertypes.ExecOptions) *execution {
	e.pid++
	x := &execution{id: newID(), container: c, opts: opts, pid: e.pid}
	e.execs[x.id] = x
	c.execIDs = append(c.execIDs, x.id)
	x.event("exec_create: " + strings.Join(opts.Cmd, " "))
	return x
}

func (x *execution) event(action string) {
	x.container.event(action, map[string]string{"execID": x.id})
}

func (e *Engine) findExec(id string) (*execution, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.execs[id]; x != nil {
		return x, nil
	}
	return nil, errf(http.StatusNotFound, "No such exec instance: %s", id)
}

// runExec runs the instance's program to its end and returns the exit code.
func (e *Engine) runExec(x *execution, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	e.mu.Lock()
	c := x.container
	x.mu.Lock()
	if c.run == nil || x.started || c.image == nil || c.image.program == nil {
		x.mu.Unlock()
		e.mu.Unlock()
		return 0, errf(http.StatusConflict, "Container %s is not running", c.id)
	}
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	x.started, x.running, x.cancel = true, true, cancel
	x.mu.Unlock()
	p := newProcess(c.ns, &c.freeze)
	box := c.newBox(p)
	box.Args, box.Env = slices.Clone(x.opts.Cmd), append(box.Env, x.opts.Env...)
	box.Stdin, box.Stdout, box.Stderr = stdin, stdout, stderr
	program := c.image.program
	x.event("exec_start: " + strings.Join(x.opts.Cmd, " "))
	e.mu.Unlock()

	code := program(ctx, box)
	p.end()

	e.mu.Lock()
	defer e.mu.Unlock()
	x.mu.Lock()
	x.running, x.code = false, code
	x.mu.Unlock()
	c.event("exec_die", map[string]string{"execID": x.id, "exitCode": strconv.Itoa(code)})
	return code, nil
}

// kill ends the program, as its container's end does.
func (x *execution) kill() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cancel != nil {
		x.cancel()
	}
}

func (e *Engine) postExecStart(w http.ResponseWriter, r *http.Request) error {
	x, err := e.findExec(r.PathValue("id"))
	if err != nil {
		return err
	}
	var opts containertypes.ExecStartOptions
	if err := readJSON(r, &opts); err != nil {
		return err
	}
	x.mu.Lock()
	started := x.started
	x.mu.Unlock()
	if started {
		return errf(http.StatusConflict, "Error: Exec command %s has already run", x.id)
	}
	if opts.Detach {
		e.goFunc(func() { _, _ = e.runExec(x, eofReader{}, io.Discard, io.Discard) })
		w.WriteHeader(http.StatusOK)
		return nil
	}
	conn, stdin, err := hijack(w, r)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(e.ctx, func() { conn.Close() })
	defer stop()
	var mu sync.Mutex
	var in io.Reader = eofReader{}
	if x.opts.AttachStdin {
		in = stdin
	}
	_, _ = e.runExec(x, in, x.output(&mu, conn, 1, x.opts.AttachStdout), x.output(&mu, conn, 2, x.opts.AttachStderr))
	return nil
}

// output is where a stream of the program goes.
func (x *execution) output(mu *sync.Mutex, w io.Writer, stream byte, attached bool) io.Writer {
	switch {
	case !attached:
		return io.Discard
	case x.opts.Tty:
		return w
	}
	return &framed{mu: mu, w: w, stream: stream}
}

type framed struct {
	mu     *sync.Mutex
	w      io.Writer
	stream byte
}

func (f *framed) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := frame(f.w, f.stream, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// hijack takes the connection over as the Engine does: 101 UPGRADED if the client asked for it, else 200.
func hijack(w http.ResponseWriter, r *http.Request) (net.Conn, io.Reader, error) {
	hj, ok := w.(http.Hijacker)
	if !ok {
		return nil, nil, errf(http.StatusInternalServerError, "error attaching, hijack connection missing")
	}
	conn, rw, err := hj.Hijack()
	if err != nil {
		return nil, nil, err
	}
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
	if proto := r.Header.Get("Upgrade"); proto != "" {
		head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: " + proto + "\r\n\r\n"
	}
	if _, err := io.WriteString(conn, head); err != nil {
		conn.Close()
		return nil, nil, nil
	}
	return conn, rw.Reader, nil
}

func (e *Engine) postExecResize(w http.ResponseWriter, r *http.Request) error {
	_, err := e.findExec(r.PathValue("id"))
	return err
}

// execView is GET /exec/{id}/json.
type execView struct {
	ID            string
	Running       bool
	ExitCode      *int
	ProcessConfig struct {
		Tty        bool     `json:"tty"`
		Entrypoint string   `json:"entrypoint"`
		Arguments  []string `json:"arguments"`
		Privileged bool     `json:"privileged"`
	}
	OpenStdin, OpenStderr, OpenStdout bool
	CanRemove                         bool
	ContainerID                       string
	DetachKeys                        string
	Pid                               int
}

func (e *Engine) getExec(w http.ResponseWriter, r *http.Request) error {
	x, err := e.findExec(r.PathValue("id"))
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	v := execView{
		ID: x.id, Running: x.running, ContainerID: x.container.id,
		OpenStdin: x.opts.AttachStdin, OpenStdout: x.opts.AttachStdout, OpenStderr: x.opts.AttachStderr,
	}
	v.ProcessConfig.Tty, v.ProcessConfig.Entrypoint, v.ProcessConfig.Arguments = x.opts.Tty, x.opts.Cmd[0], x.opts.Cmd[1:]
	if x.started {
		v.Pid = x.pid
		if !x.running {
			v.ExitCode = &x.code
		}
	}
	writeJSON(w, http.StatusOK, v)
	return nil
}
