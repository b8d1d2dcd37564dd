// Command guest is what the conformance test's containers run on a real Engine. Its double on the
// embedded Engine is the function guest in guest_test.go: what one does, the other does.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	args := os.Args[1:]
	switch args[0] {
	case "exit":
		n, _ := strconv.Atoi(args[1])
		os.Exit(n)
	case "say":
		fmt.Println(args[1])
	case "cat":
		io.Copy(os.Stdout, os.Stdin)
	case "serve":
		serve(args[1])
	case "dial":
		dial(args[1])
	case "lookup":
		lookup(args[1])
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		time.Sleep(24 * time.Hour)
	default:
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		signal.Ignore(syscall.SIGUSR1)
		fmt.Println("ready")
		<-term
	}
}

// serve answers each connection's first line.
func serve(addr string) {
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() { <-term; os.Exit(0) }()
	fmt.Println("ready")
	for {
		c, err := l.Accept()
		if err != nil {
			return
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

// dial says what becomes of a connection within 4 seconds, one more than an unanswered ARP request takes.
func dial(addr string) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp4", addr)
	if err != nil {
		fmt.Println(outcome(err))
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	fmt.Fprintln(c, "hello")
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		fmt.Println("connected,", outcome(err))
		return
	}
	fmt.Println(strings.TrimSpace(line))
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

func lookup(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", name)
	if err != nil {
		fmt.Println(outcome(err))
		return
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	fmt.Println(addrs)
}
