package export

import (
	"context"
	"errors"
	"io"
	"slices"
	"syscall"
	"testing"
	"time"

	"edge/historian"
	"edge/historian/gen"
	"edge/historian/journal"
)

// counter counts what is written to it.
type counter struct{ bytes int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.bytes += int64(len(b))
	return len(b), nil
}

func BenchmarkExport(b *testing.B) {
	h := newHall(b, start)
	h.record(gen.Set{Metrics: 100, PerDevice: 50, Duration: 6 * time.Hour, Start: start})
	for _, format := range []string{CSV, Parquet} {
		b.Run(format, func(b *testing.B) {
			b.ReportAllocs()
			var rows, bytes int64
			for b.Loop() {
				var c counter
				n := h.copy(format, &c, historian.Selection{})
				rows, bytes = rows+int64(n.Samples+n.Gaps), bytes+c.bytes
			}
			b.ReportMetric(float64(b.Elapsed())/float64(rows), "ns/row")
			b.ReportMetric(float64(bytes)/float64(rows), "B/row")
		})
	}
}

// minutes are a window's messages to be sent again and again, a window later each time.
type minutes struct {
	messages [][]journal.Sample
	length   journal.Millis
	samples  int
}

func recorded(set gen.Set) (m minutes) {
	source := gen.New(set)
	for {
		list, ok := source.Next()
		if !ok {
			m.length = journal.Millis(set.Duration.Milliseconds())
			return m
		}
		for _, msg := range list {
			m.messages = append(m.messages, slices.Clone(msg.Samples))
			m.samples += len(msg.Samples)
		}
	}
}

// send appends the messages and waits until they are in the store's files.
func (m *minutes) send(h *hall) {
	for _, list := range m.messages {
		for i := range list {
			list[i].At += m.length
			list[i].Received += m.length
		}
		h.append(journal.Record{Kind: journal.KindSamples, Samples: list})
		h.now.Store(int64(list[0].Received))
	}
	h.flush()
}

// BenchmarkIngestWhileExporting is figure 17: how fast samples are taken in, from the journal to the files, without an export and with
// one that goes on all the time. It alternates the two, and reports the medians; with an export of nothing it tells its own error.
// Where samples come as fast as they are taken in, both cores are full, and slower is what the export takes of them: %more-cpu is by how
// much more time of processors the same samples take with it, which other programs on the machine disturb less than the clock.
func BenchmarkIngestWhileExporting(b *testing.B) {
	for _, format := range []string{"nothing", CSV, Parquet} {
		b.Run(format, func(b *testing.B) {
			h := newHall(b, start)
			h.record(gen.Set{Metrics: 2500, PerDevice: 100, Duration: 20 * time.Minute, Start: start})
			load := recorded(gen.Set{Metrics: 2500, PerDevice: 100, Duration: 10 * time.Minute, Start: start + 20*60_000})
			var alone, beside, aloneCPU, besideCPU []time.Duration
			var exported uint64
			send := func(wall, cpu *[]time.Duration) {
				used := processTime(b)
				*wall = append(*wall, timed(func() { load.send(h) }))
				*cpu = append(*cpu, processTime(b)-used)
			}
			for n := 0; b.Loop(); n++ {
				both := [2]func(){
					func() { send(&alone, &aloneCPU) },
					func() {
						ctx, cancel := context.WithCancel(context.Background())
						done := make(chan uint64)
						go func() { done <- h.exportOn(ctx, format) }()
						send(&beside, &besideCPU)
						cancel()
						exported += <-done
					},
				}
				both[n%2]()
				both[1-n%2]()
			}
			a, with := median(alone), median(beside)
			b.ReportMetric(float64(load.samples)/a.Seconds(), "samples/s-alone")
			b.ReportMetric(float64(load.samples)/with.Seconds(), "samples/s-beside")
			b.ReportMetric(100*(1-a.Seconds()/with.Seconds()), "%slower")
			b.ReportMetric(100*(median(besideCPU).Seconds()/median(aloneCPU).Seconds()-1), "%more-cpu")
			var sum time.Duration
			for _, d := range beside {
				sum += d
			}
			b.ReportMetric(float64(exported)/sum.Seconds(), "rows/s-exported")
		})
	}
}

func median(list []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(list))[len(list)/2]
}

// processTime is what the program has used of the processors.
func processTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func timed(f func()) time.Duration {
	begun := time.Now()
	f()
	return time.Since(begun)
}

// exportOn exports the first minutes again and again until ctx ends.
func (h *hall) exportOn(ctx context.Context, format string) (samples uint64) {
	for ctx.Err() == nil && format != "nothing" {
		rows, err := h.s.Rows(historian.Selection{From: start, To: start + 20*60_000})
		if err != nil {
			h.tb.Error(err)
			return samples
		}
		e, err := New(format, io.Discard)
		if err != nil {
			h.tb.Error(err)
			return samples
		}
		n, err := Copy(ctx, e, rows)
		if err != nil && !errors.Is(err, context.Canceled) {
			h.tb.Error(err)
			return samples
		}
		samples += n.Samples
	}
	return samples
}
