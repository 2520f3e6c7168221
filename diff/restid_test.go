package diff

import (
	"encoding/json"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestRestIDText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := RestID{rapid.IntRange(1, math.MaxInt32).Draw(t, "workNo"), Time(rapid.Int64Range(0, 1<<53).Draw(t, "first"))}
		b, err := json.Marshal(want)
		var got RestID
		if err == nil {
			err = json.Unmarshal(b, &got)
		}
		if err != nil || got != want {
			t.Fatalf("got %v of %s, %v, want %v", got, b, err, want)
		}
	})
	if got := (RestID{1001, 1_700_000_001_000}).String(); got != "1001-1700000001000" {
		t.Errorf("got %q", got)
	}
	for text, bad := range map[string]bool{
		"": false, "1001": true, "1001-": true, "-1001-5": true, "1001-5-6": true, "1001-5 ": true, "x-5": true,
	} {
		id := RestID{7, 7}
		err := id.UnmarshalText([]byte(text))
		if (err != nil) != bad || !bad && id != (RestID{}) {
			t.Errorf("%q: got %v, %v", text, id, err)
		}
	}
}
