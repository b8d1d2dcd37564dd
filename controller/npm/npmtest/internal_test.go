package npmtest

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
)

// FuzzParseConf: whatever a user writes into a host, reading its conf file ends
// in an error text or in servers, never in a panic.
func FuzzParseConf(f *testing.F) {
	for _, text := range []string{"", "}", "{", "server {", "server { listen 80; }", `server { set $a "b; }`, "a\\", `"x"y;`,
		"server { location / { proxy_pass http://:80; } }", "server { location ~ ( { } }", "server { server_name *.*; }",
		"server { location { } }", "map a b { } types { } server { if ($x) { return 1; } }", "server { proxy_x { location; } }",
		"server { rewrite ^/(.*)$ /$1? last; location / { set $a $b; break; return 1 2; } ssl_certificate x; }"} {
		f.Add(text, "proxy_host/1.conf")
		f.Add(text, "stream/1.conf")
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		c := parseConf(path, text)
		if c.err != "" && len(c.servers) > 0 {
			t.Errorf("servers of a file with an error: %s", c.err)
		}
		w := newWorkers()
		w.load(map[string]*confFile{path: c}, nil, nil)
		for _, server := range c.servers {
			server.location("/x")
		}
	})
}

// TestLookupHost asks a name server that this test plays.
func TestLookupHost(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			reply := slices.Clone(buf[:n])
			reply[2] |= 0x80 // an answer
			if reply[12] == 3 {
				reply[7] = 2 // a CNAME and an A record
				cname := []byte{0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 12}
				a := []byte{1, 'x', 0, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 2}
				reply = append(append(reply, cname...), a...)
			} else {
				reply[3] |= 3 // NXDOMAIN
			}
			if _, err := conn.WriteTo(reply, from); err != nil {
				return
			}
		}
	}()
	n := &systemNetwork{servers: []string{conn.LocalAddr().String()}}
	if addrs, err := n.LookupHost(context.Background(), "app"); err != nil || !slices.Equal(addrs, []string{"10.0.0.2"}) {
		t.Errorf("app: %v %v", addrs, err)
	}
	for _, name := range []string{"localhost", "a..b", ""} {
		var notFound *net.DNSError
		if _, err := n.LookupHost(context.Background(), name); !errors.As(err, &notFound) || !notFound.IsNotFound {
			t.Errorf("%q: %v", name, err)
		}
	}
}
