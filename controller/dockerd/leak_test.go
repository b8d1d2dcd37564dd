package dockerd

import (
	"fmt"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
)

// Containers that come and go leave nothing behind: after the next list all that
// is kept is about what is there, but for the names and addresses of former
// backends, of which there is a limit.
func TestShortLivedContainersLeaveNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.run()
		r.proxy()
		live := func(n int) int {
			for i := range n {
				id := r.create(fmt.Sprintf("c%d", i%7), yes)
				r.must(r.Attach(ctx, id, "no502", pinned, nil))
				r.must(r.user.ContainerStart(ctx, id, container.StartOptions{}))
				pass(10 * time.Millisecond)
				r.must(r.user.ContainerRemove(ctx, id, container.RemoveOptions{Force: true}))
			}
			pass(time.Minute)
			r.must(r.Refresh(ctx))
			a, c, o := &r.agenda, &r.cache, &r.own
			return len(a.due) + len(a.busy) + len(a.failed) + len(a.pace) + len(c.kept) + len(o.expected)
		}
		few := live(10)
		if many := live(1000); many > few+1 {
			t.Errorf("%d things are kept after 1,000 containers, and %d after ten", many, few)
		}
	})
}
