package dockerd

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/api"
)

// recorded reads an answer of Docker Engine 20.10.24 (API 1.41).
func recorded[T any](t *testing.T, name string) (v T) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// recordedNames finds the recorded networks.
func recordedNames(t *testing.T) networkNames {
	t.Helper()
	var all []*api.Network
	for _, n := range recorded[[]network.Inspect](t, "networks.json") {
		all = append(all, fromNetwork(n))
	}
	return namesIn(api.NewEngine(nil, all))
}

// short makes a container comparable: IDs to 12 digits, and no addresses that
// cmp cannot look into.
func short(c *api.Container) string {
	b, _ := json.MarshalIndent(struct {
		*api.Container
		ID string `json:",omitempty"`
	}{Container: c}, "", " ")
	return fullID.ReplaceAllStringFunc(string(b), func(id string) string { return id[:12] })
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func tcp(n uint16) api.Port { return api.Port{Number: n, Protocol: "tcp"} }

func TestFromInspect(t *testing.T) {
	const (
		ours, auto, bridge, host = "cf123e052a94", "de0bd01c978a", "7e4521ffab94", "61daf162ce61"
	)
	any4 := netip.IPv4Unspecified()
	published := []api.Published{
		{HostIP: addr("127.0.0.1"), HostPort: 18443, Port: tcp(443)},
		{HostIP: any4, HostPort: 18080, Port: tcp(8080)},
	}
	for file, want := range map[string]api.Container{
		"created": {
			Name: "t_a", Image: "example/app", NetworkMode: "t_auto", State: api.State{Status: api.Created},
			Labels:  map[string]string{"x": `<b>&"`},
			Exposed: []api.Port{{Number: 53, Protocol: "udp"}, tcp(443), tcp(8080), tcp(9000)}, Published: published,
			Attachments: []api.Attachment{
				{NetworkID: auto, Network: "t_auto"},
				{NetworkID: ours, Network: "t_ours", Pinned: addr("10.202.0.200"), Ours: true},
			},
		},
		"unhealthy": {
			Name: "t_hc", Image: "example/app", Hostname: "webhost", NetworkMode: "t_ours",
			Labels: map[string]string{
				"no502.enable": "true", api.ComposeProject: "shop", api.ComposeService: "web", api.ComposeNumber: "1",
			},
			State: api.State{Status: api.Running, Health: api.Unhealthy, HealthOutput: "OCI runtime exec failed: exec failed: " +
				`unable to start container process: exec: "/bin/sh": stat /bin/sh: no such file or directory: unknown`},
			Exposed: []api.Port{tcp(80)}, // on an internal network nothing is published, though configured
			Attachments: []api.Attachment{{
				NetworkID: ours, Network: "t_ours", IPv4: addr("10.202.0.210"), Pinned: addr("10.202.0.210"),
				Gateway: addr("10.202.0.1"), Aliases: []string{"web", "c8d5fa43d209", "webhost"},
			}},
		},
		"paused": {
			Name: "t_pa", Image: "example/app", NetworkMode: "bridge", State: api.State{Status: api.Paused},
			Attachments: []api.Attachment{{NetworkID: bridge, Network: "bridge", Gateway: addr("172.17.0.1")}},
		},
		"restarting": {
			Name: "t_loop", Image: "example/loop", NetworkMode: "bridge", State: api.State{Status: api.Restarting, ExitCode: 3},
			Attachments: []api.Attachment{{NetworkID: bridge, Network: "bridge"}},
		},
		"exited": {
			Name: "t_f", Image: "example/app", NetworkMode: "t_auto", State: api.State{Status: api.Exited, ExitCode: 137},
			Exposed: []api.Port{tcp(80)}, Published: []api.Published{{HostIP: any4, HostPort: 18090, Port: tcp(80)}},
			Attachments: []api.Attachment{{NetworkID: auto, Network: "t_auto"}},
		},
		"hostmode": {
			Name: "t_h", Image: "example/app", NetworkMode: "host", State: api.State{Status: api.Created},
			Attachments: []api.Attachment{{NetworkID: host, Network: "host"}},
		},
		"containermode": {
			Name: "t_d", Image: "example/app", State: api.State{Status: api.Created},
			NetworkMode: "container:b87f35945093984ebd06a2780364e6ffce5da5ecc5659fdebdde114cb0beaef7",
			Attachments: []api.Attachment{},
		},
		// It was to start at an address in use. Only its state shows it.
		"addressinuse": {
			Name: "t_g", Image: "example/app", NetworkMode: "bridge", State: api.State{Status: api.Created, ExitCode: 128},
			Attachments: []api.Attachment{
				{NetworkID: bridge, Network: "bridge"},
				{NetworkID: ours, Network: "t_ours", Pinned: addr("10.202.0.202")},
			},
		},
	} {
		t.Run(file, func(t *testing.T) {
			got := fromInspect(recorded[container.InspectResponse](t, "inspect_"+file+".json"), recordedNames(t))
			if got.CreatedAt.Year() != 2026 {
				t.Errorf("made at %s", got.CreatedAt)
			}
			want.CreatedAt = got.CreatedAt
			if len(got.ID) != 64 || !got.Inspected {
				t.Errorf("ID %q, inspected %v", got.ID, got.Inspected)
			}
			settleVolatile(t, got, &want)
			if diff := cmp.Diff(short(&want), short(got)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// settleVolatile checks what differs from run to run, and takes it over.
func settleVolatile(t *testing.T, got, want *api.Container) {
	t.Helper()
	up := got.State.Status == api.Running || got.State.Status == api.Paused
	if up != (got.State.Pid > 0) || (got.State.Status == api.Created) != got.State.StartedAt.IsZero() {
		t.Errorf("%s with PID %d, started at %v", got.State.Status, got.State.Pid, got.State.StartedAt)
	}
	want.ID, want.Inspected = got.ID, true
	want.State.Pid, want.State.StartedAt = got.State.Pid, got.State.StartedAt
	if want.Hostname == "" && (got.Hostname == got.ShortID() || got.NetworkMode == "host" || strings.Contains(got.NetworkMode, ":")) {
		want.Hostname = got.Hostname
	}
	if want.Labels == nil && len(got.Labels) == 0 {
		want.Labels = got.Labels
	}
	for i := range min(len(got.Attachments), len(want.Attachments)) {
		g, w := got.Attachments[i], &want.Attachments[i]
		if up != g.IPv4.IsValid() {
			t.Errorf("%s with address %v", got.State.Status, g.IPv4)
		}
		if !w.IPv4.IsValid() {
			w.IPv4 = g.IPv4
		}
		if w.Aliases == nil {
			w.Aliases = g.Aliases
		}
		if len(g.NetworkID) != 64 {
			t.Errorf("network %s has ID %q", g.Network, g.NetworkID)
		}
	}
}

// A row of the list says the same as the whole description, as far as it goes.
func TestFromSummary(t *testing.T) {
	nets := recordedNames(t)
	whole := map[string]*api.Container{}
	for _, file := range []string{"created", "unhealthy", "paused", "restarting", "exited", "hostmode", "containermode", "addressinuse"} {
		c := fromInspect(recorded[container.InspectResponse](t, "inspect_"+file+".json"), nets)
		whole[c.ID] = c
	}
	rows := recorded[[]container.Summary](t, "containers.json")
	if len(rows) != len(whole) {
		t.Fatalf("%d rows, %d descriptions", len(rows), len(whole))
	}
	for _, row := range rows {
		got, want := fromSummary(row, nets), whole[row.ID]
		if want == nil {
			t.Errorf("no description of %s", row.ID)
			continue
		}
		if got.Inspected {
			t.Errorf("%s: inspected", got.Name)
		}
		want.Inspected, want.Hostname, want.State.Pid, want.State.StartedAt, want.State.HealthOutput = false, "", 0, time.Time{}, ""
		if want.State.Status != api.Exited && want.State.Status != api.Restarting {
			want.State.ExitCode = 0 // the list has it of these only
		}
		want.CreatedAt = want.CreatedAt.Truncate(time.Second).Local() // the list has no more
		want.Exposed, want.Published = got.Exposed, got.Published     // it has those in use
		for i := range want.Attachments {
			want.Attachments[i].Aliases, want.Attachments[i].Ours = nil, false
		}
		if diff := cmp.Diff(short(want), short(got)); diff != "" {
			t.Errorf("%s: -inspect +list\n%s", got.Name, diff)
		}
	}
}

// What newer Engines and Podman say differently.
func TestFromInspectOfOthers(t *testing.T) {
	none := func(string) (string, string, bool) { return "", "", false }
	parse := func(s string) *api.Container {
		t.Helper()
		var in container.InspectResponse
		if err := json.Unmarshal([]byte(s), &in); err != nil {
			t.Fatal(err)
		}
		return fromInspect(in, none)
	}
	for _, empty := range []string{
		`{}`, `{"Id":"a"}`, `{"Id":"a","State":null,"Config":null,"HostConfig":null,"NetworkSettings":null}`,
		`{"Id":"a","NetworkSettings":{"Networks":{"n":null},"Ports":{"80/tcp":null}}}`,
		`{"Id":"a","State":{"Status":"running","Health":{"Log":[null]}}}`,
	} {
		if c := parse(empty); !c.Inspected {
			t.Errorf("%s: %+v", empty, c)
		}
	}
	c := parse(`{"Id":"a","State":{"Status":"running","Health":{"Status":"none"}},"NetworkSettings":{"Networks":{
		"n":{"NetworkID":"1","IPAddress":"::ffff:10.0.0.2","GlobalIPv6Address":"fd00::2","Aliases":["web","web"],
		     "DNSNames":["shop-web-1","web","0123456789ab"]},
		"left":{"IPAMConfig":{"IPv4Address":"10.0.0.3"}}}}}`)
	if c.State.Health != api.NoHealthcheck {
		t.Errorf("health %q", c.State.Health)
	}
	want := []api.Attachment{{
		NetworkID: "1", Network: "n", IPv4: addr("10.0.0.2"), IPv6: addr("fd00::2"),
		Aliases: []string{"web", "shop-web-1", "0123456789ab"},
	}}
	if diff := cmp.Diff(want, c.Attachments, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("a failed connect leaves no attachment; -want +got\n%s", diff)
	}
}

func TestPodmansStates(t *testing.T) {
	for s, want := range map[string]api.Status{
		"configured": api.Created, "initialized": api.Created, "stopped": api.Exited, "stopping": api.Running, "Running": api.Running,
	} {
		if got := statusOf(s); got != want {
			t.Errorf("%s: %s, want %s", s, got, want)
		}
	}
}

func TestPorts(t *testing.T) {
	for s, want := range map[string]api.Port{
		"80/tcp": tcp(80), "53/udp": {Number: 53, Protocol: "udp"}, "80": tcp(80), "9/SCTP": {Number: 9, Protocol: "sctp"},
		"0/tcp": {}, "65536/tcp": {}, "-1/tcp": {}, "8000-8010/tcp": {}, "": {}, "/": {}, "80/quic": {}, "80/tcp/x": {},
	} {
		if got, ok := parsePort(s); got != want || ok != (want != api.Port{}) {
			t.Errorf("%q: %v %v, want %v", s, got, ok, want)
		}
	}
}

func TestFirstLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"\n\n  ok\nmore":           "ok",
		"a\x1b[31mred\x00\tb\xff":  "a[31mred b",
		strings.Repeat("ü", 5000):  strings.Repeat("ü", healthOutputLimit),
		strings.Repeat("\n", 9000): "",
	} {
		if got := firstLine(in); got != want {
			t.Errorf("%.40q: %q, want %q", in, got, want)
		}
	}
}

func TestFromNetwork(t *testing.T) {
	got := map[string]*api.Network{}
	for _, n := range recorded[[]network.Inspect](t, "networks.json") {
		got[n.Name] = fromNetwork(n)
	}
	p := netip.MustParsePrefix
	for name, want := range map[string][]api.Subnet{
		"bridge":   {{Prefix: p("172.17.0.0/16"), Gateway: addr("172.17.0.1")}}, // shown without
		"host":     nil,
		"none":     nil,
		"t_auto":   {{Prefix: p("172.22.0.0/16"), Gateway: addr("172.22.0.1")}},
		"t_conf":   {{Prefix: p("10.201.0.0/24"), Gateway: addr("10.201.0.1"), Range: p("10.201.0.0/24")}},
		"t_confgw": {{Prefix: p("10.204.0.0/24"), Gateway: addr("10.204.0.1")}},
		"t_ours":   {{Prefix: p("10.202.0.0/24"), Gateway: addr("10.202.0.1"), Range: p("10.202.0.0/25")}},
		"t_range":  {{Prefix: p("10.203.0.0/16"), Gateway: addr("10.203.5.0"), Range: p("10.203.5.0/24")}},
	} {
		n := got[name]
		if n == nil {
			t.Errorf("%s is missing", name)
			continue
		}
		same := cmp.Comparer(func(a, b api.Subnet) bool { return a == b })
		if diff := cmp.Diff(want, n.Subnets, same); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
		if n.Internal != (name == "t_ours") || n.UserDefined() != strings.HasPrefix(name, "t_") {
			t.Errorf("%s: %+v", name, n)
		}
	}
	if got["t_ours"].Labels["no502.managed"] != "true" {
		t.Errorf("labels %v", got["t_ours"].Labels)
	}
}

func TestGateway(t *testing.T) {
	for _, c := range []struct {
		name string
		in   network.Inspect
		want string
	}{
		{"with a prefix, as Engine 1.12 has it", network.Inspect{Driver: "bridge"}, "10.0.0.1"},
		{"of a LAN", network.Inspect{Driver: "macvlan"}, "10.0.0.1"},
		{"isolated", network.Inspect{
			Driver: "bridge", Options: map[string]string{"com.docker.network.bridge.gateway_mode_ipv4": "isolated"},
		}, "invalid IP"},
	} {
		c.in.IPAM.Config = []network.IPAMConfig{{Subnet: "10.0.0.0/24", Gateway: "10.0.0.1/24"}, {Subnet: "nonsense"}}
		n := fromNetwork(c.in)
		if len(n.Subnets) != 1 || n.Subnets[0].Gateway.String() != c.want {
			t.Errorf("%s: %+v", c.name, n.Subnets)
		}
	}
	aux := network.IPAMConfig{Subnet: "10.0.0.0/30", AuxAddress: map[string]string{"a": "10.0.0.1", "b": "10.0.0.2"}}
	if got := gateway(aux, netip.MustParsePrefix(aux.Subnet)); got != addr("10.0.0.3") {
		t.Errorf("beside reserved addresses: %v", got)
	}
	aux.IPRange = "10.0.0.0/31"
	if got := dynamicRange(network.Inspect{Driver: "bridge"}, aux, netip.MustParsePrefix(aux.Subnet)); got.IsValid() {
		t.Errorf("an address may be chosen beside reserved ones, outside %v", got)
	}
	last := network.IPAMConfig{Subnet: "255.255.255.255/32", AuxAddress: map[string]string{"a": "nonsense"}}
	if got := gateway(last, netip.MustParsePrefix(last.Subnet)); got.IsValid() {
		t.Errorf("of the last address: %v", got)
	}
	full := network.IPAMConfig{Subnet: "10.0.0.0/32"}
	if got := gateway(full, netip.MustParsePrefix(full.Subnet)); got.IsValid() {
		t.Errorf("of a full pool: %v", got)
	}
}

// No answer makes the conversions panic, nor the indices that take the result.
func FuzzConvert(f *testing.F) {
	for _, s := range []string{ // short: the fuzzer minimizes what it finds
		`{"Id":"a","Name":"/n","State":{"Status":"running","Health":{"Log":[{"Output":"x"},null]}},"Config":{"ExposedPorts":{"80/tcp":{}}}}`,
		`{"Id":"a","HostConfig":{"NetworkMode":"n","PortBindings":{"80/tcp":[{"HostIp":"::","HostPort":"1"}]}}}`,
		`{"NetworkSettings":{"Ports":{"80/tcp":null},"Networks":{"n":{"IPAMConfig":{"IPv4Address":"1.2.3.4"},"Aliases":["x"]},"m":null}}}`,
		`[{"Id":"a","Names":["/a/b","/c"],"Status":"Exited (1)","Ports":[{"PrivatePort":1,"Type":"udp"}],"NetworkSettings":{"Networks":{"n":{}}}}]`,
		`[{"Id":"n","Name":"n","Driver":"bridge","IPAM":{"Config":[{"Subnet":"1.2.3.0/24","IPRange":"1.2.3.0/25","AuxiliaryAddresses":{"x":"1.2.3.1"}}]}}]`,
		`[{"Id":"n","IPAM":{"Config":[{"Subnet":"fd00::/64","Gateway":"fd00::1%x"}]}}]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		var in container.InspectResponse
		var rows []container.Summary
		var nets []network.Inspect
		_, _, _ = json.Unmarshal(b, &in), json.Unmarshal(b, &rows), json.Unmarshal(b, &nets)
		now := api.NewEngine(nil, nil)
		for _, n := range nets {
			setNetwork(now, fromNetwork(n))
		}
		now.SetContainer(fromInspect(in, namesIn(now)))
		for _, row := range rows {
			now.SetContainer(fromSummary(row, namesIn(now)))
		}
		for _, c := range now.Containers() {
			now.RemoveContainer(c.ID)
		}
	})
}
