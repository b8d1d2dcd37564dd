package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/test/lab"
)

// enable is the label by which a service opts in.
var enable = map[string]string{"no502.enable": "true"}

// compose are the labels that Docker Compose gives a replica of a service.
func compose(project, service, number string, more map[string]string) map[string]string {
	labels := map[string]string{api.ComposeProject: project, api.ComposeService: service, api.ComposeNumber: number}
	maps.Copy(labels, more)
	return labels
}

// scene is one case: its containers, its proxy host, and what comes of them.
// What it makes stays until its world is struck, and must stay as it is.
type scene struct {
	*world
	t      *testing.T
	n      int32
	domain string
	host   lab.ProxyHost // as it was made by hand
	row    string
	edits  int // that a person made since
	before chan error
}

func (w *world) scene(t *testing.T) *scene {
	s := &scene{world: w, t: t, n: w.scenes.Add(1), before: make(chan error, 1)}
	s.domain = fmt.Sprintf("site%d.example.com", s.n)
	t.Cleanup(s.end)
	return s
}

// name is a name of this scene's own.
func (s *scene) name(name string) string { return s.Name(fmt.Sprintf("%d-%s", s.n, name)) }

// dress makes a container of a word or two of this scene: its name, and after
// "container:" another's, are the scene's own, and without a network it is Elsewhere.
func (s *scene) dress(c stage.Container) stage.Container {
	c.Env = append(c.Env, "NAME="+c.Name)
	c.Name, c.Image = s.name(c.Name), s.Image
	c.Cmd = append([]string{"demo", "backend"}, c.Cmd...)
	if owner, ok := strings.CutPrefix(c.Network, "container:"); ok {
		c.Network = "container:" + s.name(owner)
	}
	if c.Network == "" {
		c.Network = s.Elsewhere
	}
	labels := map[string]string{}
	for k, v := range c.Labels {
		labels[s.Label(k)] = v
	}
	c.Labels = labels
	return c
}

func (s *scene) create(c stage.Container) stage.Container {
	s.t.Helper()
	c = s.dress(c)
	_, err := s.Create(s.t.Context(), c)
	must(s.t, err)
	return c
}

func (s *scene) run(c stage.Container) (id string) {
	s.t.Helper()
	id, err := s.Run(s.t.Context(), s.dress(c))
	must(s.t, err)
	return id
}

// again removes a container of this scene and runs another in its place.
func (s *scene) again(c stage.Container) {
	s.t.Helper()
	must(s.t, s.Remove(s.t.Context(), s.name(c.Name)))
	s.run(c)
}

func (s *scene) published(name, port string) int {
	s.t.Helper()
	n, err := s.Published(s.t.Context(), s.name(name), port)
	must(s.t, err)
	return n
}

func (s *scene) address(name, network string) string {
	s.t.Helper()
	addr, err := s.Address(s.t.Context(), s.name(name), network)
	must(s.t, err)
	return addr
}

// forward is a host as somebody makes it by hand.
func forward(scheme, host string, port int) lab.ProxyHost {
	return lab.ProxyHost{ForwardScheme: scheme, ForwardHost: host, ForwardPort: port}
}

// hangs is the status of a page that does not come.
const hangs = -1

// given makes the proxy host, and looks what a visitor gets.
func (s *scene) given(h lab.ProxyHost, want int) {
	s.t.Helper()
	h.DomainNames = []string{s.domain}
	made, err := s.AddHost(s.t.Context(), h)
	must(s.t, err)
	s.host = made
	go func() { s.before <- s.visitorGets(s.t.Context(), want) }()
}

// broken waits for what a visitor got before no502 did anything.
func (s *scene) broken() {
	s.t.Helper()
	if err := <-s.before; err != nil {
		s.t.Fatalf("before: %v", err)
	}
	s.before <- nil
	s.row = s.rowNow()
}

func (s *scene) rowNow() string {
	s.t.Helper()
	rows, err := s.Rows(s.t.Context())
	must(s.t, err)
	return rows[s.host.ID]
}

// visitorGets waits for a status. Where nothing is to come, a few seconds
// without it are proof enough: NPM gives up after 90.
func (s *scene) visitorGets(ctx context.Context, want int) error {
	return within(ctx, patience, func(ctx context.Context) error {
		if want == hangs {
			var cancel func()
			ctx, cancel = context.WithTimeout(ctx, 3*time.Second)
			defer cancel()
		}
		switch a := s.Get(ctx, s.domain); {
		case a.Status == want, want == hangs && (a.Status == 0 && ctx.Err() != nil || a.Status == 504 || a.Status == 502):
			return nil
		default:
			return fmt.Errorf("a visitor of %s gets %s %q, want %d", s.domain, a, a.Body, want)
		}
	})
}

// answers: a visitor gets 200 from the container of this name.
func (s *scene) answers(name string) {
	s.t.Helper()
	eventually(s.t, "200 from "+name, func(ctx context.Context) error { return s.answer(ctx, name) })
}

// who asks once who answers, with a visitor's patience: a request that NPM sent
// to a dead address goes on for long after the host was mended.
func (s *scene) who(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	a := s.Get(ctx, s.domain)
	name, _, ok := strings.Cut(a.Body, " answers")
	if a.Status != 200 || !ok {
		return "", fmt.Errorf("a visitor of %s gets %s %q", s.domain, a, a.Body)
	}
	return name, nil
}

func (s *scene) answer(ctx context.Context, name string) error {
	who, err := s.who(ctx)
	if err == nil && who != name {
		err = fmt.Errorf("%s answers a visitor of %s", who, s.domain)
	}
	return err
}

// healed: no502 repaired the host with one write, for these reasons, and left
// alone what it need not change.
func (s *scene) healed(because ...api.Code) {
	s.t.Helper()
	const writes = 1
	slices.Sort(because)
	var want, got []string
	for _, c := range because {
		want = append(want, string(c))
	}
	// Visitors may get the page before NPM has answered no502.
	eventually(s.t, "no502 says that it is done", func(ctx context.Context) error {
		if got = s.reasons(ctx); len(got) == 0 {
			return errors.New("it does not")
		}
		return nil
	})
	if diff := cmp.Diff([]string{strings.Join(want, ", ")}, got); diff != "" {
		s.t.Errorf("what no502 says it repaired (- wanted, + said):\n%s", diff)
	}
	if got := s.writes(s.t, s.host.ID); len(got) != writes+s.edits {
		s.t.Errorf("NPM's audit log has %v after the host was made, want %d", got, writes+s.edits)
	}
	if diff := cmp.Diff(theirs(s.t, s.row), theirs(s.t, s.rowNow())); diff != "" {
		s.t.Errorf("more than the forward fields changed:\n%s", diff)
	}
}

// reasons are those of no502's writes to the host, as it tells them.
func (s *scene) reasons(ctx context.Context) (because []string) {
	log, _ := s.log(ctx)
	for _, l := range log {
		if l.Msg == "done" && strings.HasPrefix(l.Action, s.domain+":") {
			because = append(because, l.Because)
		}
	}
	return because
}

// theirs is what no502 may not change in a row.
func theirs(t *testing.T, row string) map[string]any {
	t.Helper()
	var fields map[string]any
	must(t, json.Unmarshal([]byte(row), &fields))
	for _, ours := range []string{"forward_scheme", "forward_host", "forward_port", "modified_on"} {
		delete(fields, ours)
	}
	if meta, ok := fields["meta"].(map[string]any); ok {
		for _, ours := range []string{"no502", "nginx_online", "nginx_err"} {
			delete(meta, ours)
		}
	}
	return fields
}

// forwards: NPM has this endpoint now; a host name of one word is this scene's.
func (s *scene) forwards(url string) {
	s.t.Helper()
	scheme, rest, _ := strings.Cut(url, "://")
	host, port, _ := strings.Cut(rest, ":")
	if !strings.Contains(host, ".") {
		host = s.name(host)
	}
	s.forwardsTo(scheme + "://" + host + ":" + port)
}

func (s *scene) forwardsTo(want string) {
	s.t.Helper()
	h, err := s.Host(s.t.Context(), s.host.ID)
	must(s.t, err)
	if h.Forward() != want {
		s.t.Errorf("NPM forwards to %s, want %s", h.Forward(), want)
	}
}

// untouched: nobody wrote to the host since it was made.
func (s *scene) untouched() {
	s.t.Helper()
	if got := s.writes(s.t, s.host.ID); len(got) != s.edits {
		s.t.Errorf("NPM's audit log has %v after the host was made, want %d", got, s.edits)
	}
	if now := s.rowNow(); now != s.row {
		s.t.Errorf("the host changed:\nwas %s\nnow %s", s.row, now)
	}
}

// left: no502 looked at the host and said this; it wrote nothing, and a
// visitor gets what he got before.
func (s *scene) left(status int, code api.Code, words string) {
	s.t.Helper()
	s.broken()
	s.finding(s.t, api.KindHost, s.domain, code, words)
	s.untouched()
	must(s.t, s.visitorGets(s.t.Context(), status))
}

// observed makes a host that no502 may only report, and looks at it, so that
// what a visitor got before is known although no502 is at work.
func (s *scene) observed(h lab.ProxyHost, before int) {
	s.t.Helper()
	h.AdvancedConfig = "# no502: observe"
	s.given(h, before)
	s.broken()
}

// release takes the mark away.
func (s *scene) release() {
	s.t.Helper()
	s.edit(map[string]any{"advanced_config": ""})
	s.row = s.rowNow()
	s.edits++
}

// edit changes fields of the host, as a person does in NPM's pages.
func (s *scene) edit(fields map[string]any) {
	s.t.Helper()
	// NPM refuses one of two writes at once: no502's may be the other.
	must(s.t, within(s.t.Context(), patience, func(ctx context.Context) error {
		return s.API(ctx, "PUT", fmt.Sprintf("/nginx/proxy-hosts/%d", s.host.ID), fields, nil)
	}))
}

// fromNow on nothing is to be written any more.
func (s *scene) fromNow() {
	s.t.Helper()
	s.row, s.edits = s.rowNow(), len(s.writes(s.t, s.host.ID))
}

// end looks that nothing else changed, and tells what happened if it failed.
func (s *scene) end() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	rows, err := s.Rows(ctx)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unchanged(s.t, rows)
	if s.host.ID == 0 {
		return
	}
	if !s.t.Failed() {
		s.settled[s.host.ID] = rows[s.host.ID]
		return
	}
	_, log := s.log(ctx)
	v, err := s.verdict(ctx, api.KindHost, s.domain)
	s.t.Logf("the host: %s\nno502's verdict: %+v %v\nno502's log about this case:\n%s", rows[s.host.ID], v, err,
		lines(log, s.domain, s.Prefix+fmt.Sprint(s.n)+"-", `"level":"error"`))
}
