package reliability

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var (
	long  = flag.Bool("long", false, "the long form, one scenario after the other")
	seed  = flag.Uint64("seed", 1, "chooses the moments at which something is killed")
	scale = flag.Float64("scale", 1, "multiplies the counts of the long form")
	given = flag.String("binary", "", "the restwatch to try; none builds one")
	soak  = flag.Duration("soak", 2*time.Minute, "how long the soak of the long form lasts")
)

const loopback = "127.0.0.1"

// patience bounds every wait for something that must happen.
const patience = time.Minute

// binary is the restwatch that is tried.
var binary string

func TestMain(m *testing.M) {
	if spec := os.Getenv(beNATS); spec != "" {
		os.Exit(natsMain(spec))
	}
	flag.Parse()
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	if binary = *given; binary == "" {
		dir, err := build()
		defer os.RemoveAll(dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	// The short form waits for polls much more than it works.
	if !*long {
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// build makes restwatch in a folder of its own.
func build() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "restwatch-reliability-"); err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "restwatch")
	out, err := exec.Command("go", "build", "-o", binary, "restwatch/cmd/restwatch").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build restwatch: %w\n%s", err, out)
	}
	return dir, err
}

// begin lets the scenarios of the short form go side by side.
func begin(t *testing.T) {
	if !*long {
		t.Parallel()
	}
}

// times is how often something is done: short, or long by the scale.
func times(short, longer int) int {
	if !*long {
		return short
	}
	return max(1, int(float64(longer)**scale))
}

// either chooses by the form.
func either[T any](short, longer T) T {
	if *long {
		return longer
	}
	return short
}

// eventually waits for a condition that no channel tells of.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if !within(patience, holds) {
		t.Fatalf("never came: %s", what)
	}
}

// within waits for it so long, and reports whether it came.
func within(limit time.Duration, holds func() bool) bool {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	late := time.NewTimer(limit)
	defer late.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-late.C:
			return false
		}
	}
	return true
}

// let lets time go by, in which processes do what they do.
func let(d time.Duration) { <-time.After(d) }
