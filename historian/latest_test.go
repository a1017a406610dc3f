package historian

import (
	"context"
	"slices"
	"testing"
	"time"

	"edge/historian/journal"
)

func TestLatest(t *testing.T) {
	states(t, func(r *rig) {
		r.add(key(0), at(noon.Add(-50*time.Hour), 1))
		r.add(key(1), at(noon.Add(-time.Hour), 2), at(noon.Add(-2*time.Hour), 1))
		old := at(noon, 9)
		old.Historical = true
		r.add(key(1), old) // a live one is there
		r.add(key(2), old)
		k := key(3)
		k.Type = 12
		r.add(k, journal.Sample{At: ms(noon), Value: journal.Value{Bytes: []byte("run")}, Quality: journal.Good})
		k.Device = "other"
		r.add(k, journal.Sample{At: ms(noon), Value: journal.Value{Null: true}, Quality: journal.Good})
		r.addEvent(journal.Event{Kind: journal.DeviceDeath, At: ms(noon.Add(time.Second)), Group: "g", Node: "n", Device: "other"})
	}, func(t *testing.T, r *rig) {
		check := func(want ...float64) {
			t.Helper()
			for range 2 { // the second comes from the table
				list, err := r.s.Latest(context.Background())
				if err != nil || len(list) != 5 || !slices.Equal(values(list)[:3], want) {
					t.Fatalf("got %v, %v; want %v and two more", list, err, want)
				}
				if string(list[3].Value.Bytes) != "run" || !list[4].Value.Null || list[4].Quality != journal.Stale || list[3].Quality != journal.Good {
					t.Errorf("the last two are %v", list[3:])
				}
			}
		}
		check(1, 2, 9)
		r.add(key(0), at(noon.Add(time.Minute), 5))
		r.add(key(1), at(noon.Add(-90*time.Minute), 6)) // older than what there is
		r.add(key(2), at(noon.Add(-time.Minute), 7))    // live, though older
		r.follow()
		check(5, 2, 7)
		r.addEvent(death(noon.Add(2 * time.Minute)))
		r.follow()
		list, err := r.s.Latest(context.Background())
		if err != nil || slices.ContainsFunc(list, func(v journal.Sample) bool { return v.Quality != journal.Stale }) {
			t.Errorf("after the node's death: %v, %v", list, err)
		}
	})
}
