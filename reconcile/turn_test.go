package reconcile

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/no502/no502/api"
)

// line lets some wait for a turn that is taken, one after the other, and returns
// the order in which they have it.
func line(t *testing.T, waiting []urgency, meanwhile func(*turn)) (order []int, full int) {
	t.Helper()
	var writing turn
	if err := writing.take(t.Context(), cosmetic); err != nil {
		t.Fatal(err)
	}
	had := make(chan int, len(waiting))
	for i, u := range waiting {
		go func() {
			switch err := writing.take(t.Context(), u); {
			case errors.Is(err, errFull):
				had <- -1
			case err != nil:
				t.Error(err)
			default:
				had <- i
				writing.give()
			}
		}()
		synctest.Wait()
	}
	meanwhile(&writing)
	writing.give()
	for range waiting {
		if i := <-had; i >= 0 {
			order = append(order, i)
		} else {
			full++
		}
	}
	if err := writing.take(t.Context(), slow); err != nil || len(writing.waiting) > 0 {
		t.Errorf("nobody has it, and it is not to be had: %v, %v", err, writing.waiting)
	}
	return order, full
}

// The most urgent write comes next, and of equals the one that came first.
func TestMostUrgentFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		order, _ := line(t, []urgency{missing, ending, cosmetic, failing, slow, missing, failing}, func(*turn) {})
		if want := []int{3, 6, 0, 5, 2, 1, 4}; !slices.Equal(order, want) {
			t.Errorf("the order is %v, want %v", order, want)
		}
	})
}

// Who gives up does not keep the others from their turn, even if it is given at
// that very moment.
func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		order, _ := line(t, []urgency{missing, missing}, func(writing *turn) {
			ctx, cancel := context.WithCancel(t.Context())
			gone := make(chan error)
			go func() { gone <- writing.take(ctx, failing) }()
			synctest.Wait()
			cancel()
			if err := <-gone; !errors.Is(err, context.Canceled) {
				t.Errorf("took it: %v", err)
			}
		})
		if want := []int{0, 1}; !slices.Equal(order, want) {
			t.Errorf("the order is %v, want %v", order, want)
		}
		var writing turn
		writing.join(failing)
		first, second := writing.join(failing), writing.join(failing)
		writing.give()
		writing.leave(first)
		if err := <-second.told; err != nil {
			t.Error(err)
		}
		if writing.give(); writing.taken {
			t.Error("nobody has it, and it is not to be had")
		}
	})
}

// When there is no room the least urgent come again later, so that what is urgent
// is never kept out.
func TestNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waiting := slices.Repeat([]urgency{missing}, room)
		waiting = append(waiting, failing, missing, ending)
		order, full := line(t, waiting, func(*turn) {})
		if len(order) != room || full != 3 || order[0] != room {
			t.Errorf("%d had the turn, first %d, and %d were sent away", len(order), order[0], full)
		}
	})
}

func TestUrgency(t *testing.T) {
	moved := api.Endpoint{Scheme: "http", Host: "web", Port: 80}.Fields()
	for _, test := range []struct {
		what string
		a    api.Action
		want urgency
	}{
		{"a forward", api.Action{Op: api.OpPatch, To: moved}, failing},
		{"an option", api.Action{Op: api.OpPatch, To: api.Fields{api.FieldCache: true}}, cosmetic},
		{"a note", api.Action{Op: api.OpPatch}, cosmetic},
		{"an access list", api.Action{Op: api.OpPatch, To: api.Fields{api.FieldAccessList: 1}}, failing},
		{"a stream", api.Action{Op: api.OpPatch, To: api.Fields{api.FieldStreamHost: "10.0.0.1"}}, failing},
		{"back", api.Action{Op: api.OpEnable}, failing},
		{"moved", api.Action{Op: api.OpResave}, failing},
		{"new", api.Action{Op: api.OpCreate, To: moved}, missing},
		{"idle", api.Action{Op: api.OpDisable, Because: []api.Code{api.HostIdle}}, ending},
		{"open to all", api.Action{Op: api.OpDisable, Because: []api.Code{api.AccessListMissing}}, failing},
		{"gone", api.Action{Op: api.OpDelete}, ending},
		{"made anew", api.Action{Op: api.OpDelete, To: api.Fields{api.FieldDomains: []string{"x"}}}, cosmetic},
		{"a certificate", api.Action{Op: api.OpCertificate}, slow},
	} {
		if got := urgencyOf(test.a); got != test.want {
			t.Errorf("%s: %d, want %d", test.what, got, test.want)
		}
	}
}
