package dockerd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/docker/docker/client"

	"github.com/no502/no502/api"
)

// advice is an error with what to do about it.
type advice struct {
	text string
	err  error
}

func (a *advice) Error() string { return a.text + " (" + a.err.Error() + ")" }
func (a *advice) Unwrap() error { return a.err }

// explain adds to an error what the operator must do, where that is known.
func (e *Engine) explain(err error) error {
	var refused *api.RefusedError
	if errors.As(err, &refused) {
		return refused
	}
	if text := adviseSSH(err); text != "" {
		return &advice{text: text, err: err}
	}
	path, isUnix := strings.CutPrefix(e.host, "unix://")
	if !isUnix || e.opts.DialContext != nil || !client.IsErrConnectionFailed(err) {
		return err
	}
	if text := adviseSocket(path, errors.Is(err, fs.ErrPermission)); text != "" {
		return &advice{text: text, err: err}
	}
	return err
}

// adviseSocket tells why a socket cannot be used; empty if it looks right.
// Docker's client drops the cause of a failed dial, so the socket is asked.
func adviseSocket(path string, denied bool) string {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("there is no socket %s: mount it into this container with the line %q under volumes",
			path, path+":"+path+":ro")
	case err == nil && info.IsDir():
		return fmt.Sprintf("%s is a directory, as Docker makes one when a mounted file is missing: mount the Engine's real socket",
			path)
	case err == nil && isDeleted(info):
		// Where the container outlives the Engine (live-restore). The Engine looks
		// the path up anew whenever it starts the container. Ending, for the
		// restart policy to do that, is no way out: a container that ends while
		// the Engine starts was not started again (seen with Engine 20.10).
		return fmt.Sprintf("the Engine has made its socket anew, and %s in this container is still the old one: restart this container (docker restart); for good, mount the directory that holds the socket instead of the socket",
			path)
	case err == nil && denied:
		gid, ok := groupOf(info)
		if !ok {
			return fmt.Sprintf("no permission to use %s", path)
		}
		return fmt.Sprintf("user %d may not use %s, which belongs to group %d: add the line %s to this service",
			os.Getuid(), path, gid, fmt.Sprintf(`group_add: ["%d"]`, gid))
	}
	return ""
}

// remedy is what must be done about an error, the same for all errors that it
// mends; empty if none is known.
func remedy(err error) string {
	var refused *api.RefusedError
	if errors.As(err, &refused) {
		return "allow " + refused.Permission()
	}
	var a *advice
	if errors.As(err, &a) {
		return a.text
	}
	return ""
}
