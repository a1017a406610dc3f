package historian

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"edge/historian/gen"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// rollRig is a store with some hours of a set's first metrics in its files, and nothing rolled up.
func rollRig(t testing.TB, set gen.Set, metrics, hours int) (r *rig, samples int) {
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
	r, samples := rollRig(t, gen.G1, 150, 2)
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

// BenchmarkRollUp rolls up a day of the first metrics of G1 and an hour of G2's (figure 15: 30 ns and 0.35 B): processor time, bytes at rest
// in the day's and the month's file, whole pages, and bytes written, each for a sample that the rows are made of.
//
// Of the time: a third reads the blocks back (a tenth of that their heads), a sixth adds the samples to their rows, a third encodes those
// and decodes them again, a twelfth makes the day's rows of hours, the rest is bbolt's and the runtime's. Of the bytes, by column:
// Integral 20 %, Last 16 %, Min, Max, First and Sum 12 % each, Count 7 %, checksums and heads 3 %, metrics with one row for the
// hour 2 %; a tenth of a page is left free by each block, 4 % of all.
func BenchmarkRollUp(b *testing.B) {
	for _, c := range []struct {
		name           string
		set            gen.Set
		metrics, hours int
	}{{"G1", gen.G1, 200, 24}, {"G2", gen.G2, 2000, 1}} {
		b.Run(c.name, func(b *testing.B) {
			r, samples := rollRig(b, c.set, c.metrics, c.hours)
			defer r.close()
			r.clock.Set(noon.Truncate(24 * time.Hour).Add(time.Duration(c.hours)*time.Hour + time.Minute))
			r.s.lookAtClock()
			n := float64(samples)
			var cpu time.Duration // of the cheapest round: what else runs on the machine only adds
			var bytes int64
			for b.Loop() {
				b.StopTimer()
				r.unroll(dayOf(ms(noon)))
				before, began := written(), cpuTime()
				b.StartTimer()
				for r.s.rollUp(context.Background()) {
				}
				b.StopTimer()
				if took := cpuTime() - began; cpu == 0 || took < cpu {
					cpu = took
				}
				bytes = written() - before
				b.StartTimer()
			}
			minutes := r.pages(r.s.days.get(dayOf(ms(noon))), bucketMinute)
			b.ReportMetric(float64(minutes)/n, "B-day/sample")
			if month := monthOf(ms(noon)); len(r.s.trends.existing(month, month)) > 0 {
				b.ReportMetric(float64(r.pages(r.s.trends.get(month), bucketHour))/n, "B-trend/sample")
			}
			b.ReportMetric(float64(bytes)/n, "B-written/sample")
			b.ReportMetric(float64(cpu.Nanoseconds())/n, "cpu-ns/sample")
			b.ReportMetric(n, "samples")
		})
	}
}

// unroll makes a day one that was never rolled up.
func (r *rig) unroll(day int64) {
	r.t.Helper()
	err := r.s.days.get(day).update(func(tx *bolt.Tx) error {
		err := errors.Join(tx.DeleteBucket(bucketMinute), remove(tx.Bucket(bucketMeta), bucketMeta, metaRolled))
		if err == nil {
			_, err = tx.CreateBucket(bucketMinute)
		}
		return err
	})
	if err == nil {
		err = r.s.trends.drop(monthOf(dayStart(day)))
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.s.setTrended(day, false)
	r.s.rolling, r.s.carry = nil, carry{}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
