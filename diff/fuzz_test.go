package diff

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// FuzzCompare feeds observations that need not make sense: nothing may panic,
// and what holds of every result holds.
func FuzzCompare(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x05\x03\x10\x21\x32\x05\x02\x10\x31\x05\x03\x11\x22\x33"))
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 3))
		data := make([]byte, 300)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in := input(data)
		rng := rand.New(rand.NewPCG(uint64(len(data)), 5))
		prev, at := Snapshot{}, Time(1_770_000_000_000)
		for len(in) > 0 {
			o := in.observation(&at)
			r := compareAll(t, rng, &prev, o)
			checkSteps(t, rng, &prev, r)
			prev = r.Snapshot
		}
	})
}

// input is a script of observations.
type input []byte

func (in *input) next() int {
	if len(*in) == 0 {
		return 0
	}
	b := (*in)[0]
	*in = (*in)[1:]
	return int(b)
}

// observation has few agents, few begin times and totals that often add up, so
// that every rule is met.
func (in *input) observation(at *Time) *Observation {
	kind := in.next()
	*at += []Time{500, 5000, 5000, 60_000}[kind&3]
	o := &Observation{VDN: VDN{1, 170}, At: *at, Took: []time.Duration{0, 0, 700, 4300}[kind>>6] * time.Millisecond, DetectedBy: Poll, Torn: kind&12 == 12}
	n := in.next() % 8
	for i := range n {
		b := in.next()
		begin := *at - Time(b>>4)*500
		switch {
		case b>>4 == 15:
			begin = 0
		case kind&16 != 0:
			begin -= begin % 1000
		case b>>4 > 8:
			begin = 1_770_000_000_000 + Time(b>>4)
		}
		reason := 0
		if b&3 == 3 {
			reason = in.next()%8 - 2
		}
		no := 101 + i
		if kind&32 != 0 {
			no = 101 + b%5
		}
		o.Rows = append(o.Rows, Row{no, fmt.Sprint("a", no), reason, begin, 10 + 10*(b>>2&1)})
	}
	w := in.next()
	o.Counts.Waiting = min(n, w%4)
	o.Counts.Approved = min(n-o.Counts.Waiting, w>>2%4)
	o.Counts.Resting = n - o.Counts.Waiting - o.Counts.Approved
	if w>>6 == 3 {
		o.Counts.Resting++
	}
	return o
}

// FuzzDecodeSnapshot compares with whatever decodes: a snapshot that is valid
// in form may say anything.
func FuzzDecodeSnapshot(f *testing.F) {
	var prev Snapshot
	in, at := input("\x05\x03\x10\x21\x32\x05\x02\x10\x31\x0d\x03\x11\x22\x33\x0d\x01\x11\x05\x0d\x00\x05"), Time(1_770_000_000_000)
	for len(in) > 0 {
		prev = Compare(&prev, in.observation(&at), Options{}).Snapshot
		f.Add(encode(f, prev))
	}
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		prev, err := DecodeSnapshot(data)
		if err != nil {
			return
		}
		o := &Observation{VDN: VDN{1, 170}, At: prev.ObservedAt + 5000, Rows: []Row{
			{101, "a101", 0, 1_770_000_001_000, 10}, {102, "a102", 2, 1_770_000_002_345, 20}, {103, "a103", 0, 0, 20},
		}}
		o.Counts = Counts{1, 1, 1}
		o.Order = Order{Epoch: 1 << 62, Seq: 1}
		Compare(&prev, o, Options{})
		o.Torn, o.Order.Seq = true, 2
		Compare(&prev, o, Options{})
	})
}
