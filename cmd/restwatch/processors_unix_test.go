//go:build unix

package main

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

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
