package diff

import "time"

// Observation is one reading of a VDN's rest information, as the poller hands
// it over: what the upstream said, when, and how far the reading can be trusted.
type Observation struct {
	VDN VDN
	// At is when the last byte of the reply had arrived, by the bus's clock.
	At Time
	// Took is how long the reading was on its way, from the request's first byte
	// to the reply's last one; 0: not known. What it shows may be as old, as the
	// upstream may have looked right after it was asked: [Options.Age]. One that
	// was asked for before the reading that it is compared with had arrived may
	// show an earlier instant, and changes nothing.
	Took time.Duration
	// Order ranks observations of a VDN whichever replica made them. The zero
	// Order, of an offline input, leaves the ranking to At.
	Order Order
	// DetectedBy is Poll or Resync; Compare copies it into the events.
	DetectedBy string
	Counts     Counts
	// Rows in any order. Compare sorts them in place by WorkNo.
	Rows []Row
	// Torn says that the poller saw for itself that this is no single instant
	// (pages that disagreed to the end, say). A list that its counts
	// contradict is found by Compare.
	Torn bool
}

// Values of Observation.DetectedBy.
const (
	Poll   = "poll"   // the round before was good
	Resync = "resync" // first round after a restart, failures or a long gap
)

// Row is one agent of the upstream's list.
type Row struct {
	WorkNo int
	Name   string
	// Reason is cantRestReason: not 0 means waiting, 0 says nothing.
	Reason int
	// Begin is beginTime; 0 if the upstream sent no usable time.
	Begin Time
	// Requested is restDuration in seconds.
	Requested int
}

// Counts are the three totals of the upstream's reply.
type Counts struct {
	Waiting  int `json:"waiting"`
	Approved int `json:"approved"`
	Resting  int `json:"resting"`
}

// Sum is the list length that the counts promise.
func (c Counts) Sum() int { return c.Waiting + c.Approved + c.Resting }

// Order is the place of an observation among all of its VDN: that of the tick
// it was made for. Epoch tells the lives of the tick stream apart, as its
// sequences start again at 1 when it is made anew: when that was (nanoseconds
// since 1970), or more, if by a clock that was wrong an earlier life was later.
type Order struct {
	Epoch int64  `json:"epoch,omitzero"`
	Seq   uint64 `json:"seq,omitzero"`
}

// Compare orders by epoch, then by sequence.
func (o Order) Compare(p Order) int {
	switch {
	case o.Epoch < p.Epoch || o.Epoch == p.Epoch && o.Seq < p.Seq:
		return -1
	case o == p:
		return 0
	}
	return 1
}
