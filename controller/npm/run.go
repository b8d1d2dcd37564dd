package npm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/no502/no502/api"
)

const (
	// coalesce gathers the file events of one save in NPM.
	coalesce = 50 * time.Millisecond
	// slowPoll is the pace of polling while files are watched and all is quiet.
	slowPoll = 5 * time.Minute
	// credentialsCheck is how often refused credentials are compared.
	credentialsCheck = time.Second
)

// Run follows NPM until the context ends, and then returns nil. It waits for
// NPM, lists, and then looks again whenever files hint at a change, or the
// poll is due. notify is told: the system's key after the first complete look and
// the first after an outage, when many hosts, certificates or access lists
// changed, and when nginx came or went; else the keys of hosts that others
// changed, added or removed. It must neither block nor call the Client.
func (c *Client) Run(ctx context.Context, notify func(api.Key)) error {
	c.mu.Lock()
	c.notify = notify
	c.mu.Unlock()
	r := &runner{
		Client: c,
		watch:  newWatch(c.opt.DataDir, c.log),
		pace:   newBackOff(250*time.Millisecond, 1.5, 15*time.Second),
	}
	defer c.reads.CloseIdleConnections()
	defer r.watch.close()
	defer func() {
		c.mu.Lock()
		c.notify = nil
		c.mu.Unlock()
	}()
	for ctx.Err() == nil {
		r.look(ctx)
		r.rest(ctx)
	}
	return nil
}

// runner is Run's own state.
type runner struct {
	*Client
	watch *watch
	pace  *backoff.ExponentialBackOff // of looks that fail

	site     *site     // of the last look
	up       bool      // it succeeded
	next     time.Time // when the next look is due; zero: not by itself
	refused  bool      // NPM refused the credentials at the last look
	hinted   bool      // files changed since the last look
	followUp bool      // the last look was for a hint, before which NPM's rows need not have changed
	watching bool
	changed  bool // the last look found changes
	looked   time.Time

	waiting  string    // the kind of trouble last logged
	since    time.Time // the last look that succeeded, or the first
	reported *site     // the last site said to be connected to
}

// look looks at NPM once.
func (r *runner) look(ctx context.Context) {
	site := r.at()
	if site != r.site {
		r.site, r.up = site, false
		r.pace.Reset()
	}
	r.watching = r.watch.check() // before the list, so that nothing falls between
	err := r.sync(ctx)
	if ctx.Err() != nil || r.at() != site {
		return
	}
	stranded := errors.Is(err, ErrStranded)
	back := !r.up
	r.looked, r.refused, r.up = time.Now(), refused(err), err == nil || stranded
	r.report(err)
	if !r.up {
		r.next = r.retryAt(err)
		return
	}
	r.pace.Reset()
	if back {
		r.tell(api.SystemKey())
	}
	if !stranded { // else it would be refused again
		r.mend(ctx)
	}
}

// sync looks at NPM, or at what there is of it.
func (r *runner) sync(ctx context.Context) error {
	if r.site.base == "" {
		return ErrNoURL
	}
	if r.isStranded() && r.knock(ctx, r.site) == nil {
		r.strand(false)
		r.up = false
	}
	err := r.ask(ctx)
	if !r.isStranded() && r.strands(ctx, r.site, err) {
		r.strand(true)
		err = r.ask(ctx)
	}
	switch {
	case r.isStranded() && err == nil:
		return ErrStranded
	case r.isStranded() && notListening(err):
		r.strand(false)
	}
	return err
}

// ask asks NPM, or its back end, how it is where that is not known, and lists.
func (r *runner) ask(ctx context.Context) error {
	if !r.up {
		if err := r.greet(ctx, r.base(r.site)); err != nil {
			return err
		}
	}
	var err error
	r.changed, err = r.refresh(ctx, !r.up || r.hinted || r.followUp)
	r.followUp, r.hinted = r.hinted, false
	return err
}

// greet asks NPM, or its back end alone, whether it is there, which version, and
// whether it is set up: before that it answers logins like wrong passwords.
func (c *Client) greet(ctx context.Context, base string) error {
	var hello struct {
		Status  flexString `json:"status"`
		Setup   *flexBool  `json:"setup"`
		Version struct {
			Major, Minor, Revision flexInt
		} `json:"version"`
	}
	r := request{method: http.MethodGet, path: "/", base: base, timeout: readTimeout}
	alone := base == c.at().backend
	if alone {
		r.timeout = backendTimeout
	}
	if err := c.exchange(ctx, r, into(&hello)); err != nil {
		return err
	}
	v := hello.Version
	if hello.Status == "" || alone && v.Major == 0 { // many a program says that its status is OK
		return errors.New("what answers is not NPM's admin interface")
	}
	c.mu.Lock()
	c.state.Version = fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Revision)
	c.mu.Unlock()
	if hello.Setup != nil && !bool(*hello.Setup) {
		return ErrNotSetUp
	}
	return nil
}

// retryAt is when to look again after an error.
func (r *runner) retryAt(err error) time.Time {
	switch {
	case errors.Is(err, ErrNoURL):
		return time.Time{}
	case r.refused:
		return r.session.retryAt()
	}
	return r.looked.Add(r.pace.NextBackOff())
}

// due is when the next look is due, as far as is known by now.
func (r *runner) due() time.Time {
	if !r.up {
		return r.next
	}
	if r.Waits() {
		return r.looked // somebody's request got no answer
	}
	if r.isStranded() {
		return r.looked.Add(strandedPace)
	}
	pace := r.opt.Poll
	// NPM's row changes a little after its files do, and our own writes hide
	// the events of others: slow down only when nothing happened.
	if r.watching && !r.changed && !r.followUp && !r.wroteSince(r.looked) && !r.expected() {
		pace = max(pace, slowPoll)
	}
	due := r.looked.Add(pace)
	if _, mend := r.mendDue(); !mend.IsZero() && mend.Before(due) {
		due = mend
	}
	return due
}

// rest waits until there is a reason to look again.
func (r *runner) rest(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var hinted <-chan time.Time
	for r.at() == r.site {
		due := r.due()
		wait := time.Until(due)
		switch {
		case due.IsZero():
			timer.Stop()
		case wait <= 0:
			return
		case r.refused:
			timer.Reset(min(wait, credentialsCheck))
		default:
			timer.Reset(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.wake: // another address, or a write: see again what is due
		case <-timer.C:
			if r.refused && r.session.mayRetry() {
				return
			}
		case e, ok := <-r.watch.events():
			key, relevant := r.watch.hint(e)
			if ok && relevant && !r.hushed(key) && hinted == nil {
				hinted = time.After(coalesce)
			}
		case err := <-r.watch.errs():
			r.log.V(1).Info("watching NPM's files", "error", fmt.Sprint(err))
			hinted = time.After(coalesce)
		case <-hinted:
			r.hinted = true
			return
		}
	}
}

// report keeps the State, and logs once when the waiting for NPM begins, when
// its cause changes, and when it is over.
func (r *runner) report(err error) {
	r.mu.Lock()
	r.state.Connected, r.state.Problem = err == nil, sentence(err)
	r.state.Watching, r.answers = r.watching, r.up
	state := r.state
	turned := r.hosts != nil && r.hosts.Stranded != r.stranded
	if turned {
		r.hosts.Stranded = r.stranded
	}
	r.mu.Unlock()
	if turned {
		r.tell(api.SystemKey())
	}
	kind := kindOf(err)
	if r.since.IsZero() {
		r.since = r.looked
	}
	switch {
	case err == nil && (r.waiting != "" || r.site != r.reported):
		r.log.Info("connected to NPM", "url", state.URL, "version", state.Version,
			"watching", state.Watching, "after", r.looked.Sub(r.since).Round(time.Millisecond).String())
		r.reported = r.site
	case err != nil && r.waiting != kind:
		r.log.Info("waiting for NPM", "url", state.URL, "for", kind, "reason", err.Error())
	}
	if err == nil {
		r.since = r.looked
	}
	r.waiting = kind
}

// kindOf names what is being waited for.
func kindOf(err error) string {
	var answer *APIError
	var certificate *CertificateError
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrNoURL):
		return "its address"
	case errors.Is(err, ErrNotSetUp):
		return "its first user"
	case errors.Is(err, ErrStranded):
		return "its nginx"
	case errors.As(err, &certificate):
		return "a certificate to trust"
	case refused(err):
		return "valid credentials"
	case errors.As(err, &answer) && answer.hidden():
		return "permission"
	}
	return "an answer"
}

// hush takes the file events of a host for our own until some time after the
// returned function is called. A key without an id stands for a host that is
// being made: for all of its kind.
func (c *Client) hush(key api.Key) (over func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quiet[key] = time.Now().Add(time.Hour)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		now := time.Now()
		for other, until := range c.quiet {
			if now.After(until) {
				delete(c.quiet, other)
			}
		}
		c.quiet[key], c.wrote = now.Add(settle), now
		c.nudge()
	}
}

func (c *Client) hushed(key api.Key) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	now := time.Now()
	return now.Before(c.quiet[key]) || now.Before(c.quiet[api.Key{Kind: key.Kind}])
}

func (c *Client) wroteSince(t time.Time) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.wrote.After(t)
}
