package historian

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/historian/journal"
)

// oldFiles are files as they were.
type oldFiles map[string][]byte

func asTheyAre(t *testing.T, paths ...string) oldFiles {
	t.Helper()
	out := make(oldFiles)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[path] = data
	}
	return out
}

func (o oldFiles) putBack(t *testing.T) {
	t.Helper()
	for path, data := range o {
		if err := os.WriteFile(path, data, 0o640); err != nil {
			t.Fatal(err)
		}
	}
}

// A disk loses a day's last transaction with its meta page: the file is whole and older. What the log has is taken again; what it has not is a
// gap, of the time that was written.
func TestLostTransaction(t *testing.T) {
	late := noon.Add(-47 * time.Hour)
	for _, c := range []struct {
		name     string
		logLost  bool
		more     int // flushes to other days after it
		missing  int
		from, to time.Time // of the gap
	}{
		{"the log has it", false, 0, 0, time.Time{}, time.Time{}},
		{"the log has it, and the catalog went on", false, 2, 0, time.Time{}, time.Time{}},
		{"the log is lost", true, 0, 2, late.Truncate(10 * time.Minute), late.Truncate(10 * time.Minute).Add(10 * time.Minute)},
		{"the log is lost, and the catalog went on", true, 2, 2, late.Truncate(10 * time.Minute), late.Truncate(10 * time.Minute).Add(10 * time.Minute)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{})
			threeDays(r, 0)
			old := asTheyAre(t, r.dayPath(late))
			r.add(key(0), at(late.Add(time.Second), 70), at(late.Add(2*time.Second), 71))
			r.follow()
			r.flush(flushAll)
			for i := range c.more {
				r.add(key(0), at(noon.Add(time.Duration(i)*time.Minute), 80))
				r.follow()
				r.flush(flushAll)
			}
			r.close()
			old.putBack(t)
			if c.logLost {
				if err := os.RemoveAll(filepath.Join(r.dir, "journal")); err != nil {
					t.Fatal(err)
				}
			}
			r.loose = true
			r.open()
			r.follow()
			for _, when := range []string{"", "when it was opened again"} {
				if when != "" {
					r.close()
					r.open()
				}
				if e := r.events(); strings.Count(e, "older than it was") != 1 {
					t.Errorf("%s: events\n%s", when, e)
				}
				got := r.read(key(0), noon.Add(-72*time.Hour), noon.Add(-time.Minute))
				if n := len(got.Samples); n != 32-c.missing {
					t.Errorf("%s: %d samples, want %d", when, n, 32-c.missing)
				}
				if c.missing == 0 && len(got.Gaps) > 0 || c.missing > 0 && (len(got.Gaps) != 1 || got.Gaps[0].From != ms(c.from) || got.Gaps[0].To != ms(c.to)) {
					t.Errorf("%s: gaps %v, want %s to %s", when, got.Gaps, c.from, c.to)
				}
			}
			r.close()
		})
	}
}

// The catalog goes back by flushes: the series that came with them are still known, no number is given twice, and nothing is lost.
func TestCatalogThatWentBack(t *testing.T) {
	r := newRig(t, Options{})
	threeDays(r, 0)
	old := asTheyAre(t, filepath.Join(r.dir, "history", "catalog.db"))
	for i := range 3 {
		r.add(key(3+i), at(noon.Add(time.Duration(i)*time.Minute), 5))
		r.follow()
		r.flush(flushAll)
	}
	r.close()
	old.putBack(t)
	if err := os.RemoveAll(filepath.Join(r.dir, "journal")); err != nil {
		t.Fatal(err)
	}
	r.loose = true
	r.open()
	r.add(key(9), at(noon.Add(time.Hour), 9))
	r.follow()
	r.flush(flushAll)
	for i := range 3 {
		if got := r.read(key(3+i), noon, noon.Add(2*time.Hour)); !slices.Equal(values(got.Samples), []float64{5}) {
			t.Errorf("metric %d: %v", 3+i, values(got.Samples))
		}
	}
	if got := r.read(key(9), noon, noon.Add(2*time.Hour)); !slices.Equal(values(got.Samples), []float64{9}) {
		t.Errorf("a metric that came later: %v", values(got.Samples))
	}
	r.close()
	r.open()
	if e := r.events(); strings.Count(e, "catalog.db is older than it was") != 1 || strings.Contains(e, "gap") {
		t.Errorf("events\n%s", e)
	}
	r.close()
}

// Files that are not there any more are told of, once; what the log has of them is there again.
func TestMissingFiles(t *testing.T) {
	for _, c := range []struct {
		name, file string
		logLost    bool
		missing    int
		gap        bool
	}{
		{"a day", "part/2026-03-09.db", true, 12, true},
		{"a day that the log has", "part/2026-03-09.db", false, 0, true},
		{"a month", "trend/2026-03.db", true, 0, false}, // its days are there
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{})
			threeDays(r, 0)
			r.close()
			if err := os.Remove(filepath.Join(r.dir, "history", c.file)); err != nil {
				t.Fatal(err)
			}
			if c.logLost {
				if err := os.RemoveAll(filepath.Join(r.dir, "journal")); err != nil {
					t.Fatal(err)
				}
			}
			r.loose = true
			r.open()
			r.follow()
			for range 2 {
				r.flush(flushAll)
				r.rollAll()
				got := r.read(key(0), noon.Add(-72*time.Hour), noon)
				if n := len(got.Samples); n != 30-c.missing {
					t.Errorf("%d samples, want %d", n, 30-c.missing)
				}
				if c.gap != slices.ContainsFunc(got.Gaps, func(g Gap) bool { return g.From == ms(noon)/dayMillis*dayMillis-dayMillis }) {
					t.Errorf("gaps %v", got.Gaps)
				}
				if e := r.events(); strings.Count(e, "is missing: ") != 1 {
					t.Errorf("events\n%s", e)
				}
				r.close()
				r.open()
			}
			r.close()
		})
	}
}

// A month that lost its last transaction has its hours added again by the days that are there; of a day that is no more it is a gap.
func TestMonthThatWentBack(t *testing.T) {
	r := newRig(t, Options{})
	threeDays(r, 0)
	gone := noon.Add(-48 * time.Hour)
	r.addEvent(journal.Event{Kind: journal.GapEvent, At: ms(gone), Until: ms(gone) + 5000, Group: "g", Node: "n", Reason: "lost"})
	r.follow()
	r.flush(flushAll)
	r.rollAll()
	month := filepath.Join(r.dir, "history", "trend", "2026-03.db")
	old := asTheyAre(t, month)
	if !r.s.dropDay(dayOf(ms(gone)), whyBytes, 0) {
		t.Fatal("the day is not removed")
	}
	r.close()
	old.putBack(t)
	r.loose = true
	r.open()
	r.follow()
	r.rollAll()
	got := r.read(key(0), gone.Add(-6*time.Hour), gone.Add(72*time.Hour))
	if !slices.ContainsFunc(got.Gaps, func(g Gap) bool {
		return g.From <= ms(gone) && g.To > ms(gone)+5000 && g.To <= dayStart(dayOf(ms(gone))+1)
	}) {
		t.Errorf("gaps %v\n%s", got.Gaps, r.events())
	}
	r.close()
	r.open()
	if e := r.events(); strings.Count(e, "older than it was") != 1 {
		t.Errorf("events\n%s", e)
	}
	r.close()
}

// Power fails between any two transactions of any two files: no file is behind what another says of it, on a disk that is honest.
func TestLedgerOfAnHonestDisk(t *testing.T) {
	r := newRig(t, Options{Raw: 24 * time.Hour, Minute: 48 * time.Hour})
	for i := range 24 {
		now := r.clock.Now()
		r.add(key(i%3), at(now.Add(-time.Duration(i%4)*20*time.Hour), float64(i)), at(now, 1))
		r.follow()
		r.flush(i%2 == 0)
		r.crash() // open looks at what is told
		r.open()
		r.follow()
		r.rollAll()
		r.crash()
		r.open()
		r.s.retainAge()
		r.crash()
		r.open()
		r.clock.Set(now.Add(5 * time.Hour))
		r.s.lookAtClock()
	}
	r.close()
}
