package historian

import (
	"context"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"edge/historian/journal"
)

// live is a rig whose store runs, inside a synctest bubble: time is the bubble's.
func live(t *testing.T, o Options, test func(r *rig)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, dir: dir, clock: &clock{}, o: o, jopt: journal.Options{SegmentBytes: 1 << 20, Spares: -1}}
		r.open()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- r.s.Run(ctx) }()
		test(r)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		r.close()
	})
}

func (r *rig) appendNow(k journal.SeriesKey, f float64) {
	r.t.Helper()
	r.add(k, at(time.Now(), f))
	if err := r.j.Flush(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

func TestRunServesWhatIsDurable(t *testing.T) {
	live(t, Options{}, func(r *rig) {
		start := time.Now()
		r.appendNow(key(0), 1)
		synctest.Wait()
		if got := r.read(key(0), start, start.Add(time.Minute)).Samples; len(got) != 1 {
			t.Errorf("%d samples after the commit, want 1", len(got))
		}
	})
}

func TestRunWritesAWindowWhenItEnds(t *testing.T) {
	live(t, Options{}, func(r *rig) {
		start := time.Now() // of a window: the bubble begins at midnight
		for i := range 100 {
			<-time.After(6 * time.Second)
			r.appendNow(key(0), float64(i))
		}
		<-time.After(5 * time.Second) // the last of the hundred and this one are of the next window
		r.appendNow(key(0), 100)
		synctest.Wait()
		if st := r.s.Stats(); st.Head != 101 {
			t.Errorf("%d samples in memory before the window's grace is over, want 101", st.Head)
		}
		<-time.After(10 * time.Second)
		synctest.Wait()
		if st := r.s.Stats(); st.Head != 2 || st.SamplesTotal != 101 {
			t.Errorf("%d samples in memory, %d in all; want the 2 of the new window, 101", st.Head, st.SamplesTotal)
		}
		if got := r.read(key(0), start, start.Add(time.Hour)).Samples; len(got) != 101 {
			t.Errorf("%d samples are read, want 101", len(got))
		}
		if err := r.s.Flush(context.Background()); err != nil {
			t.Error(err)
		}
		if st := r.s.Stats(); st.Head != 0 {
			t.Errorf("%d samples in memory after Flush", st.Head)
		}
	})
}

func TestRunKeepsMemoryBounded(t *testing.T) {
	live(t, Options{HeadBytes: 1 << 20}, func(r *rig) {
		start := time.Now()
		id, _ := r.s.Resolve(key(0))
		r.append(journal.Record{Kind: journal.KindSchema, Schema: &journal.Schema{Series: id, Key: key(0)}})
		for i := range 1000 {
			list := make([]journal.Sample, 200)
			for n := range list {
				list[n] = at(start.Add(time.Duration(200*i+n)*time.Millisecond), float64(n))
				list[n].Series = id
			}
			r.append(journal.Record{Kind: journal.KindSamples, Samples: list})
		}
		if err := r.j.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		st := r.s.Stats()
		const atMost = (1 << 20) / 10 // a Double with a time of its own takes 12 bytes
		if st.SamplesTotal != 200_000 || st.Head > atMost {
			t.Errorf("%d samples, %d in memory; want 200,000 and at most %d", st.SamplesTotal, st.Head, atMost)
		}
	})
}

// Readers and the flush run at once; -race watches, and no reader ever misses a sample that it has seen.
func TestReadersSeeNoGapWhileFlushing(t *testing.T) {
	r := newRig(t, Options{})
	r.clock.Set(time.Now())
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	start := r.clock.Now().Add(-time.Hour)
	for range 2 {
		wg.Go(func() {
			seen := 0
			for ctx.Err() == nil {
				out, err := r.s.Read(context.Background(), Range{Group: "g", Node: "n", Device: "d", Metric: "m0", From: ms(start), To: ms(start.Add(2 * time.Hour))})
				if err != nil && seen > 0 || len(out.Samples) < seen {
					t.Errorf("%d samples after %d: %v", len(out.Samples), seen, err)
					return
				}
				seen = len(out.Samples)
				_, _ = r.s.Last("g", "n", "d", "m0")
				if _, _, err := r.s.Backlog(context.Background(), "g", "n", 1, r.j.Durable()+1, 100); err != nil {
					t.Error(err)
				}
				_ = r.s.Stats()
			}
		})
	}
	for i := range 40 {
		r.add(key(0), at(start.Add(time.Duration(i)*time.Minute), float64(i)))
		if err := r.j.Flush(ctx); err != nil {
			t.Error(err)
		}
		if err := r.s.Flush(ctx); err != nil {
			t.Error(err)
		}
	}
	cancel()
	wg.Wait()
	r.close()
}

func TestOpenOfAFolderThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/history", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(dir+"/journal", journal.Options{Spares: -1})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := Open(dir+"/history", j, Options{}); err == nil || s != nil {
		t.Errorf("a file stands where the folder should be: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}
