package e2e

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// composeFile is a compose file, as far as the examples use what there is.
// Anything else in it is an error: it would not be tested.
type composeFile struct {
	Name     string
	Services map[string]composeService
	Networks []string
	Internal []string          // of the networks
	Secrets  map[string]string // their files
	Volumes  []string
}

type composeService struct {
	Image       string
	Command     []string
	Environment map[string]string
	Labels      map[string]string
	Networks    []string
	Secrets     []string
	Volumes     []string
	Ports       []string
	DependsOn   map[string]string // service → condition
	User        string
	CapDrop     []string
	SecurityOpt []string
	ReadOnly    bool
	Memory      int64 // bytes
	Pids        int64
	Restart     string
	Replicas    int
}

func readCompose(file string) (c composeFile, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return c, err
	}
	v, err := readYAML(string(text))
	if err != nil {
		return c, fmt.Errorf("%s: %w", file, err)
	}
	r := composeReader{file: file}
	r.mapping("", v, func(key string, v any) bool {
		switch key {
		case "name":
			c.Name = r.text(key, v)
		case "services":
			c.Services = map[string]composeService{}
			r.mapping(key, v, func(name string, v any) bool {
				c.Services[name] = r.service(name, v)
				return true
			})
		case "networks":
			c.Networks = r.names(key, v, func(name string, v any) bool {
				c.Internal = append(c.Internal, name)
				return fmt.Sprint(v) == "map[internal:true]"
			})
		case "secrets":
			c.Secrets = map[string]string{}
			r.mapping(key, v, func(name string, v any) bool {
				c.Secrets[name] = filepath.Join(filepath.Dir(file), r.table(name, v)["file"])
				_, err := os.Stat(c.Secrets[name])
				return err == nil
			})
		case "volumes":
			c.Volumes = r.names(key, v, func(string, any) bool { return false })
		default:
			return false
		}
		return true
	})
	return c, errors.Join(append(r.errs, c.check())...)
}

// check: what services refer to is there.
func (c *composeFile) check() error {
	var errs []error
	for name, s := range c.Services {
		for _, n := range s.Networks {
			if n != "default" && !slices.Contains(c.Networks, n) {
				errs = append(errs, fmt.Errorf("%s: there is no network %s", name, n))
			}
		}
		for _, secret := range s.Secrets {
			if c.Secrets[secret] == "" {
				errs = append(errs, fmt.Errorf("%s: there is no secret %s", name, secret))
			}
		}
		for other := range s.DependsOn {
			if _, ok := c.Services[other]; !ok {
				errs = append(errs, fmt.Errorf("%s: there is no service %s", name, other))
			}
		}
		for _, v := range s.Volumes {
			if source, _, _ := strings.Cut(v, ":"); !strings.HasPrefix(source, "/") && !slices.Contains(c.Volumes, source) {
				errs = append(errs, fmt.Errorf("%s: there is no volume %s", name, source))
			}
		}
	}
	return errors.Join(errs...)
}

// order are the services, each after those on which it depends.
func (c *composeFile) order() (names []string) {
	var add func(name string)
	add = func(name string) {
		if slices.Contains(names, name) {
			return
		}
		for _, other := range slices.Sorted(maps.Keys(c.Services[name].DependsOn)) {
			add(other)
		}
		names = append(names, name)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		add(name)
	}
	return names
}

// composeReader collects what it does not understand.
type composeReader struct {
	file string
	errs []error
}

func (r *composeReader) unknown(key string, v any) {
	r.errs = append(r.errs, fmt.Errorf("%s: %s: %v is not understood by the tests", r.file, key, v))
}

// mapping gives each pair to a function, which returns false for one that it
// does not know.
func (r *composeReader) mapping(key string, v any, each func(key string, v any) bool) {
	m, ok := v.(map[string]any)
	if !ok {
		r.unknown(key, v)
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if !each(k, m[k]) {
			r.unknown(key+"."+k, m[k])
		}
	}
}

func (r *composeReader) text(key string, v any) string {
	s, ok := v.(string)
	if !ok {
		r.unknown(key, v)
	}
	return s
}

func (r *composeReader) list(key string, v any) (all []string) {
	items, ok := v.([]any)
	if !ok {
		r.unknown(key, v)
	}
	for _, item := range items {
		all = append(all, r.text(key, item))
	}
	return all
}

func (r *composeReader) table(key string, v any) map[string]string {
	all := map[string]string{}
	r.mapping(key, v, func(k string, v any) bool {
		all[k] = r.text(key+"."+k, v)
		return true
	})
	return all
}

// names are the keys of a mapping. What it says about them is for more to know.
func (r *composeReader) names(key string, v any, more func(key string, v any) bool) (all []string) {
	r.mapping(key, v, func(k string, v any) bool {
		all = append(all, k)
		return v == nil || more(k, v)
	})
	return all
}

func (r *composeReader) service(name string, v any) composeService {
	s := composeService{Replicas: 1}
	r.mapping(name, v, func(key string, v any) bool {
		at := name + "." + key
		switch key {
		case "image":
			s.Image = r.text(at, v)
		case "build":
			if _, err := os.Stat(filepath.Join(filepath.Dir(r.file), r.text(at, v), "Dockerfile")); err != nil {
				r.errs = append(r.errs, err)
			}
		case "command":
			s.Command = r.list(at, v)
		case "environment":
			s.Environment = r.table(at, v)
		case "labels":
			s.Labels = r.table(at, v)
		case "networks":
			s.Networks = r.list(at, v)
		case "secrets":
			s.Secrets = r.list(at, v)
		case "volumes":
			s.Volumes = r.list(at, v)
		case "ports":
			s.Ports = r.list(at, v)
		case "depends_on":
			s.DependsOn = r.dependsOn(at, v)
		case "user":
			s.User = r.text(at, v)
		case "cap_drop":
			s.CapDrop = r.list(at, v)
		case "security_opt":
			s.SecurityOpt = r.list(at, v)
		case "read_only":
			s.ReadOnly = r.text(at, v) == "true"
		case "mem_limit":
			megabytes, ok := strings.CutSuffix(r.text(at, v), "m")
			n, err := strconv.ParseInt(megabytes, 10, 32)
			s.Memory = n << 20
			return ok && err == nil
		case "pids_limit":
			var err error
			s.Pids, err = strconv.ParseInt(r.text(at, v), 10, 32)
			return err == nil
		case "restart":
			s.Restart = r.text(at, v)
		case "healthcheck": // no image has one here
			return fmt.Sprint(v) == "map[disable:true]"
		case "deploy":
			return r.deploy(at, v, &s)
		default:
			return false
		}
		return true
	})
	return s
}

func (r *composeReader) deploy(at string, v any, s *composeService) (ok bool) {
	r.mapping(at, v, func(key string, v any) bool {
		var err error
		s.Replicas, err = strconv.Atoi(fmt.Sprint(v))
		return key == "replicas" && err == nil
	})
	return true
}

func (r *composeReader) dependsOn(at string, v any) map[string]string {
	all := map[string]string{}
	if _, short := v.([]any); short {
		for _, name := range r.list(at, v) {
			all[name] = started
		}
		return all
	}
	r.mapping(at, v, func(name string, v any) bool {
		said := r.table(at, v)
		all[name] = said["condition"]
		return len(said) == 1 && (all[name] == started || all[name] == completed)
	})
	return all
}

// Conditions of depends_on.
const (
	started   = "service_started"
	completed = "service_completed_successfully"
)

func TestComposeFilesThatAreNotUnderstoodAreRefused(t *testing.T) {
	for what, text := range map[string]string{
		"a key":                 "name: x\nextensions: 1\n",
		"a service's key":       "services:\n  web: { image: x, privileged: true }\n",
		"a health check":        "services:\n  web: { image: x, healthcheck: { test: [x] } }\n",
		"a network's option":    "networks:\n  web: { driver: macvlan }\n",
		"a network not quite":   "networks:\n  web: { internal: true, driver: macvlan }\n",
		"a volume's option":     "volumes:\n  web: { external: true }\n",
		"a missing network":     "services:\n  web: { image: x, networks: [a] }\n",
		"a missing secret":      "services:\n  web: { image: x, secrets: [a] }\n",
		"a secret without file": "secrets:\n  a: { file: ./nowhere }\n",
		"a limit of gigabytes":  "services:\n  web: { image: x, mem_limit: 1g }\n",
		"a missing volume":      "services:\n  web: { image: x, volumes: [\"data:/data\"] }\n",
		"a missing dependency":  "services:\n  web: { image: x, depends_on: [db] }\n",
		"an unknown condition":  "services:\n  db: { image: x }\n  web: { image: x, depends_on: { db: { condition: service_healthy } } }\n",
		"a build without files": "services:\n  web: { build: ./nowhere }\n",
		"a list for a text":     "services:\n  web: { image: [x] }\n",
		"a text for a list":     "services:\n  web: { image: x, command: run }\n",
	} {
		file := filepath.Join(t.TempDir(), "compose.yaml")
		must(t, os.WriteFile(file, []byte(text), 0o600))
		if c, err := readCompose(file); err == nil {
			t.Errorf("%s is read as %+v", what, c)
		}
	}
}
