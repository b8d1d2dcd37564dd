package dockerdtest_test

import (
	"archive/tar"
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	imagetypes "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/google/go-cmp/cmp"

	"github.com/no502/no502/controller/dockerd/dockerdtest"
)

var update = flag.Bool("update", false, "record the answers of the real Engine in testdata")

// recording is what a real Engine answered to the script.
const recording = "testdata/engine-20.10.txt"

// The double is held to the recording.
func TestConformance(t *testing.T) {
	if *update {
		t.Skip("recording")
	}
	want, err := os.ReadFile(recording)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, string(want), playOnDouble(t))
}

// Where there is a real Engine, it still answers as recorded; with -update its answers are recorded.
func TestConformanceReal(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute and a half: packets that are dropped, and Docker's own times")
	}
	tr, host := realEngine(t)
	got := play(t, tr, []client.Opt{client.WithHost(host)}, guestImage(t))
	if *update {
		if err := os.WriteFile(recording, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(recording)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, string(want), got)
}

// compare holds an Engine's transcript against the recording, scene by scene.
func compare(t *testing.T, want, got string) {
	t.Helper()
	wants, gots := strings.Split(want, "\n\n"), strings.Split(got, "\n\n")
	if len(wants) != len(gots) {
		t.Fatalf("%d scenes are recorded, %d played", len(wants), len(gots))
	}
	for i := range wants {
		name, _, _ := strings.Cut(wants[i], "\n")
		t.Run(strings.TrimPrefix(name, "# "), func(t *testing.T) {
			if diff := cmp.Diff(strings.Split(wants[i], "\n"), strings.Split(gots[i], "\n")); diff != "" {
				t.Errorf("(-recorded +answered):\n%s", diff)
			}
		})
	}
}

func playOnDouble(t *testing.T) (transcript string) {
	synctest.Test(t, func(t *testing.T) {
		e := dockerdtest.New(dockerdtest.Options{
			Import: func(_ string, layer io.Reader) (dockerdtest.Program, error) {
				_, err := io.Copy(io.Discard, layer)
				return guest, err
			},
		})
		defer e.Close()
		tr := e.Client().Transport.(*http.Transport)
		defer tr.CloseIdleConnections()
		transcript = play(t, tr, nil, []byte("a tar archive"))
	})
	return transcript
}

// realEngine finds a real Engine 20.10, for NO502_TEST_ENGINE or else DOCKER_HOST or the default socket; without
// one the test is skipped.
func realEngine(t *testing.T) (*http.Transport, string) {
	host := os.Getenv("NO502_TEST_ENGINE")
	if host == "" {
		host = os.Getenv("DOCKER_HOST")
	}
	if host == "" {
		host = client.DefaultDockerHost
	}
	tr := &http.Transport{}
	cli, err := client.NewClientWithOpts(client.WithHTTPClient(&http.Client{Transport: tr}), client.WithHost(host), client.WithVersion("1.41"))
	if err != nil {
		t.Skipf("no Docker Engine at %s: %v", host, err)
	}
	defer cli.Close()
	v, err := cli.ServerVersion(t.Context())
	if err != nil {
		t.Skipf("no Docker Engine at %s: %v", host, err)
	}
	if !strings.HasPrefix(v.Version, "20.10.") {
		t.Skipf("the Engine at %s is a %s; the recording is of 20.10", host, v.Version)
	}
	return tr, host
}

// guestImage builds testdata/guest and wraps it in a tar archive.
func guestImage(t *testing.T) []byte {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "guest")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./testdata/guest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the guest: %v\n%s", err, out)
	}
	data, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	tw.WriteHeader(&tar.Header{Name: "guest", Mode: 0o755, Size: int64(len(data))})
	tw.Write(data)
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// play runs the script against an Engine and returns what it said.
func play(t *testing.T, tr *http.Transport, opts []client.Opt, layer []byte) string {
	t.Helper()
	status := &statusRecorder{next: tr}
	s := &script{t: t, status: status}
	s.cli = newClient(t, append(opts, client.WithHTTPClient(&http.Client{Transport: status}))...)
	s.raw = newClient(t, append([]client.Opt{client.WithHTTPClient(&http.Client{Transport: tr})}, opts...)...)
	defer s.cli.Close()
	defer s.raw.Close()
	s.clean()
	defer s.clean()
	rc, err := s.cli.ImageImport(t.Context(), imagetypes.ImportSource{Source: bytes.NewReader(layer), SourceName: "-"},
		guestRef, imagetypes.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, rc)
	rc.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.follow(ctx)
	s.run()
	return s.out.String()
}

func newClient(t *testing.T, opts ...client.Opt) *client.Client {
	t.Helper()
	cli, err := client.NewClientWithOpts(append(opts, client.WithVersion("1.41"))...)
	if err != nil {
		t.Fatal(err)
	}
	return cli
}

// statusRecorder keeps the status of the last answer, which the Docker client turns into error types.
type statusRecorder struct {
	next   http.RoundTripper
	status int
}

func (s *statusRecorder) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.next.RoundTrip(r)
	if err == nil && !strings.HasSuffix(r.URL.Path, "/events") {
		s.status = resp.StatusCode
	}
	return resp, err
}
