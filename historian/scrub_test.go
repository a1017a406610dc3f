package historian

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The scrub finds what nobody asked for, a little at a time: a bit in a block's payload is told of, a row that is hidden is mended.
func TestScrub(t *testing.T) {
	for _, c := range []struct {
		name  string
		hurt  func(t *testing.T, path string)
		event string
		lost  int // samples, after mending
	}{
		{"a bit of a payload", flipPayload, "stored samples are damaged in", 86},
		{"a bit of a key", flipLastKey, "moved to the quarantine", 0},
		{"nothing", func(*testing.T, string) {}, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{})
			r.loose = true
			truth := mutationFill(r)
			path := filepath.Join(r.dir, "history", "part", "2026-03-08.db")
			c.hurt(t, path)
			r.open()
			turns, last := 0, uint64(0)
			for turns == 0 || r.s.Stats().Unscrubbed > 0 {
				turns++
				r.s.scrubOn()
				if read := r.s.Stats().Scrubbed - last; read > scrubBytes+1<<20 {
					t.Fatalf("%d bytes in a turn", read)
				}
				last = r.s.Stats().Scrubbed
			}
			r.s.mendHurt()
			if e := r.events(); c.event == "" && (strings.Contains(e, "damaged") || r.s.Stats().Damaged > 0) || !strings.Contains(e, c.event) {
				t.Errorf("events:\n%s\n%+v", e, r.s.Stats())
			}
			if n := len(truth) - len(r.read(key(0), noon.Add(-72*time.Hour), noon).Samples); n != c.lost {
				t.Errorf("%d samples are missing, want %d", n, c.lost)
			}
			read := r.s.Stats().Scrubbed
			r.s.scrubOn()
			r.clock.Set(r.clock.Now().Add(scrubEvery))
			if rest := r.s.Stats().Scrubbed; rest != read {
				t.Errorf("it does not rest: %d bytes after %d", rest, read)
			}
			r.s.scrubOn()
			if r.s.Stats().Scrubbed == read {
				t.Error("a week later it reads nothing")
			}
			r.close()
		})
	}
}

// flipLastKey hides the last block of a day.
func flipLastKey(t *testing.T, path string) {
	t.Helper()
	places, data := placesIn(t, path)
	last := -1
	for i, p := range places {
		if p.bucket == "blk" && p.what == "key" {
			last = i
		}
	}
	data[places[last].at+7] ^= 0x40 // of the group: still in order
	if err := os.WriteFile(path, data, 0o640); err != nil {
		t.Fatal(err)
	}
}

// A disk may show damage long after a file was read and found good: each round of the scrub adds its buckets up again.
func TestScrubAgain(t *testing.T) {
	for _, c := range []struct {
		name  string
		hurt  func(t *testing.T, path string)
		event string
	}{
		{"a bit of a key", flipLastKey, "moved to the quarantine"},
		{"a bit of a large value", flipObject, "stored samples are damaged in"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{})
			r.loose = true
			mutationFill(r)
			r.open()
			r.add(textKey(), large(noon.Add(-48*time.Hour), 1))
			r.follow()
			r.flush(flushAll)
			round := func() {
				for r.s.scrubOn(); r.s.Stats().Unscrubbed > 0; {
					r.s.scrubOn()
				}
				r.s.mendHurt()
			}
			round()
			if r.s.Stats().Damaged > 0 {
				t.Fatalf("damage before there is one:\n%s", r.events())
			}
			c.hurt(t, filepath.Join(r.dir, "history", "part", "2026-03-08.db"))
			r.clock.Set(r.clock.Now().Add(scrubEvery))
			if round(); !strings.Contains(r.events(), c.event) {
				t.Errorf("the second round found nothing; events:\n%s", r.events())
			}
			r.close()
		})
	}
}

// flipObject changes a bit of what a day's first large value says of its length.
func flipObject(t *testing.T, path string) {
	t.Helper()
	var at int
	places, data := placesIn(t, path)
	for _, p := range places {
		if p.bucket == "obj" && p.what == "key" && at == 0 {
			at = p.at + p.len + 2
		}
	}
	if at == 0 {
		t.Fatal("the day has no large value")
	}
	data[at] ^= 0x10
	if err := os.WriteFile(path, data, 0o640); err != nil {
		t.Fatal(err)
	}
}

// The catalog is read in each round. Damaged while the store runs it is made anew, and nothing of it is lost that can be read.
func TestScrubOfTheCatalog(t *testing.T) {
	for _, c := range []struct {
		name   string
		bucket string
		lost   bool // rows that nothing else has
	}{
		{"a series", "series", false},
		{"a position", "meta", false},
		{"a last value", "last", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{})
			r.loose = true
			threeDays(r, 0)
			r.add(key(5), at(noon.Add(-60*time.Hour), 5)) // is silent since
			r.follow()
			r.flush(flushAll)
			if !r.s.thinDay(dayOf(ms(noon.Add(-60*time.Hour))), whyAge, 0) {
				t.Fatal("the day keeps its samples")
			}
			path := filepath.Join(r.dir, "history", "catalog.db")
			places, data := placesIn(t, path)
			hurt := false
			for _, p := range places {
				if p.bucket == c.bucket && p.what == "value" && !hurt {
					data[p.at+p.len-1] ^= 1
					hurt = true
				}
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil || !hurt {
				t.Fatal(err, hurt)
			}
			if _, err := f.WriteAt(data, 0); err != nil || f.Close() != nil {
				t.Fatal(err)
			}
			r.s.scrubOn()
			r.follow()
			if e := r.events(); !strings.Contains(e, "made anew") || c.lost != strings.Contains(e, "days that are no more may be lost") {
				t.Errorf("events\n%s", e)
			}
			for _, when := range []string{"", "when it was opened again"} {
				if when != "" {
					r.add(key(0), at(noon, 1))
					r.follow()
					r.flush(flushAll)
					r.close()
					r.open()
				}
				if n := len(r.read(key(1), noon.Add(-72*time.Hour), noon).Samples); n != 18 {
					t.Errorf("%s: %d samples, want 18", when, n)
				}
				last, err := r.s.Latest(t.Context(), nil)
				if err != nil || !c.lost && len(last) != 3 {
					t.Errorf("%s: last values %v, %v", when, last, err)
				}
				if e := r.events(); strings.Count(e, "moved to") != 1 {
					t.Errorf("%s: events\n%s", when, e)
				}
			}
			r.close()
		})
	}
}
