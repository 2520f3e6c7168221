package diff

// window is when something happened: after the first instant, 0 if it is
// unknown, and not after the second.
type window struct{ after, before Time }

// entered is when a stage with begin time b was entered that was noticed in
// (after, before]. Where b contradicts that, the earliest of both is the truth
// that can be told: the list was not complete, or the clocks differ.
func entered(b, after, before Time) window {
	if b == 0 || b > before {
		return window{after, before}
	}
	if b.bucketEnd() <= after {
		return window{b - 1, before}
	}
	return window{max(after, b-1), min(before, b.bucketEnd())}
}

// left is when an agent left a stage who was last listed at the time after.
// next is the begin time of what he did then, 0 if unknown or nothing.
func left(next, after, before Time) window {
	if end := next.bucketEnd(); next != 0 && end > after {
		before = min(before, end)
	}
	return window{after, before}
}

// overdueWindow is when a rest with the deadline d became overdue that was
// not, or not known, at the time after.
func overdueWindow(d Time, b, after, before Time) window {
	end := d + b.bucketEnd() - b + 1
	if d > before || end <= after {
		return window{min(after, d), before}
	}
	return window{max(after, d), min(before, end)}
}

// wholeSeconds from t to u, at least 0.
func wholeSeconds(t, u Time) int { return int(max(0, u-t) / 1000) }
