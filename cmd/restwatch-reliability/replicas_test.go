package reliability

import (
	"slices"
	"syscall"
	"testing"
	"time"
)

// fleet is some replicas of one site.
type fleet struct {
	*site
	interval time.Duration
	alive    []*process
}

func (f *fleet) grow(t *testing.T, n int) {
	t.Helper()
	for range n {
		p := f.serve(t)
		f.alive = append(f.alive, p)
		p.await(t, "snapshots loaded")
	}
}

// steady waits until all replicas work.
func (f *fleet) steady(t *testing.T) {
	t.Helper()
	for _, p := range f.alive {
		eventually(t, "polls of each replica", func() bool { return p.metric(t, "restwatch_poll_duration_seconds_count") > 0 })
	}
}

// watched counts the calls while something is done and for a time afterwards.
func (f *fleet) watched(t *testing.T, rounds int, do func()) slots {
	t.Helper()
	f.ResetMax()
	from := time.Now()
	do()
	let(time.Duration(rounds) * f.interval)
	return f.slots(from, time.Now(), f.interval)
}

// TestReplicas has replicas share the work on one NATS server, undisturbed, and
// then killed, stopped and restarted.
func TestReplicas(t *testing.T) {
	begin(t)
	vdns := either(20, 200)
	f := &fleet{interval: either(500*time.Millisecond, time.Second)}
	f.site = open(t, vdns, f.interval, startNATS(t, 1)[0].url(), 0)
	// Calls take a while, so that two at once would show.
	f.fault(t, "latency=20ms-60ms")
	f.grow(t, 3)
	f.steady(t)

	load := make([]float64, 3)
	rounds := times(10, 30)
	from := time.Now()
	calm := f.watched(t, rounds, func() {
		for i, p := range f.alive {
			load[i] = -p.metric(t, "restwatch_poll_duration_seconds_count")
		}
	})
	sum := 0.0
	for i, p := range f.alive {
		load[i] += p.metric(t, "restwatch_poll_duration_seconds_count")
		sum += load[i]
	}
	uneven := 100 * (slices.Max(load)*3/sum - 1)
	// A slot is one poll. A poll is at times two calls.
	due := vdns * (int(time.Since(from)/f.interval) + 1)
	result(t, "3 replicas, undisturbed | %d VDNs every %v | %v; %.0f polls, so %d replies were asked for twice; the busiest has %.0f %% more than its share",
		vdns, f.interval, calm, sum, calm.calls-int(sum), uneven)
	if sum > 1.01*float64(due) || calm.most > 1 {
		t.Errorf("undisturbed: %v, %.0f polls in %d slots", calm, sum, due)
	}
	if *long && uneven > 20 {
		t.Errorf("load %v", load)
	}

	killed := f.watched(t, times(2, 10), func() {
		for i := range times(1, 6) {
			n := i % len(f.alive)
			f.alive[n].kill(t)
			f.alive = slices.Delete(f.alive, n, n+1)
			f.grow(t, 1)
			let(either(0, 3*time.Second))
		}
	})
	result(t, "kill -9 of replicas in turn | %d kills | %v", times(1, 6), killed)
	if killed.most > 1 {
		t.Errorf("killed: %v", killed)
	}

	// Longer than AckWait, its ticks are given to others while it still has them.
	pause := either(1500*time.Millisecond, 12*time.Second)
	stopped := f.watched(t, times(2, 10), func() {
		for i := range times(1, 4) {
			p := f.alive[i%len(f.alive)]
			p.signal(t, syscall.SIGSTOP)
			let(pause)
			p.signal(t, syscall.SIGCONT)
			let(f.interval)
		}
	})
	result(t, "SIGSTOP of replicas in turn, %v each | %d stops | %v", pause, times(1, 4), stopped)

	gaps, ends := f.gaps()
	scaled := f.watched(t, times(2, 5), func() {
		f.grow(t, 2)
		f.steady(t)
		for len(f.alive) > 1 {
			p := f.alive[0]
			f.alive = f.alive[1:]
			if code := p.stop(t); code != 0 {
				t.Errorf("exit %d:\n%s", code, p.log())
			}
		}
	})
	gapsNow, endsNow := f.gaps()
	result(t, "3 to 5 to 1 replicas, orderly | %v; %d feeds told of a gap, %d of the end", scaled, gapsNow-gaps, endsNow-ends)
	rolled := f.watched(t, times(2, 5), func() {
		f.grow(t, 2)
		for range times(2, 6) {
			p := f.alive[0]
			f.alive = f.alive[1:]
			if code := p.stop(t); code != 0 {
				t.Errorf("exit %d:\n%s", code, p.log())
			}
			f.grow(t, 1)
		}
	})
	gaps, ends = f.gaps()
	result(t, "rolling restart of 3 replicas | %d restarts | %v; %d feeds told of a gap, %d of the end", times(2, 6), rolled, gaps-gapsNow, ends-endsNow)
	for _, s := range []slots{scaled, rolled} {
		if s.most > 1 {
			t.Errorf("orderly: %v", s)
		}
		// One slot may be skipped; a busy machine adds to that.
		if s.gap > 2*f.interval+either(3*time.Second, time.Second) {
			t.Errorf("orderly: %v", s)
		}
	}
	result(t, "all of these together, read back | %v", f.check(t))
}
