package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/api"
)

var (
	host1   = api.HostKey(1)
	webKey  = api.ContainerKey(web)
	right   = api.Endpoint{Scheme: "http", Host: "web", Port: 8080}
	wrong   = api.Endpoint{Scheme: "http", Host: "WEB", Port: 8080}
	patch1  = "patch 1 http://web:8080"
	resave1 = "re-save 1"
)

// nginx keeps an address for ten seconds. A container that comes back at
// another one within that time needs its host saved again, once.
func TestNewAddress(t *testing.T) {
	for _, c := range []struct {
		what string
		away time.Duration
		at   string
		want []string
	}{
		{"at once, elsewhere", 0, "10.0.0.9", []string{resave1, "done: AddressChanged"}},
		{"soon, elsewhere", 9 * time.Second, "10.0.0.9", []string{resave1, "done: AddressChanged"}},
		{"later, elsewhere", 10 * time.Second, "10.0.0.9", nil},
		{"soon, where it was", 9 * time.Second, "10.0.0.3", nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, api.ModeRepair)
				b.wantDone(host1)
				time.Sleep(time.Hour)
				b.wantDone(host1)
				if c.away > 0 {
					b.stopWeb()
					b.wantDone(host1)
					time.Sleep(c.away)
				}
				b.run(c.at)
				b.wantDone(host1, c.want...)
				for range 3 {
					time.Sleep(time.Second)
					b.wantDone(host1) // once is enough
				}
			})
		})
	}
}

// Without a look at the host in between nobody knows since when the address is
// gone: then it counts from now.
func TestNewAddressUnseen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, api.ModeRepair)
		b.wantDone(host1)
		time.Sleep(time.Hour)
		b.run("10.0.0.9")
		b.wantDone(host1, resave1, "done: AddressChanged")
	})
}

// A re-save that fails is planned again, for as long as nginx may remember.
func TestResaveFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, api.ModeRepair)
		b.wantDone(host1)
		b.run("10.0.0.9")
		b.resave = func(api.Key) error { return errors.New("NPM is away") }
		if _, err := b.Reconcile(t.Context(), host1); err == nil {
			t.Error("no error")
		}
		b.did, b.resave = nil, nil
		time.Sleep(5 * time.Second)
		b.wantDone(host1, resave1, "done: AddressChanged")
	})
}

// A container's change concerns the hosts that mean it, or meant it.
func TestTouched(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	want := func(what string, keys ...api.Key) {
		t.Helper()
		res, _ := b.reconcile(webKey)
		slices.SortFunc(res.Then, func(x, y api.Key) int { return len(x.ID) - len(y.ID) })
		if got := slices.Compact(res.Then); !slices.Equal(got, keys) {
			t.Errorf("%s: touches %v, want %v", what, got, keys)
		}
	}
	want("before any host was looked at", host1)
	b.wantDone(host1)
	b.forward(22, api.Endpoint{Scheme: "http", Host: "10.0.0.3", Port: 8080})
	b.forward(333, api.Endpoint{Scheme: "http", Host: "other", Port: 8080})
	want("by address", host1, api.HostKey(22))

	b.engine.RemoveContainer(web)
	want("gone", host1, api.HostKey(22)) // that one by the address, though it was never looked at
	if !slices.Contains(b.gone, webKey) {
		t.Error("its verdict is not forgotten")
	}
	want("gone for good")

	b.npm.Remove(api.HostKey(1))
	b.wantDone(host1)
	if !slices.Contains(b.gone, host1) {
		t.Error("a deleted host's verdict is not forgotten")
	}
	if n := len(b.memory.hosts) + len(b.memory.meant) + len(b.memory.backends) + len(b.memory.resolved) + len(b.memory.proven); n != 0 {
		t.Errorf("%d things are remembered of what is gone", n)
	}
	npmKey := api.ContainerKey("2222222222222222222222222222222222222222222222222222222222222222")
	if res, _ := b.reconcile(npmKey); !slices.Contains(res.Then, api.SystemKey()) {
		t.Errorf("NPM's own change touches %v", res.Then)
	}
}

// Somebody was faster: that is no failure. What they left is planned anew.
func TestStale(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	b.forward(1, wrong)
	b.patch = func(api.Key, api.Endpoint) error {
		b.patch = nil
		b.forward(1, api.Endpoint{Scheme: "https", Host: "web", Port: 8080}) // theirs
		return fmt.Errorf("host 1: %w", api.ErrStale)
	}
	res := b.wantDone(host1, patch1, patch1, "done: SchemeMismatch")
	if res.Retry {
		t.Error("is to be tried again")
	}

	b.forward(1, wrong)
	b.patch = func(api.Key, api.Endpoint) error { return api.ErrStale } // for ever
	res, did := b.reconcile(host1)
	if !res.Retry || len(did) > 10 {
		t.Errorf("retry %v after %q: want a pause", res.Retry, did)
	}

	b.forward(1, wrong)
	b.patch = func(api.Key, api.Endpoint) error { b.npm.Remove(api.HostKey(1)); return api.ErrStale }
	if res := b.wantDone(host1, patch1); res.Retry {
		t.Error("a deleted host is to be tried again")
	}
}

// What nginx refuses is an error, tried again later; nothing else is done, and
// nothing is said to be done.
func TestRejected(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	b.forward(1, wrong)
	rejected := errors.New("nginx rejects it")
	b.patch = func(api.Key, api.Endpoint) error { return rejected }
	_, err := b.Reconcile(t.Context(), host1)
	if !errors.Is(err, rejected) || !slices.Equal(b.did, []string{patch1}) {
		t.Errorf("did %q: %v", b.did, err)
	}
	if len(b.said) == 0 || b.said[len(b.said)-1].InSync.Status != api.False {
		t.Errorf("said %+v", b.said)
	}
}

func TestObserve(t *testing.T) {
	b := newBed(t, api.ModeObserve)
	b.forward(1, wrong)
	b.wantDone(host1)
	if v := b.said[len(b.said)-1]; v.InSync.Status != api.False || v.Endpoint != right || b.npm.Host(1).Forward != wrong {
		t.Errorf("said %+v", v)
	}
}

// A port that opens makes no event, so it is looked at again; what is not
// opted in is nobody's business.
func TestWaitsForPort(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	open := b.open
	b.open = nil
	if res := b.wantDone(host1); !res.Retry {
		t.Error("not to be looked at again")
	}
	b.open, b.ports = open, map[api.Target]api.Probe{}
	if res := b.wantDone(host1); res.Retry {
		t.Error("to be looked at again, though all is right")
	}
	b.stopWeb()
	if res := b.wantDone(host1); res.Retry {
		t.Error("to be looked at again, though a start makes an event")
	}
}

// With the system the answers of ports are forgotten that nobody will ask for.
func TestPrune(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, api.ModeRepair)
		for range 50 { // it is restarted again and again
			b.wantDone(host1)
			time.Sleep(time.Minute)
			b.run("10.0.0.3")
		}
		b.wantDone(host1)
		b.reconcile(api.SystemKey())
		if len(b.ports) != 1 {
			t.Errorf("%d answers are kept, want the last one", len(b.ports))
		}
		probes := b.probes
		b.wantDone(host1)
		if b.probes != probes {
			t.Error("what is still good was forgotten")
		}
		b.engine.RemoveContainer(web)
		b.reconcile(api.SystemKey())
		if len(b.ports) != 0 {
			t.Errorf("%d answers of what is gone are kept", len(b.ports))
		}
	})
}

func TestFindNPM(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	b.reconcile(api.SystemKey())
	if want := []string{"http://10.0.0.2:81"}; !slices.Equal(b.urls, want) {
		t.Errorf("NPM is at %q, want %q", b.urls, want)
	}
	b.NPMURL, b.urls = "http://elsewhere", nil
	b.reconcile(api.SystemKey())
	if want := []string{"http://elsewhere"}; !slices.Equal(b.urls, want) {
		t.Errorf("NPM is at %q, want %q", b.urls, want)
	}
}

func TestKeys(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	b.engine.SetContainer(&api.Container{ID: "3333", Name: "not-labelled"})
	keys := b.Keys()
	if len(keys) != 4 || keys[0] != api.SystemKey() || !slices.Contains(keys, host1) || !slices.Contains(keys, webKey) {
		t.Errorf("keys %v: want the system first, two containers and a host", keys)
	}
}

func TestCancelled(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Reconcile(ctx, host1); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
