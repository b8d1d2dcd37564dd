package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// The benchmarks' times and allocations are those of no502 and of the doubles
// of the Engine and of NPM together, which are in the same process; only
// BenchmarkMemory has them in another.

var sizes = []int{100, 1000, 10_000}

// counter counts the log lines that hold a text.
type counter struct {
	text string
	mu   sync.Mutex
	n    int
	left int // until done is told
	done chan struct{}
}

func (c *counter) Write(p []byte) (int, error) {
	if !bytes.Contains(p, []byte(c.text)) {
		return len(p), nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	if c.left--; c.left == 0 {
		c.done <- struct{}{}
	}
	return len(p), nil
}

// expect makes done be told after n more lines.
func (c *counter) expect(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = n
}

// runInto starts the controller, whose log goes to w.
func (w *world) runInto(log io.Writer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, w.settings, w.place, w.settings.logger(log)) }()
	return func() {
		cancel()
		w.must(<-done)
	}
}

// BenchmarkStart is from the start until every host is known to be right: each
// container is inspected and its port is probed.
func BenchmarkStart(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			w := newWorld(b)
			defer w.close()
			w.crowd(n)
			w.startNPM()
			w.asked()
			b.ReportAllocs()
			for b.Loop() {
				c := &counter{text: `"proxy host is right"`, done: make(chan struct{}, 1)}
				c.expect(n)
				stop := w.runInto(c)
				<-c.done
				b.StopTimer()
				stop()
				b.StartTimer()
			}
			reportCalls(b, w)
		})
	}
}

// BenchmarkEvent is from a container's event to the verdict about its host.
func BenchmarkEvent(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			w := newWorld(b)
			defer w.close()
			w.crowd(n)
			w.startNPM()
			c := &counter{text: "app1.example.com", done: make(chan struct{}, 1)}
			all := &counter{text: `"proxy host is right"`, done: make(chan struct{}, 1)}
			all.expect(n)
			defer w.runInto(io.MultiWriter(c, all))()
			<-all.done
			w.asked()
			health := []string{"unhealthy", "healthy"}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c.expect(1)
				w.must(w.docker.SetHealth("app1", health[i%2]))
				<-c.done
			}
			reportCalls(b, w)
		})
	}
}

func reportCalls(b *testing.B, w *world) {
	npm, docker := 0, 0
	for what, n := range w.asked() {
		if strings.HasPrefix(what, "npm ") {
			npm += n
		} else {
			docker += n
		}
	}
	b.ReportMetric(float64(npm)/float64(b.N), "npm-calls/op")
	b.ReportMetric(float64(docker)/float64(b.N), "docker-calls/op")
}

// BenchmarkMemory is what no502 holds in memory once 1,000 containers and
// hosts are known, and at most before. It runs in a process of its own.
func BenchmarkMemory(b *testing.B) {
	const n = 1000
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	doubles := exec.Command(exe, fmt.Sprint(n))
	doubles.Args[0], doubles.Stderr = "doubles", os.Stderr
	hold, out := start(b, doubles, (*exec.Cmd).StdoutPipe)
	defer func() { hold.Close(); _ = doubles.Wait() }() // its input's end is its own
	where, err := out.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	docker, npm, _ := strings.Cut(strings.TrimSpace(where), " ")
	for b.Loop() {
		product := exec.Command(exe, "run", "--listen="+freePort(b), "--log-format=json", "--docker-host="+docker,
			"--npm-url="+npm, "--npm-email="+testEmail, "--npm-password="+testPassword)
		product.Args[0] = "no502"
		_, log := start(b, product, (*exec.Cmd).StderrPipe)
		for right := 0; right < n; {
			line, err := log.ReadString('\n')
			if err != nil {
				b.Fatalf("%d hosts are right, then: %v %s", right, err, line)
			}
			if strings.Contains(line, `"proxy host is right"`) {
				right++
			}
		}
		b.ReportMetric(memory(b, product.Process.Pid, "VmRSS"), "MiB-RSS")
		b.ReportMetric(memory(b, product.Process.Pid, "VmHWM"), "MiB-peak")
		if err := product.Process.Signal(os.Interrupt); err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, log) // until it ends
		if err := product.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}

// start starts a program of which one stream is read.
func start(b *testing.B, cmd *exec.Cmd, stream func(*exec.Cmd) (io.ReadCloser, error)) (io.Closer, *bufio.Reader) {
	b.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := stream(cmd)
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return in, bufio.NewReader(out)
}

// freePort is an address at which nobody listened a moment ago.
func freePort(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// memory is a figure of /proc/PID/status, in MiB.
func memory(b *testing.B, pid int, name string) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skip(err) // not Linux
	}
	_, rest, _ := strings.Cut(string(text), name+":")
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}
