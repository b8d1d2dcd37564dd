package dockerd

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"github.com/docker/cli/cli/connhelper"
	"github.com/docker/docker/client"
)

// hostOptions are how the client reaches the Engine at a host, and the host itself,
// in the syntax of DOCKER_HOST. For ssh:// Docker's own command line does not speak
// SSH either: it starts the program ssh for each connection, and so does this.
func hostOptions(host string) (string, []client.Opt, error) {
	if host == "" {
		host = os.Getenv(client.EnvOverrideHost)
	}
	if host == "" {
		return client.DefaultDockerHost, nil, nil
	}
	if !strings.HasPrefix(host, "ssh://") {
		return host, []client.Opt{client.WithHost(host)}, nil
	}
	helper, err := connhelper.GetConnectionHelper(host)
	if err != nil {
		return host, nil, fmt.Errorf("%s: want ssh://[USER@]HOST[:PORT]: %w", host, err)
	}
	return host, []client.Opt{
		client.WithHTTPClient(&http.Client{Transport: &http.Transport{DialContext: helper.Dialer}}),
		client.WithHost(helper.Host),
		client.WithDialContext(helper.Dialer),
	}, nil
}

// adviseSSH tells what is missing for ssh://; empty if nothing is known to be.
func adviseSSH(err error) string {
	if !errors.Is(err, exec.ErrNotFound) {
		return ""
	}
	return "the Engine is to be reached by ssh://, and there is no program ssh here: no502's image has none; use tcp:// with certificates (DOCKER_CERT_PATH) or a socket proxy, or make an image of your own with ssh, a key and known_hosts"
}
