package historian

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"edge/historian/gen"
	"edge/historian/journal"
)

// latencies are those of one benchmark: wall time, and the time this thread had a processor. On a machine that is shared the
// second tells what the code takes.
type latencies struct {
	wall, cpu []time.Duration
}

func (l *latencies) measure(b *testing.B, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	f() // what it reads is in memory then
	runtime.GC()
	for b.Loop() {
		start, used := time.Now(), threadTime()
		f()
		l.wall, l.cpu = append(l.wall, time.Since(start)), append(l.cpu, threadTime()-used)
	}
	report := func(list []time.Duration, name string) {
		slices.Sort(list)
		b.ReportMetric(float64(list[len(list)/2].Microseconds())/1000, name+"p50-ms")
		b.ReportMetric(float64(list[len(list)*99/100].Microseconds())/1000, name+"p99-ms")
	}
	report(l.wall, "")
	report(l.cpu, "cpu-")
}

func threadTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(1, &u); err != nil { // RUSAGE_THREAD
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// record takes a whole set in, and leaves the clock at its end.
func (r *rig) record(set gen.Set) []Metric {
	src := gen.New(set)
	var out []Metric
	for _, k := range src.Keys() {
		r.add(k)
		out = append(out, Metric{k.Group, k.Node, k.Device, k.Metric})
	}
	begin := r.clock.Now()
	for sec := 0; ; sec++ {
		list, ok := src.Next()
		if !ok {
			break
		}
		r.clock.Set(begin.Add(time.Duration(sec) * time.Second))
		for _, m := range list {
			r.append(journal.Record{Kind: journal.KindSamples, Samples: slices.Clone(m.Samples)})
		}
		if sec%600 == 15 && sec > 600 {
			r.follow()
			r.flush(flushWindows)
		}
	}
	r.clock.Set(begin.Add(set.Duration))
	r.follow()
	return out
}

// BenchmarkQuestions are figures 8 to 10 on a part of G1: of its 20 devices, 4.
func BenchmarkQuestions(b *testing.B) {
	r := newRigAt(b, b.TempDir(), Options{}, time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC))
	defer r.close()
	set := gen.G1
	set.Metrics = 200
	metrics := r.record(set)
	full := densest(b, r, metrics)
	to := ms(r.clock.Now())
	ctx := context.Background()
	chart := func(b *testing.B, list []Metric) {
		var w work
		var l latencies
		l.measure(b, func() {
			var err error
			if _, w, err = r.s.charts(ctx, ChartQuery{list, to - dayMillis, to, 1000}); err != nil {
				b.Fatal(err)
			}
		})
		b.ReportMetric(float64(w.Rows), "samples")
		b.ReportMetric(float64(w.Blocks), "blocks")
	}
	b.Run("1 h raw of one series", func(b *testing.B) {
		var l latencies
		n := 0
		l.measure(b, func() {
			out, err := r.s.Read(ctx, Range{full.Group, full.Node, full.Device, full.Name, to - 2*hourMillis, to - hourMillis, maxLimit})
			if n = len(out.Samples); err != nil {
				b.Fatal(err)
			}
		})
		b.ReportMetric(float64(n), "samples")
	})
	b.Run("24 h of one series in 1000 buckets", func(b *testing.B) { chart(b, []Metric{full}) })
	b.Run("24 h of 100 series in 1000 buckets", func(b *testing.B) { chart(b, metrics[:100]) })
}

// densest is the metric with the most samples in the last hour.
func densest(b *testing.B, r *rig, metrics []Metric) (best Metric) {
	to := ms(r.clock.Now())
	list, err := r.s.Charts(context.Background(), ChartQuery{metrics, to - 2*hourMillis, to - hourMillis, 1})
	if err != nil {
		b.Fatal(err)
	}
	most := -1
	for i, c := range list {
		if n := c.Buckets[0].Count; n > most {
			best, most = metrics[i], n
		}
	}
	return best
}

// BenchmarkLatest is figure 7: the last value of 20,000 series. first-ms is what the first call after a restart takes.
func BenchmarkLatest(b *testing.B) {
	r := newRigAt(b, b.TempDir(), Options{}, time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC))
	set := gen.G2
	set.Duration = 11 * time.Minute
	r.record(set)
	r.close()
	r.open()
	defer r.close()
	ctx := context.Background()
	runtime.LockOSThread()
	start := threadTime()
	list, err := r.s.Latest(ctx, nil)
	first := threadTime() - start
	runtime.UnlockOSThread()
	n := len(list)
	var l latencies
	l.measure(b, func() {
		if list, err = r.s.Latest(ctx, list[:0]); err != nil {
			b.Fatal(err)
		}
	})
	b.ReportMetric(float64(first.Microseconds())/1000, "first-cpu-ms")
	b.ReportMetric(float64(n), "series")
}

// tags fills days with samples of n metrics, one every step seconds, and rolls them up.
func (r *rig) tags(n, days, step int) (out []Metric) {
	for i := range n {
		r.add(key(i))
		out = append(out, Metric{"g", "n", "d", key(i).Metric})
	}
	start := r.clock.Now()
	for sec := 0; sec < days*86400; sec += step {
		now := start.Add(time.Duration(sec) * time.Second)
		list := make([]journal.Sample, n)
		for i := range list {
			list[i] = at(now, math.Round(1000*math.Sin(float64(sec+i*1000)/5000))/10+float64(sec*7%13)/10)
			list[i].Series = journal.SeriesID(i + 1)
		}
		r.append(journal.Record{Kind: journal.KindSamples, Samples: list})
		if sec%3600 == 0 && sec > 0 {
			r.clock.Set(now)
			r.s.lookAtClock()
			r.follow()
			r.flush(flushAll)
		}
	}
	r.clock.Set(start.Add(time.Duration(days)*24*time.Hour + time.Minute))
	r.s.lookAtClock()
	r.follow()
	r.flush(flushAll)
	r.rollAll()
	return out
}

// BenchmarkLongCharts are figure 11: a year of one metric in 1,000 columns, and 30 days of 8 in 2,000. With EDGE_LONG they come
// once a second, else every 60 and every 10 seconds: the rows of rollups are as many.
func BenchmarkLongCharts(b *testing.B) {
	steps := [...]int{60, 10}
	if os.Getenv("EDGE_LONG") != "" {
		steps = [...]int{1, 1}
	}
	ctx := context.Background()
	for _, c := range []struct {
		name                        string
		metrics, days, step, points int
	}{{"1 year of one series in 1000 buckets", 1, 365, steps[0], 1000}, {"30 days of 8 series in 2000 buckets", 8, 30, steps[1], 2000}} {
		b.Run(c.name, func(b *testing.B) {
			r := newRigAt(b, b.TempDir(), Options{}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
			defer r.close()
			metrics := r.tags(c.metrics, c.days, c.step)
			to := ms(r.clock.Now())
			for _, rows := range [...]int{rawRows, 1 << 20} {
				r.s.rawRows = rows
				b.Run(fmt.Sprintf("raw up to %d", rows), func(b *testing.B) {
					var w work
					var source Source
					var l latencies
					l.measure(b, func() {
						list, cost, err := r.s.charts(ctx, ChartQuery{metrics, to - journal.Millis(c.days)*dayMillis, to, c.points})
						if w = cost; err != nil {
							b.Fatal(err)
						}
						source = list[0].Source
					})
					b.ReportMetric(float64(w.Rows), "samples")
					b.ReportMetric(float64(w.Rollups), "rows")
					b.Log(source)
				})
			}
		})
	}
}
