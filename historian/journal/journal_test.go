package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"edge/historian/journal/powercut"
)

func TestMain(m *testing.M) {
	powercut.Main()
	if os.Getenv(killChildDir) != "" {
		killChild()
		return
	}
	goleak.VerifyTestMain(m)
}

// small is a journal whose segments roll often.
func small() Options { return Options{SegmentBytes: minSegmentBytes, Spares: 1} }

// openJournal opens a journal without a commit loop, and closes it when the test ends.
func openJournal(t testing.TB, dir string, o Options) *Journal {
	t.Helper()
	j, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// startJournal opens a journal and runs its commit loop until the returned stop, or the end of the test.
func startJournal(t testing.TB, dir string, o Options) (j *Journal, stop func()) {
	t.Helper()
	j = openJournal(t, dir, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error("Run:", err)
			}
			if err := j.Close(); err != nil {
				t.Error("Close:", err)
			}
		})
	}
	t.Cleanup(stop)
	return j, stop
}

// sessionRecord is a record that says who it is.
func sessionRecord(n int) Record {
	return Record{Kind: KindSession, Data: fmt.Appendf(nil, "record %d", n)}
}

// appendNow appends and commits, with no commit loop running.
func appendNow(t testing.TB, j *Journal, recs ...Record) Index {
	t.Helper()
	i, err := j.Append(0, recs...)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.commit(); err != nil {
		t.Fatal(err)
	}
	return i
}

// readAll returns all durable records from an index on.
func readAll(t testing.TB, j *Journal, from Index, kinds ...Kind) []Record {
	t.Helper()
	var recs []Record
	r := j.NewReader(from, kinds...)
	for {
		rec, ok, err := r.TryNext()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return recs
		}
		recs = append(recs, rec)
	}
}

// everyKind is one record of each kind, with every field set somewhere.
func everyKind() []Record {
	return []Record{
		{Kind: KindSchema, Schema: &Schema{Series: 7, Key: SeriesKey{"Plant", "Press 1", "Drive", "Speed", 9}}},
		{Kind: KindSamples, Samples: []Sample{
			{Series: 7, At: 1_700_000_000_000, Received: 1_700_000_000_004, Value: Value{Type: 9, Num: 0x41A40000}, Quality: Good},
			{Series: 8, At: 1_700_000_000_000, Received: 1_700_000_000_004, Value: Value{Type: 9, Num: 0x7F800000}, Quality: Bad, Birth: true},
			{Series: 3, At: 1_699_999_000_000, Received: 1_700_000_000_004, Value: Value{Type: 12, Bytes: []byte("läuft")}, Quality: Good, Historical: true},
			{Series: 4, At: 1_700_000_000_001, Received: 1_700_000_000_005, Value: Value{Type: 10, Null: true}, Quality: Stale},
			{Series: 5, At: 1_700_000_000_001, Received: 1_700_000_000_005, Value: Value{Type: 3, Num: 1<<64 - 5}, Quality: Good},
			{Series: 6, At: 1_700_000_000_001, Received: 1_700_000_000_005, Value: Value{Type: 8, Num: 1<<64 - 1}, Quality: Good},
			{Series: 1<<32 - 1, At: -5, Received: 0, Value: Value{Type: 17}, Quality: 12345},
			{Series: 0, At: 0, Received: 0, Value: Value{Type: 10, Num: 0x3FF8000000000000}, Quality: Good},
		}},
		{Kind: KindEvent, Event: &Event{Kind: NodeBirth, At: 5, Until: 9, Group: "Plant", Node: "Press 1", Device: "Drive",
			Reason: "born", User: "anna", BdSeq: -1, Count: 77, Payload: []byte{0, 1, 2}}},
		{Kind: KindState, Owner: "uplink", Key: "cursor/a", Data: []byte{9, 9}},
		{Kind: KindSession, Data: []byte("session bytes")},
	}
}

func TestEveryKindComesBack(t *testing.T) {
	clock := func() time.Time { return time.UnixMilli(1_700_000_000_100) }
	dir := t.TempDir()
	want := everyKind()
	j := openJournal(t, filepath.Join(dir, "j"), Options{SegmentBytes: minSegmentBytes, Clock: clock})
	last := appendNow(t, j, want...)
	if last != 12 {
		t.Errorf("last index %d, want 12: eight samples and four other records", last)
	}
	for _, rec := range want {
		if rec.At != 1_700_000_000_100 {
			t.Errorf("kind %d: At %d, want the clock's", rec.Kind, rec.At)
		}
	}
	if diff := cmp.Diff(want, readAll(t, j, 1)); diff != "" {
		t.Errorf("from memory (-want +got):\n%s", diff)
	}
	j.Close()

	j = openJournal(t, filepath.Join(dir, "j"), small())
	if diff := cmp.Diff(want, readAll(t, j, 1)); diff != "" {
		t.Errorf("from disk (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[1].Samples[3:], readAll(t, j, 5)[0].Samples); diff != "" {
		t.Errorf("from the middle of a record (-want +got):\n%s", diff)
	}
	if got := readAll(t, j, 1, KindState, KindEvent); len(got) != 2 || got[0].Kind != KindEvent || got[1].Kind != KindState {
		t.Errorf("chosen kinds: %+v", got)
	}
}

func TestWaitFlushAndOnDurable(t *testing.T) {
	j, _ := startJournal(t, filepath.Join(t.TempDir(), "j"), small())
	var mu sync.Mutex
	var told []Index
	j.OnDurable(func(i Index) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, i)
	})
	ctx := t.Context()
	i, err := j.Append(time.Millisecond, sessionRecord(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Wait(ctx, i); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(time.Hour, sessionRecord(2)); err != nil {
		t.Fatal(err)
	}
	if err := j.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if d := j.Durable(); d != 2 {
		t.Errorf("durable %d, want 2", d)
	}
	if _, err := j.Append(time.Hour, sessionRecord(3)); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(time.Millisecond, sessionRecord(4)); err != nil { // the earliest due counts, not the last
		t.Fatal(err)
	}
	if err := j.Wait(ctx, 4); err != nil {
		t.Fatal(err)
	}
	cut, cancel := context.WithCancel(ctx)
	cancel()
	if err := j.Wait(cut, 99); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait with an ended context: %v", err)
	}
	j.Close() // after it, no more calls
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff([]Index{1, 2, 4}, told); diff != "" {
		t.Errorf("OnDurable (-want +got):\n%s", diff)
	}
}

func TestRunCommitsWhatIsLeft(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "j")
	j, stop := startJournal(t, dir, small())
	for n := range 10 {
		if _, err := j.Append(time.Hour, sessionRecord(n)); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if d := j.Durable(); d != 10 {
		t.Errorf("durable %d after Run, want 10", d)
	}
	if _, err := j.Append(0, sessionRecord(11)); !errors.Is(err, ErrClosed) {
		t.Errorf("Append after Run: %v", err)
	}
	if err := j.Wait(t.Context(), 11); !errors.Is(err, ErrClosed) {
		t.Errorf("Wait after Run: %v", err)
	}
	if _, err := j.NewReader(11).Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Next after Run: %v", err)
	}
	if got := readAll(t, openJournal(t, dir, small()), 1); len(got) != 10 {
		t.Errorf("%d records after reopening, want 10", len(got))
	}
}

func TestFullAndTooLarge(t *testing.T) {
	o := small()
	o.MaxBuffered = 4096
	j := openJournal(t, filepath.Join(t.TempDir(), "j"), o)
	big := Record{Kind: KindSession, Data: make([]byte, 3000)}
	if _, err := j.Append(0, big); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(0, big); !errors.Is(err, ErrFull) {
		t.Errorf("second record: %v, want ErrFull", err)
	}
	if _, err := j.Append(0, Record{Kind: KindSession, Data: make([]byte, 5000)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("oversized record: %v, want ErrTooLarge", err)
	}
	if i, err := j.Append(0, sessionRecord(2)); err != nil || i != 2 {
		t.Errorf("small record: %d, %v; refused records must not take an index", i, err)
	}
	if err := j.commit(); err != nil {
		t.Fatal(err)
	}
	if i, err := j.Append(0, big); err != nil || i != 3 {
		t.Errorf("after the commit: %d, %v", i, err)
	}
}

func TestLiveReaderSeesEverythingInOrder(t *testing.T) {
	j, stop := startJournal(t, filepath.Join(t.TempDir(), "j"), Options{SegmentBytes: minSegmentBytes, TailBytes: 2000})
	const appenders, each = 4, 200
	var readers, writers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			r, next := j.NewReader(1), Index(1)
			for next <= appenders*each*3 {
				rec, err := r.Next(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if rec.Index != next || len(rec.Samples) != 3 {
					t.Errorf("index %d with %d samples, want %d with 3", rec.Index, len(rec.Samples), next)
					return
				}
				next += 3
			}
		})
	}
	for a := range appenders {
		writers.Go(func() {
			for n := range each {
				s := make([]Sample, 3)
				for i := range s {
					s[i] = Sample{Series: SeriesID(a), At: Millis(n), Quality: Good, Value: Value{Type: 4, Num: uint64(n)}}
				}
				if _, err := j.Append(time.Duration(n%3)*time.Millisecond, Record{Kind: KindSamples, Samples: s}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	readers.Wait()
	stop()
}

func TestRecycledIndexSaysWhereTheLogBegins(t *testing.T) {
	o := small()
	o.MaxBytes = minSegmentBytes
	j := openJournal(t, filepath.Join(t.TempDir(), "j"), o)
	for n := range 40 { // 15 pages of 4 KiB fit in a segment
		appendNow(t, j, sessionRecord(n))
	}
	name, ok := j.recycleOldest(o.MaxBytes)
	if !ok {
		t.Fatal("nothing recycled, with no owner")
	}
	j.keepSpare(name)
	_, _, err := j.NewReader(3).TryNext()
	var gone *RecycledError
	if !errors.As(err, &gone) || !errors.Is(err, ErrRecycled) || gone.Oldest != 16 || gone.From != 3 {
		t.Fatalf("reading what is recycled: %v", err)
	}
	if got := readAll(t, j, gone.Oldest); len(got) != 25 || got[0].Index != 16 {
		t.Errorf("%d records from %d on, want 25", len(got), gone.Oldest)
	}
}

// TestLargeRecordLeavesNoMemory: what a record of many MiB needed is given back with its commit.
func TestLargeRecordLeavesNoMemory(t *testing.T) {
	const large = 20 << 20
	j, _ := startJournal(t, filepath.Join(t.TempDir(), "j"), Options{SegmentBytes: 48 << 20, MaxBuffered: 24 << 20, Spares: -1})
	for range 3 { // both buffers
		if _, err := j.Append(0, Record{Kind: KindSession, Data: make([]byte, large)}); err != nil {
			t.Fatal(err)
		}
		if err := j.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if held := cap(j.active.buf) + cap(j.inflight.buf) + cap(j.body) + j.tail.bytes; held > large {
		t.Errorf("%d bytes held", held)
	}
}
