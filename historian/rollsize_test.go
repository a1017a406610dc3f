package historian

import (
	"context"
	"syscall"
	"testing"
	"time"

	"edge/historian/gen"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// rollRig is a store with some hours of G1's first metrics in its files, and nothing rolled up.
func rollRig(t testing.TB, metrics, hours int) (r *rig, samples int) {
	set := gen.G1
	set.Metrics, set.Duration = metrics, time.Duration(hours)*time.Hour+30*time.Second
	set.Start = ms(noon.Truncate(24 * time.Hour))
	src := gen.New(set)
	r = newRigAt(t, t.TempDir(), Options{Raw: 240 * time.Hour}, time.UnixMilli(int64(set.Start)))
	for _, k := range src.Keys() {
		r.add(k)
	}
	for sec := 1; ; sec++ {
		list, ok := src.Next()
		if !ok {
			break
		}
		for _, m := range list {
			r.append(journal.Record{Kind: journal.KindSamples, Samples: m.Samples})
			samples += len(m.Samples)
		}
		if sec%600 == 20 {
			r.clock.Set(time.UnixMilli(int64(set.Start)).Add(time.Duration(sec) * time.Second))
			r.follow()
			r.flush(flushWindows)
		}
	}
	r.s.lookAtClock()
	return r, samples
}

// pages is what a bucket takes of its file, in bytes, whole pages.
func (r *rig) pages(f *storeFile, bucket []byte) (n int) {
	err := f.view(func(tx *bolt.Tx) error {
		st := tx.Bucket(bucket).Stats()
		n = st.LeafAlloc + st.BranchAlloc
		return nil
	})
	if err != nil {
		r.t.Error(err)
	}
	return n
}

// Rollups may take 0.35 bytes of each sample that they are made of, whole pages counted (figure 15).
func TestBytesOfRollups(t *testing.T) {
	r, samples := rollRig(t, 150, 2)
	defer r.close()
	r.rollAll()
	day := dayOf(ms(noon))
	n := r.pages(r.s.days.get(day), bucketMinute)
	rate := float64(n) / float64(samples)
	t.Logf("%d samples, %.3f B of rollups each in the day's file; the goal is 0.35", samples, rate)
	if samples < 200_000 || rate > 0.38 || n == 0 {
		t.Errorf("%.3f bytes a sample over %d samples", rate, samples)
	}
}

// BenchmarkRollUp rolls up a day of the first metrics of G1: what rollups take of each sample in bytes at rest, in bytes written, and in
// processor time.
func BenchmarkRollUp(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		r, samples := rollRig(b, 200, 24)
		r.clock.Set(noon.Truncate(24 * time.Hour).Add(24*time.Hour + time.Minute))
		r.s.lookAtClock()
		before, cpu := written(), cpuTime()
		b.StartTimer()
		for r.s.rollUp(context.Background()) {
		}
		b.StopTimer()
		cpu, before = cpuTime()-cpu, written()-before
		day := dayOf(ms(noon))
		minutes, hours := r.pages(r.s.days.get(day), bucketMinute), r.pages(r.s.trends.get(monthOf(ms(noon))), bucketHour)
		b.ReportMetric(float64(minutes)/float64(samples), "B-day/sample")
		b.ReportMetric(float64(hours)/float64(samples), "B-trend/sample")
		b.ReportMetric(float64(before)/float64(samples), "B-written/sample")
		b.ReportMetric(float64(cpu.Nanoseconds())/float64(samples), "cpu-ns/sample")
		b.ReportMetric(float64(samples), "samples")
		r.close()
		b.StartTimer()
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
