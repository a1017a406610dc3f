package historian

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/historian/journal"
)

// twoMonths is a store whose days of February have left their hours only, those of March are there.
func twoMonths(t *testing.T) *rig {
	r := newRigAt(t, t.TempDir(), Options{Raw: 24 * time.Hour, Minute: 216 * time.Hour}, noon.Add(-20*24*time.Hour))
	for range 20 {
		now := r.clock.Now()
		r.add(key(0), at(now.Add(-10*time.Hour), float64(now.Day())), at(now, float64(now.Day())))
		r.follow()
		r.flush(flushAll)
		r.wait(24 * time.Hour)
	}
	return r
}

// hours are the last values of 20 days, a column of 12 hours each, and the gaps.
func (r *rig) hours() (last []float64, gaps []Gap) {
	r.t.Helper()
	end := floorTo(ms(noon), dayMillis)
	list, err := r.s.Charts(context.Background(), ChartQuery{[]Metric{{"g", "n", "d", "m0"}}, end - 20*dayMillis, end, 40})
	if err != nil || list[0].Err != nil {
		r.t.Fatal(err, list[0].Err)
	}
	for _, b := range list[0].Buckets {
		last = append(last, b.Last)
	}
	return last, list[0].Gaps
}

func TestDamagedTrendFile(t *testing.T) {
	cut := func(path string) error { return os.Truncate(path, 5000) }
	noise := func(path string) error { return os.WriteFile(path, []byte("not a database"), 0o640) }
	meta := func(path string) error { zeroNewestMeta(t, path); return nil }
	first := twoMonths(t)
	first.close()
	for _, c := range []struct {
		name, file string
		damage     func(string) error
		running    bool // it happens while the store runs, and a reader finds it
		lost       bool // days are
	}{
		{"of days that are there, cut", "2026-03.db", cut, false, false},
		{"of days that are there, something else", "2026-03.db", noise, false, false},
		{"of days that are there, a meta page", "2026-03.db", meta, false, false},
		{"of days that are there, while it runs", "2026-03.db", noise, true, false},
		{"of days that are no more, cut", "2026-02.db", cut, false, true},
		{"of days that are no more, something else", "2026-02.db", noise, false, true},
		{"of days that are no more, while it runs", "2026-02.db", noise, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(first.dir)); err != nil {
				t.Fatal(err)
			}
			r := newRigAt(t, dir, first.o, first.clock.Now())
			want, gaps := r.hours()
			if len(gaps) != 0 || slices.Contains(want[2:], 0) {
				t.Fatalf("before: %v, gaps %v", want, gaps)
			}
			path := filepath.Join(r.dir, "history", "trend", c.file)
			if c.running {
				month, err := time.Parse(monthLayout+".db", c.file)
				if err != nil {
					t.Fatal(err)
				}
				r.s.trends.get(monthAt(month)).close() // it was not used for long
				if err := c.damage(path); err != nil {
					t.Fatal(err)
				}
				r.hours()
				r.s.mendHurt()
			} else {
				r.close()
				if err := c.damage(path); err != nil {
					t.Fatal(err)
				}
				r.open()
			}
			r.rollAll()
			r.follow()
			for _, when := range []string{"", "after a flush", "after a start"} {
				switch when {
				case "after a flush":
					r.flush(flushAll)
				case "after a start":
					r.close()
					r.open()
				}
				got, gaps := r.hours()
				for i := range got {
					told := slices.ContainsFunc(gaps, func(g Gap) bool {
						at := floorTo(ms(noon), dayMillis) - 20*dayMillis + journal.Millis(i)*dayMillis/2
						return g.From <= at && (g.To == 0 || g.To >= at+dayMillis/2)
					})
					if same := got[i] == want[i] || got[i] != got[i] && want[i] != want[i]; !same && !told || told && !c.lost {
						t.Errorf("%s: column %d is %v, was %v; gaps %v", when, i, got[i], want[i], gaps)
					}
				}
				if c.lost != (len(gaps) > 0) {
					t.Errorf("%s: gaps %v", when, gaps)
				}
			}
			if e := r.events(); !strings.Contains(e, "moved to") {
				t.Errorf("events\n%s", e)
			}
			r.close()
		})
	}
}

// A day is removed, its month is damaged, then samples of the day come again: its new file is not taken for the old one when the month is
// damaged once more, whatever the catalog and the month forgot meanwhile.
func TestDayThatCameAgainAfterItsMonthWasLost(t *testing.T) {
	r := newRig(t, Options{})
	r.loose = true
	lost := noon.Add(-72 * time.Hour)
	r.add(key(0), at(lost, 1), at(noon, 2))
	r.addEvent(journal.Event{Kind: journal.GapEvent, At: ms(lost) + 1000, Until: ms(lost) + 2000, Group: "g", Node: "n", Reason: "lost"})
	r.follow()
	r.flush(flushAll)
	r.rollAll()
	if !r.s.dropDay(dayOf(ms(lost)), whyBytes, 0) {
		t.Fatal("the day is not removed")
	}
	month := filepath.Join(r.dir, "history", "trend", "2026-03.db")
	ruin := func() {
		r.close()
		if err := os.Truncate(month, 5000); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(r.dir, "journal")); err != nil {
			t.Fatal(err)
		}
		r.open()
		r.follow()
	}
	ruin()
	r.add(key(0), at(lost.Add(time.Hour), 3))
	r.follow()
	r.flush(flushAll)
	ruin()
	got := r.read(key(0), lost.Add(-time.Hour), lost.Add(2*time.Hour))
	if !slices.ContainsFunc(got.Gaps, func(g Gap) bool { return g.From <= ms(lost) && ms(lost)+2000 < g.To }) {
		t.Errorf("nothing is told of the gap that is lost: %v\n%s", got.Gaps, r.events())
	}
	r.close()
}
