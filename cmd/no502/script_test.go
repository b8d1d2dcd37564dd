package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/no502/no502/controller/npm/npmtest"
	"github.com/no502/no502/controller/report"
)

// TestScripts runs the program as people do, in processes of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE") != "", // UPDATE=1 go test: what is printed now is right
		Setup: func(e *testscript.Env) error {
			for _, v := range e.Vars { // nothing of the machine's own settings
				if strings.HasPrefix(v, "NO502_") || strings.HasPrefix(v, "DOCKER_") {
					return fmt.Errorf("%s is set", v)
				}
			}
			e.Values[doublesKey{}] = new(*loopback)
			e.Setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"doubles-here": scriptDoubles,
			"break-host":   scriptBreak,
			"status-port":  scriptStatus,
			"exits":        scriptExits,
			"columns":      scriptColumns,
			"one-sentence": scriptSentence,
		},
	})
}

// doubles-here N serves an Engine and an NPM with N hosts, all right, and sets
// no502's environment to them.
func scriptDoubles(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	dir, err := os.MkdirTemp("", "doubles-") // a socket's path is short
	ts.Check(err)
	ts.Defer(func() { os.RemoveAll(dir) })
	w, err := newLoopback(context.Background(), dir, n)
	ts.Check(err)
	ts.Defer(w.close)
	ts.Setenv("NO502_DOCKER_HOST", "unix://"+w.socket)
	ts.Setenv("NO502_NPM_URL", w.url)
	ts.Setenv("NO502_NPM_EMAIL", testEmail)
	ts.Setenv("NO502_NPM_PASSWORD", testPassword)
	*ts.Value(doublesKey{}).(**loopback) = w
}

// doublesKey is where a script keeps its doubles.
type doublesKey struct{}

// break-host ID HOST PORT adds a host for app1 that is wrong.
func scriptBreak(ts *testscript.TestScript, _ bool, args []string) {
	id, err := strconv.Atoi(args[0])
	ts.Check(err)
	port, err := strconv.Atoi(args[2])
	ts.Check(err)
	w := *ts.Value(doublesKey{}).(**loopback)
	w.npm.AddHost(npmtest.ProxyHost{
		ID: id, DomainNames: []string{"broken" + args[0] + ".example.com"}, ForwardHost: args[1], ForwardPort: port,
	})
}

// status-port ready, or status-port with what is waited for, serves a status
// port and sets NO502_LISTEN to it.
func scriptStatus(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	board := report.NewBoard(logr.Discard(), report.NewJournal(logr.Discard()))
	server := &http.Server{Handler: board.Handler("nonce", func() (bool, string) { return args[0] == "ready", args[0] },
		func(netip.Addr) bool { return true })}
	go server.Serve(l) //nolint:errcheck // ends with Close
	ts.Defer(func() { server.Close() })
	ts.Setenv("NO502_LISTEN", l.Addr().String())
}

// exits CODE COMMAND… runs a command that ends with an exit code.
func scriptExits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		if _, e := fmt.Sscanf(err.Error(), "exit status %d", &got); e != nil {
			ts.Fatalf("%s: %v", args[1], err)
		}
	}
	if want, _ := strconv.Atoi(args[0]); got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// columns N FILE fails where a line is longer.
func scriptColumns(ts *testscript.TestScript, _ bool, args []string) {
	most, err := strconv.Atoi(args[0])
	ts.Check(err)
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > most {
			ts.Fatalf("%d columns: %s", n, line)
		}
	}
}

// one-sentence FILE fails unless that is what no502 says: no usage, no stack.
func scriptSentence(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "no502: ") {
		ts.Fatalf("want one line, have %q", text)
	}
}
