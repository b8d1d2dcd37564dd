package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/no502/no502/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a Reconciler whose surroundings are in memory. NPM is on the network
// "proxy", and so is the container web, which host 1 means.
type bed struct {
	*Reconciler
	t      *testing.T
	engine *api.Engine
	npm    *api.NPM

	did     []string // changes that were asked for
	said    []api.Verdict
	gone    []api.Key
	changes []api.Change
	patch   func(host api.Key, to api.Endpoint) error
	resave  func(host api.Key) error
	// request is what becomes of a request to Let's Encrypt.
	request error
	urls    []string
	away    bool // NPM does not answer
	expects bool // a certificate or an access list

	ports  map[api.Target]api.Probe // what was looked at
	open   map[uint16]api.Probe     // what would answer
	probes int
}

const web = "1111111111111111111111111111111111111111111111111111111111111111"

func newBed(t *testing.T, mode api.Mode) *bed {
	b := &bed{
		t: t, ports: map[api.Target]api.Probe{},
		open: map[uint16]api.Probe{8080: {Port: api.PortOpen, Plain: true}},
	}
	b.engine = api.NewEngine(nil, []*api.Network{{
		ID: "net", Name: "proxy", Driver: "bridge",
		Subnets: []api.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.1")}},
	}})
	b.engine.SetContainer(&api.Container{
		ID: "2222222222222222222222222222222222222222222222222222222222222222", Name: "npm", Image: "jc21/nginx-proxy-manager:2",
		NetworkMode: "proxy", State: api.State{Status: api.Running}, Attachments: []api.Attachment{on("10.0.0.2")}, Inspected: true,
	})
	b.run("10.0.0.3")
	b.npm = api.NewNPM(nil)
	b.forward(1, api.Endpoint{Scheme: "http", Host: "web", Port: 8080})
	b.Reconciler = New(Options{
		Engine: b, NPM: npm{b}, Prober: b.prober(), Recorder: b,
		Policy: api.Policy{Instance: "no502", Prefix: "no502", Scope: api.ScopeLabelled, Mode: mode},
	})
	return b
}

func on(addr string) api.Attachment {
	return api.Attachment{NetworkID: "net", Network: "proxy", IPv4: netip.MustParseAddr(addr)}
}

// run starts the container web at an address.
func (b *bed) run(addr string) {
	b.engine.SetContainer(&api.Container{
		ID: web, Name: "web", NetworkMode: "proxy", Labels: map[string]string{"no502.enable": "true"}, Inspected: true,
		State: api.State{Status: api.Running, StartedAt: time.Now()}, Attachments: []api.Attachment{on(addr)},
		Exposed: []api.Port{{Number: 8080, Protocol: "tcp"}},
	})
}

// stopWeb stops the container web.
func (b *bed) stopWeb() {
	c := *b.engine.Container(web)
	c.State = api.State{Status: api.Exited}
	c.Attachments = []api.Attachment{{NetworkID: "net", Network: "proxy"}}
	b.engine.SetContainer(&c)
}

// forward makes NPM forward a host to an endpoint.
func (b *bed) forward(host int, e api.Endpoint) {
	b.row(&api.Host{ID: host, Enabled: true}, e.Fields().With(api.Fields{api.FieldDomains: []string{fmt.Sprintf("h%d.example.com", host)}}))
}

// row makes NPM have a host, which nginx took.
func (b *bed) row(h *api.Host, row api.Fields) {
	raw, err := json.Marshal(row)
	if err != nil {
		b.t.Fatal(err)
	}
	online := true
	h.Raw, h.Forward, h.Domains, h.Online = raw, row.Endpoint(), row.Strings(api.FieldDomains), &online
	b.npm.SetHost(h)
}

// reconcile works on a key, and returns what was asked to be changed.
func (b *bed) reconcile(key api.Key) (Result, []string) {
	b.t.Helper()
	res, err := b.Reconcile(b.t.Context(), key)
	if err != nil {
		b.t.Errorf("%v: %v", key, err)
	}
	did := b.did
	b.did = nil
	return res, did
}

func (b *bed) wantDone(key api.Key, want ...string) Result {
	b.t.Helper()
	res, did := b.reconcile(key)
	if !slices.Equal(did, want) {
		b.t.Errorf("%v: did %q, want %q", key, did, want)
	}
	return res
}

// The Engine.

func (b *bed) View(f func(*api.Engine)) bool { f(b.engine); return true }
func (b *bed) Ahead() time.Duration          { return 0 }

func (b *bed) CreateNetwork(context.Context, string, api.Subnet, map[string]string) error {
	b.did = append(b.did, "create network")
	return nil
}

func (b *bed) Attach(_ context.Context, container, _ string, _ netip.Addr, _ []string) error {
	b.did = append(b.did, "attach "+container[:4])
	return nil
}

// npm is the NPM.
type npm struct{ *bed }

func (n npm) View(f func(*api.NPM)) bool { f(n.npm); return true }
func (n npm) Waits() bool                { return n.away }
func (n npm) SetURL(url string)          { n.urls = append(n.urls, url) }
func (n npm) Expect(waiting bool)        { n.expects = waiting }

func (n npm) Patch(_ context.Context, host api.Key, _, to api.Fields, own *api.Ownership) error {
	did := fmt.Sprintf("patch %s %s", host.ID, to.Endpoint())
	if len(to) == 0 && own.LetsEncrypt != nil {
		did = fmt.Sprintf("note failure %d: %s", own.LetsEncrypt.Failures, own.LetsEncrypt.Error)
	}
	n.did = append(n.did, did)
	if n.patch != nil {
		if err := n.patch(host, to.Endpoint()); err != nil {
			return err
		}
	}
	if h := n.npm.Get(host); h != nil {
		changed := *h
		changed.Ownership = own
		n.row(&changed, h.Fields().With(to))
	}
	return nil
}

func (n npm) Create(_ context.Context, kind api.Kind, fields api.Fields, own api.Ownership) (api.Key, error) {
	n.did = append(n.did, fmt.Sprintf("create %s of %s", kind, own.Service))
	h := &api.Host{Kind: kind, ID: 9, Enabled: true, Ownership: &own}
	n.row(h, fields)
	return h.Key(), nil
}

func (n npm) Enable(_ context.Context, host api.Key, _, _ api.Fields, _ *api.Ownership) error {
	n.did = append(n.did, "enable "+host.String())
	return nil
}

func (n npm) Disable(_ context.Context, host api.Key, _ *api.Ownership) error {
	n.did = append(n.did, "disable "+host.String())
	return nil
}

func (n npm) Delete(_ context.Context, host api.Key) error {
	n.did = append(n.did, "delete "+host.String())
	return nil
}

func (n npm) RequestCertificate(_ context.Context, domains []string, _, credentials string) error {
	n.did = append(n.did, fmt.Sprint("request ", domains, credentials))
	return n.request
}

func (n npm) Resave(_ context.Context, host api.Key) error {
	n.did = append(n.did, "re-save "+host.ID)
	if n.resave != nil {
		return n.resave(host)
	}
	return nil
}

// prober looks at the ports that are open.
type prober struct{ *bed }

func (b *bed) prober() Prober { return prober{b} }

func (p prober) View(f func(map[api.Target]api.Probe, map[netip.Addr]bool)) { f(p.ports, nil) }

func (p prober) Probe(_ context.Context, targets []api.Target) {
	for _, t := range targets {
		p.probes++
		found, ok := p.open[t.Port()]
		if !ok {
			found.Port = api.PortClosed
		}
		p.ports[t] = found
	}
}

func (p prober) IsMachine(context.Context, []netip.Addr) {}

// Prove finds all well.
func (p prober) Prove(context.Context, api.ProofTarget) api.Proof {
	return api.Proof{Through: api.Answer{Status: 200}, Direct: api.Answer{Status: 200}}
}

func (p prober) Prune(keep func(api.Target) bool) {
	for t := range p.ports {
		if t.Container != "" && !keep(t) {
			delete(p.ports, t)
		}
	}
}

// The Recorder.

func (b *bed) Verdict(v api.Verdict) { b.said = append(b.said, v) }
func (b *bed) Done(a api.Action)     { b.did = append(b.did, "done: "+a.Why()) }
func (b *bed) Changed(c api.Change)  { b.changes = append(b.changes, c) }
func (b *bed) Forget(key api.Key)    { b.gone = append(b.gone, key) }
