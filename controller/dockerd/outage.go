package dockerd

import (
	"time"

	"github.com/go-logr/logr"
)

// outage logs once that the Engine cannot be followed, and once that it can.
type outage struct {
	log    logr.Logger
	before bool // it could be followed once
	began  time.Time
	remedy string
}

// goesOn notes a failed attempt. It is logged if it is the first, or if now
// something else must be done about it.
func (o *outage) goesOn(err error) {
	what := remedy(err)
	if !o.began.IsZero() && (what == "" || what == o.remedy) {
		return
	}
	if o.began.IsZero() {
		o.began = time.Now()
	}
	o.remedy = what
	o.log.Info("waiting for the Docker Engine", "reason", err.Error())
}

// over notes that the Engine is followed.
func (o *outage) over() {
	switch {
	case !o.began.IsZero():
		o.log.Info("the Docker Engine is back", "after", time.Since(o.began).Round(time.Millisecond).String())
	case !o.before:
		o.log.Info("following the Docker Engine")
	}
	*o = outage{log: o.log, before: true}
}
