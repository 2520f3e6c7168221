package cms

// roomy grows the calling goroutine's stack at once to what a call needs, while
// there is little on it. Grown step by step, it is copied three times,
// with ever more frames whose pointers have to be adjusted.
//
//go:noinline
func roomy() {
	var room [9 << 10]byte
	touch(&room)
}

//go:noinline
func touch(room *[9 << 10]byte) { room[0] = 1 }
