package historian

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"edge/historian/journal"
)

// A crash between the files of two days leaves a flush half written. What the other day lacked comes back from the journal
// at the place where Backlog looks for it.
func TestTornFlushBacklog(t *testing.T) {
	r := newRig(t, Options{})
	for i := range 10 {
		r.add(key(0), at(noon.Add(time.Duration(i)*time.Second), float64(i)))
		r.add(key(0), at(noon.Add(-48*time.Hour+time.Duration(i)*time.Second), 100+float64(i))) // stored by its node for two days
	}
	r.follow()
	r.s.take(flushAll)
	torn := r.s.pending.pos
	first := r.s.jobs(r.s.pending)[0]
	if err := r.s.writeDay(r.s.days.get(first.day), first, torn); err != nil {
		t.Fatal(err)
	}
	r.crash()

	r.open()
	for i := range 10 {
		r.add(key(0), at(noon.Add(time.Duration(20+i)*time.Second), float64(i)))
	}
	r.follow()
	r.flush(flushAll)
	for _, to := range []journal.Index{torn.applied + 1, torn.applied / 2} {
		got, next, err := r.s.Backlog(context.Background(), "g", "n", 1, to, 1000)
		if want := int(to) - 2; err != nil || next != to || len(got) != want { // the first index is the schema
			t.Errorf("%d samples below %d, next %d, err %v; want %d", len(got), to, next, err, want)
		}
	}
	if n := r.s.Stats().SamplesTotal; n != 30 {
		t.Errorf("%d samples, want 30", n)
	}
	r.close()
}

// The log is lost while the window that has just begun was only in it. What comes then has indices of its own: nothing of it
// is taken for what the files have.
func TestLogLostInAWindow(t *testing.T) {
	r := newRig(t, Options{})
	r.clock.Set(noon.Add(10 * time.Minute).Add(windowGrace + time.Second))
	r.add(key(0), at(noon.Add(10*time.Minute+time.Second), 1)) // held
	for i := range 20 {
		r.add(key(0), at(noon.Add(time.Duration(i)*time.Second), 2))
	}
	r.follow()
	r.flush(flushWindows)
	if r.s.pos.checkpoint >= r.s.pos.applied {
		t.Fatalf("position %+v, want a window held", r.s.pos)
	}
	r.crash()
	if err := os.RemoveAll(filepath.Join(r.dir, "journal")); err != nil {
		t.Fatal(err)
	}
	r.open()
	for i := range 20 {
		r.add(key(0), at(noon.Add(time.Minute+time.Duration(i)*time.Second), 3))
	}
	r.follow()
	if n := len(r.read(key(0), noon, noon.Add(time.Hour)).Samples); n != 40 {
		t.Errorf("%d samples, want 20 of the file and 20 new ones", n)
	}
	r.close()
}

// A machine without a clock of its own starts in the past. What was taken before is taken again, samples and events.
func TestReplayInThePast(t *testing.T) {
	r := newRig(t, Options{})
	r.add(key(0), at(noon.Add(-2*time.Minute), 1), at(noon.Add(-time.Minute), 2))
	r.addEvent(death(noon.Add(-30 * time.Second)))
	r.follow()
	r.crash()

	r.clock.Set(noon.Add(-90 * 24 * time.Hour))
	r.open()
	r.close()

	r.clock.Set(noon)
	r.open()
	out := r.read(key(0), noon.Add(-time.Hour), noon)
	if len(out.Samples) != 2 || len(out.Gaps) != 1 || out.Gaps[0].From != ms(noon)-30_000 {
		t.Errorf("samples %v, gaps %v; want two, and the gap of the death", out.Samples, out.Gaps)
	}
	r.close()
}
