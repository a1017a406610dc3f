package historian

import (
	"context"
	"testing"
	"time"

	"edge/historian/journal"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// fourDays fills four days before noon with one sample every ten seconds of m0, and one an hour of m1.
func fourDays(t *testing.T, o Options) *rig {
	r := newRigAt(t, t.TempDir(), o, noon.Add(-96*time.Hour))
	r.add(key(0))
	r.add(key(1))
	for n := range 96 * 360 {
		now := noon.Add(time.Duration(n-96*360) * 10 * time.Second)
		v := at(now, float64(n%360))
		v.Series = 1
		list := []journal.Sample{v}
		if n%360 == 7 {
			w := at(now, float64(n/360))
			w.Series = 2
			list = append(list, w)
		}
		r.append(journal.Record{Kind: journal.KindSamples, Samples: list})
		if n%4320 == 4319 {
			r.clock.Set(now)
			r.s.lookAtClock() // it is believed when it goes on by half a day
			r.follow()
			r.flush(flushAll)
		}
	}
	r.clock.Set(noon.Add(time.Minute))
	r.s.lookAtClock()
	r.rollAll()
	return r
}

func TestChartsSayWhatTheyAreFrom(t *testing.T) {
	r := fourDays(t, Options{})
	defer r.close()
	r.s.rawRows = 10_000
	dense, sparse := Metric{"g", "n", "d", "m0"}, Metric{"g", "n", "d", "m1"}
	for _, c := range []struct {
		name   string
		metric Metric
		from   time.Duration // before noon
		points int
		want   Source
		rows   int // samples at most
	}{
		{"an hour is read raw", dense, time.Hour, 10, SourceRaw, 360},
		{"many samples in wide columns: minutes", dense, 48 * time.Hour, 480, SourceMinute, 720},
		{"columns narrower than a minute: raw", dense, 30 * time.Hour, 3000, SourceRaw, 30 * 360},
		{"few samples: raw", sparse, 48 * time.Hour, 480, SourceRaw, 49}, // and what is carried in
		{"days in columns of hours: hours", dense, 96 * time.Hour, 12, SourceHour, 720},
		{"the same of few samples", sparse, 96 * time.Hour, 12, SourceHour, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, to := ms(noon.Add(-c.from)), ms(noon)
			list, w, err := r.s.charts(context.Background(), ChartQuery{[]Metric{c.metric}, from, to, c.points})
			if err != nil || list[0].Source != c.want || w.Rows > c.rows || (c.want != SourceRaw) != (w.Rollups > 0) {
				t.Errorf("source %q, it took %+v, %v; want %q and at most %d samples", list[0].Source, w, err, c.want, c.rows)
			}
			count := 0
			for _, b := range list[0].Buckets {
				count += b.Count
			}
			if want := len(r.read(journal.SeriesKey{Group: "g", Node: "n", Device: "d", Metric: c.metric.Name}, noon.Add(-c.from), noon).Samples); count != want {
				t.Errorf("the columns count %d samples, want %d", count, want)
			}
		})
	}
}

// What retention left is answered as well as it can be.
func TestChartsOfDaysWithoutSamples(t *testing.T) {
	r := fourDays(t, Options{Raw: 40 * time.Hour, Minute: 60 * time.Hour})
	defer r.close()
	r.s.retain()
	from, to := ms(noon.Add(-90*time.Hour)), ms(noon)
	for _, c := range []struct {
		name   string
		points int
		want   Source
	}{{"hours", 30, SourceHour}, {"columns of minutes", 540, SourceHour}, {"narrow columns", 9000, SourceHour}} {
		t.Run(c.name, func(t *testing.T) {
			list, w, err := r.s.charts(context.Background(), ChartQuery{[]Metric{{"g", "n", "d", "m0"}}, from, to, c.points})
			if err != nil || list[0].Source != c.want {
				t.Fatalf("source %q, it took %+v, %v", list[0].Source, w, err)
			}
			count, held := 0, 0.0
			for k, b := range list[0].Buckets {
				count += b.Count
				if b.Mean != b.Mean || b.Min < 0 || b.Max > 359 {
					t.Fatalf("column %d: %+v", k, b)
				}
				held += b.Mean
			}
			if mean := held / float64(c.points); count != 90*360 || mean < 179 || mean > 180 {
				t.Errorf("%d samples of mean %v, want %d of 179.5", count, mean, 90*360)
			}
		})
	}
	out, err := r.s.Aggregates(context.Background(), AggregateQuery{[]Metric{{"g", "n", "d", "m0"}}, from, to, hourMillis})
	if err != nil || out[0].Source != SourceHour {
		t.Fatal(out[0].Source, err)
	}
	for _, a := range out[0].Intervals {
		if a.Count != 360 || a.Average != 179.5 || a.Minimum != 0 || a.Maximum != 359 || a.Range != 359 {
			t.Errorf("%+v", a)
		}
	}
}

// Blocks of rollups are read once for all metrics that are in them, and say of each what it is told alone.
func TestRollupsAreReadOnceForAllMetrics(t *testing.T) {
	r := newRigAt(t, t.TempDir(), Options{}, noon.Add(-96*time.Hour))
	defer r.close()
	r.s.rawRows = 1000
	metrics := r.tags(8, 4, 10)
	to := ms(r.clock.Now())
	from := to - 4*dayMillis
	ask := func(t *testing.T, list []Metric, points int) ([]Chart, work) {
		t.Helper()
		out, w, err := r.s.charts(context.Background(), ChartQuery{list, from, to, points})
		if err != nil || out[0].Source == SourceRaw {
			t.Fatal(out[0].Source, err)
		}
		return out, w
	}
	for _, c := range []struct {
		name   string
		points int
	}{{"hours", 12}, {"minutes", 96}} {
		t.Run(c.name, func(t *testing.T) {
			all, w := ask(t, metrics, c.points)
			for i, m := range metrics {
				one, v := ask(t, []Metric{m}, c.points)
				if v.RollBlocks != w.RollBlocks || v.RollBlocks == 0 {
					t.Errorf("%d blocks for one metric, %d for 8", v.RollBlocks, w.RollBlocks)
				}
				if diff := cmp.Diff(one[0], all[i], cmpopts.EquateNaNs()); diff != "" {
					t.Errorf("%v alone and among others: %s", m, diff)
				}
			}
		})
	}
}
