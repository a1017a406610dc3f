package export

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"edge/historian"
	"edge/historian/gen"
	"edge/historian/journal"
)

// hall is a real store on a real journal, both running until the test ends, at the time that it was told.
type hall struct {
	tb   testing.TB
	j    *journal.Journal
	s    *historian.Store
	now  atomic.Int64 // ms
	sent uint64       // samples
}

func newHall(tb testing.TB, at journal.Millis) *hall {
	tb.Helper()
	h := &hall{tb: tb}
	h.now.Store(int64(at))
	clock := func() time.Time { return time.UnixMilli(h.now.Load()) }
	dir := tb.TempDir()
	var err error
	if h.j, err = journal.Open(filepath.Join(dir, "journal"), journal.Options{Clock: clock}); err != nil {
		tb.Fatal(err)
	}
	roomy := func() (free, total int64, err error) { return 1 << 40, 1 << 40, nil } // whatever the machine's disk has
	if h.s, err = historian.Open(filepath.Join(dir, "history"), h.j, historian.Options{Clock: clock, Space: roomy}); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- h.j.Run(ctx) }()
	go func() { ended <- h.s.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, <-ended, h.s.Close(), h.j.Close()); err != nil {
			tb.Error(err)
		}
	})
	return h
}

// record records a data set, window by window; the samples' numbers are those of a new store.
func (h *hall) record(set gen.Set) {
	h.tb.Helper()
	source := gen.New(set)
	for _, k := range source.Keys() {
		if id, fresh := h.s.Resolve(k); fresh {
			h.append(journal.Record{Kind: journal.KindSchema, Schema: &journal.Schema{Series: id, Key: k}})
		}
	}
	for second := 1; ; second++ {
		messages, ok := source.Next()
		for _, m := range messages {
			h.append(journal.Record{Kind: journal.KindSamples, Samples: m.Samples})
			h.now.Store(int64(m.Received))
		}
		if second%600 == 0 || !ok {
			h.flush()
		}
		if !ok {
			return
		}
	}
}

func (h *hall) append(rec journal.Record) {
	h.sent += uint64(len(rec.Samples))
	_, err := h.j.Append(time.Hour, rec)
	if errors.Is(err, journal.ErrFull) {
		if err = h.j.Flush(context.Background()); err == nil {
			_, err = h.j.Append(time.Hour, rec)
		}
	}
	if err != nil {
		h.tb.Fatal(err)
	}
}

func (h *hall) flush() {
	err := h.j.Flush(context.Background())
	for st := h.s.Stats(); st.SamplesTotal+st.Duplicates+st.Refused < h.sent; st = h.s.Stats() { // the test's deadline ends it
		<-time.After(time.Millisecond)
	}
	if err = errors.Join(err, h.s.Flush(context.Background())); err != nil {
		h.tb.Fatal(err)
	}
}

func (h *hall) copy(format string, w io.Writer, sel historian.Selection) Count {
	h.tb.Helper()
	rows, err := h.s.Rows(sel)
	if err != nil {
		h.tb.Fatal(err)
	}
	e, err := New(format, w)
	if err != nil {
		h.tb.Fatal(err)
	}
	n, err := Copy(context.Background(), e, rows)
	if err != nil {
		h.tb.Fatal(err)
	}
	return n
}

var start = journal.Millis(time.Date(2026, 3, 10, 20, 0, 0, 0, time.UTC).UnixMilli())

// meter sees how much memory is in use while it is written to.
type meter struct {
	every, next, bytes int64
	most               uint64
}

func (m *meter) Write(b []byte) (int, error) {
	if m.bytes += int64(len(b)); m.bytes >= m.next {
		m.next = m.bytes + m.every
		m.most = max(m.most, inUse())
	}
	return len(b), nil
}

func inUse() uint64 {
	runtime.GC()
	var st runtime.MemStats
	runtime.ReadMemStats(&st)
	return st.HeapAlloc
}

// What an export has in memory does not depend on its span: eight hours over midnight, and one of them.
func TestMemoryOfALongExport(t *testing.T) {
	h := newHall(t, start)
	h.record(gen.Set{Metrics: 40, PerDevice: 40, Duration: 8 * time.Hour, Start: start})
	for format, bound := range map[string]uint64{CSV: 8 << 20, Parquet: 48 << 20} {
		used := func(hours journal.Millis) uint64 {
			m := &meter{every: 1 << 20}
			if format == Parquet {
				m.every = 64 << 10
			}
			before := inUse()
			n := h.copy(format, m, historian.Selection{From: start, To: start + hours*3_600_000})
			t.Logf("%s, %d h: %d samples, %d bytes, %d KiB in memory", format, hours, n.Samples, m.bytes, (int64(m.most)-int64(before))>>10)
			return max(m.most, before) - before
		}
		if short, long := used(1), used(8); long > bound || long > short+bound/2 {
			t.Errorf("%s: %d bytes in memory for 8 hours, %d for one; bound %d", format, long, short, bound)
		}
	}
}

// Both formats say what the store reads, over several days.
func TestCopyOfAStore(t *testing.T) {
	h := newHall(t, start)
	h.record(gen.Set{Metrics: 30, PerDevice: 30, Duration: 5 * time.Hour, Start: start})
	var file bytes.Buffer
	n := h.copy(Parquet, &file, historian.Selection{})
	rows := readParquet(t, file.Bytes())
	if uint64(len(rows)) != n.Samples+n.Gaps || n.Samples == 0 {
		t.Fatalf("%d rows of %+v", len(rows), n)
	}
	for len(rows) > 0 {
		first := rows[0]
		got, err := h.s.Read(t.Context(), historian.Range{Group: first.Group, Node: first.Node, Device: first.Device, Metric: first.Metric,
			To: start + 86_400_000, Limit: 1 << 20})
		if err != nil || len(got.Samples) > len(rows) {
			t.Fatalf("%s: %d samples, %d rows left: %v", first.Metric, len(got.Samples), len(rows), err)
		}
		for i, s := range got.Samples {
			if r := rows[i]; r.Metric != first.Metric || r.Time != int64(s.At) || r.Received != int64(s.Received) || r.Quality != qualityWord(&s) {
				t.Fatalf("row %+v, want %+v", r, s)
			}
		}
		rows = rows[len(got.Samples):]
	}
}
