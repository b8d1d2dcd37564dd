package main

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestModel does to Compose services and in NPM's pages what people do, at
// random, and looks after each step whether NPM has what the labels say. More
// cases than few are run with -rapid.checks=200.
func TestModel(t *testing.T) {
	fewCases(t, "10")
	rapid.Check(t, func(rt *rapid.T) {
		names := slices.Sorted(maps.Keys(modelSteps))
		n := rapid.IntRange(0, 99)
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) modelStep {
			return modelStep{rapid.SampledFrom(names).Draw(rt, "step"), n.Draw(rt, "a"), n.Draw(rt, "b"), n.Draw(rt, "c")}
		}), 10, 30).Draw(rt, "steps")
		network := rapid.SampledFrom([]string{"proxy", "no502"}).Draw(rt, "network")
		if failure := runModel(t, network, steps); failure != "" {
			rt.Fatal(failure)
		}
	})
}

// fewCases lets rapid run less than its hundred, unless somebody said how many.
func fewCases(t *testing.T, n string) {
	t.Helper()
	said := os.Getenv("RAPID_CHECKS") != ""
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "rapid.checks" })
	if said {
		return
	}
	checks := flag.Lookup("rapid.checks").Value
	usual := checks.String()
	if err := checks.Set(n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = checks.Set(usual) })
}

// modelStep is one thing that somebody does, and to what of all that there is.
type modelStep struct {
	name    string
	a, b, c int
}

// model is a world, and what should be in it.
type model struct {
	*world
	services []*modelService
	hosts    map[modelKey]*modelHost
	away     bool // no502 is stopped for the next step
	hurry    bool // no time passed since the last one
	next     bool // nor is it to pass before the next one
	trace    []string
	problems []string
}

// runModel does the steps in a bubble, and says what went wrong.
func runModel(t *testing.T, network string, steps []modelStep) (failure string) {
	synctest.Test(t, func(t *testing.T) {
		tb := &caseTB{T: t}
		m := &model{world: newWorld(tb), hosts: map[modelKey]*modelHost{}, services: []*modelService{
			newModelService("shop", "web"), newModelService("shop", "api"), newModelService("blog", "web"),
		}}
		m.settings.network, m.settings.maxDeletes, m.settings.poll = network, 1000, 40*time.Second
		defer func() {
			if p := recover(); p != nil && p != any(tb) {
				panic(p)
			}
			if m.problems = append(m.problems, tb.said...); len(m.problems) > 0 {
				failure = fmt.Sprintf("network %s\n%s\n%s\nno502 said:\n%s", network, strings.Join(m.trace, "\n"),
					strings.Join(m.problems, "\n"), lastLines(m.log.everything(), 40))
			}
			tb.said = nil
			m.close()
		}()
		m.settle()
		for _, s := range steps {
			m.step(s)
			if len(m.problems)+len(tb.said) > 0 {
				return
			}
		}
		m.calm()
		m.silent(time.Hour)
	})
	return failure
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// hasty are steps after which the next one may come at once.
var hasty = []string{"down", "stop", "start", "scale", "recreate", "rename", "rm and up"}

// step does one step, and looks at what came of it; but after each second one at
// the latest, so that no grace is over before that.
func (m *model) step(s modelStep) {
	wasHurry := m.hurry
	m.next = false
	done := modelSteps[s.name](m, s)
	for _, instead := range []string{"up", "edit labels"} {
		if done == "" { // there is nothing to do it to
			s.name = instead
			done = modelSteps[instead](m, s)
		}
	}
	m.next = m.next || slices.Contains(hasty, s.name) && s.c%3 == 0
	if m.hurry = m.next && !wasHurry; m.hurry {
		done += " (and at once)"
	}
	m.trace = append(m.trace, fmt.Sprintf("%s  %s: %s", time.Now().Format(time.TimeOnly), s.name, done))
	if m.away && s.name == "restart no502" || m.hurry {
		return
	}
	m.calm()
	m.silent(10 * time.Minute)
}

// calm lets time pass until all is quiet, and compares.
func (m *model) calm() {
	if m.away {
		m.away = false
		m.start()
	}
	m.hurry = false
	m.expect()
	pass(2 * time.Minute)
	m.check()
}

// silent fails if anything is written while nothing happens.
func (m *model) silent(d time.Duration) {
	m.writes()
	pass(d)
	if wrote := m.writes(); len(wrote) > 0 {
		m.wrong("nothing happened for %v, and it wrote %v", d, wrote)
	}
}

func (m *model) wrong(format string, args ...any) {
	m.problems = append(m.problems, fmt.Sprintf("%s  ", time.Now().Format(time.TimeOnly))+fmt.Sprintf(format, args...))
}

// find finds a service; nil: there is none of that name.
func (m *model) find(project, name string) *modelService {
	for _, s := range m.services {
		if s.project == project && s.name == name {
			return s
		}
	}
	return nil
}

// one picks a service by its state.
func (m *model) one(n int, want func(*modelService) bool) *modelService {
	var fit []*modelService
	for _, s := range m.services {
		if want(s) {
			fit = append(fit, s)
		}
	}
	if len(fit) == 0 {
		return nil
	}
	return fit[n%len(fit)]
}

// host picks a host of these kinds that labels declare and that is on, or off by
// somebody's will.
func (m *model) host(n int, byPerson bool, kinds ...string) (key modelKey, h *modelHost) {
	var fit []modelKey
	for _, s := range m.services {
		for name, r := range s.routes {
			for _, kind := range kinds {
				key := modelKey{s.String(), name, kind}
				if h := m.hosts[key]; h != nil && s.there && len(r.names(kind)) > 0 && h.off == byPerson && h.byPerson == byPerson {
					fit = append(fit, key)
				}
			}
		}
	}
	if len(fit) == 0 {
		return key, nil
	}
	slices.SortFunc(fit, func(a, b modelKey) int { return cmp.Compare(a.String(), b.String()) })
	key = fit[n%len(fit)]
	return key, m.hosts[key]
}

// unused is a name that nobody has, and nobody had whose host may still be there.
func (m *model) unused(n int, pool []string) string {
	used := map[string]bool{}
	for _, s := range m.services {
		for _, r := range s.routes {
			for _, kind := range modelKinds {
				for _, name := range slices.Concat(r.names(kind), r.from) {
					used[name] = true
				}
			}
		}
	}
	for _, h := range m.hosts {
		for _, name := range h.names {
			used[name] = true
		}
	}
	for i := range pool {
		if name := pool[(n+i)%len(pool)]; !used[name] {
			return name
		}
	}
	return ""
}

// caseTB is the test of one case: what fails there is an answer, not the end.
type caseTB struct {
	*testing.T
	said []string
}

func (t *caseTB) Errorf(format string, args ...any) {
	t.said = append(t.said, fmt.Sprintf(format, args...))
}
func (t *caseTB) Error(args ...any)                 { t.said = append(t.said, fmt.Sprint(args...)) }
func (t *caseTB) Fatalf(format string, args ...any) { t.Errorf(format, args...); panic(t) }
func (t *caseTB) Fatal(args ...any)                 { t.Error(args...); panic(t) }
