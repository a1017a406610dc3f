package historian

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/historian/journal"
)

// Today is told of a gap over a midnight of some days ago: it is in three files. One of them loses its last transaction, which held the gap's
// row or the mark that an hour is to be rolled up again, and nothing else lacks. The hours are those of the gap all the same.
func TestEventOfSeveralDaysThatIsUndone(t *testing.T) {
	midnight := noon.Add(-60 * time.Hour)
	for name, reverted := range map[string]time.Time{"the day of its beginning": midnight.Add(-time.Hour), "the day of its end": midnight} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{})
			other := key(1)
			other.Node = "other" // the gap is not its
			r.add(other, at(midnight.Add(-12*time.Hour), 5))
			r.add(key(0), at(midnight.Add(10*time.Minute), 5), at(noon, 5))
			r.follow()
			r.flush(flushAll)
			r.rollAll()
			path := r.dayPath(reverted)
			gap := journal.Event{Kind: journal.GapEvent, At: ms(midnight) - hourMillis/2, Until: ms(midnight) + hourMillis/2, Group: "g", Node: "n"}
			r.addEvent(gap)
			r.follow()
			r.flush(flushAll)
			told, err := os.ReadFile(path) // the gap, or the mark, is its last transaction
			if err != nil {
				t.Fatal(err)
			}
			r.close()
			if err := os.WriteFile(path, told, 0o640); err != nil {
				t.Fatal(err)
			}
			zeroNewestMeta(t, path)
			r.open()
			r.flush(flushAll)
			r.rollAll()
			q, err := r.s.query(Range{Group: "g", Node: "n", Device: "d", Metric: "m0", From: ms(midnight) - 2*hourMillis, To: ms(midnight) + 2*hourMillis})
			if err != nil {
				t.Fatal(err)
			}
			var good []journal.Millis
			err = q.rollups(context.Background(), hourMillis, func(p rollPart) bool {
				for _, row := range p.Rows {
					good = append(good, row.GoodMs)
				}
				return p.Known
			})
			if want := []journal.Millis{hourMillis / 3}; err != nil || !slices.Equal(good, want) {
				t.Errorf("of the hours' milliseconds %v are good, %v; want %v up to the end of the gap", good, err, want)
			}
			if got := r.read(key(0), midnight.Add(-2*time.Hour), midnight.Add(2*time.Hour)).Gaps; len(got) != 1 || got[0].From != gap.At {
				t.Errorf("gaps %v", got)
			}
			r.close()
		})
	}
}

// zeroNewestMeta takes a file's last transaction from it.
func zeroNewestMeta(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, pageBytes), readMetas(f)[0].page*pageBytes); err != nil {
		t.Fatal(err)
	}
}

// What a full day has no room for is told with its number, events too, and counted; that a device died is known all the same.
func TestEventsOfAFullDay(t *testing.T) {
	r := newRig(t, Options{DayBytes: 256 << 10, HeadBytes: 1 << 20})
	r.add(key(0), at(noon, 1))
	r.follow()
	r.flush(flushAll)
	job := &dayJob{day: dayOf(ms(noon)), head: r.s.head}
	died := loggedEvent{death(noon.Add(time.Minute)), ms(noon)}
	job.events, job.life = []loggedEvent{died, {journal.Event{Kind: journal.SystemEvent, At: ms(noon)}, ms(noon)}}, []loggedEvent{died}
	r.s.giveUp(job)
	if st := r.s.Stats(); st.LostEvents != 2 || st.LostSamples != 0 {
		t.Errorf("%+v, want 2 events", st)
	}
	r.follow()
	list, err := r.s.Events(context.Background(), EventQuery{Kinds: []journal.EventKind{journal.GapEvent}})
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	if e := list[0]; !strings.Contains(e.Reason, "2 events are lost") || e.At > e.Until || e.At != ms(noon) || e.Until != ms(noon)+60_001 {
		t.Errorf("%+v", e)
	}
	r.close()
}

// What the log gives back of a day that lost its last transaction is given back as often as the power fails before it is written.
func TestPowerFailsAfterADayWasReverted(t *testing.T) {
	for _, c := range []struct {
		name string
		hurt func(*testing.T, string)
	}{
		{"its newest meta page is lost", zeroNewestMeta},
		{"a page that its last transaction wrote is lost", zeroNewestRoot},
		{"all of it is lost", emptyFile},
		{"all but its first half is lost", func(t *testing.T, path string) { truncateTo(t, path, 2*pageBytes) }},
		{"it is gone", removeFile},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{})
			r.loose = true
			r.add(key(0), at(noon, 1))
			r.follow()
			r.flush(flushAll)
			r.add(key(0), at(noon.Add(time.Minute), 2))
			r.follow()
			r.flush(flushAll)
			r.add(key(0), at(noon.Add(24*time.Hour), 3)) // the catalog is further than the day
			r.clock.Set(noon.Add(25 * time.Hour))
			r.follow()
			r.flush(flushAll)
			r.close()
			c.hurt(t, r.dayPath(noon))
			for range 3 {
				r.open()
				r.follow()
				if got := values(r.read(key(0), noon.Add(-time.Hour), noon.Add(48*time.Hour)).Samples); !slices.Equal(got, []float64{1, 2, 3}) {
					t.Fatalf("samples %v", got)
				}
				r.crash()
			}
			r.open()
			r.close()
		})
	}
}

func truncateTo(t *testing.T, path string, bytes int64) {
	t.Helper()
	if err := os.Truncate(path, bytes); err != nil {
		t.Fatal(err)
	}
}

func emptyFile(t *testing.T, path string) { truncateTo(t, path, 0) }

func removeFile(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// zeroNewestRoot takes the page from a file that its newest meta page leads to, and leaves it the meta page.
func zeroNewestRoot(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, pageBytes), int64(readMetas(f)[0].root)*pageBytes); err != nil {
		t.Fatal(err)
	}
}

// Damaged days that are mended one after the other when the store opens stay below the limit of bytes, wrecks and all.
func TestMendingStaysBelowTheLimit(t *testing.T) {
	r := newRig(t, Options{})
	r.loose = true
	for day := range 8 {
		r.noise(noon.Add(-time.Duration(day)*24*time.Hour), 20_000)
	}
	r.follow()
	r.flush(flushAll)
	r.close()
	dir := filepath.Join(r.dir, "history")
	files, _ := filepath.Glob(filepath.Join(dir, "part", "*.db"))
	r.o.MaxBytes = diskBytes(dir) * 5 / 4 // room for one file beside those that are there
	for _, path := range files {
		zeroNewestMeta(t, path)
	}
	most := int64(0)
	r.o.Log = slog.New(watching{slog.DiscardHandler, func() { most = max(most, diskBytes(dir)) }})
	if err := os.RemoveAll(filepath.Join(r.dir, "journal")); err != nil {
		t.Fatal(err)
	}
	r.open()
	defer r.close()
	if most = max(most, diskBytes(dir)); len(files) < 8 || most > r.o.MaxBytes {
		t.Errorf("%d bytes while %d days were mended, the limit is %d", most, len(files), r.o.MaxBytes)
	}
	if wrecks := wrecks(r.s.o.Quarantine); len(wrecks) == 0 {
		t.Error("no damaged file is kept, though there is room for one")
	}
}

// watching calls a function whenever something is logged.
type watching struct {
	slog.Handler
	look func()
}

func (w watching) Enabled(context.Context, slog.Level) bool { return true }

func (w watching) Handle(context.Context, slog.Record) error {
	w.look()
	return nil
}
