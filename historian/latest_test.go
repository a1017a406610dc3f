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

// The files are not asked for the last value of a series that is new since the start.
func TestNewSeriesAreNotLookedFor(t *testing.T) {
	r := newRig(t, Options{})
	defer func() { r.close() }()
	r.add(key(0), at(noon, 1))
	r.follow()
	r.flush(flushAll)
	if list := r.s.catalog.unlooked(r.s, r.s.catalog.all()); len(list) > 0 {
		t.Errorf("%d series are to be looked for, want none", len(list))
	}
	r.close()
	r.open()
	if list := r.s.catalog.unlooked(r.s, r.s.catalog.all()); len(list) != 1 {
		t.Errorf("after a start %d series are to be looked for, want 1", len(list))
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

// A device whose clock was hours ahead is set right: what it says then counts, in memory, in files, and after a start; of a time between
// the stamps what was stamped last before it.
func TestLastValueOfAClockThatWasAhead(t *testing.T) {
	ahead := func(arrived time.Time, by time.Duration, f float64) journal.Sample {
		v := at(arrived.Add(by), f)
		v.Received = ms(arrived)
		return v
	}
	const hour = time.Hour
	for _, c := range []struct {
		name string
		list []journal.Sample
		want float64
	}{
		{"set right in the same window", []journal.Sample{ahead(noon, 2*time.Minute, 1), ahead(noon.Add(time.Minute), 0, 2)}, 2},
		{"hours ahead", []journal.Sample{ahead(noon, 5*hour, 1), ahead(noon.Add(time.Minute), 0, 2), ahead(noon.Add(2*time.Minute), 0, 3)}, 3},
		{"into the next day", []journal.Sample{ahead(noon, 20*hour, 1), ahead(noon.Add(time.Minute), 20*hour, 2), ahead(noon.Add(2*time.Minute), 0, 3)}, 3},
		{"what is late is no last value", []journal.Sample{ahead(noon, 20*hour, 1), ahead(noon.Add(time.Minute), -hour, 2)}, 1},
		{"our clock was slow, and is set", []journal.Sample{ahead(noon, 5*hour, 1), ahead(noon.Add(hour), 5*hour, 2), ahead(noon.Add(6*hour), 0, 3)}, 3},
		{"our clock was fast, and is set", []journal.Sample{ahead(noon, -5*hour, 1), ahead(noon.Add(-4*hour), 0, 2)}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			for stored := range len(c.list) + 1 { // so many are in files
				r := newRig(t, Options{})
				check := func(when string) {
					t.Helper()
					k := key(0)
					if v, ok := r.s.Last(k.Group, k.Node, k.Device, k.Metric); !ok || v.Value.Num != double(c.want).Num {
						t.Errorf("%s, %d stored: Last is %+v, %v", when, stored, v, ok)
					}
					if list, err := r.s.Latest(t.Context(), nil); err != nil || !slices.Equal(values(list), []float64{c.want}) {
						t.Errorf("%s, %d stored: Latest is %v, %v", when, stored, values(list), err)
					}
					most := slices.MaxFunc(c.list, func(a, b journal.Sample) int { return int(a.At - b.At) })
					cursor, err := r.s.Cursor(k.Group, k.Node, k.Device, k.Metric, 0, most.At+dayMillis)
					if err != nil {
						t.Fatal(err)
					}
					if v, ok, err := cursor.Held(t.Context(), most.At+1, 0); err != nil || !ok || v.At != most.At {
						t.Errorf("%s, %d stored: %+v is held, %v, %v", when, stored, v, ok, err)
					}
				}
				for i, v := range c.list {
					r.add(key(0), v)
					r.follow()
					if i+1 == stored {
						r.flush(flushAll)
						r.close()
						r.open()
					}
				}
				check("at once")
				r.crash()
				r.open()
				check("after a crash")
				r.flush(flushAll)
				r.close()
				r.open()
				check("after a start")
				r.close()
			}
		})
	}
}
