package historian

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"edge/historian/journal"
)

// The limits of one question.
const (
	maxPoints  = 10_000      // intervals of one metric
	maxMetrics = 1000        // metrics
	maxCells   = 1_000_000   // metrics times intervals: 100 MB
	maxRows    = 200_000_000 // samples read: some seconds
)

// Metric names a metric; Device is empty for one of the node itself.
type Metric struct{ Group, Node, Device, Name string }

// Source says what an answer was computed from.
type Source string

// Where several were used, the coarsest is named.
const (
	SourceRaw    Source = "raw"    // samples
	SourceMinute Source = "minute" // rollups of a minute
	SourceHour   Source = "hour"   // rollups of an hour
)

// ChartQuery asks for several metrics over From <= t < To in Points columns: at most 1,000 metrics, 10,000 columns, and 1,000,000
// of both.
type ChartQuery struct {
	Metrics  []Metric
	From, To journal.Millis
	Points   int
}

// Chart is one metric of the answer.
type Chart struct {
	Buckets []Bucket
	Gaps    []Gap
	Source  Source
	Err     error // ErrNoSeries for an unknown metric; the others are answered
}

// Buckets is Charts for one metric.
func (s *Store) Buckets(ctx context.Context, r Range, points int) ([]Bucket, []Gap, error) {
	list, err := s.Charts(ctx, ChartQuery{[]Metric{{r.Group, r.Node, r.Device, r.Metric}}, r.From, r.To, points})
	if err != nil {
		return nil, nil, err
	}
	return list[0].Buckets, list[0].Gaps, list[0].Err
}

// Charts divides the range into columns of equal width (but see plan), the same for all metrics; every column is returned. The
// answer is in the order of q.Metrics. ErrTooMuch says which limit a question passes.
//
// A value holds until the next sample, until its node or device dies, until a gap begins or ends, and never beyond now: Mean is
// weighted with the time that each value held (OPC UA Part 13, stepped). Min, Max and Last are those of the column's own
// samples, so that one sample shows at every zoom. A column without samples shows the value that is carried through it, if one
// is, with Count 0; else all its numbers are NaN. Bad and Stale samples count and set Quality, their values do not;
// neither do null, NaN and what is no number. Quality is the worst of the samples and of what holds; Stale inside a gap.
func (s *Store) Charts(ctx context.Context, q ChartQuery) ([]Chart, error) {
	list, _, err := s.charts(ctx, q)
	return list, err
}

func (s *Store) charts(ctx context.Context, q ChartQuery) ([]Chart, work, error) {
	from := max(0, q.From)
	to := max(from+1, q.To)
	points := min(max(1, q.Points), maxPoints, int(min(to-from, maxPoints)))
	if n := len(q.Metrics); n > maxMetrics || n*points > maxCells {
		return nil, work{}, fmt.Errorf("%w: %d metrics of %d points; at most %d metrics and %d points in all", ErrTooMuch, n, points, maxMetrics, maxCells)
	}
	a, err := s.ask(ctx, q.Metrics, from, to)
	if err != nil {
		return nil, work{}, err
	}
	defer func() { a.scan.end() }()
	bounds := evenly(from, to, points)
	width := (to - from) / journal.Millis(points)
	p, err := a.plan(ctx, width)
	if err != nil {
		return nil, work{}, err
	}
	align(bounds, p.step, width)
	a.divide(bounds)
	if err := a.carryOut(ctx, p); err != nil {
		return nil, a.scan.work, err
	}
	out := make([]Chart, len(q.Metrics))
	for i, t := range a.tracks {
		if t == nil {
			out[i].Err = a.unknown(i)
			continue
		}
		out[i] = Chart{Buckets: t.buckets(), Gaps: t.allGaps(from, to), Source: t.source}
	}
	return out, a.scan.work, nil
}

// asked is a question about several metrics.
type asked struct {
	s        *Store
	metrics  []Metric
	tracks   []*track // of each metric, nil for an unknown one
	from, to journal.Millis
	now      journal.Millis
	scan     *scan
}

func (s *Store) ask(ctx context.Context, metrics []Metric, from, to journal.Millis) (*asked, error) {
	a := &asked{s: s, metrics: metrics, tracks: make([]*track, len(metrics)), from: from, to: to, now: s.now()}
	gaps := make(map[owner][]Gap)
	byName := make(map[Metric]*track)
	var known []*track
	for i, m := range metrics {
		if a.tracks[i] = byName[m]; a.tracks[i] != nil {
			continue
		}
		epochs := s.catalog.epochs(metric{m.Group, m.Node, m.Device, m.Name})
		if len(epochs) == 0 {
			continue
		}
		t := &track{owner: owner{m.Group, m.Node, m.Device}, epochs: epochs, source: SourceRaw}
		list, have := gaps[t.owner]
		if !have {
			var err error
			// Gaps before the range count as well: nothing is carried over them.
			if list, err = s.gaps(ctx, t.owner, max(0, from-lookBack), to); err != nil {
				return nil, err
			}
			gaps[t.owner] = list
		}
		t.gaps = list
		a.tracks[i], byName[m] = t, t
		known = append(known, t)
	}
	a.scan = s.newScan(known)
	return a, nil
}

func (a *asked) unknown(i int) error {
	m := a.metrics[i]
	return fmt.Errorf("%w: %s/%s/%s %s", ErrNoSeries, m.Group, m.Node, m.Device, m.Name)
}

// divide gives every track its intervals.
func (a *asked) divide(bounds []journal.Millis) {
	n := len(bounds) - 1
	list := a.scan.intervals(n * len(a.scan.tracks))
	for i, t := range a.scan.tracks {
		t.into = newIntervals(list[i*n:][:n:n], bounds, Edges(t.gaps), a.now)
	}
}

// read fills them.
func (a *asked) read(ctx context.Context) error {
	a.scan.memory(max(0, a.from-lookBack), a.to)
	return a.scan.inPieces(ctx, func(ctx context.Context, sc *scan) error {
		if err := sc.carry(ctx, a.from); err != nil {
			return err
		}
		if err := sc.files(ctx, a.from, min(a.to, a.now+2*farFuture)); err != nil { // nothing is later
			return err
		}
		for _, t := range sc.tracks {
			t.into.finish()
		}
		return nil
	})
}

// allGaps are the gaps of the range, and what could not be read.
func (t *track) allGaps(from, to journal.Millis) []Gap {
	return append(clip(append([]Gap(nil), t.gaps...), from, to), clip(t.damage, from, to)...)
}

// buckets are the intervals as columns of a chart.
func (t *track) buckets() []Bucket {
	c := t.into
	out := make([]Bucket, len(c.list))
	gone := c.touchedBy(t.allGaps(c.bounds[0], c.end()))
	short := t.floats()
	for k := range out {
		v := &c.list[k]
		b := &out[k]
		*b = Bucket{T: c.bounds[k], Min: v.min, Max: v.max, Last: v.last, Count: v.count, Quality: v.quality}
		if v.count == 0 {
			b.Min, b.Max, b.Last = v.carried, v.carried, v.carried
		}
		if short {
			b.shorten()
		}
		if b.Mean = b.Last; v.goodMs > 0 { // else a sample that held for no time, or NaN
			b.Mean = v.integral / float64(v.goodMs)
		}
		if v.count == 0 && v.goodMs == 0 || gone != nil && gone[k] {
			b.Quality = worse(b.Quality, journal.Stale)
		}
	}
	return out
}

// shorten shows the numbers of a Float as they are meant.
func (b *Bucket) shorten() {
	low, high, last := b.Min, b.Max, b.Last
	b.Min = shortest(low)
	if b.Max = b.Min; high != low {
		b.Max = shortest(high)
	}
	switch last {
	case low:
		b.Last = b.Min
	case high:
		b.Last = b.Max
	default:
		b.Last = shortest(last)
	}
}

// floats tells whether every epoch of the metric is a Float.
func (t *track) floats() bool {
	for _, e := range t.epochs {
		if e.key.Type != floatType {
			return false
		}
	}
	return true
}

// floatType is Sparkplug's Float.
const floatType journal.DataType = 9

// shortest is the shortest decimal that is the same Float: 55.412, not 55.4119987487793.
func shortest(f float64) float64 {
	if f != f {
		return f
	}
	if math.Abs(f) < 1<<20 {
		for _, scale := range [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5} {
			if short := math.RoundToEven(f*scale) / scale; float64(float32(short)) == f {
				return short
			}
		}
	}
	var space [32]byte
	short, err := strconv.ParseFloat(string(strconv.AppendFloat(space[:0], f, 'g', -1, 32)), 64)
	if err != nil {
		return f
	}
	return short
}

func fmin(a, b float64) float64 {
	if math.IsNaN(a) {
		return b
	}
	return min(a, b)
}

func fmax(a, b float64) float64 {
	if math.IsNaN(a) {
		return b
	}
	return max(a, b)
}
