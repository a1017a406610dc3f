package historian

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// What is put of a file that is written anew does not lie in the old file's memory when that is closed.
func TestAnewOutlivesItsSource(t *testing.T) {
	r := newRig(t, Options{})
	defer r.close()
	r.fill(time.Hour)
	r.follow()
	r.flush(flushAll)
	d := r.s.days.get(dayOf(ms(noon) - 1))
	a, err := beginAnew(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.from(func(tx *bolt.Tx) error { return samplesFrom(0)(tx, a) }); err != nil {
		t.Fatal(err)
	}
	d.close() // as a question about many days does
	if err := a.finish(); err != nil {
		t.Fatal(err)
	}
	if got := r.read(key(0), noon.Add(-time.Hour), noon).Samples; len(got) != 3600 {
		t.Errorf("%d samples, want 3,600", len(got))
	}
}

// A day that is written anew between two steps of Backlog has other flushes; nothing is passed over.
func TestBacklogWhileADayIsWrittenAnew(t *testing.T) {
	for step := 1; step <= 4; step++ {
		r := newRig(t, Options{})
		for i := range 40 {
			r.add(key(0), at(noon.Add(time.Duration(i)*time.Minute), 1), at(noon.Add(time.Duration(i/2)*time.Minute+time.Second), 2))
			r.follow()
			r.flush(flushAll)
		}
		want, _, err := r.s.Backlog(context.Background(), "g", "n", 1, r.j.Durable()+1, 1000)
		if err != nil || len(want) != 60 {
			t.Fatal(len(want), err) // half of the late ones say what is there
		}
		r.clock.Set(noon.Add(14 * time.Hour))
		r.s.lookAtClock()
		calls := 0
		ctx := asking{context.Background(), func() error {
			if calls++; calls == step {
				for range 100 {
					r.s.rewriteLate(context.Background())
				}
			}
			return nil
		}}
		got, _, err := r.s.Backlog(ctx, "g", "n", 1, r.j.Durable()+1, 1000)
		if err != nil || len(got) != len(want) {
			t.Errorf("written anew at step %d: %d samples, %v; want %d", step, len(got), err, len(want))
		}
		if r.s.days.about(dayOf(ms(noon))).rewritten != 1 {
			t.Error("the day is not written anew")
		}
		r.close()
	}
}

// A late sample brings a removed day back; the hours that the trend file has of the day stay.
func TestLateSampleOfARemovedDayKeepsItsHours(t *testing.T) {
	r := newRig(t, Options{})
	defer r.close()
	steady(r)
	r.clock.Set(noon.Add(36 * time.Hour))
	r.s.lookAtClock()
	r.rollAll()
	day := dayOf(ms(noon))
	if !r.s.dropDay(day, whyBytes, 0) {
		t.Fatal("the day is not removed")
	}
	r.add(key(0), at(noon.Add(30*time.Minute), 5), at(noon.Add(5*time.Hour), 5))
	r.follow()
	r.flush(flushAll)
	r.rollAll()
	from := time.UnixMilli(int64(dayStart(day))).UTC()
	hours, _ := r.rowsOf(key(0), hourMillis, from, from.Add(24*time.Hour))
	if n := counted(hours); n != 7201 {
		t.Errorf("the hours count %d samples, want those of the removed day and one", n)
	}
	hours, _ = r.rowsOf(key(1), hourMillis, from, from.Add(24*time.Hour))
	if n := counted(hours); n != 12 {
		t.Errorf("of another metric they count %d, want 12", n)
	}
}

// Of each damaged day a store that is only read tells.
func TestReadOnlyTellsOfEachDamagedDay(t *testing.T) {
	r := newRig(t, Options{})
	for i := range 4 {
		r.clock.Set(noon.Add(time.Duration(i) * 24 * time.Hour))
		r.s.lookAtClock()
		r.add(key(0), at(r.clock.Now(), 1))
		r.follow()
		r.flush(flushAll)
	}
	r.close()
	for _, i := range []int{0, 2} {
		if err := os.WriteFile(r.dayPath(noon.Add(time.Duration(i)*24*time.Hour)), make([]byte, 16384), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	j, err := journal.OpenReadOnly(filepath.Join(r.dir, "journal"), journal.Options{Clock: r.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenReadOnly(filepath.Join(r.dir, "history"), j, r.o)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Read(context.Background(), Range{Group: "g", Node: "n", Device: "d", Metric: "m0", From: ms(noon) - 1, To: ms(noon.Add(96 * time.Hour))})
	if err != nil || len(out.Samples) != 4 || len(out.Gaps) != 2 { // the journal still has them
		t.Errorf("%d samples, gaps %v, %v; want 4 and 2", len(out.Samples), out.Gaps, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// A month's file that is damaged is begun anew, and has what the days know.
func TestDamagedMonthBeginsAnew(t *testing.T) {
	r := newRig(t, Options{})
	defer r.close()
	steady(r)
	r.clock.Set(noon.Add(36 * time.Hour))
	r.s.lookAtClock()
	r.rollAll()
	path, page := filepath.Join(r.dir, "history", "trend", "2026-03.db"), int64(0)
	month := r.s.trends.get(monthOf(ms(noon)))
	err := month.update(func(tx *bolt.Tx) error { // so much that it has pages of its own
		return tx.Bucket(bucketHour).Put(hourKey(dayStart(dayOf(ms(noon))-1), 1), make([]byte, 2048))
	})
	if err == nil {
		err = month.view(func(tx *bolt.Tx) error {
			page = int64(tx.Bucket(bucketHour).Root())
			return nil
		})
	}
	month.close()
	f, e := os.OpenFile(path, os.O_WRONLY, 0)
	if e == nil {
		_, e = f.WriteAt(bytes.Repeat([]byte{0xA5}, 4096), page*4096)
	}
	if err := errors.Join(err, e, f.Close()); err != nil || page < 2 {
		t.Fatal(page, err)
	}
	r.add(key(0), at(noon.Add(20*time.Minute+time.Millisecond), 3))
	r.follow()
	r.s.lookAtClock()
	r.flush(flushAll)
	r.rollAll()
	r.rollAll()
	again := r.s.trends.get(month.unit)
	again.close()
	if err := again.writes(); err != nil {
		t.Errorf("the month is still damaged: %v", err)
	}
	if day := dayOf(ms(noon)); !r.s.hasTrend(day) || !r.s.isTrended(day) {
		t.Error("the month lacks the day")
	}
}

// Of two samples with one time the last to arrive is exported, whichever block begins earlier in the log.
func TestRowsAreInOrderOfArrival(t *testing.T) {
	r := newRig(t, Options{})
	defer r.close()
	r.add(key(0), at(noon.Add(-2*time.Minute), 0))
	r.follow()
	r.flush(flushAll)
	sample := func(i journal.Index, when time.Time, f float64) journal.Sample {
		v := at(when, f)
		v.Index, v.Series, v.Value.Type = i, 1, 10
		return v
	}
	window, err := r.s.encoder.Encode([]journal.Sample{sample(50, noon.Add(-time.Minute), 1), sample(51, noon.Add(-time.Second), 1)})
	if err != nil {
		t.Fatal(err)
	}
	late, err := r.s.encoder.Encode([]journal.Sample{sample(40, noon.Add(-50*time.Minute), 2), sample(60, noon.Add(-time.Minute), 2)})
	if err != nil {
		t.Fatal(err)
	}
	group := r.s.catalog.get(1).group
	err = r.s.days.get(dayOf(ms(noon))).update(func(tx *bolt.Tx) error {
		unit := unitOf(ms(noon.Add(-10*time.Minute))) + 5
		return errors.Join(put(tx.Bucket(bucketBlock), bucketBlock, blockKey(unit, group), window),
			put(tx.Bucket(bucketLate), bucketLate, append(lateKey(9, group), 0, 0), late))
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, rows := range rowsOf(t, r.s, Selection{From: ms(noon.Add(-time.Hour)), To: ms(noon)}) {
		for _, row := range rows {
			if row.Gap == nil && row.At == ms(noon.Add(-time.Minute)) && row.Value.Num != double(2).Num {
				t.Errorf("exported is %v, which came before another one", row.Sample)
			}
		}
		if len(rows) != 4 {
			t.Errorf("%d rows, want 4", len(rows))
		}
	}
}

// While a backup reads a day, no flush waits for it to be written anew.
func TestNoDayIsWrittenAnewWhileABackupReads(t *testing.T) {
	r := newRig(t, Options{})
	defer r.close()
	for i := range 40 {
		r.add(key(0), at(noon.Add(time.Duration(i)*time.Minute), 1), at(noon.Add(time.Duration(i/2)*time.Minute+time.Second), float64(i)))
		r.follow()
		r.flush(flushAll)
	}
	r.clock.Set(noon.Add(14 * time.Hour))
	r.s.lookAtClock()
	for _, copying := range []bool{true, false} {
		r.s.copying.Store(copying)
		for range 100 {
			r.s.rewriteLate(context.Background())
		}
		if anew := r.s.days.about(dayOf(ms(noon))).rewritten == 1; anew == copying {
			t.Errorf("with a backup under way: %t; the day is written anew: %t", copying, anew)
		}
	}
}
