package main

import (
	"os"
	"runtime/debug"
)

// heapRoom is by how many per cent the heap may grow before it is collected.
const heapRoom = 40

// collectSooner keeps the process small until stop is called. Most of its memory
// is the last snapshots, which stay, so that the runtime's usual room of as much
// again would stay empty: less of it is a quarter less memory at 200,000 agents,
// for up to 8 % more of the little CPU that they take (docs/benchmarks.md). Who
// sets GOGC decides himself.
func collectSooner() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(heapRoom)
	return func() { debug.SetGCPercent(before) }
}
