package main

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"
)

// cpuOf reads a process's CPU clock. It is the sum that /proc/<pid>/stat shows
// as utime and stime, threads that have ended included, to the nanosecond
// instead of to the tick of 10 ms, which a paced window is too short for.
func cpuOf(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED: what the scheduler accounted
	clock := uintptr(^pid)<<3 | scheduled
	var t syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		return 0, fmt.Errorf("read CPU clock of process %d: %w", pid, errno)
	}
	return time.Duration(t.Nano()), nil
}
