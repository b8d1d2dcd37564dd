package lab

import (
	"context"

	"github.com/no502/no502/controller/dockerd/stage"
)

// Case is one way to a 502.
type Case struct {
	Cause   string // of the table in the README
	Says    string // what somebody did
	Domain  string
	Prepare func(ctx context.Context, l *Lab) (ProxyHost, error)
	// Person is what only a person can do about it; nil where no502 does it.
	Person     func(ctx context.Context, l *Lab) error
	PersonSays string
}

// enable is the label by which a service opts in.
var enable = map[string]string{"no502.enable": "true"}

// Cases are the causes of a 502 that people meet most, one host each.
func Cases() []Case {
	return []Case{
		{
			Cause: "1 wrong forward hostname", Says: "localhost, as on a machine without Docker", Domain: "localhost.example.com",
			Prepare: func(ctx context.Context, l *Lab) (ProxyHost, error) {
				return ProxyHost{ForwardScheme: "http", ForwardHost: "localhost", ForwardPort: 13000},
					l.backend(ctx, stage.Container{Name: "photos", Publish: []string{"13000:8080"}, Cmd: []string{"8080/http"}, Labels: enable})
			},
		},
		{
			Cause: "1 wrong forward hostname", Says: "the container's address on a network that NPM is not on", Domain: "address.example.com",
			Prepare: func(ctx context.Context, l *Lab) (ProxyHost, error) {
				c := stage.Container{Name: "mail", Expose: []string{"8080"}, Cmd: []string{"8080/http"}, Labels: enable}
				if err := l.backend(ctx, c); err != nil {
					return ProxyHost{}, err
				}
				addr, err := l.Address(ctx, l.Name("mail"), l.Name("mail_default"))
				return ProxyHost{ForwardScheme: "http", ForwardHost: addr, ForwardPort: 8080}, err
			},
		},
		{
			Cause: "2 wrong forward port", Says: "the machine's port instead of the container's", Domain: "port.example.com",
			Prepare: func(ctx context.Context, l *Lab) (ProxyHost, error) {
				return ProxyHost{ForwardScheme: "http", ForwardHost: l.Name("wiki"), ForwardPort: 13001},
					l.backend(ctx, stage.Container{Name: "wiki", Network: l.Name("npm_default"), Publish: []string{"13001:8080"}, Cmd: []string{"8080/http"}, Labels: enable})
			},
		},
		{
			Cause: "3 not on the proxy network", Says: "the right name, on a network that NPM is not on", Domain: "network.example.com",
			Prepare: func(ctx context.Context, l *Lab) (ProxyHost, error) {
				return ProxyHost{ForwardScheme: "http", ForwardHost: l.Name("music"), ForwardPort: 4533},
					l.backend(ctx, stage.Container{Name: "music", Expose: []string{"4533"}, Cmd: []string{"4533/http"}, Labels: enable})
			},
		},
		{
			Cause: "4 backend not started", Says: "the container was created, but never started", Domain: "stopped.example.com",
			Prepare: func(ctx context.Context, l *Lab) (ProxyHost, error) {
				c := l.dress(stage.Container{Name: "books", Network: l.Name("npm_default"), Expose: []string{"80"}, Cmd: []string{"80/http"}, Labels: enable})
				_, err := l.Create(ctx, c)
				return ProxyHost{ForwardScheme: "http", ForwardHost: c.Name, ForwardPort: 80}, err
			},
			Person:     func(ctx context.Context, l *Lab) error { return l.Start(ctx, l.Name("books")) },
			PersonSays: "docker start books",
		},
		{
			Cause: "5 scheme mismatch", Says: "https to a port that speaks plain HTTP", Domain: "https.example.com",
			Prepare: func(ctx context.Context, l *Lab) (ProxyHost, error) {
				return ProxyHost{ForwardScheme: "https", ForwardHost: l.Name("notes"), ForwardPort: 8080},
					l.backend(ctx, stage.Container{Name: "notes", Network: l.Name("npm_default"), Expose: []string{"8080"}, Cmd: []string{"8080/http"}, Labels: enable})
			},
		},
		{
			Cause: "5 scheme mismatch", Says: "http to a port that speaks TLS", Domain: "tls.example.com",
			Prepare: func(ctx context.Context, l *Lab) (ProxyHost, error) {
				return ProxyHost{ForwardScheme: "http", ForwardHost: l.Name("vault"), ForwardPort: 9443},
					l.backend(ctx, stage.Container{Name: "vault", Network: l.Name("npm_default"), Expose: []string{"9443"}, Cmd: []string{"9443/tls"}, Labels: enable})
			},
		},
		{
			Cause: "1+2+3+5 all at once", Says: "https://localhost and the machine's port, on another network", Domain: "everything.example.com",
			Prepare: func(ctx context.Context, l *Lab) (ProxyHost, error) {
				return ProxyHost{ForwardScheme: "https", ForwardHost: "127.0.0.1", ForwardPort: 13002},
					l.backend(ctx, stage.Container{Name: "files", Publish: []string{"13002:8080"}, Cmd: []string{"8080/http"}, Labels: enable})
			},
		},
		{
			Cause: "a process outside Docker", Says: "localhost; the host is marked `# no502: on`", Domain: "machine.example.com",
			Prepare: func(ctx context.Context, l *Lab) (ProxyHost, error) {
				return ProxyHost{ForwardScheme: "http", ForwardHost: "localhost", ForwardPort: 13009, AdvancedConfig: "# no502: on"},
					l.backend(ctx, stage.Container{Name: "process", Network: "host", Cmd: []string{"13009/http"}})
			},
		},
	}
}

// dress gives a backend its image, its names on this stage, and, where it says
// nothing else, a Compose project and network of its own.
func (l *Lab) dress(c stage.Container) stage.Container {
	c.Env = append(c.Env, "NAME="+c.Name)
	c.Cmd = append([]string{"demo", "backend"}, c.Cmd...)
	if c.Network == "" {
		c.Network = l.Name(c.Name + "_default")
	}
	c.Name, c.Image = l.Name(c.Name), l.Image
	return c
}

func (l *Lab) backend(ctx context.Context, c stage.Container) error {
	c = l.dress(c)
	if c.Network == l.Name("npm_default") || c.Network == "host" {
		_, err := l.Run(ctx, c)
		return err
	}
	if err := l.Network(ctx, c.Network, "", nil); err != nil {
		return err
	}
	_, err := l.Run(ctx, c)
	return err
}
