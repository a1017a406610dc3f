package history

import (
	"testing"
	"time"
)

func TestBeyond(t *testing.T) {
	const ms = int64(time.Millisecond)
	for _, c := range []struct {
		name string
		run  pacedResult
		late [][]span
		want time.Duration
	}{
		{"no call was long", pacedResult{Max: 40 * time.Microsecond}, [][]span{{{0, 90 * ms}}}, 40 * time.Microsecond},
		{"processors were free", pacedResult{Max: 8 * time.Millisecond, Long: []span{{10 * ms, 18 * ms}}}, [][]span{{}, {}}, 8 * time.Millisecond},
		{"one was not, for a part", pacedResult{Max: 8 * time.Millisecond, Long: []span{{10 * ms, 18 * ms}}},
			[][]span{{{5 * ms, 12 * ms}, {14 * ms, 15 * ms}}, {{0, 11 * ms}}}, 5 * time.Millisecond},
		{"all of the longest", pacedResult{Max: 30 * time.Millisecond, Long: []span{{0, 30 * ms}, {50 * ms, 53 * ms}}},
			[][]span{{{0, 40 * ms}}}, 3 * time.Millisecond},
	} {
		if got := c.run.beyond(c.late); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
