package historian

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"edge/historian/gen"
	"edge/historian/journal"
)

// A day with many late samples is written anew once it is over: it is smaller, and answers the same, also in order of arrival.
func TestRewriteLate(t *testing.T) {
	r := newRig(t, Options{})
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 200 {
		for n := range 20 {
			v := at(noon.Add(time.Duration(i)*3*time.Minute+time.Duration(n)*time.Second), math.Round(rng.Float64()*100))
			r.add(key(n%3), v)
		}
		late := at(noon.Add(time.Duration(rng.IntN(i*3+1))*time.Minute+500*time.Millisecond), 7) // some a second time
		r.add(key(i%3), late, late)
		r.addEvent(death(noon.Add(time.Duration(i) * time.Minute)))
		if i%10 == 9 {
			r.follow()
			r.flush(flushAll)
		}
	}
	d := r.s.days.get(dayOf(ms(noon)))
	before := r.s.days.about(d.unit)
	if before.totals.lateSamples*lateShare < before.totals.samples {
		t.Fatalf("only %d of %d samples are late", before.totals.lateSamples, before.totals.samples)
	}
	samples, backlog := r.everything(3)
	tick := func(want uint64) about {
		for range 100 {
			r.s.rewriteLate(context.Background())
		}
		after := r.s.days.about(d.unit)
		if after.rewritten != want {
			t.Fatalf("written anew %d times, want %d", after.rewritten, want)
		}
		return after
	}
	r.s.lookAtClock()
	tick(0) // the day is not over
	r.clock.Set(noon.Add(14 * time.Hour))
	r.s.lookAtClock()
	after := tick(1)
	if after.totals.lateSamples != 0 || after.totals.samples != before.totals.samples || after.totals.blockBytes >= before.totals.blockBytes {
		t.Errorf("totals were %+v, are %+v", before.totals, after.totals)
	}
	for _, when := range []string{"at once", "after it was opened again"} {
		gotSamples, gotBacklog := r.everything(3)
		if !slices.EqualFunc(samples, gotSamples, sameArrival) || !slices.EqualFunc(backlog, gotBacklog, sameArrival) {
			t.Errorf("%s: %d samples, %d of backlog; there were %d and %d", when, len(gotSamples), len(gotBacklog), len(samples), len(backlog))
		}
		r.close()
		r.open()
	}
	// More of the same: the share must be twice what it was.
	for i := range int(after.totals.samples) / 30 {
		r.add(key(0), at(noon.Add(time.Duration(i)*time.Minute+250*time.Millisecond), 9))
		if i%10 == 9 {
			r.follow()
			r.flush(flushAll)
		}
	}
	r.follow()
	r.flush(flushAll)
	if late := r.s.days.about(d.unit).totals; late.lateSamples*lateShare <= late.samples {
		t.Fatalf("%+v", late)
	}
	tick(1)
	r.close()
}

func sameArrival(a, b journal.Sample) bool {
	return a.Index == b.Index && a.Series == b.Series && a.At == b.At && a.Value.Num == b.Value.Num
}

// everything is what the store answers of n metrics, by time and by arrival.
func (r *rig) everything(n int) (samples, backlog []journal.Sample) {
	r.t.Helper()
	for i := range n {
		samples = append(samples, r.read(key(i), noon.Add(-24*time.Hour), noon.Add(72*time.Hour)).Samples...)
	}
	end := r.j.Durable() + 1
	for from := journal.Index(1); from < end; {
		list, next, err := r.s.Backlog(context.Background(), "g", "n", from, end, 7)
		if err != nil || next <= from {
			r.t.Fatalf("backlog from %d: next %d, %v", from, next, err)
		}
		backlog, from = append(backlog, list...), next
	}
	return samples, backlog
}

// A day that changes while it is written anew is left as it is; what was begun is removed.
func TestRewriteLeft(t *testing.T) {
	r := newRig(t, Options{})
	for i := range 40 {
		r.add(key(0), at(noon.Add(time.Duration(i)*time.Minute), 1))
		r.follow()
		r.flush(flushAll)
	}
	d := r.s.days.get(dayOf(ms(noon)))
	r.clock.Set(noon.Add(14 * time.Hour))
	r.s.lookAtClock()
	if !r.s.findLate() {
		t.Fatal("no day with late samples")
	}
	if err := r.s.rewriting.window(r.s); err != nil {
		t.Fatal(err)
	}
	r.add(key(0), at(noon.Add(time.Second), 2))
	r.follow()
	r.flush(flushAll)
	r.s.rewriteLate(context.Background())
	if _, err := os.Stat(d.path + ".anew.tmp"); err == nil || r.s.rewriting != nil {
		t.Error("it goes on with a day that changed")
	}
	if got := r.read(key(0), noon, noon.Add(time.Hour)).Samples; len(got) != 41 {
		t.Errorf("%d samples, want 41", len(got))
	}
	r.close()
}

// wroteBytes is what this process has handed to the system to write so far.
func wroteBytes(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skipf("the system does not count what is written: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(line, "wchar: "); ok {
			bytes, err := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return bytes
		}
	}
	t.Fatalf("no wchar in %s", b)
	return 0
}

// What late data cost in bytes written to the files (figure 14, without the journal and the file system): a backlog in order
// becomes blocks like any other, and one percent at random some bytes more.
func TestLateBytes(t *testing.T) {
	t.Run("backlog in order", func(t *testing.T) {
		r := newRig(t, Options{})
		set := gen.G1
		set.Duration, set.Start = 30*time.Minute, ms(noon)-2*hourMillis
		src, n := gen.New(set), 0
		for _, k := range src.Keys() {
			r.add(k)
		}
		for list, ok := src.Next(); ok; list, ok = src.Next() {
			for _, m := range list {
				n += len(m.Samples)
				for i := range m.Samples {
					m.Samples[i].Historical = true
				}
				r.append(journal.Record{Kind: journal.KindSamples, Samples: m.Samples})
			}
		}
		r.follow()
		before := wroteBytes(t)
		r.flush(flushAll)
		wrote := wroteBytes(t) - before
		per := float64(wrote) / float64(n)
		t.Logf("%d samples, %.2f bytes each", n, per)
		if per > 4 {
			t.Errorf("%.2f bytes written for each of %d samples, want at most 4", per, n)
		}
		r.close()
	})
	t.Run("one percent at random", func(t *testing.T) {
		const g1 = 24_387_433 / 100 // late samples of a day of 1,000 metrics by exception
		inOrder, _ := lateRun(t, 0)
		wrote, late := lateRun(t, 0.01)
		per := float64(wrote-inOrder) / float64(late)
		t.Logf("%d late samples, %.1f bytes each: %.1f MB a day of 1,000 metrics", late, per, per*g1/1e6)
		if per*g1 > 20e6 {
			t.Errorf("%.1f MB a day for 1 %% of late samples, want at most 20", per*g1/1e6)
		}
	})
}

// lateRun records four devices for an hour (the long form: all twenty of G1 for six), of whose samples a share comes up to as long late, and
// returns what was written.
func lateRun(t *testing.T, share float64) (wrote int64, late int) {
	t.Helper()
	r := newRig(t, Options{})
	defer r.close()
	rng := rand.New(rand.NewPCG(2, 2))
	hours, metrics := int64(1), 200
	if os.Getenv("EDGE_LONG") == "1" {
		hours, metrics = 6, gen.G1.Metrics
	}
	set := gen.G1
	set.Metrics, set.Duration, set.Start = metrics, time.Duration(hours)*time.Hour, ms(noon)
	src := gen.New(set)
	for _, k := range src.Keys() {
		r.add(k)
	}
	var list []journal.Sample
	waiting := make(map[int64][]journal.Sample) // by the second in which they come
	for sec := range hours * 3600 {
		now := append([]journal.Sample(nil), waiting[sec]...)
		late += len(now)
		delete(waiting, sec)
		messages, _ := src.Next()
		for _, m := range messages {
			for _, v := range m.Samples {
				if rng.Float64() < share {
					at := sec + 1 + rng.Int64N(hours*3600)
					waiting[at] = append(waiting[at], v)
					continue
				}
				now = append(now, v)
			}
		}
		if list = append(list, now...); sec%30 == 29 {
			r.append(journal.Record{Kind: journal.KindSamples, Samples: list})
			list = list[:0]
		}
		if sec%600 == 599 {
			r.clock.Set(noon.Add(time.Duration(sec)*time.Second + windowGrace + 2*time.Second))
			r.follow()
			before := wroteBytes(t)
			r.flush(flushWindows)
			wrote += wroteBytes(t) - before
		}
	}
	return wrote, late
}
