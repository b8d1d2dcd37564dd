package api

import (
	"slices"
	"strconv"
)

// Key names what is to be looked at again. It carries no news: whoever
// handles it reads the present state.
type Key struct {
	Kind Kind
	ID   string
}

// Kind of thing a Key names.
type Kind string

// The kinds of keys.
const (
	KindHost        Kind = "proxy-host" // by NPM's id, as the next three
	KindRedirection Kind = "redirection-host"
	KindStream      Kind = "stream"
	KindDeadHost    Kind = "dead-host"
	KindContainer   Kind = "container" // by the Engine's full ID
	KindSystem      Kind = "system"    // NPM's container, no502's own, the proxy network
)

// HostKinds are the kinds of hosts that NPM has.
func HostKinds() []Kind { return []Kind{KindHost, KindRedirection, KindStream, KindDeadHost} }

// IsHost reports whether the key names one of NPM's hosts, of whichever kind.
func (k Key) IsHost() bool { return slices.Contains(HostKinds(), k.Kind) }

// HostKey is the key of a proxy host.
func HostKey(id int) Key { return Key{KindHost, strconv.Itoa(id)} }

// ContainerKey is the key of a container.
func ContainerKey(id string) Key { return Key{KindContainer, id} }

// SystemKey is the key of what no502 itself stands on.
func SystemKey() Key { return Key{Kind: KindSystem} }

// HostID returns the NPM id of a proxy host's key.
func (k Key) HostID() (int, bool) {
	if k.Kind != KindHost {
		return 0, false
	}
	id, err := strconv.Atoi(k.ID)
	return id, err == nil
}

// String is "kind/id", as the log shows it.
func (k Key) String() string {
	if k.ID == "" {
		return string(k.Kind)
	}
	return string(k.Kind) + "/" + k.ID
}
