package historian

import (
	"context"
	"strings"
	"testing"
	"time"

	"edge/historian/journal"
)

// A flush begins right after a record's samples are in memory, as Run's two goroutines may: what it writes is within its own
// position, so that the backlog has it once it has left the memory, and a replay after a crash does not bring it again.
func TestFlushBetweenRecords(t *testing.T) {
	r := newRig(t, Options{})
	r.add(key(0), at(noon, 1))
	r.follow()
	id, _ := r.s.Resolve(key(0))
	var batch []journal.Sample
	for i := range 50 {
		v := at(noon.Add(time.Duration(i+1)*time.Second), float64(i+2))
		v.Series = id
		batch = append(batch, v)
	}
	first := r.j.Durable() + 1
	r.append(journal.Record{Kind: journal.KindSamples, Samples: batch})
	r.addEvent(journal.Event{Kind: journal.SystemEvent, At: ms(noon), Reason: "said once"})
	if err := r.j.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	for {
		rec, ok, err := r.s.reader.TryNext()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		r.s.apply(&rec)
		r.flush(flushAll)
	}
	r.s.passed(r.s.reader.Pos() - 1)
	r.flush(flushAll)
	last := r.j.Durable()
	if got, next, err := r.s.Backlog(context.Background(), "g", "n", first, last+1, 1000); err != nil || len(got) != 50 || next != last+1 {
		t.Errorf("%d samples of backlog, next %d, %v; want 50 and %d", len(got), next, err, last+1)
	}
	r.crash()
	r.open()
	if st := r.s.Stats(); st.SamplesTotal != 51 || st.Head != 0 {
		t.Errorf("after a crash %d samples, %d of them in memory; want 51 and 0", st.SamplesTotal, st.Head)
	}
	if n := strings.Count(r.events(), "said once"); n != 1 {
		t.Errorf("an event is there %d times", n)
	}
	r.close()
}
