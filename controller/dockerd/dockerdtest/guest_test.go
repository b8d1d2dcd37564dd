package dockerdtest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
)

// guest is the program of the tests' containers, the double of testdata/guest/main.go.
func guest(ctx context.Context, box *dockerdtest.Box) int {
	args := box.Args
	if len(args) > 0 && strings.HasPrefix(args[0], "/") {
		args = args[1:]
	}
	switch args[0] {
	case "exit":
		n, _ := strconv.Atoi(args[1])
		return n
	case "say":
		fmt.Fprintln(box.Stdout, args[1])
	case "cat":
		io.Copy(box.Stdout, box.Stdin)
	case "serve":
		return serve(ctx, box, args[1])
	case "dial":
		fmt.Fprintln(box.Stdout, dial(ctx, box, args[1]))
	case "lookup":
		fmt.Fprintln(box.Stdout, lookup(ctx, box, args[1]))
	case "stubborn":
		fmt.Fprintln(box.Stdout, "ready")
		<-box.Killed()
	default:
		fmt.Fprintln(box.Stdout, "ready")
		<-ctx.Done()
	}
	return 0
}

// serve answers each connection's first line.
func serve(ctx context.Context, box *dockerdtest.Box, addr string) int {
	l, err := box.Listen("tcp", addr)
	if err != nil {
		fmt.Fprintln(box.Stderr, err)
		return 3
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	fmt.Fprintln(box.Stdout, "ready")
	for {
		c, err := l.Accept()
		if err != nil {
			return 0
		}
		go func() {
			defer c.Close()
			line, err := bufio.NewReader(c).ReadString('\n')
			if err == nil {
				from, _, _ := net.SplitHostPort(c.RemoteAddr().String())
				fmt.Fprintf(c, "saw %s from %s\n", strings.TrimSpace(line), from)
			}
		}()
	}
}

// dial says what becomes of a connection within 4 seconds.
func dial(ctx context.Context, box *dockerdtest.Box, addr string) string {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	c, err := box.DialContext(ctx, "tcp4", addr)
	if err != nil {
		return outcome(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	fmt.Fprintln(c, "hello")
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return "connected, " + outcome(err)
	}
	return strings.TrimSpace(line)
}

// outcome words an error in the same way on every system.
func outcome(err error) string {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return "no such host"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "no route to host"
	case errors.Is(err, syscall.ENETUNREACH):
		return "network is unreachable"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return err.Error()
}

func lookup(ctx context.Context, box *dockerdtest.Box, name string) string {
	if addrs := box.LookupEtcHosts(name); addrs != nil {
		return fmt.Sprint(addrs)
	}
	addrs, err := box.LookupHost(ctx, name)
	if err != nil {
		return outcome(err)
	}
	return fmt.Sprint(addrs)
}
