package historian

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"edge/historian/journal"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// scanned fills three hours before noon with one sample a second of each of n metrics, in files.
func scanned(t testing.TB, n int) (*rig, []Metric) {
	r := newRigAt(t, t.TempDir(), Options{}, noon.Add(-3*time.Hour))
	var out []Metric
	for i := range n {
		k := key(i)
		r.add(k)
		out = append(out, Metric{k.Group, k.Node, k.Device, k.Metric})
	}
	for sec := range 3 * 3600 {
		now := noon.Add(time.Duration(sec-3*3600) * time.Second)
		list := make([]journal.Sample, n)
		for i := range list {
			list[i] = at(now, float64(sec%100+i))
			list[i].Series = journal.SeriesID(i + 1)
		}
		r.clock.Set(now)
		r.append(journal.Record{Kind: journal.KindSamples, Samples: list})
		if sec%600 == 599 {
			r.follow()
			r.flush(flushAll)
		}
	}
	r.clock.Set(noon)
	return r, out
}

func TestBlocksAreReadOnceForAllSeries(t *testing.T) {
	r, metrics := scanned(t, 20)
	defer r.close()
	from, to := ms(noon.Add(-2*time.Hour)), ms(noon)
	list, w, err := r.s.charts(context.Background(), ChartQuery{metrics, from, to, 500})
	if err != nil || len(list) != 20 {
		t.Fatal(len(list), err)
	}
	// 12 blocks of the range, and the 6 of the hour before it, of whose last the statistics tell what is carried in.
	if want := (work{Views: 2, ViewRows: 20 * 7200, Blocks: 18, Lines: 12, Rows: 20 * 7200}); w != want {
		t.Errorf("it took %+v, want %+v", w, want)
	}
}

func TestColumnsReadBlocksOnce(t *testing.T) {
	r, metrics := scanned(t, 20)
	defer r.close()
	from, to := ms(noon.Add(-2*time.Hour)), ms(noon)
	list, w, err := r.s.columns(context.Background(), metrics, from, to, nil, 20*7200)
	if err != nil || len(list) != 20 || len(list[19].At) != 7201 || list[19].At[0] != from-1000 {
		t.Fatal(len(list), err)
	}
	if want := (work{Views: 2, ViewRows: 20 * 7200, Blocks: 18, Lines: 12, Rows: 20 * 7200}); w != want {
		t.Errorf("it took %+v, want %+v", w, want)
	}
	if _, err = r.s.Columns(context.Background(), metrics, from, to, nil, 20*7200-1); !errors.Is(err, ErrTooMuch) {
		t.Errorf("one sample too many: %v", err)
	}
	if _, err = r.s.Columns(context.Background(), []Metric{metrics[0], {Name: "nobody"}}, from, to, nil, 1000); !errors.Is(err, ErrNoSeries) {
		t.Errorf("an unknown metric: %v", err)
	}
}

// Of columns that are looked at each hour, no block is decoded: the statistics tell what holds, and what the extremes are.
func TestColumnsLeaveOutWhatIsNotLookedAt(t *testing.T) {
	r, metrics := scanned(t, 2)
	defer r.close()
	from, to := ms(noon.Add(-3*time.Hour)), ms(noon)
	for _, c := range []struct {
		name      string
		looks     Looks
		at, least int // samples that are returned, and that are read at most
	}{
		{"what holds each hour", Looks{from + hourMillis - 1, hourMillis, 0}, 3, 0},
		{"extremes of each hour", Looks{from + hourMillis - 1, hourMillis, hourMillis}, 3 * 6 * 4, 0},
		{"what holds each minute", Looks{from + minuteMillis - 1, minuteMillis, 0}, 180, 3 * 3600},
		{"at windows that overlap", Looks{from + hourMillis - 1, 600_000, hourMillis}, 3 * 6 * 4, 0},
		{"once", Looks{First: to - 1}, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, w, err := r.s.columns(context.Background(), metrics[:1], from, to, &c.looks, 1000)
			if err != nil || len(list[0].At) != c.at || w.Rows > c.least || w.Rows+w.Skipped != 3*3600 {
				t.Errorf("%d samples, %v; it took %+v", len(list[0].At), err, w)
			}
			if _, _, err = r.s.columns(context.Background(), metrics[:1], from, to, &c.looks, c.at-1); !errors.Is(err, ErrTooMuch) {
				t.Errorf("with room for one less: %v", err)
			}
		})
	}
}

// A question that is shared is answered as by one alone.
func TestQuestionsAreShared(t *testing.T) {
	r, metrics := scanned(t, 40)
	defer r.close()
	q := ChartQuery{metrics, ms(noon.Add(-2 * time.Hour)), ms(noon), 500}
	ask := func(helpers int) (list []Chart, w work) {
		r.s.helpers = make(chan struct{}, helpers)
		list, w, err := r.s.charts(context.Background(), q)
		if err != nil || len(r.s.helpers) != 0 {
			t.Fatal(err, "helpers that did not end:", len(r.s.helpers))
		}
		return list, w
	}
	alone, once := ask(0)
	shared, w := ask(1)
	if d := gocmp.Diff(alone, shared, cmpopts.EquateNaNs()); d != "" {
		t.Errorf("with a helper:\n%s", d)
	}
	if once.Rows != 40*7200 || w.Rows != once.Rows || w.Blocks != 2*once.Blocks || once.Blocks != 18 {
		t.Errorf("alone it took %+v, with a helper %+v", once, w)
	}
}

// A helper takes a piece while the caller has one, but none while a window is written.
func TestHelpersGiveWayToWriting(t *testing.T) {
	r, metrics := scanned(t, 40)
	defer r.close()
	r.s.helpers = make(chan struct{}, 1)
	a, err := r.s.ask(context.Background(), metrics, ms(noon)-hourMillis, ms(noon))
	if err != nil {
		t.Fatal(err)
	}
	defer a.scan.end()
	both, seen := make(chan struct{}), atomic.Int32{}
	err = a.scan.inPieces(context.Background(), func(context.Context, *scan) error {
		if seen.Add(1) == 2 {
			close(both)
		}
		select {
		case <-both: // two at once
			return nil
		case <-time.After(time.Minute):
			return errors.New("nobody else took a piece")
		}
	})
	if err != nil {
		t.Error(err)
	}
	r.s.mu.Lock()
	r.s.flushing = newHead(r.s.window)
	r.s.mu.Unlock()
	defer func() {
		r.s.mu.Lock()
		r.s.flushing = nil
		r.s.mu.Unlock()
	}()
	pieces := 0 // the caller's alone: -race tells if it is not
	err = a.scan.inPieces(context.Background(), func(context.Context, *scan) error { pieces++; return nil })
	if err != nil || pieces != 2 {
		t.Errorf("%d pieces, %v", pieces, err)
	}
	failed := errors.New("of one piece")
	err = a.scan.inPieces(context.Background(), func(context.Context, *scan) error { return failed })
	if !errors.Is(err, failed) {
		t.Errorf("%v, want the piece's error", err)
	}
}

func TestStatisticsStandForSamples(t *testing.T) {
	r, metrics := scanned(t, 2)
	defer r.close()
	list, w, err := r.s.charts(context.Background(), ChartQuery{metrics[:1], ms(noon.Add(-3 * time.Hour)), ms(noon), 9})
	if err != nil || w.Rows != 0 || w.Skipped != 3*3600 {
		t.Errorf("it took %+v, %v; want all samples passed over", w, err)
	}
	for _, b := range list[0].Buckets {
		if b.Count != 1200 || b.Min != 0 || b.Max != 99 || b.Last != 99 || b.Mean != 49.5 {
			t.Errorf("%+v, want 1200 samples of 0 to 99", b)
		}
	}
	if _, w, err = r.s.charts(context.Background(), ChartQuery{metrics[:1], ms(noon.Add(-3 * time.Hour)), ms(noon), 10}); err != nil || w.Rows == 0 || w.Skipped < w.Rows {
		t.Errorf("columns that cut half of the blocks: it took %+v, %v", w, err)
	}
}

func TestChartsAllocateLittle(t *testing.T) {
	r, metrics := scanned(t, 20)
	defer r.close()
	q := ChartQuery{metrics, ms(noon.Add(-2 * time.Hour)), ms(noon), 100}
	n := testing.AllocsPerRun(5, func() {
		if _, err := r.s.Charts(context.Background(), q); err != nil {
			t.Fatal(err)
		}
	})
	if n > 300 { // of 144,000 samples: 18 blocks, 20 metrics
		t.Errorf("%v allocations", n)
	}
}

// An hour of samples is read into the memory that it is answered in: 3,600 of 88 bytes, and little beside.
func TestReadAllocatesItsAnswer(t *testing.T) {
	r, metrics := scanned(t, 20)
	defer r.close()
	m := metrics[7]
	q := Range{m.Group, m.Node, m.Device, m.Name, ms(noon.Add(-2 * time.Hour)), ms(noon.Add(-time.Hour)), 0}
	read := func() {
		if out, err := r.s.Read(context.Background(), q); err != nil || len(out.Samples) != 3600 {
			t.Fatal(len(out.Samples), err)
		}
	}
	if n := testing.AllocsPerRun(20, read); n > 150 { // 52, and twice that where -race makes a pool forget
		t.Errorf("%v allocations", n)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 20 {
		read()
	}
	runtime.ReadMemStats(&after)
	if bytes := (after.TotalAlloc - before.TotalAlloc) / 20; bytes > 1_000_000 { // with -race a pool gives back three of four
		t.Errorf("%d bytes", bytes)
	}
}

// A read transaction is a piece of bounded work, however much is asked.
func TestReadTransactionsAreShort(t *testing.T) {
	r, metrics := scanned(t, 4)
	defer r.close()
	r.s.pieceRows = 10_000
	_, w, err := r.s.charts(context.Background(), ChartQuery{metrics, ms(noon.Add(-3 * time.Hour)), ms(noon), 1000})
	if err != nil || w.Rows != 4*3*3600 || w.ViewRows > 10_000+4*3600 || w.Views < 4 {
		t.Errorf("it took %+v, %v; want at least 4 transactions of at most 24,400 samples", w, err)
	}
}

// asking is a context that does something each time it is looked at: between two hours of a question.
type asking struct {
	context.Context
	do func() error
}

func (a asking) Err() error { return a.do() }

// The question and the flush share a goroutine here: if one waited for the other, the test would not end.
func TestQuestionsBlockNoFlush(t *testing.T) {
	r, metrics := scanned(t, 4)
	defer r.close()
	flushes := 0
	ctx := asking{context.Background(), func() error {
		r.add(key(0), at(noon.Add(time.Duration(flushes)*time.Millisecond), 1))
		r.follow()
		r.flush(flushAll)
		flushes++
		return nil
	}}
	list, err := r.s.Charts(ctx, ChartQuery{metrics, ms(noon.Add(-3 * time.Hour)), ms(noon), 100})
	if err != nil || flushes < 3 {
		t.Fatalf("%d flushes in between, %v", flushes, err)
	}
	n := 0
	for _, b := range list[0].Buckets {
		n += b.Count
	}
	if n != 3*3600 {
		t.Errorf("%d samples, want %d", n, 3*3600)
	}
}

func TestQuestionsAreBounded(t *testing.T) {
	r, metrics := scanned(t, 2)
	defer r.close()
	ctx, cancel := context.WithCancel(context.Background())
	from, to := ms(noon.Add(-3*time.Hour)), ms(noon)
	many := make([]Metric, maxMetrics+1)
	for _, c := range []struct {
		name string
		ask  func() error
		want error
	}{
		{"too many metrics", func() error { _, err := r.s.Charts(ctx, ChartQuery{many, from, to, 1}); return err }, ErrTooMuch},
		{"too many points", func() error {
			_, err := r.s.Charts(ctx, ChartQuery{many[:500], from, to, maxPoints})
			return err
		}, ErrTooMuch},
		{"too many intervals", func() error {
			_, err := r.s.Aggregates(ctx, AggregateQuery{metrics, from, to, 100})
			return err
		}, ErrTooMuch},
		{"too many samples", func() error {
			a, err := r.s.ask(ctx, metrics, from, to)
			if err != nil {
				return err
			}
			a.scan.left = newBudget(5000)
			a.divide(evenly(from, to, 1000))
			return a.read(ctx)
		}, ErrTooMuch},
		{"given up", func() error {
			cancel()
			_, err := r.s.Charts(ctx, ChartQuery{metrics, from, to, 1})
			return err
		}, context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.ask(); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	if _, err := r.s.Charts(context.Background(), ChartQuery{nil, from, to, 1}); err != nil {
		t.Error(fmt.Errorf("of nothing: %w", err))
	}
}

// A damaged block is a gap of its metrics, over which nothing is carried; others are whole.
func TestDamageIsAGapInCharts(t *testing.T) {
	r, metrics := scanned(t, 2)
	r.close()
	flipPayload(t, r.dayPath(noon)) // of the last metric, from 9:10 to 9:20
	r.open()
	defer func() {
		if err := r.s.Close(); err != nil {
			t.Error(err)
		}
		r.stop()
	}()
	start := noon.Add(-3 * time.Hour)
	list, err := r.s.Charts(context.Background(), ChartQuery{metrics, ms(start), ms(noon), 36}) // of 5 minutes
	if err != nil {
		t.Fatal(err)
	}
	hole := []Gap{{From: ms(start.Add(10 * time.Minute)), To: ms(start.Add(20*time.Minute)) - 999, Cause: damageCause}}
	if fmt.Sprint(list[1].Gaps) != fmt.Sprint(hole) || len(list[0].Gaps) != 0 {
		t.Errorf("gaps %v and %v, want %v of the second", list[0].Gaps, list[1].Gaps, hole)
	}
	for k, b := range list[1].Buckets {
		lost := k == 2 || k == 3
		if lost != (b.Count == 0) || lost != (b.Mean != b.Mean) && k != 3 || lost != (b.Quality == journal.Stale) {
			t.Errorf("column %d: %+v", k, b)
		}
		if w := list[0].Buckets[k]; w.Count != 300 || w.Quality != journal.Good {
			t.Errorf("column %d of the other: %+v", k, w)
		}
	}
	// Behind it, nothing is carried in.
	list, err = r.s.Charts(context.Background(), ChartQuery{metrics, ms(start.Add(15 * time.Minute)), ms(start.Add(19 * time.Minute)), 1})
	if b := list[1].Buckets[0]; err != nil || b.Mean == b.Mean || b.Quality != journal.Stale {
		t.Errorf("inside of the damage: %+v, %v", b, err)
	}
}
