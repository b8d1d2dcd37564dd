package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/no502/no502/controller/report"
)

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
