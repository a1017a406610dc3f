package historian

import (
	"strings"
	"testing"
	"time"

	"edge/historian/journal"
)

// An MQTT topic has room for names that no key of bbolt has: what such a node says is recorded like everything else, its
// births and deaths count, in memory, in a day's file and when the day is gone, and it is not taken for one of nearly its name.
func TestNamesLongerThanAKey(t *testing.T) {
	r := newRig(t, Options{Raw: 48 * time.Hour, Minute: 72 * time.Hour})
	long := strings.Repeat("n", 40_000)
	names := []string{long + "a", long + "b", long[:maxKeyName]}
	of := func(n int) journal.SeriesKey {
		return journal.SeriesKey{Group: long[:20_000], Node: names[n], Device: "d", Metric: "m", Type: 10}
	}
	for n := range names {
		r.add(of(n), at(noon, float64(n)))
	}
	died := journal.Event{Kind: journal.NodeDeath, At: ms(noon) + 60_000, Group: of(0).Group, Node: names[0], Reason: "connection lost"}
	r.addEvent(died)
	r.follow()
	check := func(when string) {
		t.Helper()
		for n := range names {
			gaps := r.read(of(n), noon, noon.Add(time.Hour)).Gaps
			if want := (Gap{From: died.At, Cause: "node death: connection lost"}); n == 0 && (len(gaps) != 1 || gaps[0] != want) || n > 0 && len(gaps) > 0 {
				t.Errorf("%s: gaps of node %d: %v", when, n, gaps)
			}
			if v, ok := r.s.Last(of(n).Group, names[n], "d", "m"); !ok || v.Value.Num != double(float64(n)).Num || (v.Quality == journal.Stale) != (n == 0) {
				t.Errorf("%s: Last of node %d is %+v, %t", when, n, v, ok)
			}
		}
	}
	check("in memory")
	r.flush(flushAll)
	check("in a file")
	r.crash()
	r.open()
	check("after a crash")
	r.wait(120 * time.Hour)
	if _, files := r.kept(); files != 0 {
		t.Fatalf("%d day files", files)
	}
	check("when the day is gone")
	r.close()
}
