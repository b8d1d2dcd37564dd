package npm

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/no502/no502/api"
)

// recorded is a row as 2.15.1 lists it.
const recorded = `{"id":4,"created_on":"2026-11-22 22:05:29","modified_on":"2026-11-22 22:05:30","owner_user_id":1,` +
	`"domain_names":["m.test","M2.test"],"forward_host":"web1","forward_port":8081,"access_list_id":0,"certificate_id":0,` +
	`"ssl_forced":false,"caching_enabled":false,"block_exploits":false,"advanced_config":"# no502: observe",` +
	`"meta":{"b":1,"a":{"z":1,"y":2},"no502":{"instance":"i","backend":"p/web","origin":"repaired",` +
	`"wrote":{"forward_scheme":"http","forward_host":"web1","forward_port":8081},` +
	`"was":{"forward_scheme":"http","forward_host":"10.0.0.9","forward_port":80}},` +
	`"nginx_online":false,"nginx_err":"bad"},"allow_websocket_upgrade":false,"http2_support":false,` +
	`"forward_scheme":"http","enabled":true,"locations":null,"hsts_enabled":false,"hsts_subdomains":false,"trust_forwarded_proto":false}`

func TestDecodeRow(t *testing.T) {
	h, _, err := decodeRow(api.KindHost, []byte(recorded))
	if err != nil {
		t.Fatal(err)
	}
	eq(t, "id", h.ID, 4)
	eq(t, "domains", h.Domains, []string{"m.test", "M2.test"})
	eq(t, "forward", h.Forward.String(), "http://web1:8081")
	eq(t, "enabled", h.Enabled, true)
	eq(t, "mark", h.Mark(), api.MarkObserve)
	eq(t, "online", *h.Online, false)
	eq(t, "nginx_err", h.NginxErr, "bad")
	eq(t, "backend", h.Ownership.Backend, "p/web")
	eq(t, "was", h.Ownership.Was.Endpoint().String(), "http://10.0.0.9:80")
	eq(t, "meta to send", len(metaToSend(h)), 3)
}

func TestDecodeRowLeniently(t *testing.T) {
	base := api.Host{Kind: api.KindHost, ID: 1, Enabled: true, Forward: api.Endpoint{Scheme: "http", Host: "x", Port: 80}, Domains: []string{"a.b"}}
	with := func(change func(*api.Host)) api.Host { h := base; change(&h); return h }
	for row, want := range map[string]api.Host{
		`"forward_port":"80"`:                base,
		`"enabled":1`:                        base,
		`"enabled":"true"`:                   base,
		`"enabled":null`:                     base,
		`"domain_names":"[\"a.b\"]"`:         base,
		`"domain_names":"a.b"`:               base,
		`"domain_names":["a.b",null,""]`:     base,
		`"advanced_config":null,"extra":[1]`: base,
		`"enabled":0`:                        with(func(h *api.Host) { h.Enabled = false }),
		`"enabled":false`:                    with(func(h *api.Host) { h.Enabled = false }),
		`"forward_port":null`:                with(func(h *api.Host) { h.Forward.Port = 0 }),
		`"forward_port":65536`:               with(func(h *api.Host) { h.Forward.Port = 0 }),
		`"forward_port":{"a":1}`:             with(func(h *api.Host) { h.Forward.Port = 0 }),
		`"forward_host":123`:                 with(func(h *api.Host) { h.Forward.Host = "123" }),
		`"domain_names":null`:                with(func(h *api.Host) { h.Domains = nil }),
		`"domain_names":{}`:                  with(func(h *api.Host) { h.Domains = nil }),
		`"meta":null`:                        base,
		`"meta":"text"`:                      base,
		`"meta":[1]`:                         base,
	} {
		h, _, err := decodeRow(api.KindHost, []byte(`{"id":1,"domain_names":["a.b"],"forward_scheme":"http","forward_host":"x","forward_port":80,"enabled":true,`+row+`}`))
		if err != nil {
			t.Errorf("%s: %v", row, err)
			continue
		}
		h.Raw = nil
		eq(t, row, *h, want)
	}
	for _, bad := range []string{``, `null`, `[]`, `{}`, `{"id":0}`, `{"id":-1}`, `{"id":"x"}`, `{"id":1`} {
		if _, _, err := decodeRow(api.KindHost, []byte(bad)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

// Whatever stands in meta.no502: never an error.
func TestOwnershipLeniently(t *testing.T) {
	for ours, owned := range map[string]bool{
		`null`: false, `1`: false, `"x"`: false, `[]`: false, `{}`: false,
		// Another version's, perhaps: somebody's all the same.
		`{"instance":1}`: true, `{"wrote":[1],"backend":"x"}`: true, `{"was":"x"}`: true, `{"instance":"other","grace":30}`: true,
	} {
		h, _, err := decodeRow(api.KindHost, []byte(`{"id":1,"meta":{"no502":`+ours+`,"nginx_online":"1"}}`))
		if err != nil || (h.Ownership != nil) != owned || owned && h.Manager("no502") == "" {
			t.Errorf("%s: %+v, %v", ours, h, err)
			continue
		}
		eq(t, "online", *h.Online, true)
	}
}

// A row is the same in a list and in the answer to a PUT, and whatever the
// order of its keys.
func TestCanonical(t *testing.T) {
	listed, _ := canonical([]byte(recorded))
	answer, _ := canonical([]byte(strings.TrimSuffix(recorded, "}") + `,"owner":{"id":1},"certificate":null,"access_list":null}`))
	moved, _ := canonical([]byte(strings.Replace(recorded, "22:05:30", "22:05:31", 1)))
	sorted, _ := canonical([]byte(strings.Replace(recorded, `"z":1,"y":2`, `"y":2, "z":1`, 1)))
	changed, _ := canonical([]byte(strings.Replace(recorded, `"hsts_enabled":false`, `"hsts_enabled":true`, 1)))
	eq(t, "answer", string(answer), string(listed))
	eq(t, "modified_on", string(moved), string(listed))
	eq(t, "order", string(sorted), string(listed))
	eq(t, "changed", string(changed) == string(listed), false)
	eq(t, "room to spare", cap(listed)-len(listed) < 100, true)
}

// Any row is read or refused; one that is read can be written back.
func FuzzDecodeRow(f *testing.F) {
	f.Add([]byte(recorded))
	f.Add([]byte(`{"id":"1","domain_names":"[1]","meta":{"no502":{"backend":"x"},"nginx_online":0}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, _, err := decodeRow(api.KindHost, raw)
		if err != nil {
			return
		}
		if h.ID <= 0 {
			t.Errorf("id %d", h.ID)
		}
		meta := metaToSend(h)
		if meta[metaOnline] != nil || meta[metaErr] != nil {
			t.Error("NPM's own meta is sent")
		}
		if _, err := json.Marshal(meta); err != nil {
			t.Error(err)
		}
		if again, _, err := decodeRow(api.KindHost, h.Raw); err != nil || string(again.Raw) != string(h.Raw) {
			t.Errorf("%s: %v", h.Raw, err)
		}
	})
}
