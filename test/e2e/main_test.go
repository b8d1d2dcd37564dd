// Package e2e holds the end-to-end tests: no502 in a container, beside an NPM
// with hosts that people got wrong, on a real Docker Engine. Nothing is pulled:
// all containers are this project's own static binary, but for NPM where
// NO502_E2E_NPM_IMAGE names an image that the Engine has.
//
// One case: go test ./test/e2e -run 'TestCauses/1_localhost'
package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/no502/no502/controller/dockerd/stage"
)

const (
	// suite names what the suite makes on the Engine, so that the next run can
	// clear away what an interrupted one left.
	suite    = "no502-e2e"
	appImage = "no502/e2e:latest"
)

// npmImage is NPM's image: the project's own NPM, or a real one.
var npmImage = appImage

// program is the path of the static binary that the image is made of.
var program string

// patience is how long anything may take that is expected to come.
var patience = 30 * time.Second

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	flag.Parse()
	// Cases wait most of the time: their number at once need not be that of CPUs.
	// But a real NPM answers 500 to one of two writes at once.
	parallel := "8"
	if os.Getenv("NO502_E2E_NPM_IMAGE") != "" {
		parallel = "1"
	}
	if err := flag.Set("test.parallel", parallel); err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	s, err := stage.Open(ctx, suite, "", nil)
	if err != nil {
		if os.Getenv("REQUIRE_ENGINE") != "" && os.Getenv("REQUIRE_ENGINE") != "0" {
			return fail(fmt.Errorf("REQUIRE_ENGINE is set, but no Docker Engine answers: %w", err))
		}
		fmt.Printf("\n==> SKIPPED: the end-to-end tests need a Docker Engine, and none answers: %v\n\n", err)
		return 0
	}
	defer s.Close()
	if err := prepare(ctx, s); err != nil {
		return fail(err)
	}
	defer func() {
		if err := errors.Join(strikeShared(), os.RemoveAll(filepath.Dir(program)), s.RemoveImage(context.Background(), appImage)); err != nil {
			code = fail(err)
		}
	}()
	return m.Run()
}

func fail(err error) int {
	fmt.Println(err)
	return 1
}

// prepare makes the image of the program as it is now.
func prepare(ctx context.Context, s *stage.Stage) error {
	if image := os.Getenv("NO502_E2E_NPM_IMAGE"); image != "" {
		if !s.HasImage(ctx, image) {
			return fmt.Errorf("NO502_E2E_NPM_IMAGE=%s: the Engine has no such image", image)
		}
		npmImage, patience = image, 2*time.Minute
	}
	dir, err := os.MkdirTemp("", "no502-e2e-")
	if err != nil {
		return err
	}
	program = filepath.Join(dir, "no502")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "../../cmd/no502")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if words, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the program: %w\n%s", err, words)
	}
	return s.Import(ctx, appImage, program)
}

// realNPM: NPM is jc21's, which takes its time.
func realNPM() bool { return npmImage != appImage }

// eventually waits until ok returns nil.
func eventually(t testing.TB, what string, ok func(ctx context.Context) error) {
	t.Helper()
	start := time.Now()
	if err := within(t.Context(), patience, ok); err != nil {
		t.Fatalf("%s: not within %s: %v", what, patience, err)
	}
	t.Logf("%5.1f s until %s", time.Since(start).Seconds(), what)
}

// within polls until ok returns nil, and returns its last complaint otherwise.
func within(ctx context.Context, limit time.Duration, ok func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		err := ok(ctx)
		if err == nil {
			return nil
		}
		if last == nil || !errors.Is(err, context.DeadlineExceeded) {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(150 * time.Millisecond):
		}
	}
}

// must ends a test at an error of its own doing.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lines are the lines of a text in which one of the words is.
func lines(text string, words ...string) string {
	var found []string
	for line := range strings.Lines(text) {
		for _, w := range words {
			if strings.Contains(line, w) {
				found = append(found, line)
				break
			}
		}
	}
	return strings.Join(found[max(0, len(found)-12):], "")
}
