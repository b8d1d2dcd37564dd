package npm

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// ErrStranded is that NPM's back end answers, and its nginx does not run.
var ErrStranded = errors.New("NPM's nginx does not run, so that every host is down: only NPM's back end answers. " +
	"It does not start while a name in a custom location or a stream cannot be resolved; NPM's log says which one, " +
	"and it starts as soon as that name is there again, or the host that says it is switched off")

const (
	adminPort   = "81"
	backendPort = "3000"
	// strandedPace is how often an NPM without nginx is looked at.
	strandedPace = time.Second
	// backendTimeout is short: where there is no back end, nothing waits for one.
	backendTimeout = 2 * time.Second
)

// backendOf is where NPM's back end itself listens, without /api (measured on
// 2.15.1 and 2.13.7): at the address at which nginx has the admin port. Behind
// another port or https somebody else may be there: then it is empty.
func backendOf(base string) string {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" || u.Port() != adminPort || u.Path != "/api" {
		return ""
	}
	return "http://" + net.JoinHostPort(u.Hostname(), backendPort)
}

// base is where requests go: to the back end while nginx does not run.
func (c *Client) base(at *site) string {
	if c.isStranded() && at.backend != "" {
		return at.backend
	}
	return at.base
}

func (c *Client) isStranded() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.stranded
}

func (c *Client) strand(on bool) {
	c.mu.Lock()
	c.stranded = on
	c.mu.Unlock()
	c.reads.CloseIdleConnections() // to where nothing is asked any more
}

// strands reports whether an error means that NPM has no nginx: its admin port
// refuses connections while its back end greets, and that a moment later as
// well, since at a stop or a start the one is there without the other.
func (c *Client) strands(ctx context.Context, at *site, err error) bool {
	return at.backend != "" && notListening(err) &&
		c.greet(ctx, at.backend) == nil &&
		sleep(ctx, strandedPace) &&
		notListening(c.knock(ctx, at)) &&
		c.greet(ctx, at.backend) == nil
}

// knock connects to the admin port.
func (c *Client) knock(ctx context.Context, at *site) error {
	ctx, cancel := context.WithTimeout(ctx, backendTimeout)
	defer cancel()
	host := strings.TrimSuffix(strings.TrimPrefix(at.base, "http://"), "/api")
	conn, err := c.opt.DialContext(ctx, "tcp", host)
	if err != nil {
		return err
	}
	return conn.Close()
}

func notListening(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
