package npm

import (
	"fmt"

	"github.com/no502/no502/api"
)

// checkForward reports whether an endpoint may be written to NPM, as an
// ErrInvalidForward. It is the last check before NPM, which itself looks at no
// more of a forward host than its length.
func checkForward(e api.Endpoint) error {
	switch {
	case e.Scheme != "http" && e.Scheme != "https":
		return fmt.Errorf("%w: scheme %q is neither http nor https", ErrInvalidForward, e.Scheme)
	case e.Port == 0:
		return fmt.Errorf("%w: port 0", ErrInvalidForward)
	case !api.IsForwardHost(e.Host):
		return fmt.Errorf("%w: %q is no host name and no IPv4 address", ErrInvalidForward, e.Host)
	}
	return nil
}
