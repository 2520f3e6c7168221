package main

import (
	"os"
	"runtime"
	"time"
)

const (
	// crowded is the share of one processor above which all are used, and calm
	// the one below which, calmLooks times in a row, one is enough.
	crowded   = 0.5
	calm      = 0.25
	calmLooks = 3
	// look is the time that a share is measured over.
	look = time.Second
)

// spareProcessors keeps the process on one processor while it has little to do,
// until stop is called. Polls come in bursts, and the replies of a burst one
// after the other: given a second processor, the Go runtime wakes a thread for
// each, to look for work that the first has done by then. At 200 polls a second
// that is a tenth of all CPU (docs/benchmarks.md). Who sets GOMAXPROCS decides
// himself.
func spareProcessors() (stop func()) {
	if os.Getenv("GOMAXPROCS") != "" || runtime.GOMAXPROCS(0) == 1 {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer runtime.SetDefaultGOMAXPROCS()
		every := time.NewTicker(look)
		defer every.Stop()
		var need need
		for used, at := cpuTime(), time.Now(); ; {
			select {
			case <-done:
				return
			case <-every.C:
			}
			now, then := cpuTime(), time.Now()
			switch need.change(float64(now-used) / float64(then.Sub(at))) {
			case one:
				runtime.GOMAXPROCS(1)
			case all:
				runtime.SetDefaultGOMAXPROCS()
			}
			used, at = now, then
		}
	}()
	return func() { close(done); <-ended }
}

// need decides how many processors are needed. The zero value begins with all.
type need struct {
	one   bool
	quiet int // looks in a row
}

type change int

const (
	none change = iota
	one         // one processor is enough from now on
	all         // all are needed again
)

// change takes the share of one processor that was used since the last look.
func (n *need) change(share float64) change {
	if share < calm {
		n.quiet++
	} else {
		n.quiet = 0
	}
	switch {
	case !n.one && n.quiet >= calmLooks:
		n.one = true
		return one
	case n.one && share > crowded:
		n.one = false
		return all
	}
	return none
}
