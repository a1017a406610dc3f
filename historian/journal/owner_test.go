package journal

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// TestTheLogStaysShort lets owners answer requests: the log stays near MaxBytes, and what is above their previous
// checkpoint is always there.
func TestTheLogStaysShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := small()
		o.MaxBytes = 3 * minSegmentBytes
		j, stop := startJournal(t, filepath.Join(t.TempDir(), "j"), o)
		defer stop()
		owner := j.Owner("historian")
		var asked atomic.Int64
		var kept, before Index
		owner.OnRequest(func() {
			asked.Add(1)
			before, kept = kept, j.Durable()
			owner.Checkpoint(kept)
		})
		for n := range 400 {
			if _, err := j.Append(0, sessionRecord(n)); err != nil {
				t.Fatal(err)
			}
			if err := j.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // housekeep is done with what there was to do
			if s := j.Stats(); s.Bytes > o.MaxBytes+2*minSegmentBytes {
				t.Fatalf("after %d records the log has %d bytes in %d segments", n, s.Bytes, s.Segments)
			}
			if oldest := j.Oldest(); oldest > before+1 {
				t.Fatalf("oldest %d, but the checkpoint before the last is %d", oldest, before)
			}
		}
		if asked.Load() < 3 || j.Oldest() == 1 {
			t.Errorf("asked %d times, oldest %d", asked.Load(), j.Oldest())
		}
		if s := j.Stats(); s.Spares != 1 {
			t.Errorf("%d spares", s.Spares)
		}
	})
}

// TestAReaderIsNotRecycledUnder reads slowly while the log moves on: it gets all, or a RecycledError, never something else.
func TestAReaderIsNotRecycledUnder(t *testing.T) {
	o := small()
	o.MaxBytes, o.TailBytes = 2*minSegmentBytes, 1
	j, _ := startJournal(t, filepath.Join(t.TempDir(), "j"), o)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 300 {
			if _, err := j.Append(0, sessionRecord(n+1)); err != nil {
				t.Error(err)
			}
			if err := j.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}()
	r, recycled := j.NewReader(1), 0
	for r.Pos() <= 300 {
		rec, err := r.Next(t.Context())
		var gone *RecycledError
		if errors.As(err, &gone) {
			recycled++
			r = j.NewReader(gone.Oldest)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if want := sessionRecord(int(rec.Index)); string(rec.Data) != string(want.Data) {
			t.Fatalf("record %d is %q", rec.Index, rec.Data)
		}
	}
	<-done
	t.Logf("recycled under the reader %d times", recycled)
}

func TestASegmentBeingReadIsNotRecycled(t *testing.T) {
	o := small()
	o.MaxBytes, o.TailBytes = minSegmentBytes, 1
	j := openJournal(t, filepath.Join(t.TempDir(), "j"), o)
	for n := range 40 {
		appendNow(t, j, sessionRecord(n+1))
	}
	j.mu.Lock()
	s, ref, _ := j.findLocked(3)
	s.pins++
	j.mu.Unlock()
	if _, ok := j.recycleOldest(o.MaxBytes); ok {
		t.Error("recycled under its reader")
	}
	if f := j.readFrame(s, ref); f.first != 3 || f.last != 3 || len(f.payload) == 0 {
		t.Errorf("frame %+v", f)
	}
	if _, ok := j.recycleOldest(o.MaxBytes); !ok {
		t.Error("not recycled after its reader was done")
	}
}

func TestACheckpointOfALostLogMovesTheIndex(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "j")
	j := openJournal(t, dir, small())
	j.Owner("historian").Checkpoint(1000)
	if j.Durable() != 1000 || j.Oldest() != 1001 {
		t.Errorf("durable %d, oldest %d", j.Durable(), j.Oldest())
	}
	if i := appendNow(t, j, sessionRecord(1)); i != 1001 {
		t.Errorf("next index %d, want 1001", i)
	}
	if _, err := j.Append(0, sessionRecord(2)); err != nil {
		t.Fatal(err)
	}
	j.Owner("uplink").Checkpoint(2000) // while a record waits
	if i, err := j.Append(0, sessionRecord(3)); i != 2001 || err != nil {
		t.Errorf("next index %d, %v, want 2001", i, err)
	}
	j.Close()
	j = openJournal(t, dir, small())
	var got []string
	for _, rec := range readAll(t, j, 0) {
		got = append(got, fmt.Sprint(rec.Index, " ", string(rec.Data)))
	}
	if want := "[1001 record 1 1002 record 2 2001 record 3]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %v", got, want)
	}
}
