package main

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

func TestProcessorsFollowTheLoad(t *testing.T) {
	var n need
	for i, c := range []struct {
		share float64
		want  change
	}{
		{0.9, none}, {0.1, none}, {0.1, none}, {0.3, none}, // not calm for long enough
		{0.1, none}, {0.1, none}, {0.1, one}, {0.1, none},
		{0.4, none}, {0.5, none}, // neither calm nor crowded: nothing changes
		{0.6, all}, {0.9, none},
		{0.2, none}, {0.2, none}, {0.2, one},
	} {
		if got := n.change(c.share); got != c.want {
			t.Fatalf("look %d, share %v: got %d, want %d", i, c.share, got, c.want)
		}
	}
}

func TestOneProcessorOnlyWhileItLasts(t *testing.T) {
	t.Setenv("GOMAXPROCS", "") // as if nobody had decided
	before := runtime.GOMAXPROCS(0)
	if before == 1 {
		runtime.GOMAXPROCS(2)
		defer runtime.SetDefaultGOMAXPROCS()
	}
	stop := sync.OnceFunc(spareProcessors())
	defer stop()
	eventually(t, "one processor for a process that does nothing", func() bool { return runtime.GOMAXPROCS(0) == 1 })
	stop()
	if runtime.GOMAXPROCS(0) == 1 && before > 1 {
		t.Error("it stayed on one processor after the end")
	}
}

func TestCPUTimeRises(t *testing.T) {
	before := cpuTime()
	for until := time.Now().Add(10 * time.Second); cpuTime() == before; {
		if time.Now().After(until) {
			t.Fatal("ten seconds of work have cost nothing")
		}
	}
}
