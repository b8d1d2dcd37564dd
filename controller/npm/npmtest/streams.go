package npmtest

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strconv"
)

// streamPort is where a stream listens.
type streamPort struct {
	number int
	udp    bool
}

// streamServer is a server block of a stream's conf file.
type streamServer struct {
	streamPort
	host        string
	to          int
	certificate string // file; TLS ends here
}

// streamServers reads the servers of a stream's file.
func streamServers(parsed []directive) (out []streamServer) {
	for _, d := range parsed {
		var s streamServer
		for _, x := range d.block {
			switch x.name() {
			case "listen":
				if n, err := strconv.Atoi(x.arg(1)); err == nil {
					s.number = n
				}
				s.udp = s.udp || x.arg(2) == "udp"
			case "ssl_certificate":
				s.certificate = x.arg(1)
			case "proxy_pass":
				s.host, s.to, _, _ = parseUpstream(x.arg(1))
			}
		}
		if s.number != 0 {
			out = append(out, s)
		}
	}
	return out
}

// stream returns the stream on a port; of several, the first file's.
func (w *workers) stream(port streamPort) (found streamServer, ok bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	best := ""
	for path, servers := range w.streams {
		for _, s := range servers {
			if s.streamPort == port && (!ok || path < best) {
				found, best, ok = s, path, true
			}
		}
	}
	return found, ok
}

func (w *workers) streamPorts() map[streamPort]bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	ports := map[streamPort]bool{}
	for _, servers := range w.streams {
		for _, s := range servers {
			ports[s.streamPort] = true
		}
	}
	return ports
}

// listenStreams opens and closes stream ports so that exactly these are there.
func (v *serving) listenStreams(ports map[streamPort]bool) {
	for at, p := range v.streams {
		if !ports[at] {
			p.close()
			delete(v.streams, at)
		}
	}
	for at := range ports {
		if v.streams[at] != nil {
			continue
		}
		p, err := v.listenStream(at)
		if err != nil {
			v.s.nginx.logBind(at.number)
			continue
		}
		v.streams[at] = p
	}
}

// closer is a listener of a stream.
type closer interface{ close() }

func (v *serving) listenStream(at streamPort) (closer, error) {
	if at.udp {
		return v.listenDatagrams(at)
	}
	p, err := v.s.bind(at.number)
	if err != nil {
		return nil, err
	}
	go v.acceptStream(at, p)
	return p, nil
}

func (v *serving) acceptStream(at streamPort, p *port) {
	for {
		conn, err := p.Accept()
		if err != nil {
			return
		}
		go v.forward(at, conn)
	}
}

// dialStream connects to the address that a stream's name had when nginx loaded
// it.
func (v *serving) dialStream(at streamPort) (out net.Conn, server streamServer, workers *workers) {
	if workers = v.s.nginx.serve(); workers == nil {
		return nil, server, nil
	}
	server, found := workers.stream(at)
	host, network := server.host, "tcp"
	if at.udp {
		network = "udp"
	}
	if !isAddress(host) {
		if addrs := workers.static(host); len(addrs) > 0 {
			host = addrs[0]
		}
	}
	if !found || !isAddress(host) {
		return nil, server, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), v.s.opt.UpstreamTimeout)
	defer cancel()
	out, err := v.s.opt.Network.DialContext(ctx, network, net.JoinHostPort(host, strconv.Itoa(server.to)))
	if err != nil {
		return nil, server, nil
	}
	return out, server, workers
}

// forward copies a stream's connection. With a certificate TLS ends here: the
// backend gets what was in it.
func (v *serving) forward(at streamPort, in net.Conn) {
	defer in.Close()
	out, server, workers := v.dialStream(at)
	if out == nil {
		return
	}
	defer out.Close()
	if server.certificate != "" {
		in = tls.Server(in, workers.terminate(server.certificate))
	}
	done := make(chan struct{}, 2)
	pump := func(dst, src net.Conn) {
		_, _ = io.Copy(dst, src) // either side may end it
		done <- struct{}{}
	}
	go pump(out, in)
	go pump(in, out)
	<-done
	in.Close()
	out.Close()
	<-done
}
