package main

import (
	"fmt"
	"testing"
	"time"
)

// Five are below the limit; and a sixth soon after is not.
func TestDeclaredDeleteLimit(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settle()
		var all []*service
		for i := range 7 {
			all = append(all, shop(fmt.Sprintf("svc%d", i), "no502.on-remove", "delete", "no502.grace", "5s"))
		}
		w.up(all...)
		pass(time.Minute)
		w.writes()
		w.down(all[:5]...)
		pass(time.Minute)
		w.wantEnd("five", map[string]int{"DELETE proxy-hosts/{id}": 5})
		w.down(all[5])
		pass(time.Minute)
		w.wantNoEnd("a sixth soon after")
	})
}

// Six went away, and five were back before their time was over: the sixth alone
// is no landslide.
func TestDeclaredDeleteLimitNotReached(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settle()
		var all []*service
		for i := range 6 {
			all = append(all, shop(fmt.Sprintf("svc%d", i), "no502.on-remove", "delete"))
		}
		w.up(all...)
		pass(time.Minute)
		w.writes()
		w.down(all...)
		pass(10 * time.Second)
		w.up(all[1:]...)
		pass(longTime)
		w.wantEnd("one of six", oneGone)
	})
}

// A 404 host is deleted and made anew whenever its labels are edited, since NPM
// applies no edits of those. That is no landslide either.
func TestDeclaredDeleteLimitWithoutEdits(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.settle()
		web, blog := shop("web"), shop("blog", "no502.on-remove", "delete")
		w.up(web, blog)
		for i := range 7 {
			web.labels["no502.parked"] = fmt.Sprintf("old%d.example.com", i)
			w.recreate(web)
			pass(10 * time.Second)
		}
		w.wantEnd("edited", map[string]int{"DELETE dead-hosts/{id}": 6})
		w.down(blog)
		pass(time.Minute)
		w.wantEnd("one service is gone", oneGone)
	})
}
