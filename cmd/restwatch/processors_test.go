package main

import "testing"

func TestProcessorsFollowTheLoad(t *testing.T) {
	var n need
	for i, c := range []struct {
		share float64
		want  change
	}{
		{0.9, none}, {0.1, none}, {0.1, none}, {0.3, none}, // not calm for long enough
		{0.1, none}, {0.1, none}, {0.1, one}, {0.1, none},
		{0.4, none}, {0.5, none}, // neither calm nor crowded: nothing changes
		{0.6, all}, {0.9, none},
		{0.2, none}, {0.2, none}, {0.2, one},
	} {
		if got := n.change(c.share); got != c.want {
			t.Fatalf("look %d, share %v: got %d, want %d", i, c.share, got, c.want)
		}
	}
}
