package npmtest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// nameValid is "valid=10s" of NPM's resolver file: how long workers keep a
	// name's addresses. Failures are not kept (FACTS, Resolution).
	nameValid = 10 * time.Second
	// resolverTimeout is nginx's resolver_timeout.
	resolverTimeout = 30 * time.Second
)

// nameCache is what workers resolved; a reload starts with an empty one.
type nameCache struct {
	mu    sync.Mutex
	names map[string]*cachedName
}

type cachedName struct {
	addrs   []string
	expires time.Time
	next    int
}

func newNameCache() *nameCache { return &nameCache{names: map[string]*cachedName{}} }

// lookup returns a name's addresses, the next one first: several containers
// behind an alias take turns.
func (c *nameCache) lookup(ctx context.Context, network Network, host string) ([]string, error) {
	host = strings.ToLower(host)
	if addrs := c.cached(host, nil); addrs != nil {
		return addrs, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolverTimeout)
	defer cancel()
	if slices.ContainsFunc(strings.Split(host, "."), func(label string) bool { return len(label) > 63 }) {
		<-ctx.Done() // no name server answers for a 64-character container ID (networks_and_names)
		return nil, ctx.Err()
	}
	addrs, err := network.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	return c.cached(host, addrs), nil
}

// cached returns the fresh entry of a name, after storing addrs when given.
func (c *nameCache) cached(host string, addrs []string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.names[host]
	if addrs != nil {
		n = &cachedName{addrs: addrs, expires: time.Now().Add(nameValid)}
		c.names[host] = n
	}
	if n == nil || !time.Now().Before(n.expires) {
		return nil
	}
	first := n.next % len(n.addrs)
	n.next++
	return append(append([]string{}, n.addrs[first:]...), n.addrs[:first]...)
}
