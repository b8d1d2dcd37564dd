package npm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/npm/npmtest"
)

const internal = `{"error":{"code":500,"message":"Internal Error"}}`

// After an error or a lost answer the row tells what happened, and a host that
// NPM changed is saved again, since nginx may not have it.
func TestPatchWithoutClearAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		fault npmtest.Fault
		kept  bool
	}{
		"500, row changed":        {npmtest.Fault{After: true, Status: 500, Body: internal}, true},
		"500, row not changed":    {npmtest.Fault{Status: 500, Body: internal}, false},
		"502":                     {npmtest.Fault{Status: 502, Body: "<html>"}, false},
		"answer lost":             {npmtest.Fault{After: true, Drop: true}, true},
		"request lost":            {npmtest.Fault{Drop: true}, false},
		"answer is no JSON":       {npmtest.Fault{After: true, Status: 200, Body: "<html>"}, true},
		"answer is about another": {npmtest.Fault{After: true, Status: 200, Body: `{"id":99}`}, true},
		"no answer in time":       {npmtest.Fault{Delay: 10 * time.Minute, Drop: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, v string) {
				var armed atomic.Bool
				s := newNPM(t, 1, version(v), fault(func(r *http.Request) *npmtest.Fault {
					if r.Method == http.MethodPut && armed.CompareAndSwap(true, false) {
						return &c.fault
					}
					return nil
				}))
				b := newBed(t, s.API())
				b.run()
				synctest.Wait()
				b.heard()
				b.calls()
				armed.Store(true)
				err := b.forward(t.Context(), 1, was(1), web)
				var outcome *OutcomeError
				if !errors.As(err, &outcome) || !outcome.Known || outcome.Kept != c.kept {
					t.Fatalf("error: %v", err)
				}
				want := was(1)
				if c.kept {
					want = web
				}
				eq(t, "cached", b.host(1).Forward, want)
				eq(t, "unknown to nginx", b.host(1).Online == nil, c.kept)

				after(2 * time.Second)
				if puts := count(b.calls(), "PUT /nginx/proxy-hosts/1 200"); c.kept != (puts > 0) {
					t.Errorf("saved again: %d times", puts)
				}
				if c.kept {
					eq(t, "online", *b.host(1).Online, true)
					eq(t, "notified", b.heard(), "proxy-host/1")
				}
				after(time.Hour)
				eq(t, "more writes", count(b.calls(), "PUT"), 0)
			})
		})
	}
}

// When NPM is gone as well, the caller's next attempt finds its own write.
func TestPatchAgainAfterUnknownOutcome(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		var stage atomic.Int32 // 0 well, 1 loses the next write's answer, 2 down
		s := newNPM(t, 1, version(v), fault(func(r *http.Request) *npmtest.Fault {
			if stage.Load() == 2 || r.Method == http.MethodPut && stage.CompareAndSwap(1, 2) {
				return &npmtest.Fault{After: r.Method == http.MethodPut, Drop: true}
			}
			return nil
		}))
		b := newBed(t, s.API())
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		stage.Store(1)
		err := b.forward(t.Context(), 1, was(1), web)
		var outcome *OutcomeError
		if !errors.As(err, &outcome) || outcome.Known {
			t.Fatalf("error: %v", err)
		}
		eq(t, "cached", b.host(1).Forward, was(1))
		stage.Store(0)
		b.calls()
		if err := b.forward(t.Context(), 1, was(1), web); err != nil {
			t.Fatal(err)
		}
		eq(t, "calls", b.calls(), []string{"GET /nginx/proxy-hosts/1 200", "PUT /nginx/proxy-hosts/1 200"})
		eq(t, "was", b.host(1).Ownership.Was.Endpoint(), was(1))
		eq(t, "unsure", b.isUnsure(api.HostKey(1)), false)
	})
}

// A poisoned NPM answers every write with 500: the attempts grow rare.
func TestMendGrowsRare(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		s := newNPM(t, 1, version(v))
		s.AddHost(npmtest.ProxyHost{DomainNames: []string{"culprit.example.com"}, ForwardHost: "x", ForwardPort: 1,
			AdvancedConfig: "}"})
		b := newBed(t, s.API())
		b.run()
		synctest.Wait()
		b.calls()
		err := b.forward(t.Context(), 1, was(1), web)
		var outcome *OutcomeError
		if !errors.As(err, &outcome) || !outcome.Kept {
			t.Fatalf("error: %v", err)
		}
		after(time.Hour)
		if puts := count(b.calls(), "PUT"); puts < 10 || puts > 25 {
			t.Errorf("%d attempts in an hour", puts)
		}
		s.RemoveConf("proxy_host/2.conf")
		after(6 * time.Minute)
		eq(t, "online", *b.host(1).Online, true)
		if conf, _ := s.Conf("proxy_host/1.conf"); !strings.Contains(conf, web.Host) {
			t.Error("nginx still has the old configuration")
		}
	})
}

// A caller that gives up does not stop a write half-way.
func TestPatchCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newNPM(t, 1)
		b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				cancel()
				time.Sleep(time.Second)
			}
			s.API().ServeHTTP(w, r)
		}))
		if err := b.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		if err := b.forward(ctx, 1, was(1), web); err != nil {
			t.Error(err)
		}
		eq(t, "cached", b.host(1).Forward, web)
		if err := b.forward(ctx, 1, web, was(1)); !errors.Is(err, context.Canceled) {
			t.Errorf("error: %v", err)
		}
		cancelled, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if err := b.turn.Acquire(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if err := b.Resave(cancelled, api.HostKey(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting for the turn: %v", err)
		}
		b.turn.Release(1)
	})
}

// What NPM refuses outright changed nothing, and needs no second look.
func TestPatchRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newNPM(t, 1, fault(func(r *http.Request) *npmtest.Fault {
			if r.Method != http.MethodPut {
				return nil
			}
			return &npmtest.Fault{Status: 400, Body: `{"error":{"code":400,"message":"data/forward_port must be >= 1"}}`}
		}))
		b := newBed(t, s.API())
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.calls()
		err := b.forward(t.Context(), 1, was(1), web)
		eq(t, "error", err, errors.New("writing proxy host 1: PUT /nginx/proxy-hosts/1: "+
			"NPM answered 400 Bad Request: data/forward_port must be >= 1"))
		eq(t, "calls", b.calls(), []string{"GET /nginx/proxy-hosts/1 200", "PUT /nginx/proxy-hosts/1 400"})
	})
}

// says writes into a host's Advanced tab.
func says(mark string) func(*testing.T, *npmtest.Server, *bed) {
	return func(t *testing.T, _ *npmtest.Server, admin *bed) {
		if err := admin.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		err := admin.Patch(t.Context(), api.HostKey(1), nil, api.Fields{api.FieldAdvanced: mark}, admin.host(1).Ownership)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A host that is taken from us is not saved again.
func TestMendGivesUp(t *testing.T) {
	for name, take := range map[string]func(t *testing.T, s *npmtest.Server, admin *bed){
		"disabled": func(t *testing.T, _ *npmtest.Server, admin *bed) {
			admin.do(t, http.MethodPost, hostPath(api.HostKey(1))+"/disable")
		},
		"deleted": func(t *testing.T, _ *npmtest.Server, admin *bed) {
			admin.do(t, http.MethodDelete, hostPath(api.HostKey(1)))
		},
		"marked off":     says("# no502: off"),
		"marked observe": says("# no502: observe"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newNPM(t, 1)
				b := newBed(t, failingWrites(s.API()))
				b.run()
				synctest.Wait()
				var outcome *OutcomeError
				if err := b.forward(t.Context(), 1, was(1), web); !errors.As(err, &outcome) {
					t.Fatalf("error: %v", err)
				}
				take(t, s, newBed(t, s.API()))
				after(15 * time.Second)
				b.calls()
				after(time.Hour)
				eq(t, "attempts", count(b.calls(), "PUT"), 0)
				eq(t, "unsure", b.isUnsure(api.HostKey(1)), false)
			})
		})
	}
}

// failingWrites keeps what is written, and answers 500.
func failingWrites(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut {
			h.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte(internal))
	})
}

// A person who saves at the same time makes writes of both fail, and hosts go
// offline (NPM tests nginx while files come and go). In the end all is well.
func TestPatchBesideAPerson(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		const hosts = 12
		s := newNPM(t, hosts+1, version(v), func(o *npmtest.Options) { o.WriteWindow = 50 * time.Millisecond })
		b, admin := newBed(t, s.API()), newBed(t, s.API())
		b.run()
		synctest.Wait()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				_ = admin.Resave(ctx, api.HostKey(hosts+1)) // may well fail
				time.Sleep(70 * time.Millisecond)
			}
		}()
		troubles := 0
		for id := 1; id <= hosts; id++ {
			for b.host(id).Forward != web {
				if err := b.forward(t.Context(), id, was(id), web); err != nil {
					troubles++
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
		if troubles == 0 {
			t.Error("the writes never met")
		}
		stop()
		<-done
		after(time.Hour)
		for id := 1; id <= hosts; id++ {
			conf, _ := s.Conf(fmt.Sprintf("proxy_host/%d.conf", id))
			if h := b.host(id); h.Online == nil || !*h.Online || !strings.Contains(conf, web.Host) {
				t.Errorf("host %d: %+v", id, h)
			}
		}
	})
}
