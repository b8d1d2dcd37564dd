package reconcile

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/no502/no502/api"
)

// entries counts what the maps and lists of a struct hold, those inside included.
func entries(v reflect.Value) (n int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			n += entries(v.Field(i))
		}
	case reflect.Map, reflect.Slice:
		n += v.Len()
	}
	return n
}

// Of a thousand services that came, were written for and went, and of their hosts,
// nothing is remembered an hour later.
func TestShortLivedServicesLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, api.ModeRepair)
		b.all()
		live := func(n int) int {
			for i := range n {
				id, name := fmt.Sprintf("%064x", i+16), fmt.Sprintf("svc%d", i)
				domain := name + ".example.com"
				key, host := api.ContainerKey(id), api.HostKey(100+i)
				c := &api.Container{
					ID: id, Name: name, NetworkMode: "bridge", Inspected: true, CreatedAt: time.Now(), Claims: []string{domain},
					Labels: map[string]string{"no502.host": domain, "no502.cache": "true"}, Exposed: []api.Port{{Number: 8080, Protocol: "tcp"}},
					State: api.State{Status: api.Running, StartedAt: time.Now()}, Attachments: []api.Attachment{on("10.0.0.9")},
				}
				if i%2 == 0 {
					c.Attachments = nil // it is attached, as far as the Engine knows
				}
				b.engine.SetContainer(c)
				b.reconcile(key)
				c.Attachments = []api.Attachment{on("10.0.0.9")}
				b.reconcile(key) // makes the host
				b.row(&api.Host{ID: 100 + i, Enabled: true}, api.Fields{
					api.FieldDomains: []string{domain}, api.FieldScheme: "http", api.FieldHost: "SVC" + strings.TrimPrefix(name, "svc"), api.FieldPort: 8080,
				})
				b.reconcile(host)
				b.engine.RemoveContainer(id)
				for _, k := range []api.Key{key, host} {
					b.reconcile(k)
				}
				b.npm.Remove(host)
				b.npm.Remove(api.HostKey(9))
				b.reconcile(host)
				b.reconcile(api.HostKey(9))
			}
			time.Sleep(2 * time.Hour)
			b.all()
			b.said, b.urls = nil, nil
			return entries(reflect.ValueOf(&b.memory).Elem())
		}
		few := live(10)
		if many := live(1000); many > few {
			t.Errorf("%d things are remembered after 1,000 services, and %d after ten", many, few)
		}
	})
}

// Nor of the hosts of services that went before NPM would make them.
func TestServicesWithoutAHostLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, api.ModeRepair)
		b.all()
		before := entries(reflect.ValueOf(&b.memory).Elem())
		b.create = api.ErrHidden
		for i := range 10 {
			id, name := fmt.Sprintf("%064x", i+16), fmt.Sprintf("svc%d", i)
			b.engine.SetContainer(&api.Container{
				ID: id, Name: name, NetworkMode: "bridge", Inspected: true, Claims: []string{name + ".example.com"},
				Labels: map[string]string{"no502.host": name + ".example.com"}, Exposed: []api.Port{{Number: 8080, Protocol: "tcp"}},
				State: api.State{Status: api.Running, StartedAt: time.Now()}, Attachments: []api.Attachment{on("10.0.0.9")},
			})
			_, did := b.reconcile(api.ContainerKey(id))
			if !slices.Contains(did, "create proxy-host of "+name) {
				t.Errorf("did %q", did)
			}
			b.engine.RemoveContainer(id)
			b.reconcile(api.ContainerKey(id))
		}
		time.Sleep(5 * time.Hour)
		b.all()
		if after := entries(reflect.ValueOf(&b.memory).Elem()); after > before {
			t.Errorf("%d things are remembered, and %d before", after, before)
		}
	})
}
