package export

import (
	"testing"
	"time"

	"edge/historian/journal"
)

func TestPace(t *testing.T) {
	for _, c := range []struct {
		name string
		rate journal.Index // samples in the second before
		work time.Duration
		want time.Duration
		busy bool
	}{
		{"nothing comes in", 0, time.Millisecond, 0, false},
		{"a small cell", 250, time.Millisecond, 25 * time.Microsecond, false},
		{"a large one", 5000, time.Millisecond, 500 * time.Microsecond, false},
		{"half and half", easyRate, time.Millisecond, time.Millisecond, false},
		{"all that can be taken", 750_000, time.Millisecond, 75 * time.Millisecond, false},
		{"a long stretch", 750_000, 20 * time.Millisecond, 1500 * time.Millisecond, false},
		{"a very long one", 750_000, 50 * time.Millisecond, longest, false},
		{"a window is written", 0, time.Millisecond, 100 * time.Millisecond, true},
	} {
		begun := time.Unix(1000, 0)
		index := journal.Index(1000)
		p := &pace{load: func() (journal.Index, bool) { return index, c.busy }, rate: firstRate, index: index, at: begun, begun: begun}
		if got := p.pause(begun.Add(time.Millisecond)); got != firstRate/easyRate*time.Millisecond && !c.busy {
			t.Errorf("%s: %s before anything was counted", c.name, got)
		}
		index += c.rate
		p.begun = begun.Add(time.Second - c.work)
		if got := p.pause(begun.Add(time.Second)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
