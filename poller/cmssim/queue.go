package cmssim

// step is something that is going to happen to an agent. It is void if the
// agent has moved on meanwhile, which his age tells.
type step struct {
	at    int64  // unix ms
	seq   uint64 // order of planning: decides between steps of one instant
	agent int32
	age   uint32
	do    deed
}

type deed uint8

const (
	doAsk deed = iota
	doForce
	doDecide
	doWithdraw
	doRefuse
	doReason // a reason of the agent's own has passed
	doStart
	doProlong
	doEnd
	doSignOut
	doSignIn
)

// queue is a binary heap of steps, the earliest first. It is written out since
// container/heap would allocate an interface for every step.
type queue []step

func (s step) before(t step) bool {
	return s.at < t.at || s.at == t.at && s.seq < t.seq
}

func (q *queue) push(s step) {
	h := append(*q, s)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !s.before(h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = s
	*q = h
}

func (q *queue) pop() step {
	h := *q
	first, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	*q = h
	if len(h) == 0 {
		return first
	}
	i := 0
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if right := child + 1; right < len(h) && h[right].before(h[child]) {
			child = right
		}
		if !h[child].before(last) {
			break
		}
		h[i] = h[child]
		i = child
	}
	h[i] = last
	return first
}
