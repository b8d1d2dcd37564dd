// Command no502 keeps Nginx Proxy Manager's proxy hosts pointing at the
// containers that they mean.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/no502/no502/controller/report"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := exitCode(root().ExecuteContext(ctx))
	stop()
	os.Exit(code)
}

// status is an exit code that needs no words.
type status int

func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

func exitCode(err error) int {
	var code status
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(report.Plain(os.Stderr), "no502:", err)
	return 1
}
