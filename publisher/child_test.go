package publisher

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"restwatch/diff"
	"restwatch/publisher/embedded"
)

// childDir makes the test binary commit into a store folder until it is killed.
const childDir = "RESTWATCH_TEST_CHILD_DIR"

// runChild does that, and reports whether it was wanted.
func runChild() bool {
	dir := os.Getenv(childDir)
	if dir == "" {
		return false
	}
	if err := commitForever(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(1)
	return true
}

// commitForever tells on stdout what was acknowledged: VDN and revision.
func commitForever(ctx context.Context, dir string) error {
	s, err := embedded.Start(ctx, embedded.Options{Dir: dir})
	if err != nil {
		return err
	}
	nc, err := Connect(ctx, ConnectOptions{InProcess: s.InProcess()})
	if err != nil {
		return err
	}
	b, err := Open(ctx, nc, Options{})
	if err != nil {
		return err
	}
	b.partBytes = 4 << 10 // some snapshots are split
	var wg sync.WaitGroup
	failed := make(chan error, 1)
	for id := 1; id <= 8; id++ {
		wg.Go(func() {
			v := diff.VDN{CC: 1, ID: id}
			for {
				prev, seq, err := b.Head(ctx, v)
				if err == nil {
					r := made(v, &prev, rand.N(5), 5+rand.N(40))
					if prev.Revision == 0 {
						r = made(v, &prev, 0, 20)
					}
					if _, err = b.Commit(ctx, seq, &prev, r); err == nil {
						fmt.Println(id, r.Snapshot.Revision)
						continue
					}
				}
				failed <- err
				return
			}
		})
	}
	return <-failed
}

// TestKilled kills a process in the midst of commits, and again.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acknowledged := make(map[int]int64)
	for round := range 4 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childDir+"="+dir)
		child.Stderr = t.Output()
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for left := 50 + rand.N(100); left > 0 && lines.Scan(); left-- {
			note(t, acknowledged, lines.Text())
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it had said before it died
			note(t, acknowledged, lines.Text())
		}
		_ = child.Wait() // says that it was killed

		s, err := embedded.Start(t.Context(), embedded.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		nc, err := nats.Connect("", s.InProcess())
		if err != nil {
			t.Fatal(err)
		}
		b, err := Open(t.Context(), nc, Options{})
		if err != nil {
			t.Fatal(err)
		}
		events := audited(t, b)
		for id, revision := range acknowledged {
			if got, _, err := b.Head(t.Context(), diff.VDN{CC: 1, ID: id}); err != nil || got.Revision < revision {
				t.Errorf("round %d: VDN 1:%d: got revision %d, %v, acknowledged was %d", round, id, got.Revision, err, revision)
			}
		}
		if events == 0 {
			t.Errorf("round %d: nothing was stored", round)
		}
		b.Close()
		nc.Close()
		s.Shutdown()
	}
}

// note reads a line of the child. The last one may be cut off.
func note(t *testing.T, acknowledged map[int]int64, line string) {
	t.Helper()
	var id int
	var revision int64
	if n, err := fmt.Sscan(line, &id, &revision); n == 2 && err == nil {
		acknowledged[id] = max(acknowledged[id], revision)
	}
}
