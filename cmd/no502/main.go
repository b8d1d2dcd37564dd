// Command no502 keeps Nginx Proxy Manager's proxy hosts pointing at the
// containers that they mean.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := exitCode(root().ExecuteContext(ctx))
	stop()
	os.Exit(code)
}
