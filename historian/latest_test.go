package historian

import (
	"context"
	"slices"
	"testing"
	"time"

	"edge/historian/journal"
)

// Of three hours of blocks the newest of the last hour is enough, and none where memory has what is newer.
func TestLastValuesAreInTheNewestBlock(t *testing.T) {
	r, metrics := scanned(t, 20)
	defer r.close()
	all := r.s.catalog.all()
	n, err := r.s.newestIn(context.Background(), all[0].group, all, nil, 0, 1<<50)
	if err != nil || len(n.found) != len(metrics) || n.found[1].At != ms(noon)-1000 {
		t.Fatalf("found %v, %v", n.found, err)
	}
	if w := n.sc.work; w.Blocks != 6 || w.Lines != 1 || w.Rows != 20*600 {
		t.Errorf("it took %+v, want 6 heads and the samples of one block", w)
	}
	live := make(map[journal.SeriesID]journal.Millis)
	for _, e := range all {
		live[e.id] = ms(noon)
	}
	if n, err = r.s.newestIn(context.Background(), all[0].group, all, live, 0, 1<<50); err != nil || len(n.found) != 0 || n.sc.work.Rows != 0 {
		t.Errorf("found %v, reading %+v, %v; memory has what is newer", n.found, n.sc.work, err)
	}
}

// A block of late samples may begin in an earlier hour than it ends: what it has of a series is not yet the newest.
func TestLastValueBesideALateBlock(t *testing.T) {
	r := newRig(t, Options{})
	defer func() { r.close() }()
	r.add(key(0), at(noon.Add(-130*time.Minute), 1), at(noon.Add(-65*time.Minute), 5))
	r.add(key(1), at(noon.Add(-59*time.Minute), 1), at(noon, 2))
	r.follow()
	r.flush(flushAll)
	r.add(key(0), at(noon.Add(-128*time.Minute), 4))
	r.add(key(1), at(noon.Add(-55*time.Minute), 1))
	r.follow()
	r.flush(flushAll)
	r.close()
	r.open()
	list, err := r.s.Latest(context.Background(), nil)
	if err != nil || !slices.Equal(values(list), []float64{5, 2}) {
		t.Errorf("%v, %v; want 5 and 2", values(list), err)
	}
}

// The second question and those after it take no memory but what they are given.
func TestLatestAllocatesNothing(t *testing.T) {
	r, metrics := scanned(t, 100)
	defer r.close()
	list, err := r.s.Latest(context.Background(), nil)
	if err != nil || len(list) != len(metrics) {
		t.Fatal(len(list), err)
	}
	n := testing.AllocsPerRun(20, func() {
		if list, err = r.s.Latest(context.Background(), list[:0]); err != nil || len(list) != len(metrics) {
			t.Fatal(len(list), err)
		}
	})
	if n > 5 {
		t.Errorf("%v allocations", n)
	}
}

func TestRunLooksForLastValues(t *testing.T) {
	dir := t.TempDir()
	r := newRigIn(t, dir, Options{})
	r.add(key(0), at(noon, 1))
	r.follow()
	r.close()
	r.open()
	ctx, cancel := context.WithCancel(context.Background())
	r.s.lookUpAll(ctx)
	cancel()
	if r.s.catalog.unlooked(r.s, r.s.catalog.all()) != nil {
		t.Error("after a look there are series to look for")
	}
	if v, ok := r.s.Last("g", "n", "d", "m0"); !ok || v.At != ms(noon) {
		t.Errorf("%v, %v", v, ok)
	}
	r.close()
}

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
				list, err := r.s.Latest(context.Background(), nil)
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
		list, err := r.s.Latest(context.Background(), nil)
		if err != nil || slices.ContainsFunc(list, func(v journal.Sample) bool { return v.Quality != journal.Stale }) {
			t.Errorf("after the node's death: %v, %v", list, err)
		}
	})
}
