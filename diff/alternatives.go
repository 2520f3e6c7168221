package diff

// kinds is a set of what an inferred event may have been.
type kinds uint16

const (
	altRequested kinds = 1 << iota
	altApproved
	altStarted
	altEnded
	altCancelled
	altUpdated
	altEndedStarted // an end and a new rest
	altNone         // nothing happened
)

var altNames = []string{"requested", "approved", "started", "ended", "cancelled", "updated", "ended+started", "none"}

// names lists the set in a fixed order; never nil.
func (k kinds) names() []string {
	list := []string{}
	for i, name := range altNames {
		if k&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	return list
}

// arrivals are the kinds of event that enter the states of c.
func arrivals(c set) kinds { return kinds(c) * altRequested }

var kindsOfArrival = [4]Kind{KindNone, KindRequested, KindApproved, KindStarted}

// kindOfArrival is the kind of event that enters s.
func kindOfArrival(s State) Kind { return kindsOfArrival[s] }

// kindOfDeparture is the kind of event by which an agent leaves s for good.
func kindOfDeparture(s State) Kind {
	if s == Resting {
		return KindEnded
	}
	return KindCancelled
}

func altOfDeparture(s State) kinds {
	if s == Resting {
		return altEnded
	}
	return altCancelled
}
