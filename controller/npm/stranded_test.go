package npm

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/dockerd/dockerdtest"
	"github.com/no502/no502/controller/npm/npmtest"
)

// town is an NPM in a container of an Engine, with listeners of its own, beside
// a container "media" that host 9's custom location names literally.
type town struct {
	*bed
	engine *dockerdtest.Engine
	npm    *npmtest.Server
}

func newTown(t *testing.T, v, url string) *town {
	t.Helper()
	w := &town{engine: dockerdtest.New(dockerdtest.Options{})}
	t.Cleanup(w.engine.Close)
	w.docker(t, "/networks/create", `{"Name":"proxy"}`)
	for _, name := range []string{"npm", "no502", "media"} {
		if _, err := w.engine.AddApp(name, dockerdtest.App{Image: "app:1", Networks: []string{"proxy"}}); err != nil {
			t.Fatal(err)
		}
	}
	w.npm = newNPM(t, 2, version(v), func(o *npmtest.Options) { o.Network = w.engine.Box("npm") })
	w.npm.AddHost(npmtest.ProxyHost{ID: 9, DomainNames: []string{"nine.example.com"}, ForwardHost: "media", ForwardPort: 80,
		Locations: []npmtest.Location{{Path: "/media", ForwardHost: "media", ForwardPort: 80}}})
	if err := w.npm.Start(); err != nil {
		t.Fatal(err)
	}
	w.bed = newBed(t, http.NotFoundHandler(), func(o *Options) { o.DialContext = w.engine.Box("no502").DialContext })
	w.SetURL(url, true)
	w.run()
	synctest.Wait()
	w.heard()
	return w
}

// docker asks the Engine as somebody with its command line does.
func (w *town) docker(t *testing.T, path, body string) {
	t.Helper()
	answer, err := w.engine.Client().Post("http://docker"+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode > 299 {
		text, _ := io.ReadAll(answer.Body)
		t.Fatalf("%s: %d %s", path, answer.StatusCode, text)
	}
}

// strandNPM restarts NPM while the container is away that it cannot start without.
func (w *town) strandNPM(t *testing.T) {
	t.Helper()
	w.docker(t, "/containers/media/stop", "")
	w.npm.Restart(1500 * time.Millisecond)
}

func (b *bed) isDown() (down bool) {
	b.View(func(n *api.NPM) { down = n.Stranded })
	return down
}

// NPM restarts while a literal name is missing: nginx does not start. What can
// still be done is done through the back end, and all is as before once nginx is
// back.
func TestStrandedIsRescued(t *testing.T) {
	for what, rescue := range map[string]func(*testing.T, *town){
		"the culprit is disabled": func(t *testing.T, w *town) {
			if err := w.Disable(t.Context(), api.HostKey(9), nil); err != nil {
				t.Errorf("disable: %v", err)
			}
			eq(t, "enabled", w.host(9).Enabled, false)
		},
		"the name is back": func(t *testing.T, w *town) { w.docker(t, "/containers/media/start", "") },
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, v string) {
				w := newTown(t, v, "http://npm:81")
				w.strandNPM(t)
				after(time.Minute)
				eq(t, "down", w.isDown(), true)
				eq(t, "connected", w.State().Connected, false)
				eq(t, "problem", w.State().Problem, sentence(ErrStranded))
				eq(t, "notified", w.heard(), "system")
				eq(t, "begin logged", w.logged(`"for"="its nginx"`), 1)
				eq(t, "waits logged", w.logged("waiting for NPM"), 1)
				w.npm.AddHost(npmtest.ProxyHost{ID: 10, DomainNames: []string{"ten.example.com"}, ForwardHost: "x", ForwardPort: 1})
				after(strandedPace)
				eq(t, "still listed", w.host(10) != nil, true)

				w.heard()
				w.npm.ResetCalls()
				rescue(t, w)
				after(3 * time.Second)
				eq(t, "down", w.isDown(), false)
				eq(t, "connected", w.State(), State{URL: "http://npm:81", Version: v, Connected: true})
				eq(t, "told", strings.Contains(w.heard(), "system"), true)
				eq(t, "ends logged", w.logged("connected to NPM"), 2)
				eq(t, "waits logged", w.logged("waiting for NPM"), 1)
			})
		})
	}
}

// A host that is written while nginx does not run is written again when it does.
func TestStrandedWritesAreMadeGood(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		w := newTown(t, v, "http://npm:81")
		w.strandNPM(t)
		after(time.Minute)
		if err := w.forward(t.Context(), 1, was(1), web); err == nil {
			t.Error("NPM without nginx took a write")
		}
		w.npm.ResetCalls()
		after(10 * time.Minute)
		eq(t, "writes meanwhile", w.npm.Writes()["proxy-hosts"], 0)
		w.docker(t, "/containers/media/start", "")
		after(3 * time.Second)
		eq(t, "writes", w.npm.Writes()["proxy-hosts"], 1)
		conf, _ := w.npm.Conf("proxy_host/1.conf")
		eq(t, "in nginx", strings.Contains(conf, web.Host), true)
		eq(t, "unsure", w.isUnsure(api.HostKey(1)), false)
	})
}

// NPM stops for good out of that state: then it is waited for as ever.
func TestStrandedThenStopped(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		w := newTown(t, v, "http://npm:81")
		w.strandNPM(t)
		after(time.Minute)
		w.npm.Stop()
		after(time.Minute)
		eq(t, "down", w.isDown(), false)
		if p := w.State().Problem; !strings.Contains(p, "npm:81") || strings.Contains(p, "3000") {
			t.Errorf("problem: %s", p)
		}
		w.docker(t, "/containers/media/start", "")
		w.npm.Restart(time.Second)
		after(20 * time.Second)
		eq(t, "connected", w.State().Connected, true)
	})
}

// While NPM restarts one of its two ports may answer without the other for a
// moment: that is a restart like any other.
func TestRestartIsNotStranded(t *testing.T) {
	bubble(t, func(t *testing.T, v string) {
		w := newTown(t, v, "http://npm:81")
		after(300 * time.Millisecond)
		w.strandNPM(t)
		after(w.opt.Poll - 100*time.Millisecond) // it was looked at meanwhile
		w.docker(t, "/containers/media/start", "")
		after(time.Minute)
		eq(t, "connected", w.State().Connected, true)
		eq(t, "said", w.logged("its nginx"), 0)
	})
}

// Who listens on port 3000 of an address gets no password: only NPM's back end
// where NPM is at its own port, and only once it said that it is NPM's.
func TestOnlyNPMsBackEndIsAsked(t *testing.T) {
	for url, greets := range map[string]bool{
		"http://npm:81":        true,
		"http://npm:82":        false,
		"https://npm:81":       false,
		"http://npm:81/npm/":   false,
		"http://172.18.0.1:81": false,
	} {
		synctest.Test(t, func(t *testing.T) {
			engine := dockerdtest.New(dockerdtest.Options{})
			defer engine.Close()
			for _, name := range []string{"npm", "no502"} {
				if _, err := engine.AddApp(name, dockerdtest.App{Image: "app:1", Networks: []string{"bridge"}}); err != nil {
					t.Fatal(err)
				}
			}
			l, err := engine.Box("npm").Listen("tcp", ":3000")
			if err != nil {
				t.Fatal(err)
			}
			var greeted, asked atomic.Int32
			other := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if greeted.Add(1); r.Method != http.MethodGet || r.URL.Path != "/" || r.Header.Get("Authorization") != "" {
					asked.Add(1)
				}
				_, _ = io.WriteString(w, `{"status":"OK"}`)
			})}
			go other.Serve(l) //nolint:errcheck // ends with Close
			defer other.Close()
			b := newBed(t, http.NotFoundHandler(), func(o *Options) {
				o.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					_, port, _ := net.SplitHostPort(addr)
					return engine.Box("no502").DialContext(ctx, network, net.JoinHostPort("172.17.0.2", port))
				}
			})
			b.SetURL(url, !strings.Contains(url, "172.18.0.1")) // the machine, where NPM's port is published
			stop := b.run()
			after(time.Hour)
			eq(t, url+" greeted", greeted.Load() > 0, greets)
			eq(t, url+" asked", asked.Load(), 0)
			eq(t, url+" connected", b.State().Connected, false)
			eq(t, url+" logged", b.logged("waiting for NPM"), 1)
			stop()
			b.Client.reads.CloseIdleConnections()
		})
	}
}
