package controller

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/no502/no502/api"
	"github.com/no502/no502/reconcile"
)

// panicError is a fault of no502 itself. It must not take all other hosts down:
// as in controller-runtime, it is an error of the one key.
type panicError struct {
	what  string
	stack string
}

func (e *panicError) Error() string {
	return "a fault in no502, please report it: " + e.what
}

// reconcile is the Reconciler's, with a panic for an error.
func (c *controller) reconcile(ctx context.Context, key api.Key) (res reconcile.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			res, err = reconcile.Result{}, &panicError{describe(p), string(debug.Stack())}
		}
	}()
	return c.Reconciler.Reconcile(ctx, key)
}

// describe says what a panic was about. Go's own words name indices and types;
// what else is thrown may hold anything, a password too, so that only its type
// is said. A stack holds no values but addresses.
func describe(p any) string {
	var own runtime.Error
	if err, ok := p.(error); ok && errors.As(err, &own) {
		return own.Error()
	}
	return fmt.Sprintf("a panic with a %T", p)
}
