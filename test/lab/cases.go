package lab

import (
	"context"
	"strings"

	"github.com/no502/no502/controller/dockerd/stage"
)

// Case is one way to a 502: a backend, and the proxy host that somebody made
// for it.
type Case struct {
	Cause   string // of the table in the README
	Says    string // what somebody did
	Domain  string
	Backend stage.Container
	// Forward is the host's endpoint; NAME and ADDRESS stand for the backend's.
	Forward string
	// Advanced is the host's Advanced tab.
	Advanced string
	// Stopped: the backend is never started. That is for a person to do.
	Stopped bool
}

// enable is the label by which a service opts in.
var enable = map[string]string{"no502.enable": "true"}

// Cases are the causes of a 502 that people meet most, one host each. A backend
// without a network is on one of its own, with NPM's own is on that of NPM.
func Cases() []Case {
	const npm = "npm_default"
	return []Case{{
		Cause: "1 wrong forward hostname", Says: "localhost, as on a machine without Docker",
		Domain: "localhost.example.com", Forward: "http://localhost:13000",
		Backend: stage.Container{Name: "photos", Publish: []string{"13000:8080"}, Cmd: []string{"8080/http"}, Labels: enable},
	}, {
		Cause: "1 wrong forward hostname", Says: "the container's address on a network that NPM is not on",
		Domain: "address.example.com", Forward: "http://ADDRESS:8080",
		Backend: stage.Container{Name: "mail", Expose: []string{"8080"}, Cmd: []string{"8080/http"}, Labels: enable},
	}, {
		Cause: "2 wrong forward port", Says: "the machine's port instead of the container's",
		Domain: "port.example.com", Forward: "http://NAME:13001",
		Backend: stage.Container{Name: "wiki", Network: npm, Publish: []string{"13001:8080"}, Cmd: []string{"8080/http"}, Labels: enable},
	}, {
		Cause: "3 not on the proxy network", Says: "the right name, on a network that NPM is not on",
		Domain: "network.example.com", Forward: "http://NAME:4533",
		Backend: stage.Container{Name: "music", Expose: []string{"4533"}, Cmd: []string{"4533/http"}, Labels: enable},
	}, {
		Cause: "4 backend not started", Says: "the container was created, but never started",
		Domain: "stopped.example.com", Forward: "http://NAME:80", Stopped: true,
		Backend: stage.Container{Name: "books", Network: npm, Expose: []string{"80"}, Cmd: []string{"80/http"}, Labels: enable},
	}, {
		Cause: "5 scheme mismatch", Says: "https to a port that speaks plain HTTP",
		Domain: "https.example.com", Forward: "https://NAME:8080",
		Backend: stage.Container{Name: "notes", Network: npm, Expose: []string{"8080"}, Cmd: []string{"8080/http"}, Labels: enable},
	}, {
		Cause: "5 scheme mismatch", Says: "http to a port that speaks TLS",
		Domain: "tls.example.com", Forward: "http://NAME:9443",
		Backend: stage.Container{Name: "vault", Network: npm, Expose: []string{"9443"}, Cmd: []string{"9443/tls"}, Labels: enable},
	}, {
		Cause: "1+2+3+5 all at once", Says: "https://127.0.0.1 and the machine's port, on another network",
		Domain: "everything.example.com", Forward: "https://127.0.0.1:13002",
		Backend: stage.Container{Name: "files", Publish: []string{"13002:8080"}, Cmd: []string{"8080/http"}, Labels: enable},
	}, {
		Cause: "a process outside Docker", Says: "localhost; the host is marked `# no502: on`",
		Domain: "machine.example.com", Forward: "http://localhost:13009", Advanced: "# no502: on",
		Backend: stage.Container{Name: "process", Network: "host", Cmd: []string{"13009/http"}},
	}}
}

// Break puts a case's backend on the stage and makes the wrong host for it.
func (l *Lab) Break(ctx context.Context, c Case) (ProxyHost, error) {
	b := l.dress(c.Backend)
	if own := l.Name(c.Backend.Name + "_default"); b.Network == own {
		if err := l.Network(ctx, own, "", nil); err != nil {
			return ProxyHost{}, err
		}
	}
	put := l.Run
	if c.Stopped {
		put = l.Create
	}
	if _, err := put(ctx, b); err != nil {
		return ProxyHost{}, err
	}
	forward := strings.ReplaceAll(c.Forward, "NAME", b.Name)
	if strings.Contains(forward, "ADDRESS") {
		addr, err := l.Address(ctx, b.Name, b.Network)
		if err != nil {
			return ProxyHost{}, err
		}
		forward = strings.ReplaceAll(forward, "ADDRESS", addr)
	}
	e, err := parseEndpoint(forward)
	if err != nil {
		return ProxyHost{}, err
	}
	return l.AddHost(ctx, ProxyHost{
		DomainNames: []string{c.Domain}, AdvancedConfig: c.Advanced,
		ForwardScheme: e.Scheme, ForwardHost: e.Host, ForwardPort: int(e.Port),
	})
}

// dress gives a backend its image, its command, and its names on this stage.
func (l *Lab) dress(c stage.Container) stage.Container {
	c.Env = append(c.Env, "NAME="+c.Name)
	c.Cmd = append([]string{"demo", "backend"}, c.Cmd...)
	if c.Network == "" {
		c.Network = c.Name + "_default"
	}
	if c.Network != "host" {
		c.Network = l.Name(c.Network)
	}
	c.Name, c.Image = l.Name(c.Name), l.Image
	return c
}
