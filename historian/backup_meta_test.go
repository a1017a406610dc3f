package historian

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/historian/journal"
)

// A backup is whole wherever each file stands in its count of transactions: bbolt's copy has its meta pages in one order always.
func TestBackupAfterAnyTransaction(t *testing.T) {
	for n := range 4 {
		t.Run(fmt.Sprint(n, " more"), func(t *testing.T) {
			r := newRig(t, Options{})
			defer r.close()
			for i := range 3 + n {
				r.add(key(0), at(noon.Add(time.Duration(i)*time.Hour), float64(i)))
				r.clock.now = noon.Add(time.Duration(i+1) * time.Hour)
				r.follow()
				r.flush(flushAll)
			}
			r.rollAll()
			dir := filepath.Join(t.TempDir(), "backup")
			stop := r.running(t)
			if _, err := r.s.Backup(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
			stop()
			c := restored(t, dir, r.clock.Now())
			defer c.close()
			c.follow()
			if e := c.events(); strings.Contains(e, "damaged") || strings.Contains(e, "lost") {
				t.Errorf("a restored backup tells of damage:\n%s", e)
			}
			if list, err := os.ReadDir(filepath.Join(c.dir, "history", "quarantine")); err == nil {
				t.Errorf("%d files of a restored backup are in the quarantine, %v first", len(list), list[0])
			}
			if got := len(numbers(t, c.s)); got != 3+n {
				t.Errorf("%d samples of %d", got, 3+n)
			}
		})
	}
}

// A day that lost its newest position still has what came after the one before. When the log is lost as well, new samples and
// events get none of the indices that are taken.
func TestLostLogBesideASavedDay(t *testing.T) {
	r := newRig(t, Options{})
	r.add(key(0), at(noon, 0))
	r.follow()
	r.flush(flushAll)
	for i := range 20 {
		r.add(key(0), at(noon.Add(time.Duration(i)*time.Second), float64(i+1)))
		r.addEvent(journal.Event{Kind: journal.SystemEvent, At: ms(noon), Reason: fmt.Sprint("event ", i)})
	}
	r.follow()
	r.flush(flushAll)
	last := r.j.Durable()
	r.close()
	zeroNewestMeta(t, r.dayPath(noon))
	if err := os.RemoveAll(filepath.Join(r.dir, "journal")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(r.dir, "history", "catalog.db")); err != nil {
		t.Fatal(err)
	}
	r.open()
	defer r.close()
	before, events := len(numbers(t, r.s)), strings.Count(r.events(), "event ")
	if before < 20 {
		t.Fatalf("%d samples are saved; the test is about those above the position", before)
	}
	for i := range 5 {
		r.add(key(0), at(noon.Add(time.Minute+time.Duration(i)*time.Second), float64(100+i)))
		r.addEvent(journal.Event{Kind: journal.SystemEvent, At: ms(noon), Reason: fmt.Sprint("new event ", i)})
	}
	r.follow()
	r.flush(flushAll)
	if after := len(numbers(t, r.s)); after != before+5 {
		t.Errorf("%d samples after five more, had %d; the log had given %d", after, before, last)
	}
	if after := strings.Count(r.events(), "event "); after != events+5 {
		t.Errorf("%d events after five more, had %d", after, events)
	}
}
