package dockerdtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	containertypes "github.com/docker/docker/api/types/container"
	eventtypes "github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	imagetypes "github.com/docker/docker/api/types/image"
	networktypes "github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
)

const (
	prefix   = "no502dt-" // of every name, to be told from what else is on the Engine
	guestRef = "no502dt/guest:1"
)

// script talks to an Engine and notes down the answers, with all that differs from run to run made equal.
type script struct {
	t      *testing.T
	cli    *client.Client // notes statuses
	raw    *client.Client // for hijacked connections and streams
	status *statusRecorder
	out    bytes.Buffer
	ids    map[string]string // id → what the transcript calls it
	nets   map[string]string // address prefix → what the transcript calls it
	events <-chan eventtypes.Message
	marks  int
	execs  bool // note exec events
}

func (s *script) ctx() context.Context { return s.t.Context() }

func (s *script) printf(format string, args ...any) {
	fmt.Fprintln(&s.out, s.normal(fmt.Sprintf(format, args...)))
}

var (
	anyID    = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	bridgeIP = regexp.MustCompile(`\b172\.17\.\d+\.\d+\b`)
	poolBits = regexp.MustCompile(`(NET\([a-z]+\)\.\d+"?)/(16|20)\b`)
	imageID  = regexp.MustCompile(`image [0-9a-f]{12}\b`)
)

// normal makes ids and addresses the same in every run.
func (s *script) normal(text string) string {
	for id, name := range s.ids {
		text = strings.ReplaceAll(text, id, "ID("+name+")")
		text = strings.ReplaceAll(text, id[:12], "SHORT("+name+")")
	}
	for net, name := range s.nets {
		text = strings.ReplaceAll(text, net, "NET("+name+").")
	}
	text = anyID.ReplaceAllString(text, "ID")
	text = poolBits.ReplaceAllString(text, "$1/POOL")
	text = imageID.ReplaceAllString(text, "image SHORT")
	text = bridgeIP.ReplaceAllString(text, "BRIDGE-IP")
	return strings.ReplaceAll(text, prefix, "")
}

// said notes a call and its outcome.
func (s *script) said(call string, err error) {
	if err != nil {
		s.printf("%s: %d %s", call, s.status.status, strings.TrimPrefix(err.Error(), "Error response from daemon: "))
		return
	}
	s.printf("%s: %d", call, s.status.status)
}

func names(list string) string { return prefix + list }

func (s *script) createNetwork(name string, opts networktypes.CreateOptions) {
	r, err := s.cli.NetworkCreate(s.ctx(), names(name), opts)
	s.said("network create "+name, err)
	if err != nil {
		return
	}
	s.ids[r.ID] = "network " + name
	n, err := s.raw.NetworkInspect(s.ctx(), r.ID, networktypes.InspectOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	if subnet := n.IPAM.Config[0].Subnet; opts.IPAM == nil {
		s.nets[subnet[:strings.LastIndexByte(subnet, '.')+1]] = name
	}
}

func pool(subnet, ipRange, gateway string) networktypes.CreateOptions {
	return networktypes.CreateOptions{IPAM: &networktypes.IPAM{Config: []networktypes.IPAMConfig{
		{Subnet: subnet, IPRange: ipRange, Gateway: gateway},
	}}}
}

func (s *script) create(name string, cfg containertypes.Config, hc containertypes.HostConfig, nc *networktypes.NetworkingConfig) {
	if cfg.Image == "" {
		cfg.Image = guestRef
	}
	if cfg.Cmd == nil {
		cfg.Cmd = []string{"/guest", "sleep"}
	}
	r, err := s.cli.ContainerCreate(s.ctx(), &cfg, &hc, nc, nil, names(name))
	s.said("create "+name, err)
	if err == nil {
		s.ids[r.ID] = name
	}
}

func mode(network string) containertypes.HostConfig {
	if network != "" && network != "host" && network != "none" && network != "bridge" && !strings.HasPrefix(network, "container:") {
		network = names(network)
	}
	return containertypes.HostConfig{NetworkMode: containertypes.NetworkMode(network)}
}

func (s *script) start(name string) {
	s.said("start "+name, s.cli.ContainerStart(s.ctx(), names(name), containertypes.StartOptions{}))
}

func (s *script) stop(name string) {
	s.said("stop "+name, s.cli.ContainerStop(s.ctx(), names(name), containertypes.StopOptions{}))
}

// remove removes containers, and waits for the event: a loaded Engine tells of it after its answer.
func (s *script) remove(list ...string) {
	for _, name := range list {
		err := s.cli.ContainerRemove(s.ctx(), names(name), containertypes.RemoveOptions{Force: true})
		s.said("remove "+name, err)
		if err == nil {
			s.until(func(m eventtypes.Message) bool {
				return m.Action == "destroy" && m.Actor.Attributes["name"] == names(name)
			})
		}
	}
}

func (s *script) network(name string) string {
	if name == "bridge" || name == "host" || name == "none" {
		return name
	}
	return names(name)
}

func (s *script) connect(network, name string, ep *networktypes.EndpointSettings) {
	err := s.cli.NetworkConnect(s.ctx(), s.network(network), names(name), ep)
	s.said("connect "+network+" "+name, err)
}

func (s *script) disconnect(network, name string, force bool) {
	err := s.cli.NetworkDisconnect(s.ctx(), s.network(network), names(name), force)
	s.said(fmt.Sprintf("disconnect %s %s force=%t", network, name, force), err)
}

func pinned(ip string, aliases ...string) *networktypes.EndpointSettings {
	return &networktypes.EndpointSettings{IPAMConfig: &networktypes.EndpointIPAMConfig{IPv4Address: ip}, Aliases: aliases}
}

// networks notes the endpoints of containers.
func (s *script) networks(list ...string) {
	for _, name := range list {
		c, err := s.raw.ContainerInspect(s.ctx(), names(name))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, n := range slices.Sorted(maps.Keys(c.NetworkSettings.Networks)) {
			ep := c.NetworkSettings.Networks[n]
			var pin string
			if ep.IPAMConfig != nil {
				pin = " pinned " + ep.IPAMConfig.IPv4Address
			}
			gw := ep.Gateway
			s.printf("  %s on %s: ip %q/%d gateway %q aliases %q%s opts %v network %q endpoint %t mac %t", name, n,
				ep.IPAddress, ep.IPPrefixLen, gw, ep.Aliases, pin, ep.DriverOpts, ep.NetworkID, ep.EndpointID != "", ep.MacAddress != "")
		}
	}
}

// state notes what inspect and list say of containers.
func (s *script) state(list ...string) {
	for _, name := range list {
		c, err := s.raw.ContainerInspect(s.ctx(), names(name))
		if err != nil {
			s.printf("  inspect %s: %v", name, err)
			continue
		}
		st := c.State
		line := fmt.Sprintf("  %s: %s running %t paused %t restarting %t oom %t exit %d pid %t error %q restarts %d started %t finished %t",
			name, st.Status, st.Running, st.Paused, st.Restarting, st.OOMKilled, st.ExitCode, st.Pid != 0, st.Error, c.RestartCount,
			st.StartedAt[:4] != "0001", st.FinishedAt[:4] != "0001")
		if st.Health != nil {
			line += fmt.Sprintf(" health %s streak %d", st.Health.Status, st.Health.FailingStreak)
		}
		s.printf("%s", line)
	}
}

// config notes what inspect says of a container's configuration.
func (s *script) config(name string) {
	c, err := s.raw.ContainerInspect(s.ctx(), names(name))
	if err != nil {
		s.t.Fatal(err)
	}
	s.json("  config", map[string]any{
		"name": c.Name, "path": c.Path, "args": c.Args, "hostname": c.Config.Hostname, "cmd": c.Config.Cmd, "labels": c.Config.Labels,
		"exposed": c.Config.ExposedPorts, "mode": c.HostConfig.NetworkMode, "bindings": c.HostConfig.PortBindings,
		"restart": c.HostConfig.RestartPolicy, "ports": c.NetworkSettings.Ports, "image": c.Config.Image,
		"top": c.NetworkSettings.IPAddress, "mounts": c.Mounts, "sandbox": c.NetworkSettings.SandboxID != "",
	})
}

func (s *script) json(what string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.t.Fatal(err)
	}
	s.printf("%s: %s", what, b)
}

// list notes what the container list says.
func (s *script) list(opts containertypes.ListOptions) {
	if opts.Filters.Len() == 0 {
		opts.Filters = filters.NewArgs()
	}
	opts.Filters.Add("name", prefix)
	l, err := s.cli.ContainerList(s.ctx(), opts)
	s.said(fmt.Sprintf("list all=%t limit=%d", opts.All, opts.Limit), err)
	for _, c := range l {
		var nets []string
		for n, ep := range c.NetworkSettings.Networks {
			nets = append(nets, fmt.Sprintf("%s ip %q aliases %q", n, ep.IPAddress, ep.Aliases))
		}
		sort.Strings(nets)
		sort.Slice(c.Ports, func(i, j int) bool { return fmt.Sprint(c.Ports[i]) < fmt.Sprint(c.Ports[j]) })
		s.printf("  %s image %s %s command %q ports %v labels %v mode %s networks %v", c.Names, c.Image, c.State, c.Command, c.Ports,
			c.Labels, c.HostConfig.NetworkMode, nets)
	}
}

// wait waits for a container's exit and notes the code.
func (s *script) wait(name string, condition containertypes.WaitCondition) {
	ok, failed := s.raw.ContainerWait(s.ctx(), names(name), condition)
	select {
	case r := <-ok:
		s.printf("wait %s: exit %d", name, r.StatusCode)
	case err := <-failed:
		s.printf("wait %s: %v", name, err)
	}
}

// exec runs a command in a container, with input, and notes what it prints.
func (s *script) exec(name, stdin string, cmd ...string) {
	what := fmt.Sprintf("exec %s %s", name, strings.Join(cmd[1:], " "))
	x, err := s.cli.ContainerExecCreate(s.ctx(), names(name), containertypes.ExecOptions{
		Cmd: cmd, AttachStdin: stdin != "", AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		s.said(what, err)
		return
	}
	h, err := s.raw.ContainerExecAttach(s.ctx(), x.ID, containertypes.ExecAttachOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer h.Close()
	if stdin != "" {
		io.WriteString(h.Conn, stdin)
		h.CloseWrite()
	}
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, h.Reader); err != nil {
		s.t.Fatal(err)
	}
	r, err := s.raw.ContainerExecInspect(s.ctx(), x.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	s.printf("%s: %q exit %d running %t", what, out.String(), r.ExitCode, r.Running)
}

// follow opens the event stream.
func (s *script) follow(ctx context.Context) {
	s.ids, s.nets = map[string]string{}, map[string]string{}
	ch, _ := s.raw.Events(ctx, eventtypes.ListOptions{})
	s.events = ch
	r, err := s.cli.ContainerCreate(s.ctx(), &containertypes.Config{Image: guestRef, Cmd: []string{"/guest"}}, nil, nil, nil, names("mark"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.ids[r.ID] = "mark"
}

// happened notes the events since the last time: all up to a marker, a rename made for the purpose.
func (s *script) happened() {
	s.marks++
	mark := fmt.Sprintf("mark%d", s.marks)
	old := "mark"
	if s.marks > 1 {
		old = fmt.Sprintf("mark%d", s.marks-1)
	}
	if err := s.raw.ContainerRename(s.ctx(), names(old), names(mark)); err != nil {
		s.t.Fatal(err)
	}
	s.until(func(m eventtypes.Message) bool { return m.Actor.Attributes["name"] == names(mark) })
}

// until notes events up to the first that is meant; that one too unless it is a marker's. The events of one
// container's several networks come in random order from a real Engine, and are sorted.
func (s *script) until(last func(eventtypes.Message) bool) {
	var run []eventtypes.Message
	flush := func() {
		slices.SortStableFunc(run, func(a, b eventtypes.Message) int {
			return strings.Compare(a.Actor.Attributes["name"], b.Actor.Attributes["name"])
		})
		for _, m := range run {
			s.event(m)
		}
		run = nil
	}
	defer flush()
	for m := range s.events {
		if last(m) && strings.HasPrefix(m.Actor.Attributes["name"], names("mark")) {
			return
		}
		if !s.ours(m) {
			continue
		}
		if len(run) > 0 && (m.Actor.Attributes["container"] == "" || m.Type != eventtypes.NetworkEventType || m.Action != run[0].Action ||
			m.Actor.Attributes["container"] != run[0].Actor.Attributes["container"]) {
			flush()
		}
		run = append(run, m)
		if last(m) {
			return
		}
	}
}

// ours says whether an event is of the script's making and to be noted.
func (s *script) ours(m eventtypes.Message) bool {
	a := m.Actor.Attributes
	if strings.HasPrefix(string(m.Action), "exec_") && !s.execs {
		return false // a health check's, as often as time allows
	}
	_, container := s.ids[a["container"]]
	_, actor := s.ids[m.Actor.ID]
	return (container || actor || strings.HasPrefix(a["name"], prefix)) && !strings.HasPrefix(a["name"], names("mark"))
}

func (s *script) event(m eventtypes.Message) {
	a := m.Actor.Attributes
	var attrs []string
	for _, k := range slices.Sorted(maps.Keys(a)) {
		if k != "name" && (k != "image" || a[k] != guestRef) {
			attrs = append(attrs, k+"="+a[k])
		}
	}
	if m.Type == eventtypes.ContainerEventType && (m.Status != string(m.Action) || m.ID != m.Actor.ID || m.From != a["image"]) {
		attrs = append(attrs, "with other deprecated fields")
	}
	s.printf("  event %s %s %s id %s %v %s", m.Type, m.Action, a["name"], m.Actor.ID, attrs, m.Scope)
}

// clean removes what the script makes.
func (s *script) clean() {
	ctx := context.WithoutCancel(s.t.Context())
	f := filters.NewArgs(filters.Arg("name", prefix))
	list, _ := s.raw.ContainerList(ctx, containertypes.ListOptions{All: true, Filters: f})
	for _, c := range list {
		_ = s.raw.ContainerRemove(ctx, c.ID, containertypes.RemoveOptions{Force: true})
	}
	nets, _ := s.raw.NetworkList(ctx, networktypes.ListOptions{Filters: f})
	for _, n := range nets {
		_ = s.raw.NetworkRemove(ctx, n.ID)
	}
	_, _ = s.raw.ImageRemove(ctx, guestRef, imagetypes.RemoveOptions{Force: true})
}
