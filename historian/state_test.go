package historian

import (
	"context"
	"testing"
	"time"

	"edge/historian/journal"
)

// What is known last outlives the day that told it: the node is dead, its metric said 7, and when it died is shown as long as there
// are hours to qualify.
func TestLastStateOutlivesItsDay(t *testing.T) {
	const never = 100 * 366 * 24 * time.Hour
	for _, c := range []struct {
		name   string
		o      Options
		remove func(r *rig)
		gap    bool // the gap is still told of
	}{
		{"samples by age", Options{Raw: 48 * time.Hour, Minute: never}, func(r *rig) { r.wait(96 * time.Hour) }, true},
		{"days by age", Options{Raw: 48 * time.Hour, Minute: 72 * time.Hour}, func(r *rig) { r.wait(120 * time.Hour) }, true},
		{"days by bytes", Options{}, func(r *rig) {
			r.wait(72 * time.Hour)
			r.s.o.MaxBytes = 1
			r.s.retainBytes()
		}, false}, // months go too
		{"months by age", Options{Raw: 48 * time.Hour, Minute: 72 * time.Hour, Hour: 240 * time.Hour}, func(r *rig) { r.wait(60 * 24 * time.Hour) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.o)
			r.add(key(0), at(noon, 7))
			r.add(key(1), at(noon.Add(time.Second), 8))
			r.addEvent(death(noon.Add(time.Minute)))
			r.follow()
			r.flush(flushAll)
			c.remove(r)
			if samples, _ := r.kept(); samples > 0 {
				t.Fatalf("%d days have samples: nothing was removed", samples)
			}
			for _, when := range []string{"", "after a start", "after a crash"} {
				switch when {
				case "after a start":
					r.close()
					r.open()
				case "after a crash":
					r.crash()
					r.open()
				}
				list, err := r.s.Latest(context.Background(), nil)
				if err != nil || len(list) != 2 || list[0].Quality != journal.Stale || list[0].Value.Num != double(7).Num {
					t.Errorf("%s: Latest is %+v, %v; want 7 and 8, stale", when, list, err)
				}
				if v, ok := r.s.Last("g", "n", "d", "m1"); !ok || v.Quality != journal.Stale || v.Value.Num != double(8).Num || v.At != ms(noon)+1000 {
					t.Errorf("%s: Last is %+v, %t; want 8, stale", when, v, ok)
				}
				gaps := r.read(key(0), noon.Add(-time.Hour), noon.Add(time.Hour)).Gaps
				if want := (Gap{From: ms(noon) + 60_000, Cause: "node death: connection lost"}); len(gaps) != 1 || gaps[0] != want {
					t.Errorf("%s: gaps %v, want %v", when, gaps, want)
				}
			}
			r.addEvent(birth(journal.DeviceBirth, "d", r.clock.Now()))
			r.follow()
			if v, _ := r.s.Last("g", "n", "d", "m1"); v.Quality != journal.Good {
				t.Errorf("alive again, Last is %+v", v)
			}
			r.close()
		})
	}
}

// wait lets days pass one by one, with what retention does.
func (r *rig) wait(d time.Duration) {
	for end := r.clock.Now().Add(d); r.clock.Now().Before(end); {
		r.clock.Set(r.clock.Now().Add(24 * time.Hour))
		r.rollAll()
		r.s.retain()
	}
}

// A finite gap stays as long as the hours that it qualifies, however the day went that told it, and goes with them.
func TestGapStaysWithItsHours(t *testing.T) {
	r := newRig(t, Options{Raw: 48 * time.Hour, Minute: 72 * time.Hour, Hour: 60 * 24 * time.Hour})
	r.add(key(0), at(noon.Add(-time.Minute), 7), at(noon.Add(2*time.Hour), 8))
	lost := journal.Event{Kind: journal.GapEvent, At: ms(noon), Until: ms(noon) + 90*60_000, Group: "g", Node: "n", Reason: "lost", BdSeq: -1}
	r.addEvent(lost)
	r.follow()
	r.flush(flushAll)
	check := func(when string) {
		list, err := r.s.Charts(context.Background(), ChartQuery{[]Metric{{"g", "n", "d", "m0"}}, ms(noon) - 2*dayMillis, ms(noon) + 2*dayMillis, 48})
		if err != nil {
			t.Fatal(err)
		}
		c := list[0]
		if c.Source != SourceHour || len(c.Gaps) != 1 || c.Gaps[0].From != lost.At || c.Gaps[0].To != lost.Until {
			t.Errorf("%s: of %s, gaps %v; want one of hours", when, c.Source, c.Gaps)
		}
		if b := c.Buckets; b[23].Quality != journal.Good || b[24].Quality != journal.Stale || b[25].Quality != journal.Good || b[25].Last != 8 {
			t.Errorf("%s: columns %+v", when, b[23:26])
		}
	}
	r.wait(120 * time.Hour)
	if _, files := r.kept(); files != 0 {
		t.Fatalf("%d day files", files)
	}
	check("before a start")
	r.close()
	r.open()
	check("after a start")
	r.wait(90 * 24 * time.Hour)
	if got := r.read(key(0), noon.Add(-time.Hour), noon.Add(3*time.Hour)).Gaps; len(got) != 0 || len(r.s.trends.existing(0, 1<<40)) != 0 {
		t.Errorf("gaps %v when the hours are gone", got)
	}
	r.close()
}

// A gap of weeks is found in its middle, too, with the bounds that it has.
func TestLongGap(t *testing.T) {
	r := newRig(t, Options{})
	off := journal.Event{Kind: journal.GapEvent, At: ms(noon.Add(-75 * 24 * time.Hour)), Until: ms(noon), Reason: "the appliance was not running", BdSeq: -1}
	r.add(key(0), at(noon, 1))
	r.addEvent(off)
	for _, where := range []string{"in memory", "in the files", "after a start"} {
		r.follow()
		switch where {
		case "in the files":
			r.flush(flushAll)
		case "after a start":
			r.close()
			r.open()
		}
		for _, days := range []int{74, 40, 10, 1} {
			from := noon.Add(-time.Duration(days) * 24 * time.Hour)
			got := r.read(key(0), from, from.Add(time.Hour)).Gaps
			if len(got) != 1 || got[0].From > ms(from) || got[0].To != off.Until {
				t.Errorf("%s, %d days ago: gaps %v", where, days, got)
			}
		}
		if got := r.read(key(0), noon.Add(-80*24*time.Hour), noon).Gaps; len(got) != 1 || got[0].From != off.At || got[0].To != off.Until {
			t.Errorf("%s: gaps of all of it %v", where, got)
		}
	}
	r.close()
}

// Of an owner that dies all the time a day that goes leaves little: no time that was in a gap is out of one, and the last turn is the same.
func TestThinLife(t *testing.T) {
	o := owner{"g", "n", "d"}
	var list []loggedEvent
	for i := range 10_000 {
		e := birth(journal.DeviceBirth, "d", noon.Add(time.Duration(i)*time.Second))
		if i%2 == 1 {
			e.Kind = journal.DeviceDeath
		}
		e.Index = journal.Index(i + 1)
		list = append(list, loggedEvent{e, e.At})
	}
	thin := onceEach(thinLife(list))
	if len(thin) > 6 {
		t.Errorf("%d rows of 3 hours are kept", len(thin))
	}
	dead := deadSpans(o, thin)
	for _, g := range deadSpans(o, list) {
		in := false
		for _, d := range dead {
			in = in || d.From <= g.From && (d.To == 0 || g.To != 0 && g.To <= d.To)
		}
		if !in {
			t.Fatalf("the gap %v is in none of %v", g, dead)
		}
	}
	if last := thin[len(thin)-1]; last.Index != 10_000 {
		t.Errorf("the last turn is %+v", last)
	}
	few := list[:lifeRows]
	if got := onceEach(thinLife(few)); len(got) != lifeRows {
		t.Errorf("%d rows of %d are kept", len(got), lifeRows)
	}
}
