package diff

// Feed tells subscribers how far a VDN's events can be relied on just now: the
// data of a feed message.
type Feed struct {
	CC             int     `json:"ccId"`
	VDN            int     `json:"vdn"`
	Status         Status  `json:"status"`
	Since          Time    `json:"since"`
	LastGoodPollAt Time    `json:"lastGoodPollAt"`
	Interval       float64 `json:"intervalSeconds"`
	LastSequence   int64   `json:"lastSequence"`
	Revision       int64   `json:"revision"`
	// Gap is the time without a good poll, on the ok that ends it.
	Gap *Gap `json:"gap,omitempty"`
	// Error is the last failure while the status is not ok.
	Error *FeedError `json:"error,omitempty"`

	// ObservedAt is when the status was found. It travels in the envelope.
	ObservedAt Time `json:"-"`
}

// Status of a feed.
type Status string

// The feed statuses of the contract.
const (
	OK       Status = "ok"
	Degraded Status = "degraded" // some polls fail
	Down     Status = "down"     // no good poll for three intervals
	Paused   Status = "paused"   // calls stopped after a 401 or 403
	Stopping Status = "stopping" // orderly shutdown
)

// Gap is a time without a good poll: after From, not after To.
type Gap struct {
	From Time `json:"from"`
	To   Time `json:"to"`
}

// FeedError is a failed poll, in the closed list of categories of the client.
type FeedError struct {
	Category string `json:"category"`
	Code     string `json:"code,omitempty"`
	Message  string `json:"message"`
}
