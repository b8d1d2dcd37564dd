package dockerdtest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	containertypes "github.com/docker/docker/api/types/container"
)

func (e *Engine) postContainerCreate(w http.ResponseWriter, r *http.Request) error {
	req := containertypes.CreateRequest{Config: &containertypes.Config{}}
	if err := readJSON(r, &req); err != nil {
		return err
	}
	if req.Config == nil {
		return errf(http.StatusBadRequest, "Config cannot be empty in order to create a container")
	}
	if cfg := req.NetworkingConfig; cfg != nil && len(cfg.EndpointsConfig) > 1 && !e.atLeast("1.44") {
		names := slices.Sorted(maps.Keys(cfg.EndpointsConfig))
		return errf(http.StatusBadRequest, "Container cannot be connected to network endpoints: %s", strings.Join(names, ", "))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	img, err := e.findImage(req.Config.Image)
	if err != nil {
		return err
	}
	c, err := e.create(r.FormValue("name"), &req, img)
	if err != nil {
		return err
	}
	c.event("create", nil)
	writeJSON(w, http.StatusCreated, containertypes.CreateResponse{ID: c.id, Warnings: []string{}})
	return nil
}

// with runs f on the container that the path names, under the Engine's lock; a nil error answers 204.
func (e *Engine) with(w http.ResponseWriter, r *http.Request, f func(c *container) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.find(r.PathValue("name"))
	if err != nil {
		return err
	}
	if err := f(c); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (e *Engine) get(r *http.Request) (*container, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.find(r.PathValue("name"))
}

func (e *Engine) postStart(w http.ResponseWriter, r *http.Request) error {
	return e.with(w, r, func(c *container) error {
		switch {
		case c.paused:
			return errf(http.StatusConflict, "cannot start a paused container, try unpause instead")
		case c.run != nil:
			return errf(http.StatusNotModified, "")
		}
		c.restartCount, c.restartDelay = 0, 0
		return e.start(c)
	})
}

func (e *Engine) postStop(w http.ResponseWriter, r *http.Request) error {
	c, err := e.get(r)
	if err != nil {
		return err
	}
	if !e.stop(c, c.stopTimeout(r.FormValue("t"))) {
		return errf(http.StatusNotModified, "")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (e *Engine) postRestart(w http.ResponseWriter, r *http.Request) error {
	c, err := e.get(r)
	if err != nil {
		return err
	}
	e.mu.Lock()
	autoRemove := c.hostConfig.AutoRemove
	c.hostConfig.AutoRemove = false // a restart is no end
	e.mu.Unlock()
	e.stop(c, c.stopTimeout(r.FormValue("t")))
	return e.with(w, r, func(c *container) error {
		c.hostConfig.AutoRemove = autoRemove
		if c.run == nil {
			if err := e.start(c); err != nil {
				return err
			}
		}
		c.event("restart", nil)
		return nil
	})
}

func (e *Engine) postKill(w http.ResponseWriter, r *http.Request) error {
	sig := 9
	if s := r.FormValue("signal"); s != "" {
		var err error
		if sig, err = parseSignal(s); err != nil {
			return err
		}
	}
	if sig == 9 {
		c, err := e.get(r)
		if err != nil {
			return err
		}
		if err := e.kill(c); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return e.with(w, r, func(c *container) error {
		if c.run == nil {
			return errf(http.StatusConflict, "Cannot kill container: %s: Container %s is not running", r.PathValue("name"), c.id)
		}
		e.signal(c, sig)
		return nil
	})
}

func (e *Engine) postPause(w http.ResponseWriter, r *http.Request) error {
	return e.with(w, r, func(c *container) error {
		switch {
		case c.run == nil:
			return errf(http.StatusConflict, "Container %s is not running", c.id)
		case c.paused:
			return errf(http.StatusConflict, "Container %s is already paused", c.id)
		}
		c.setPaused(true)
		c.event("pause", nil)
		return nil
	})
}

func (e *Engine) postUnpause(w http.ResponseWriter, r *http.Request) error {
	return e.with(w, r, func(c *container) error {
		if !c.paused {
			return errf(http.StatusInternalServerError, "Container %s is not paused", c.id)
		}
		c.setPaused(false)
		c.event("unpause", nil)
		return nil
	})
}

func (e *Engine) postRename(w http.ResponseWriter, r *http.Request) error {
	return e.with(w, r, func(c *container) error {
		name := r.FormValue("name")
		switch {
		case name == "":
			return errf(http.StatusBadRequest, "Neither old nor new names may be empty")
		case name == c.name:
			return errf(http.StatusBadRequest, "Renaming a container with the same name as its current name")
		}
		if err := e.checkName(name, "/"+name); err != nil {
			return errf(err.status, "Error when allocating new name: %s", err.msg)
		}
		old := c.name
		delete(e.names, old)
		c.name = name
		e.names[name] = c
		c.event("rename", map[string]string{"oldName": "/" + old})
		return nil
	})
}

func (e *Engine) deleteContainer(w http.ResponseWriter, r *http.Request) error {
	c, err := e.get(r)
	if err != nil {
		return err
	}
	force := isTrue(r.FormValue("force"))
	e.mu.Lock()
	running, removed := c.run != nil, c.removing
	var refusal error
	switch {
	case removed:
		refusal = errf(http.StatusNotFound, "No such container: %s", r.PathValue("name"))
	case running && !force && c.paused:
		refusal = errf(http.StatusConflict, "You cannot remove a paused container %s. Unpause and then stop the container before attempting removal or force remove", c.id)
	case running && !force:
		refusal = errf(http.StatusConflict, "You cannot remove a running container %s. Stop the container before attempting removal or force remove", c.id)
	case c.restartTimer != nil && !force:
		refusal = errf(http.StatusConflict, "You cannot remove a restarting container %s. Stop the container before attempting removal or force remove", c.id)
	}
	e.mu.Unlock()
	if refusal != nil {
		return refusal
	}
	if running {
		_ = e.kill(c) // it may have ended by itself meanwhile
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !c.removing {
		e.destroy(c)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// postWait answers when the condition holds; its headers come at once, as the Engine's do.
func (e *Engine) postWait(w http.ResponseWriter, r *http.Request) error {
	c, err := e.get(r)
	if err != nil {
		return err
	}
	condition := containertypes.WaitCondition(r.FormValue("condition"))
	w.Header().Set("Content-Type", "application/json")
	e.mu.Lock()
	seen := c.finishedAt
	met := func() bool {
		switch condition {
		case containertypes.WaitConditionNextExit:
			return c.finishedAt != seen
		case containertypes.WaitConditionRemoved:
			return c.removing
		}
		return (c.run == nil && c.restartTimer == nil) || c.removing
	}
	for first := true; !met(); first = false {
		changed := c.changed
		e.mu.Unlock()
		if first {
			w.WriteHeader(http.StatusOK)
			flush(w)
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return nil
		case <-e.ctx.Done():
			return nil
		}
		e.mu.Lock()
	}
	code := c.exitCode
	e.mu.Unlock()
	writeWait(w, code)
	return nil
}

func writeWait(w http.ResponseWriter, code int) {
	_ = json.NewEncoder(w).Encode(containertypes.WaitResponse{StatusCode: int64(code)})
}

func (e *Engine) getContainer(w http.ResponseWriter, r *http.Request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.find(r.PathValue("name"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, c.inspect())
	return nil
}

func isTrue(s string) bool { return s == "1" || s == "true" || s == "True" }

func stamp(t time.Time) string {
	if t.IsZero() {
		return "0001-01-01T00:00:00Z"
	}
	return t.Format(time.RFC3339Nano)
}
