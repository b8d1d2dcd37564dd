package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
	"github.com/no502/no502/controller/dockerd/stage"
	"github.com/no502/no502/controller/npm/npmtest"
)

func stageApp(name string) stage.Container {
	return stage.Container{Name: name, Image: appImage, Cmd: []string{"demo", "backend", "8080/http"}, Labels: enabled, Network: "proxy"}
}

// Stopped in the middle of a write: NPM may finish it, within seconds, so that
// no host is left half written; then run returns.
func TestStopDuringWrite(t *testing.T) {
	for slow, most := range map[time.Duration]time.Duration{
		2 * time.Second: 3 * time.Second,
		time.Hour:       6 * time.Second, // hopeless: given up
	} {
		inBubble(t, func(t *testing.T, w *world) {
			w.crowd(1)
			w.settle()
			w.failNPM(func(r *http.Request) *npmtest.Fault {
				if r.Method == http.MethodPut {
					return &npmtest.Fault{Delay: slow}
				}
				return nil
			})
			w.edit(1, map[string]any{"forward_host": "APP1"})
			pass(w.settings.poll + time.Second)
			began := time.Now()
			w.stop()
			if took := time.Since(began); took > most {
				t.Errorf("a write that takes %v: stopped after %v", slow, took)
			}
			if slow < time.Hour {
				w.wantForward(1, "http://app1:8080")
				w.wantSaid(1, `"msg":"done"`)
			}
			if status, body := w.visit("app1.example.com"); status != 200 {
				t.Errorf("a visitor gets %d %s", status, body)
			}
		})
	}
}

// Stopped while a port is being probed that says nothing.
func TestStopDuringProbe(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.add("silent", dockerdtest.App{Labels: enabled, Networks: []string{"proxy"}, Expose: []string{"8080"}})
		_, err := w.docker.Box("silent").Listen("tcp", ":8080") // accepts, and answers nothing
		w.must(err)
		w.host(1, "silent", 8080)
		w.startNPM()
		w.start()
		pass(time.Second)
		began := time.Now()
		w.stop()
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("stopped after %v", took)
		}
	})
}

// Stopped before anything answers.
func TestStopWhileWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start()
		pass(time.Second)
		began := time.Now()
		w.stop()
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("stopped after %v", took)
		}
		w.wantSaid(1, `"stopped"`)
	})
}

// Somebody mends a host in NPM's pages after no502 has planned to: theirs stays.
func TestPersonIsFaster(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(2)
		w.settle()
		before := w.npm.Snapshot()["proxy_host/2"]
		w.edit(2, map[string]any{"forward_host": "APP2"})
		met := 0
		w.failNPM(func(r *http.Request) *npmtest.Fault {
			if r.Method == http.MethodGet && r.URL.Path == "/nginx/proxy-hosts/2" && met == 0 {
				met++ // no502 looks at the row before it writes
				w.edit(2, map[string]any{"forward_host": w.address("app1", "proxy"), "forward_port": 8080})
			}
			return nil
		})
		pass(20 * time.Second)
		if met == 0 {
			t.Fatal("nothing was planned")
		}
		// Theirs now means app1, by its address: that is what is made good.
		w.wantForward(2, "http://app1:8080")
		want(t, "an edit of theirs", w.asked(), map[string]int{npmPuts: 1})
		if said := with(w.log.take(), `"level":"error"`); len(said) > 0 {
			t.Errorf("logged %q", said)
		}
		if strings.Contains(string(before), "app1:") {
			t.Error("host 2 was app1's from the start")
		}
	})
}

// What somebody saves between no502's look at a row and its write stays, where
// it is not about the forward settings.
func TestPersonWritesMeanwhile(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(1)
		w.settle()
		w.edit(1, map[string]any{"forward_host": "APP1"})
		met := false
		w.failNPM(func(r *http.Request) *npmtest.Fault {
			if r.Method == http.MethodPut && !met {
				met = true
				w.edit(1, map[string]any{"advanced_config": "# theirs", "caching_enabled": true})
			}
			return nil
		})
		pass(20 * time.Second)
		w.wantForward(1, "http://app1:8080")
		row := string(w.npm.Snapshot()["proxy_host/1"])
		for _, theirs := range []string{`"advanced_config":"# theirs"`, `"caching_enabled":true`} {
			if !strings.Contains(row, theirs) {
				t.Errorf("lost %s: %s", theirs, row)
			}
		}
	})
}

// nginx refuses what no502 writes: the host is put back as it was, and the next
// try waits longer each time, with one line for each.
func TestNginxRefuses(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.crowd(1)
		w.settle()
		w.edit(1, map[string]any{"forward_host": "APP1"})
		row := string(w.npm.Snapshot()["proxy_host/1"])
		refused := strings.NewReplacer(`"APP1"`, `"app1"`, `"nginx_online":true`, `"nginx_online":false`,
			`"nginx_err":null`, `"nginx_err":"nginx: [emerg] not today in proxy_host/1.conf:7"`).Replace(row)
		writes := 0
		w.failNPM(func(r *http.Request) *npmtest.Fault {
			if r.Method != http.MethodPut {
				return nil
			}
			if writes++; writes%2 == 0 {
				return nil // it puts back what was there
			}
			return &npmtest.Fault{Status: 200, Body: refused}
		})
		pass(10 * time.Minute)
		said := with(w.log.take(), `"level":"error"`)
		// Each takes the host off line for a moment: at once, after 1, 3 and 7 minutes.
		if tries := w.asked()[npmPuts] / 2; tries != len(said) || tries != 4 {
			t.Errorf("%d tries in ten minutes, and %d lines about it", tries, len(said))
		}
		if len(said) == 0 || !strings.Contains(said[0], "not today") || !strings.Contains(said[0], "(restored)") {
			t.Errorf("logged %q", said)
		}
		w.wantForward(1, "http://APP1:8080")
		w.failNPM(nil)
		pass(10 * time.Minute)
		w.wantForward(1, "http://app1:8080")
	})
}
