package api

import (
	"encoding/json"
	"fmt"
	"time"
)

// Subject is what one write settles, by names that outlive the making anew of a
// host: some thing, and the value that it is given.
type Subject struct {
	Thing string // "proxy-host/7 forward_host"
	Value string // empty where there is but one: that something is there
}

// Contest is about a change that somebody else keeps undoing.
type Contest struct {
	Times int       // how often no502 made it
	Until time.Time // it is not made again before
}

// Difference is one thing in which two rows differ. Where a proxy host forwards
// to is one thing.
type Difference struct {
	Fields   []string // NPM's names
	From, To any
}

// String is the difference as people read it.
func (d Difference) String() string {
	if e, ok := d.To.(Endpoint); ok {
		return fmt.Sprintf("it forwards to %s instead of %s", d.From, e)
	}
	return fmt.Sprintf("%s is %s instead of %s", d.Fields[0], Told(d.Fields[0], d.From), Told(d.Fields[0], d.To))
}

// Subject of the difference, in a host, and the value that was there before.
func (d Difference) Subject(o Owner, host Key) (s Subject, was string) {
	return Subject{hostThing(o, host) + " " + d.Fields[0], fmt.Sprintf("%#v", d.To)}, fmt.Sprintf("%#v", d.From)
}

// Differences are what a write changes.
func Differences(from, to Fields) (all []Difference) {
	endpoint := []string{FieldHost, FieldScheme, FieldPort}
	_, forwards := to[FieldPort]
	for _, name := range to.Names() {
		switch {
		case forwards && name == FieldHost:
			if is, was := to.Endpoint(), from.Endpoint(); is != was {
				all = append(all, Difference{endpoint, was, is})
			}
		case forwards && (name == FieldScheme || name == FieldPort):
		case !from.Says(name, to[name]):
			all = append(all, Difference{[]string{name}, from[name], to[name]})
		}
	}
	return all
}

// NoteSubject is of what no502 notes in a host's meta.
func NoteSubject(own *Ownership, host Key) Subject {
	unsigned := *own
	unsigned.By = nil
	said, _ := json.Marshal(unsigned) // plain data
	return Subject{hostThing(own.owner(host.Kind), host) + " meta", string(said)}
}

// MadeSubject is of a host that labels declare: that it is there.
func MadeSubject(o Owner) Subject { return Subject{Thing: hostThing(o, Key{})} }

// Subject of what is done in Docker.
func (a Action) Subject() Subject {
	if a.Op == OpAttach {
		return Subject{Thing: ContainerKey(a.Container).String() + " on " + a.Network}
	}
	return Subject{Thing: string(a.Op) + " " + a.Network}
}

// Owner of the host that an action changes; zero where no labels declare it.
func (a Action) Owner() Owner { return a.Ownership.owner(a.Host.Kind) }

func hostThing(o Owner, host Key) string {
	if o == (Owner{}) {
		return host.String()
	}
	return fmt.Sprintf("%s of %s %s", o.Kind, o.Service, o.Route)
}
