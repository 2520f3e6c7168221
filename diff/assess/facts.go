package assess

import (
	"strconv"
	"time"

	"restwatch/diff"
)

// Seconds is a duration in milliseconds that JSON shows in seconds.
type Seconds int64

func (s Seconds) String() string { return (time.Duration(s) * time.Millisecond).String() }

// MarshalJSON writes seconds with three decimals.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(s)/1000, 'f', 3, 64), nil
}

// Facts are what was counted over a whole recording.
type Facts struct {
	From diff.Time `json:"from"`
	To   diff.Time `json:"to"`
	VDNs int       `json:"vdns"`

	Polls  int `json:"polls"`
	Failed int `json:"failedPolls"`
	// Gaps is how often polls began again after failures or a pause.
	Gaps       int     `json:"gaps"`
	LongestGap Seconds `json:"longestGapSeconds"`
	// Between one poll and the next of a VDN: half and nineteen in twenty are
	// not farther apart.
	Interval     Seconds `json:"intervalSeconds"`
	LongInterval Seconds `json:"longIntervalSeconds"`

	Lists int `json:"lists"`
	Rows  int `json:"rows"`
	// Reasons counts rows by cantRestReason, 0 to 4 and all others.
	Reasons [unlisted + 1]int `json:"rowsByReason"`
	// Reasoned lists have their length right and show a reason; Tight ones
	// show as many as there are agents waiting, Excess ones more.
	Reasoned int `json:"listsWithReasons"`
	Tight    int `json:"listsWithAReasonForAllWhoWait"`
	Excess   int `json:"listsWithMoreReasonsThanWait"`
	// Lists that are no single instant, by what showed it.
	WrongLength int `json:"listsOfAnotherLength"`
	Twice       int `json:"listsWithAnAgentTwice"`
	Pages       int `json:"listsWhosePagesNeverAgreed"`
	// LongestMismatch is how many such lists came in a row.
	LongestMismatch int `json:"longestMismatchLists"`
	// Compared pairs of lists with something changed between them.
	Compared       int `json:"comparedPairs"`
	Contradictions int `json:"contradictions"`

	// Changes of state of the only agent who changed, with another beginTime.
	ApprovalsMoved int `json:"approvalsThatMovedBegin"`
	StartsMoved    int `json:"startsThatMovedBegin"`
	// TellingApprovals are certain events of agents who had been seen waiting.
	TellingApprovals int       `json:"certainApprovalsWithAnotherBegin"`
	Learned          int       `json:"vdnsWhereApprovalKeepsBegin"`
	LearnedAt        diff.Time `json:"approvalKeepsBeginSince"`

	BeginTimes   int `json:"beginTimes"`
	WholeSeconds int `json:"beginTimesOfWholeSeconds"`
	// Distinct is how many different ones there are, up to 16, which tell Grain.
	Distinct int `json:"differentBeginTimes"`
	// Grain divides all begin times, in milliseconds.
	Grain        int64 `json:"grainMilliseconds"`
	UnknownTimes int   `json:"rowsOfUnknownTime"`
	Future       int   `json:"beginTimesInTheFuture"`
	// OpenPairs are lists between which only an agent in the second of his
	// begin time may have changed; in SameSecond of them one did.
	OpenPairs  int `json:"pairsWithinASecond"`
	SameSecond int `json:"changesWithinASecond"`

	ProlongedInPlace int `json:"prolongedWithSameBegin"`
	// ProlongedMoved had no time for anything but a prolongation, the others
	// of RestsAgainLonger may have been a new rest.
	ProlongedMoved   int `json:"prolongedWithAnotherBegin"`
	RestsAgainLonger int `json:"restsAgainWithAnotherLength"`
	RestsAgainAlike  int `json:"restsAgainWithSameLength"`

	// Rests whose end was certain, and those of at most 10 and 20 s.
	Rests        int     `json:"rests"`
	RestsBelow10 int     `json:"restsBelow10Seconds"`
	RestsBelow20 int     `json:"restsBelow20Seconds"`
	Shortest     Seconds `json:"shortestRestSeconds"`

	// Arrivals are begin times that the list before did not show, and
	// LatestArrival is by how much at least one was older than that list.
	Arrivals      int     `json:"arrivals"`
	LatestArrival Seconds `json:"latestArrivalSeconds"`
	// ClockAhead is how far at least the upstream's clock is ahead of ours, less
	// the age of replies; null if too few begin times were seen.
	ClockAhead *Seconds `json:"clockAheadSeconds"`

	UnusualNumbers int `json:"agentsWithUnusualNumbers"`
	UnusualLengths int `json:"restsOfUnusualLength"`
}
