package npmtest_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestWriteWindow: with the window open, writes that meet each other fail as in
// FACTS 1 and concurrency_races: one answers 500 with its row changed, another
// answers 200 and leaves its host offline, with an error that names another's
// file. In sequence none fails.
func TestWriteWindow(t *testing.T) {
	for version, line := range map[string]int{"2.15.1": 90, "2.13.7": 78} {
		synctest.Test(t, func(t *testing.T) {
			p := newReplayWith(t, func(o *options) { o.Version, o.WriteWindow = version, 10*time.Millisecond })
			for i := range 3 {
				p.add(fmt.Sprintf("h%d.test", i+1), "10.0.0.2", 80, "")
			}
			var status [3]int
			var wg sync.WaitGroup
			// The first is between its test and its delete when the second
			// begins; the third begins while the first one's file is away.
			for i, start := range []time.Duration{0, 5 * time.Millisecond, 12 * time.Millisecond} {
				wg.Go(func() {
					time.Sleep(start)
					status[i] = p.do("PUT", fmt.Sprintf("/api/nginx/proxy-hosts/%d", i+1), `{"forward_port":81}`).Code
				})
			}
			wg.Wait()
			if status[2] != 500 {
				t.Errorf("third: %d, want 500", status[2])
			}
			offline, _ := p.meta(1).(map[string]any)
			want := fmt.Sprintf(`open() "/data/nginx/proxy_host/2.conf" failed (2: No such file or directory) in /etc/nginx/nginx.conf:%d`, line)
			if msg, _ := offline["nginx_err"].(string); offline["nginx_online"] != false || !strings.Contains(msg, want) {
				t.Errorf("first: %d, %v", status[0], offline)
			}
			if _, there := p.s.Conf("proxy_host/1.conf"); there {
				t.Error("the first one's file is there")
			}
			if conf, _ := p.s.Conf("proxy_host/3.conf"); !strings.Contains(conf, "set $port           80;") {
				t.Error("the third one's file has changed")
			}
			for i := range 3 {
				if w := p.do("PUT", fmt.Sprintf("/api/nginx/proxy-hosts/%d", i+1), `{"forward_port":82}`); w.Code != 200 {
					t.Errorf("in sequence: %d", w.Code)
				}
				p.equal(entry{Observation: map[string]any{"nginx_online": true, "nginx_err": nil}}, p.meta(i+1))
			}
		})
	}
}

// TestParallelWrites: without the window writes wait for each other, and two
// creations of one domain end as recorded: 201 and 400.
func TestParallelWrites(t *testing.T) {
	p := newReplay(t, "2.15.1", true)
	p.token("admin")
	var mu sync.Mutex
	count := map[int]int{}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			w := p.do("POST", "/api/nginx/proxy-hosts", fmt.Sprintf(
				`{"domain_names":["h%d.test"],"forward_scheme":"http","forward_host":"x","forward_port":80}`, i/2))
			mu.Lock()
			defer mu.Unlock()
			count[w.Code]++
		})
		wg.Go(func() { p.do("GET", "/api/nginx/proxy-hosts", "") })
		wg.Go(func() { p.get(fmt.Sprintf("http://h%d.test/", i)) })
	}
	wg.Wait()
	if count[201] != 20 || count[400] != 20 {
		t.Errorf("%v", count)
	}
}
