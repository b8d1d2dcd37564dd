// Package lab is the ground on which the demo and the end-to-end tests stand:
// the programs that run in its containers, an NPM with hosts that people got
// wrong, and the question that counts: what does a visitor get?
package lab

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/no502/no502/controller/npm/npmtest"
)

// Process is what a program in a container gets: its words, its place in the
// networks, and its standard streams.
type Process struct {
	Args     []string // after the program's own name
	Env      []string // "KEY=value"
	Hostname string
	Network  npmtest.Network
	Stdin    io.Reader
	Stdout   io.Writer
}

// Getenv is a variable of the process's environment.
func (p *Process) Getenv(key string) string {
	for _, kv := range p.Env {
		if v, ok := strings.CutPrefix(kv, key+"="); ok {
			return v
		}
	}
	return ""
}

// This is the real process.
func This(args []string) *Process {
	host, _ := os.Hostname() // empty is as good
	return &Process{
		Args: args, Env: os.Environ(), Hostname: host, Network: npmtest.SystemNetwork(),
		Stdin: os.Stdin, Stdout: os.Stdout,
	}
}

// Backend serves what its arguments say, and its name to whoever asks:
//
//	8080/http        plain HTTP on port 8080 of every address
//	8443/tls         TLS with a certificate of its own making
//	9000/echo        what it is sent, after its name
//	53/datagrams     the same for UDP
//	127.0.0.1:80/http  on one address only
//	delay=5s         begins to listen only then
//	wait             begins to listen at the signal SIGHUP
//	eat=64           takes so many megabytes of memory
//	exit=1           exits with that code instead of serving
func Backend(ctx context.Context, p *Process) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, arg := range p.Args {
		if ok, err := prelude(ctx, arg); err != nil {
			return err
		} else if ok {
			continue
		}
		closer, serve, err := p.serve(arg)
		if err != nil {
			return err
		}
		wg.Go(func() { cancel(serve()) })
		defer closer.Close()
	}
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// serve opens what an argument says, and returns how to serve it until it is
// closed.
func (p *Process) serve(arg string) (io.Closer, func() error, error) {
	addr, speaks, _ := strings.Cut(arg, "/")
	if !strings.Contains(addr, ":") {
		addr = ":" + addr
	}
	if speaks == "datagrams" {
		return p.serveDatagrams(addr)
	}
	if speaks != "http" && speaks != "tls" && speaks != "echo" {
		return nil, nil, fmt.Errorf("backend: %q is not [ADDRESS:]PORT/http, …/tls, …/echo or …/datagrams", arg)
	}
	l, err := p.Network.Listen("tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	if speaks == "echo" {
		return l, func() error { return p.echo(l) }, nil
	}
	if speaks == "tls" {
		if l, err = selfSigned(l); err != nil {
			return nil, nil, err
		}
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s answers on %s/%s to %s%s\n", p.name(), addr, speaks, r.Host, r.URL.Path)
	})}
	return server, func() error { return server.Serve(l) }, nil
}

// prelude does what an argument says that is no address; false if it is one.
func prelude(ctx context.Context, arg string) (bool, error) {
	word, value, _ := strings.Cut(arg, "=")
	switch word {
	case "delay":
		pause, err := time.ParseDuration(value)
		if err != nil {
			return false, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	case "wait":
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGHUP)
		defer signal.Stop(signals)
		select {
		case <-ctx.Done():
		case <-signals:
		}
	case "eat":
		n, err := strconv.Atoi(value)
		if err != nil {
			return false, err
		}
		food := make([]byte, n<<20)
		for i := range food {
			food[i] = byte(i) // a page counts once it is written to
		}
		runtime.KeepAlive(food)
	case "exit":
		n, _ := strconv.Atoi(value)
		return false, ExitCode(n)
	default:
		return false, nil
	}
	return true, nil
}

func (p *Process) name() string {
	if name := p.Getenv("NAME"); name != "" {
		return name
	}
	return p.Hostname
}

// ExitCode ends a program with a code of its own.
type ExitCode int

func (e ExitCode) Error() string { return "exit code " + strconv.Itoa(int(e)) }

func selfSigned(l net.Listener) (net.Listener, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(1, 0, 0), DNSNames: []string{"backend"}}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(l, &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}), nil
}

// NPM is the embedded Nginx Proxy Manager. Its Let's Encrypt cannot be reached,
// or with LETS_ENCRYPT=issues gives every certificate that is asked for.
func NPM(ctx context.Context, p *Process) error {
	o := npmtest.Options{
		Network:       p.Network,
		DataDir:       p.Getenv("DATA_DIR"),
		AdminEmail:    p.Getenv("INITIAL_ADMIN_EMAIL"),
		AdminPassword: p.Getenv("INITIAL_ADMIN_PASSWORD"),
		ReloadDelay:   100 * time.Millisecond, // as measured
	}
	if p.Getenv("LETS_ENCRYPT") == "issues" {
		o.LetsEncrypt = func(npmtest.LetsEncryptRequest) error { return nil }
	}
	return npmtest.New(o).Run(ctx)
}

// Dial connects its standard streams to an address.
func Dial(ctx context.Context, p *Process) error {
	if len(p.Args) != 1 {
		return fmt.Errorf("dial: want one address")
	}
	conn, err := p.dial(ctx, p.Args[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	go func() {
		_, _ = io.Copy(conn, p.Stdin) // ends with either side
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	_, err = io.Copy(p.Stdout, conn)
	return err
}
