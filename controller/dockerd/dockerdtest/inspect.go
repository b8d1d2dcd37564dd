package dockerdtest

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	containertypes "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/mount"
	networktypes "github.com/docker/docker/api/types/network"
)

func itoa(n int) string { return strconv.Itoa(n) }

// status is State.Status.
func (c *container) status() string {
	switch {
	case c.paused:
		return "paused"
	case c.run != nil:
		return "running"
	case c.restartTimer != nil:
		return "restarting"
	case c.startedAt.IsZero():
		return "created"
	}
	return "exited"
}

func (c *container) state() *containertypes.State {
	s := &containertypes.State{
		Status:     c.status(),
		Running:    c.run != nil || c.restartTimer != nil,
		Paused:     c.paused,
		Restarting: c.restartTimer != nil,
		OOMKilled:  c.oomKilled,
		ExitCode:   c.exitCode,
		Error:      c.stateError,
		StartedAt:  stamp(c.startedAt),
		FinishedAt: stamp(c.finishedAt),
	}
	if c.run != nil {
		s.Pid = c.run.pid
	}
	if c.health != nil {
		h := *c.health
		h.Log = slices.Clone(h.Log)
		s.Health = &h
	}
	return s
}

func (c *container) command() (path string, args []string) {
	all := slices.Concat(c.config.Entrypoint, c.config.Cmd)
	if len(all) == 0 {
		return "", []string{}
	}
	return all[0], append([]string{}, all[1:]...)
}

// inspect is GET /containers/{id}/json.
func (c *container) inspect() containertypes.InspectResponse {
	path, args := c.command()
	settings := &containertypes.NetworkSettings{Networks: c.networksView(true)}
	settings.Ports = c.portMap()
	if ep := c.endpoints["bridge"]; ep != nil {
		v := settings.Networks["bridge"]
		settings.DefaultNetworkSettings = containertypes.DefaultNetworkSettings{
			EndpointID: v.EndpointID, Gateway: v.Gateway, IPAddress: v.IPAddress, IPPrefixLen: v.IPPrefixLen, MacAddress: v.MacAddress,
		}
	}
	if !c.startedAt.IsZero() && !c.hostConfig.NetworkMode.IsContainer() { // measured: it outlives the run
		settings.SandboxID = c.id
		settings.SandboxKey = "/var/run/docker/netns/" + c.shortID()
	}
	return containertypes.InspectResponse{
		ContainerJSONBase: &containertypes.ContainerJSONBase{
			ID: c.id, Created: stamp(c.created), Path: path, Args: args, State: c.state(), Image: c.imageID(),
			Name: "/" + c.name, RestartCount: c.restartCount, Driver: "overlay2", Platform: "linux",
			ExecIDs: slices.Clone(c.execIDs), HostConfig: c.hostConfig,
		},
		Mounts: c.mounts(), Config: c.config, NetworkSettings: settings,
	}
}

func (c *container) imageID() string {
	if c.image == nil {
		return "sha256:" + strings.Repeat("0", 64)
	}
	return c.image.id
}

func (c *container) mounts() []containertypes.MountPoint {
	points := []containertypes.MountPoint{}
	for _, bind := range c.hostConfig.Binds {
		parts := strings.SplitN(bind, ":", 3)
		if len(parts) < 2 {
			continue
		}
		m := containertypes.MountPoint{
			Type: mount.TypeBind, Source: parts[0], Destination: parts[1], RW: true, Propagation: mount.PropagationRPrivate,
		}
		if len(parts) == 3 {
			m.Mode, m.RW = parts[2], !strings.Contains(parts[2], "ro")
		}
		points = append(points, m)
	}
	return points
}

func (ep *endpoint) mac() string {
	b := ep.addr.As4()
	return fmt.Sprintf("02:42:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
}

// networksView is NetworkSettings.Networks; the list shows it without aliases, as the Engine's does.
func (c *container) networksView(aliases bool) map[string]*networktypes.EndpointSettings {
	view := map[string]*networktypes.EndpointSettings{}
	for name, ep := range c.endpoints {
		v := ep.settings
		v.MacAddress = ""
		v.Aliases = nil
		if aliases {
			v.Aliases = ep.aliasesView()
			if c.e.atLeast("1.44") && ep.named {
				v.DNSNames = ep.dnsNames()
			}
		}
		if ep.network != nil {
			v.NetworkID = ep.network.id
		}
		if ep.active {
			v.EndpointID = ep.id
			if ep.addr.IsValid() {
				v.IPAddress, v.IPPrefixLen, v.MacAddress = ep.addr.String(), ep.network.subnet.Bits(), ep.mac()
				v.Gateway = ep.network.gateway.String()
			}
		}
		view[name] = &v
	}
	return view
}

// aliasesView is the user's aliases and, up to API 1.44, the short id that the Engine adds.
func (ep *endpoint) aliasesView() []string {
	view := slices.Clone(ep.settings.Aliases)
	if ep.named && !ep.container.e.atLeast("1.45") && !slices.Contains(view, ep.container.shortID()) {
		view = append(view, ep.container.shortID())
	}
	return view
}

func (e *Engine) getContainers(w http.ResponseWriter, r *http.Request) error {
	f, err := parseFilters(r, "ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label",
		"name", "network", "publish", "since", "status", "volume")
	if err != nil {
		return err
	}
	limit, _ := strconv.Atoi(r.FormValue("limit"))
	all := isTrue(r.FormValue("all")) || limit > 0 || f.Contains("status") || f.Contains("exited")
	e.mu.Lock()
	list := make([]containertypes.Summary, 0, len(e.order))
	for _, c := range slices.Backward(e.order) {
		if (all || c.run != nil || c.restartTimer != nil) && c.matches(f) {
			list = append(list, c.summary())
		}
		if limit > 0 && len(list) == limit {
			break
		}
	}
	e.mu.Unlock()
	writeJSON(w, http.StatusOK, list)
	return nil
}

// matches applies the filters of the container list that clients use.
func (c *container) matches(f filters.Args) bool {
	if f.Len() == 0 {
		return true
	}
	health := "none"
	if c.health != nil {
		health = c.health.Status
	}
	return (!f.Contains("id") || f.Match("id", c.id)) &&
		(!f.Contains("name") || f.Match("name", "/"+c.name) || f.Match("name", c.name)) &&
		(!f.Contains("label") || f.MatchKVList("label", c.config.Labels)) &&
		(!f.Contains("status") || f.ExactMatch("status", c.status())) &&
		(!f.Contains("exited") || (c.run == nil && f.ExactMatch("exited", itoa(c.exitCode)))) &&
		(!f.Contains("health") || f.ExactMatch("health", health)) &&
		(!f.Contains("ancestor") || f.ExactMatch("ancestor", c.config.Image) || f.ExactMatch("ancestor", stripTag(c.config.Image)) || f.ExactMatch("ancestor", c.imageID())) &&
		(!f.Contains("network") || slices.ContainsFunc(c.sorted(), func(ep *endpoint) bool {
			return f.ExactMatch("network", ep.networkName) || (ep.network != nil && f.ExactMatch("network", ep.network.id))
		}))
}

func (c *container) summary() containertypes.Summary {
	path, args := c.command()
	s := containertypes.Summary{
		ID: c.id, Names: []string{"/" + c.name}, Image: c.config.Image, ImageID: c.imageID(),
		Command: strings.TrimSpace(path + " " + strings.Join(args, " ")), Created: c.created.Unix(),
		Ports: c.portList(), Labels: c.config.Labels, State: c.status(), Status: c.statusLine(),
		NetworkSettings: &containertypes.NetworkSettingsSummary{Networks: c.networksView(false)},
		Mounts:          c.mounts(),
	}
	s.HostConfig.NetworkMode = string(c.hostConfig.NetworkMode)
	return s
}

// statusLine is the list's sentence about the state.
func (c *container) statusLine() string {
	up := humanDuration(time.Since(c.startedAt))
	switch c.status() {
	case "created":
		return "Created"
	case "paused":
		return "Up " + up + " (Paused)"
	case "restarting":
		return fmt.Sprintf("Restarting (%d) %s ago", c.exitCode, humanDuration(time.Since(c.finishedAt)))
	case "exited":
		return fmt.Sprintf("Exited (%d) %s ago", c.exitCode, humanDuration(time.Since(c.finishedAt)))
	}
	if c.health != nil {
		h := cmp.Or(c.health.Status, "starting")
		if h == "starting" {
			h = "health: starting"
		}
		return "Up " + up + " (" + h + ")"
	}
	return "Up " + up
}

// humanDuration words a duration as the Engine's status lines do.
func humanDuration(d time.Duration) string {
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}} {
		switch n := int(d / unit.size); {
		case n == 1:
			return "1 " + unit.name
		case n > 1:
			return itoa(n) + " " + unit.name + "s"
		}
	}
	return "Less than a second"
}
