package diff

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// benchAgents is a VDN of n listed agents in which every tenth rests without
// that being known for certain.
func benchAgents(n int) *Observation {
	o := &Observation{VDN: VDN{1, 170}, At: 1_770_000_000_000}
	for i := range n {
		r := Row{WorkNo: 1000 + i, Name: fmt.Sprint("agent ", i), Begin: o.At - 1001 - Time(i)*137, Requested: 86000}
		switch i % 10 {
		case 0, 1:
			r.Reason = 2
			o.Counts.Waiting++
		default:
			o.Counts.Resting++
		}
		o.Rows = append(o.Rows, r)
	}
	return o
}

func benchmarkCompare(b *testing.B, prepare func(prev *Snapshot, o *Observation)) {
	for _, n := range []int{20, 200, 2000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			o := benchAgents(n)
			prev := Compare(nil, o, Options{}).Snapshot
			o.At += 5000
			prepare(&prev, o)
			rows := slices.Clone(o.Rows)
			b.ReportAllocs()
			for b.Loop() {
				copy(o.Rows, rows)
				Compare(&prev, o, Options{})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/agent")
		})
	}
}

// BenchmarkUnchanged compares a reply that says nothing new.
func BenchmarkUnchanged(b *testing.B) {
	benchmarkCompare(b, func(*Snapshot, *Observation) {})
}

// BenchmarkShuffled is the same, in another order.
func BenchmarkShuffled(b *testing.B) {
	benchmarkCompare(b, func(_ *Snapshot, o *Observation) {
		rand.New(rand.NewPCG(1, 1)).Shuffle(len(o.Rows), func(i, j int) { o.Rows[i], o.Rows[j] = o.Rows[j], o.Rows[i] })
	})
}

// BenchmarkOne has one agent's rest begin.
func BenchmarkOne(b *testing.B) {
	benchmarkCompare(b, func(_ *Snapshot, o *Observation) {
		r := &o.Rows[0]
		r.Reason, r.Begin = 0, o.At-1234
		o.Counts.Waiting--
		o.Counts.Resting++
	})
}

// BenchmarkAmbiguous has every fifth agent in one of two states, and one in
// fifty change.
func BenchmarkAmbiguous(b *testing.B) {
	benchmarkCompare(b, func(prev *Snapshot, o *Observation) {
		for i := range o.Rows {
			if i%10 < 2 {
				o.Rows[i].Reason = 0
				o.Counts.Waiting--
				o.Counts.Resting++
				if i%10 == 0 {
					o.Counts.Approved++
					o.Counts.Resting--
				}
			}
		}
		*prev = Compare(nil, o, Options{}).Snapshot
		o.At += 5000
		for i := range o.Rows {
			if i%50 == 5 {
				o.Rows[i].Begin = o.At - 1000 - Time(i)
			}
		}
	})
}
