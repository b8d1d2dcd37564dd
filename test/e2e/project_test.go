package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/test/lab"
)

// npmService is the image of NPM in compose files, ownService no502's.
const (
	npmService = "jc21/nginx-proxy-manager:2.15.1"
	ownService = "no502"
	// socketProxy stands before the Engine, with rules as arguments.
	socketProxy = "wollomatic/socket-proxy:1.12.2"
)

// substitutes are what runs for an example's image: what a backend is to listen
// to. All of it is exposed, as by the image.
var substitutes = map[string][]string{
	"nginx:1.29-alpine":            {"80/http"},
	"traefik/whoami:v1.11":         {"80/http"},
	"nextcloud:32-apache":          {"80/http"},
	"louislam/uptime-kuma:2":       {"3001/http"},
	"rabbitmq:4-management-alpine": {"5672/echo", "15672/http", "15692/http"},
	"postgres:18-alpine":           {"5432/echo"},
	"redis:8-alpine":               {"6379/echo"},
	"coredns/coredns:1.13.1":       {"53/echo", "53/datagrams"},
}

// project is a compose file that is brought up as Compose does it, but for the
// images, the labels' prefix, and the machine's ports of NPM.
type project struct {
	visits
	name string
	file composeFile
}

// example brings up a folder of examples/. Its NPM, the visitor and no502 are a
// lab's.
func example(t *testing.T, folder string) *project {
	t.Helper()
	p := &project{visits: visits{t: t}, name: suite + "-" + folder}
	var err error
	p.file, err = readCompose("../../examples/" + folder + "/compose.yaml")
	must(t, err)
	if want := "no502-" + folder; p.file.Name != want {
		t.Errorf("its project is named %q, want %q", p.file.Name, want)
	}
	s, err := stage.Open(t.Context(), p.name, "", nil)
	must(t, err)
	p.Lab = &lab.Lab{
		Stage: s, Prefix: p.name + "-", Suffix: "-1", Image: appImage, NPM: npmImage,
		Labels: p.name, Net: p.name + "_default",
	}
	must(t, p.Strike(t.Context(), p.own()))
	t.Cleanup(p.strike)
	for _, v := range p.file.Volumes {
		must(t, p.Volume(t.Context(), p.name+"_"+v))
	}
	p.up()
	return p
}

// own is the network that no502 makes if it needs one.
func (p *project) own() string { return p.Name("own") }

func (p *project) strike() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if p.t.Failed() {
		log, err := p.Logs(ctx, p.container("no502"))
		p.t.Logf("no502's log (%v):\n%s", err, log)
	}
	p.Leave()
	if err := p.Strike(ctx, p.own()); err != nil {
		p.t.Error(err)
	}
}

// container is the name of a service's first container.
func (p *project) container(service string) string { return p.Name(service) + "-1" }

// up makes and starts what is not there.
func (p *project) up() {
	p.t.Helper()
	for _, n := range append(slices.Clone(p.file.Networks), "default") {
		labels := map[string]string{api.ComposeProject: p.name, api.ComposeNetwork: n}
		make := p.Network
		if slices.Contains(p.file.Internal, n) {
			make = p.InternalNetwork
		}
		must(p.t, make(p.t.Context(), p.name+"_"+n, "", labels))
	}
	must(p.t, p.RunVisitor(p.t.Context()))
	for _, name := range p.file.order() {
		for other, condition := range p.file.Services[name].DependsOn {
			if condition == completed {
				p.completes(other)
			}
		}
		p.start(name)
	}
	must(p.t, p.Login(p.t.Context()))
}

// start makes and starts a service's containers.
func (p *project) start(name string) {
	p.t.Helper()
	networks := p.file.Services[name].Networks
	for n := range p.file.Services[name].Replicas {
		id, err := p.Create(p.t.Context(), p.replica(name, n+1))
		must(p.t, err)
		for _, another := range networks[min(1, len(networks)):] {
			must(p.t, p.Connect(p.t.Context(), p.name+"_"+another, id))
		}
		must(p.t, p.Start(p.t.Context(), id))
	}
}

// completes waits for the end of a container that is to end well.
func (p *project) completes(name string) {
	p.t.Helper()
	eventually(p.t, name+" ends", func(ctx context.Context) error {
		state, err := p.State(ctx, p.container(name))
		if err == nil && state.Status != "exited" {
			err = fmt.Errorf("it is %s", state.Status)
		}
		if err == nil && state.ExitCode != 0 {
			p.t.Fatalf("%s ended with %d", name, state.ExitCode)
		}
		return err
	})
}

// down ends no502, removes the containers and the networks, and leaves the
// volumes. The services go first: no502 sees it.
func (p *project) down() {
	p.t.Helper()
	p.Leave()
	order := p.file.order()
	slices.Reverse(order)
	for _, name := range order {
		if p.file.Services[name].Image != npmService && name != "no502" {
			p.remove(name)
		}
	}
	must(p.t, p.Kill(p.t.Context(), p.container("no502"), "TERM"))
	p.completes("no502")
	for _, name := range []string{"no502", "npm", "visitor"} {
		p.remove(name)
	}
	for _, n := range append(slices.Clone(p.file.Networks), "default") {
		must(p.t, p.RemoveNetwork(p.t.Context(), p.name+"_"+n))
	}
}

// remove removes a service's containers.
func (p *project) remove(name string) {
	p.t.Helper()
	for n := range max(p.file.Services[name].Replicas, 1) {
		must(p.t, p.Remove(p.t.Context(), fmt.Sprintf("%s-%d", p.Name(name), n+1)))
	}
}

// replica is a container of a service, with the labels that Compose gives it.
func (p *project) replica(name string, number int) stage.Container {
	p.t.Helper()
	s := p.file.Services[name]
	c := stage.Container{
		Name: fmt.Sprintf("%s-%d", p.Name(name), number), Image: appImage, Cmd: s.Command,
		Network: p.name + "_default", Aliases: []string{name}, User: s.User, Restart: s.Restart,
		ReadOnly: s.ReadOnly, CapDrop: s.CapDrop, SecurityOpt: s.SecurityOpt, Memory: s.Memory, Pids: s.Pids,
		Labels: compose(p.name, name, fmt.Sprint(number), map[string]string{"com.docker.compose.oneoff": "False"}),
	}
	if len(s.Networks) > 0 {
		c.Network = p.name + "_" + s.Networks[0]
	}
	for key, value := range s.Labels {
		c.Labels[p.Label(key)] = value
	}
	for _, port := range s.Ports {
		if s.Image == npmService {
			_, port, _ = strings.Cut(port, ":") // the machine's is the Engine's choice
		}
		c.Publish = append(c.Publish, port)
	}
	for _, v := range s.Volumes {
		c.Binds = append(c.Binds, p.bind(v))
	}
	for _, secret := range s.Secrets {
		file, err := filepath.Abs(p.file.Secrets[secret])
		must(p.t, err)
		c.Binds = append(c.Binds, file+":/run/secrets/"+secret+":ro")
	}
	env := maps.Clone(s.Environment)
	p.substitute(name, s, &c, &env)
	for _, key := range slices.Sorted(maps.Keys(env)) {
		c.Env = append(c.Env, key+"="+env[key])
	}
	return c
}

// substitute chooses what runs in a service's container.
func (p *project) substitute(name string, s composeService, c *stage.Container, env *map[string]string) {
	p.t.Helper()
	if *env == nil {
		*env = map[string]string{}
	}
	switch listens, ok := substitutes[s.Image]; {
	case ok:
		c.Cmd = append([]string{"demo", "backend"}, listens...)
		for _, l := range listens {
			port, speaks, _ := strings.Cut(l, "/")
			if speaks == "datagrams" {
				port += "/udp"
			}
			c.Expose = append(c.Expose, port)
		}
		(*env)["NAME"] = name
	case s.Image == npmService && npmImage != appImage:
		c.Image = npmImage
	case s.Image == npmService:
		c.Cmd = []string{"demo", "npm"}
		(*env)["DATA_DIR"], (*env)["LETS_ENCRYPT"] = "/data", "issues"
	case s.Image == ownService && len(s.Command) == 0:
		c.Cmd = []string{"run"}
		if c.User == "" {
			c.User = "65532:65532" // the image's
		}
		for _, kv := range append(p.Controller().Env, "NO502_NETWORK="+p.own(), "NO502_LOG_FORMAT=json") {
			key, value, _ := strings.Cut(kv, "=")
			_, said := (*env)[key]
			_, file := (*env)[key+"_FILE"]
			if !said && !file {
				(*env)[key] = value
			}
		}
	case s.Image == socketProxy:
		c.Cmd = append([]string{"demo", "guard"}, s.Command...)
		c.User = p.socketUser(s.User)
	case s.Image != ownService:
		p.t.Fatalf("%s: nothing is known that could run for the image %s", name, s.Image)
	}
}

// socketUser is a user with the group that the Engine's socket has here.
func (p *project) socketUser(user string) string {
	p.t.Helper()
	socket, _, _ := strings.Cut(p.Controller().Binds[0], ":")
	info, err := os.Stat(socket)
	must(p.t, err)
	name, _, _ := strings.Cut(user, ":")
	return fmt.Sprintf("%s:%d", name, info.Sys().(*syscall.Stat_t).Gid)
}

// bind is a volume of a compose file here.
func (p *project) bind(v string) string {
	source, target, _ := strings.Cut(v, ":")
	switch {
	case source == "/var/run/docker.sock":
		return p.Controller().Binds[0]
	case !strings.HasPrefix(source, "/"):
		source = p.name + "_" + source
	}
	return source + ":" + target
}
