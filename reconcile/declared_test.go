package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile/intent"
	"github.com/no502/no502/reconcile/resolve"
)

// label gives the container web labels, as if it had been made so.
func (b *bed) label(labels ...string) api.Key {
	b.alter(web, func(c *api.Container) {
		c.Labels = map[string]string{}
		for _, l := range labels {
			name, value, _ := strings.Cut(l, "=")
			c.Labels["no502."+name] = value
		}
		in := intent.Of(c, b.Policy)
		c.Claims, c.Uses = resolve.Claimed(in), resolve.Uses(in)
	})
	return api.ContainerKey(web)
}

// A host that labels declare is made once, looked at, and then left alone.
func TestDeclared(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	b.npm.Certificates, b.npm.AccessLists = []api.Certificate{}, []api.AccessList{}
	key := b.label("host=new.example.com")
	res := b.wantDone(key, "create proxy-host of web", "done: HostMissing")
	if made := api.HostKey(9); !slices.Contains(res.Then, made) {
		t.Errorf("then %v, want the host that was made", res.Then)
	}
	b.wantDone(api.HostKey(9))
	b.wantDone(key)
}

// That Let's Encrypt was asked is noted before it is, so that whatever happens
// meanwhile it is not asked again at once; and a refusal is noted with its words.
func TestLetsEncryptIsNotedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, api.ModeRepair)
		b.npm.Certificates, b.npm.AccessLists = []api.Certificate{}, []api.AccessList{}
		b.DNSCredentials = func(provider string) (string, error) { return " as " + provider, nil }
		b.Policy.DNSProviders = []string{"hetzner"}
		b.wantDone(b.label("host=*.example.com", "certificate=letsencrypt", "letsencrypt.dns-provider=hetzner"),
			"create proxy-host of web", "done: HostMissing")
		b.request = errors.New("no such domain")
		asked := []string{"note failure 1: no answer was seen", "request [*.example.com] as hetzner", "note failure 1: no such domain"}
		ask := func(want []string) (res Result) {
			t.Helper()
			res, err := b.Reconcile(t.Context(), api.HostKey(9))
			if !slices.Equal(b.did, want) || (err != nil) != (len(want) > 0) {
				t.Errorf("did %q, want %q: %v", b.did, want, err)
			}
			b.did = nil
			return res
		}
		ask(asked)
		time.Sleep(2 * time.Second) // by then it is seen that NPM serves the host
		if res := ask(nil); res.After < time.Hour {
			t.Errorf("looked at again after %v", res.After)
		}
		time.Sleep(2 * time.Hour)
		for i := range asked {
			asked[i] = strings.ReplaceAll(asked[i], "failure 1", "failure 2")
		}
		ask(asked)
		time.Sleep(3 * time.Hour)
		ask(nil) // the pause grows
		b.patch = func(api.Key, api.Endpoint) error { return errors.New("NPM is away") }
		time.Sleep(2 * time.Hour)
		ask([]string{"note failure 3: no answer was seen"}) // and what cannot be noted is not asked
	})
}

// no502 was stopped while Let's Encrypt was being asked: NPM is made to write the
// host again, whose access list it took away for the challenge.
func TestStoppedWhileAsking(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	b.npm.Certificates, b.npm.AccessLists = []api.Certificate{}, []api.AccessList{}
	b.wantDone(b.label("host=new.example.com", "certificate=letsencrypt"), "create proxy-host of web", "done: HostMissing")
	h := *b.npm.Host(9)
	own := *h.Ownership
	own.LetsEncrypt = &api.Attempt{Failures: 1, Last: time.Now(), Error: api.Unanswered}
	h.Ownership = &own
	b.npm.SetHost(&h)
	b.wantDone(api.HostKey(9), "note failure 1: no502 was stopped before the answer came", "done: HostDiffers")
	b.wantDone(api.HostKey(9))
}

// What nginx does not accept is tried again, less and less often: each try takes
// the host off line for a moment.
func TestRejectedChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, api.ModeRepair)
		b.forward(1, api.Endpoint{Scheme: "http", Host: "WEB", Port: 8080})
		tries := 0
		b.patch = func(api.Key, api.Endpoint) error { tries++; return api.ErrRejected }
		for range 24 * 60 {
			_, _ = b.Reconcile(t.Context(), host1)
			time.Sleep(time.Minute)
		}
		if tries < 8 || tries > 16 {
			t.Errorf("%d tries in a day", tries)
		}
		last := b.said[len(b.said)-1]
		if !slices.ContainsFunc(last.Findings, func(f api.Finding) bool { return f.Code == api.NginxRejected }) || last.Due.IsZero() {
			t.Errorf("said %v", last.Findings)
		}
		b.patch = nil
		time.Sleep(5 * time.Hour)
		b.did = nil
		b.wantDone(host1, "patch 1 http://web:8080", "done: ForwardHostCase")
	})
}

// What was corrected is tried at once, wherever in a long text that was.
func TestRejectedAndCorrected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, api.ModeRepair)
		b.Policy.Snippets, b.Policy.TakeOver = true, true
		b.npm.Certificates, b.npm.AccessLists = []api.Certificate{}, []api.AccessList{}
		tries := 0
		b.patch = func(api.Key, api.Endpoint) error { tries++; return api.ErrRejected }
		long := strings.Repeat("# what it is for\n", 50)
		for _, snippet := range []string{"nonsense on;", "nonsense on;", "gzip on;"} {
			b.label("host=h1.example.com", "advanced-config="+long+snippet)
			_, _ = b.Reconcile(t.Context(), host1)
		}
		if tries != 2 {
			t.Errorf("%d tries of two changes", tries)
		}
	})
}

// While a host waits for its access list, NPM's lists are looked at often.
func TestExpects(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	b.npm.Certificates, b.npm.AccessLists = []api.Certificate{}, []api.AccessList{}
	key := b.label("host=new.example.com", "access-list=family")
	if b.wantDone(key); !b.expects {
		t.Error("no access list is expected")
	}
	b.npm.AccessLists = []api.AccessList{{ID: 1, Name: "family"}}
	b.wantDone(key, "create proxy-host of web", "done: HostMissing")
	if b.expects {
		t.Error("an access list is still expected")
	}
}

// Two services that lead to each other do not wake each other for ever.
func TestMutualUpstreams(t *testing.T) {
	b := newBed(t, api.ModeRepair)
	b.npm.Certificates, b.npm.AccessLists = []api.Certificate{}, []api.AccessList{}
	b.label("host=h1.example.com", "location.api.path=/api", "location.api.upstream=api")
	b.add("3", "api", func(c *api.Container) {
		c.Labels["no502.host"], c.Labels["no502.location.web.path"], c.Labels["no502.location.web.upstream"] = "api.example.com", "/web", "web"
		c.Claims, c.Uses = []string{"api.example.com"}, []string{"web"}
		c.Exposed = []api.Port{{Number: 8080, Protocol: "tcp"}}
	})
	keys, seen := b.Keys(), 0
	for ; len(keys) > 0; seen++ {
		if seen > 100 {
			t.Fatal("no end of ", keys)
		}
		res, _ := b.reconcile(keys[0])
		keys = append(keys[1:], res.Then...)
	}
}

// More hosts at once than the limit are not deleted; once one was kept for that,
// none is until none waits any more.
func TestLandslide(t *testing.T) {
	m := newMemory()
	now := time.Now()
	judge := func(id int, idle api.Idle, findings ...api.Finding) {
		m.judged(api.HostKey(id), api.Plan{Verdicts: []api.Verdict{{Key: api.HostKey(id), Idle: idle, Findings: findings}}}, now)
		m.watchDeletes(2, now.Add(-time.Minute))
	}
	gone := api.Idle{Why: api.DisabledRemoved, Delete: true}
	check := func(what string, want bool) {
		t.Helper()
		s := api.Snapshot{}
		if m.observe(&s, api.SystemKey()); s.Landslide != want {
			t.Errorf("%s: landslide %v", what, s.Landslide)
		}
	}
	for id := range 2 {
		judge(id, gone)
		check(fmt.Sprint(id, " gone"), false)
	}
	m.done(api.Action{Op: api.OpDelete, Host: api.HostKey(0), Because: []api.Code{api.HostIdle}}, now)
	judge(0, api.Idle{})
	check("one of them deleted", false)
	judge(3, gone)
	check("one more", true) // a landslide in small steps is one too
	judge(3, api.Idle{})
	check("one back, and none was kept for it", false)
	judge(3, gone, api.Finding{Code: api.DeleteLimit})
	judge(3, api.Idle{})
	check("one back, after that was said", true)
	judge(1, api.Idle{})
	check("all back", false)
	now = now.Add(time.Hour)
	judge(4, gone)
	judge(5, gone)
	check("a resync later", false)
}
