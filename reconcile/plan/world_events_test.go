package plan_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/no502/no502/api"
)

// remember notes since when hosts have been idle, as the Reconciler does.
func (w *world) remember(p api.Plan) {
	if w.idle == nil {
		w.idle = map[api.Key]api.IdleSince{}
	}
	deletes := 0
	for _, v := range p.Verdicts {
		if v.Idle.Why == "" {
			delete(w.idle, v.Key)
		} else if w.idle[v.Key].Idle != v.Idle {
			w.idle[v.Key] = api.IdleSince{Idle: v.Idle, Since: w.now}
		}
		if v.Idle.Delete {
			deletes++
		}
	}
	for _, v := range p.Verdicts {
		was, known := w.loaded[v.Key]
		switch {
		case len(v.Static) == 0 || known && slices.Equal(was.Addrs, v.Static):
			continue
		case w.loaded == nil:
			w.loaded = map[api.Key]api.Loaded{}
		}
		w.loaded[v.Key] = api.Loaded{Addrs: v.Static, Stale: known}
	}
	w.landslide = deletes > 0 && (w.landslide || deletes > w.policy.MaxDeletes)
}

// happen is one line of a scenario's "then" section.
func (w *world) happen(words []string) error {
	switch words[0] {
	case "wait":
		d, err := time.ParseDuration(words[1])
		w.now = w.now.Add(d)
		return err
	case "ui": // a person edits a host in NPM
		return w.edit(words[1], words[2:])
	case "host": // a person makes one
		return w.parseHost(words[1:])
	case "make":
		err := w.parseContainer(words[1:])
		w.containers[len(w.containers)-1].CreatedAt = w.now
		return err
	case "npm":
		return w.parseNPM(words[1:])
	case "setting":
		err := w.parsePolicy(words[1:])
		for i, c := range w.containers {
			now := *c
			w.claim(&now)
			w.containers[i] = &now
		}
		return err
	case "engine-restart":
		w.since = w.now
		return nil
	case "restart": // of no502, which forgets all that is not in NPM
		w.idle, w.loaded, w.probes, w.landslide, w.since = nil, nil, nil, false, w.now
		return nil
	}
	for _, name := range strings.Split(words[1], ",") {
		c := w.container(name)
		if c == nil {
			return fmt.Errorf("there is no container %s", name)
		}
		if err := w.befall(*c, words[0], words[2:]); err != nil {
			return err
		}
	}
	return nil
}

// befall is what happens to one container.
func (w *world) befall(c api.Container, event string, words []string) error {
	switch event {
	case "rm":
		w.former[c.Name] = c.Name
		w.containers = slices.DeleteFunc(w.containers, func(o *api.Container) bool { return o.ID == c.ID })
		return nil
	case "stop":
		w.stop(&c)
	case "start":
		w.start(&c)
	case "rename":
		w.former[c.Name] = words[0]
		w.listens[words[0]] = w.listens[c.Name]
		c.Name = words[0]
	case "relabel": // what `docker compose up` does in several steps
		w.relabel(&c, words)
	default:
		return fmt.Errorf("unknown event %q", event)
	}
	w.put(&c)
	return nil
}

func (w *world) stop(c *api.Container) {
	c.State.Status, c.State.Pid, c.State.Health = api.Exited, 0, ""
	c.Attachments = slices.Clone(c.Attachments)
	for i := range c.Attachments {
		c.Attachments[i].IPv4 = netip.Addr{}
	}
}

func (w *world) start(c *api.Container) {
	c.State.Status, c.State.StartedAt = api.Running, time.Unix(int64(1000+w.another("start")), 0)
	c.State.Pid = int(c.State.StartedAt.Unix())
	before := c.Attachments
	c.Attachments = nil
	for _, a := range before {
		again := w.attachment(w.network(a.Network), c, nil, a.Pinned)
		again.Aliases = a.Aliases
		c.Attachments = append(c.Attachments, again)
	}
}

func (w *world) relabel(c *api.Container, words []string) {
	c.Labels = maps.Clone(c.Labels)
	for _, word := range words {
		k, v, set := strings.Cut(word, "=")
		if c.Labels[k] = v; !set {
			delete(c.Labels, k)
		}
	}
	w.claim(c)
}

// parseField reads NAME=VALUE with a field's name as NPM has it.
func parseField(name, value string) (api.Fields, error) {
	for _, raw := range []string{value, strconv.Quote(value), `["` + strings.ReplaceAll(value, ",", `","`) + `"]`} {
		var f api.Fields
		if err := json.Unmarshal(fmt.Appendf(nil, "{%q:%s}", name, raw), &f); err == nil && len(f) > 0 {
			return f, nil
		}
	}
	return nil, fmt.Errorf("%s=%s is no field", name, value)
}

func (w *world) edit(domain string, words []string) error {
	for i, h := range w.hosts {
		if h.Domain() != domain {
			continue
		}
		edited := *h
		row := h.Fields()
		for _, word := range words {
			key, value, _ := strings.Cut(word, "=")
			switch key {
			case "delete":
				w.hosts = slices.Delete(slices.Clone(w.hosts), i, i+1)
				return nil
			case "enabled":
				edited.Enabled, _ = strconv.ParseBool(value)
				continue
			}
			f, err := parseField(key, strings.ReplaceAll(value, "'", "\""))
			if err != nil {
				return err
			}
			row = row.With(f)
		}
		setRow(&edited, row)
		w.hosts[i] = &edited
		return nil
	}
	return fmt.Errorf("there is no host %s", domain)
}
