package history

import (
	"context"
	"math"
	"slices"
	"time"

	"edge/historian"
	"edge/historian/journal"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// p99 runs f until it has a hundred times, or for three seconds.
func p99(f func()) time.Duration {
	f() // what it reads is in memory then
	var all []time.Duration
	for began := time.Now(); len(all) < 100 && (len(all) < 3 || time.Since(began) < 3*time.Second); {
		start := time.Now()
		f()
		all = append(all, time.Since(start))
	}
	slices.Sort(all)
	return all[len(all)*99/100]
}

func (r *ours) metrics() []historian.Metric {
	out := make([]historian.Metric, len(r.keys))
	for i, k := range r.keys {
		out[i] = historian.Metric{Group: k.Group, Node: k.Node, Device: k.Device, Name: k.Metric}
	}
	return out
}

// last asks for the newest value of every series; the first time since the store was opened, and after that.
func (r *ours) last() (first, then time.Duration) {
	var list []journal.Sample
	ask := func() {
		var err error
		list, err = r.s.Latest(context.Background(), list[:0])
		if err != nil || len(list) != len(r.keys) {
			r.t.Fatalf("%d last values of %d series: %v", len(list), len(r.keys), err)
		}
	}
	began := time.Now()
	ask()
	return time.Since(began), p99(ask)
}

// densest is the metric with the most samples of a numeric class.
func (r *ours) densest(from, to journal.Millis) int {
	list, err := r.s.Charts(context.Background(), historian.ChartQuery{Metrics: r.metrics()[:1000], From: from, To: to, Points: 1})
	if err != nil {
		r.t.Fatal(err)
	}
	best := 0
	for i, c := range list {
		if c.Buckets[0].Count > list[best].Buckets[0].Count {
			best = i
		}
	}
	return best
}

func (r *ours) raw(metric int, from, to journal.Millis) time.Duration {
	k := r.keys[metric]
	return p99(func() {
		out, err := r.s.Read(context.Background(), historian.Range{Group: k.Group, Node: k.Node, Device: k.Device, Metric: k.Metric, From: from, To: to})
		if err != nil || len(out.Samples) < 3000 {
			r.t.Fatal(len(out.Samples), err)
		}
	})
}

func (r *ours) chart(metrics []historian.Metric, from, to journal.Millis) time.Duration {
	return p99(func() {
		list, err := r.s.Charts(context.Background(), historian.ChartQuery{Metrics: metrics, From: from, To: to, Points: 1000})
		if err != nil || list[0].Err != nil || len(list[0].Buckets) != 1000 {
			r.t.Fatal(err)
		}
	})
}

// scan reads a metric of the peer and gives each sample to f.
func (p *peer) scan(metric int, from, to int64, f func(t int64, v float64)) {
	q, err := p.db.Querier(from, to)
	if err != nil {
		p.t.Fatal(err)
	}
	var match []*labels.Matcher
	p.sets[metric].Range(func(l labels.Label) {
		match = append(match, labels.MustNewMatcher(labels.MatchEqual, l.Name, l.Value))
	})
	set := q.Select(context.Background(), false, nil, match...)
	for set.Next() {
		for it := set.At().Iterator(nil); it.Next() == chunkenc.ValFloat; {
			f(it.At())
		}
	}
	if err := set.Err(); err != nil {
		p.t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) chart(metrics []int, from, to int64) time.Duration {
	return p99(func() {
		for _, m := range metrics {
			min, max, sum, n := make([]float64, 1000), make([]float64, 1000), make([]float64, 1000), make([]int, 1000)
			p.scan(m, from, to-1, func(t int64, v float64) {
				k := (t - from) * 1000 / (to - from)
				if n[k]++; n[k] == 1 {
					min[k], max[k] = v, v
				}
				min[k], max[k], sum[k] = math.Min(min[k], v), math.Max(max[k], v), sum[k]+v
			})
		}
	})
}

func (p *peer) raw(metric int, from, to int64) time.Duration {
	return p99(func() {
		n := 0
		p.scan(metric, from, to-1, func(int64, float64) { n++ })
		if n < 3000 {
			p.t.Fatalf("%d samples in an hour", n)
		}
	})
}

// last looks for the newest value of every series in the last five minutes, as an instant query does.
func (p *peer) last(now int64) time.Duration {
	return p99(func() {
		q, err := p.db.Querier(now-300_000, now)
		if err != nil {
			p.t.Fatal(err)
		}
		n := 0
		set := q.Select(context.Background(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "edge_metric"))
		for set.Next() {
			var v float64
			for it := set.At().Iterator(nil); it.Next() == chunkenc.ValFloat; {
				_, v = it.At()
			}
			_ = v
			n++
		}
		if n == 0 || set.Err() != nil {
			p.t.Fatal(n, set.Err())
		}
		if err := q.Close(); err != nil {
			p.t.Fatal(err)
		}
	})
}
