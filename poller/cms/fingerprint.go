package cms

import (
	"hash/maphash"
	"math/bits"

	"restwatch/diff"
)

// Fingerprint stands for what a reading said, to compare with == and for
// Client.Read. Equal fingerprints mean equal content (but for a chance of one
// in 2^64); unequal ones may, too: another order of the rows changes that of a
// list of one page. The zero value stands for no reading.
//
// It is good for one Client only: the hash is seeded, so that no reply can be
// made to look like another, and so it cannot be stored.
type Fingerprint struct {
	first   uint64 // body of page 1
	rest    uint64 // bodies of the other pages, in order
	content uint64 // rows and counts, in any order; of more than one page only
	pages   int
	rows    bool // asks for the rows though nothing has changed
}

// WithRows returns f for a Read that is to give the rows, and counts, even if
// nothing has changed. Unlike the zero Fingerprint it still lets a list of
// several pages that has not changed be read once.
func (f Fingerprint) WithRows() Fingerprint {
	f.rows = f.pages > 0
	return f
}

// IsZero says whether f stands for no reading.
func (f Fingerprint) IsZero() bool { return f == Fingerprint{} }

type hasher struct{ seed maphash.Seed }

func newHasher() hasher { return hasher{maphash.MakeSeed()} }

func (h hasher) bytes(b []byte) uint64 { return maphash.Bytes(h.seed, b) }

// bodies fingerprints the replies of all pages, leaving content open.
func bodies(pages []reply) Fingerprint {
	f := Fingerprint{first: pages[0].hash, pages: len(pages)}
	for i := range pages[1:] {
		f.rest = mix(f.rest, pages[1+i].hash)
	}
	return f
}

// content hashes rows and counts whatever the order of the rows: a sum does
// not depend on it.
func (h hasher) content(rows []diff.Row, counts diff.Counts) uint64 {
	sum := mix(mix(uint64(counts.Waiting), uint64(counts.Approved)), uint64(counts.Resting))
	for i := range rows {
		r := &rows[i]
		x := mix(maphash.String(h.seed, r.Name), uint64(r.WorkNo))
		x = mix(x, uint64(r.Begin))
		sum += mix(x, uint64(r.Reason)<<32^uint64(r.Requested))
	}
	return mix(sum, uint64(len(rows)))
}

// mix folds the product of two words, each made odd with its own constant, so
// that every bit of both tells on the result.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0xa0761d6478bd642f, b^0xe7037ed1a0b428db)
	return hi ^ lo
}
