package historian

import (
	"context"
	"fmt"
	"math"

	"edge/historian/journal"
)

// Uncertain is the quality of what was computed from less than all: OPC UA's Uncertain, as a code of Sparkplug's Quality.
const Uncertain journal.Quality = 64

// AggregateQuery asks for the aggregates of several metrics over From <= t < To in intervals of Interval ms from From on; the last
// may be shorter. Interval 0: one for all. At most 1,000 metrics, 10,000 intervals, and 1,000,000 of both.
type AggregateQuery struct {
	Metrics  []Metric
	From, To journal.Millis
	Interval journal.Millis
}

// Aggregates is one metric of the answer.
type Aggregates struct {
	Intervals []Aggregate
	Gaps      []Gap
	Source    Source
	Err       error // ErrNoSeries for an unknown metric; the others are answered
}

// Aggregate is what OPC UA Part 13 says of one interval: stepped interpolation, simple bounding values, TreatUncertainAsBad
// false, PercentDataGood and PercentDataBad 100. Good samples are those that are neither Bad nor Stale nor null, and numbers.
// Inside a gap and after now nothing holds, and no duration counts as good. NaN: there is no such value.
type Aggregate struct {
	From, To journal.Millis

	Count            int            // good samples
	Average          float64        // of good samples
	TimeAverage      float64        // of what held, over the time that it was good: TimeAverage2
	Minimum, Maximum float64        // of good samples
	MinimumAt        journal.Millis // of the first of them; 0: none, or not known to a rollup
	MaximumAt        journal.Millis
	Range            float64         // Maximum less Minimum
	Delta            float64         // the last good sample less the first
	Start, End       Reading         // the first and last sample, whatever its quality
	Interpolated     Reading         // at From; Uncertain where a gap or a bad sample lies between
	DurationGood     journal.Millis  // for which a good value held
	PercentGood      float64         // of the interval's time up to now
	Quality          journal.Quality // Good: all of that time was good; Bad: none; else Uncertain
	Worst            journal.Quality // of samples and of what held; Stale inside a gap
	Partial          bool            // the interval is shorter than the others, or reaches beyond now
}

// Reading is a sample as a number. Value is NaN, and At 0 if there is no sample at all.
type Reading struct {
	At      journal.Millis
	Value   float64
	Quality journal.Quality
}

// Aggregates computes the aggregates of several metrics, in the order of q.Metrics: from samples, and where retention took them from
// rollups, which know no times of extremes and no first and last sample.
func (s *Store) Aggregates(ctx context.Context, q AggregateQuery) ([]Aggregates, error) {
	from := max(0, q.From)
	to := max(from+1, q.To)
	width := q.Interval
	if width <= 0 || width > to-from {
		width = to - from
	}
	n := int64((to-from-1)/width) + 1
	if m := len(q.Metrics); m > maxMetrics || n > maxPoints || int64(m)*n > maxCells {
		return nil, fmt.Errorf("%w: %d metrics of %d intervals; at most %d metrics, %d intervals, %d in all", ErrTooMuch, m, n, maxMetrics, maxPoints, maxCells)
	}
	bounds := make([]journal.Millis, n+1)
	for k := range bounds {
		bounds[k] = min(to, from+width*journal.Millis(k))
	}
	a, err := s.ask(ctx, q.Metrics, from, to)
	if err != nil {
		return nil, err
	}
	defer func() { a.scan.end() }()
	p := plan{joint: a.scan.tracks}
	if s.LacksSamples(from, to) {
		p = plan{step: minuteMillis, rolled: a.scan.tracks}
		if width%hourMillis == 0 && from%hourMillis == 0 {
			p.step = hourMillis
		}
	}
	a.divide(bounds)
	a.extremes()
	if err := a.carryOut(ctx, p); err != nil {
		return nil, err
	}
	out := make([]Aggregates, len(q.Metrics))
	for i, t := range a.tracks {
		if t == nil {
			out[i].Err = a.unknown(i)
			continue
		}
		out[i] = Aggregates{Intervals: t.aggregates(width, a.now), Gaps: t.allGaps(from, to), Source: t.source}
	}
	return out, nil
}

// extremes asks for what only aggregates need.
func (a *asked) extremes() {
	a.scan.usable = true
	for _, t := range a.scan.tracks {
		t.into.more = make([]extremes, len(t.into.list))
	}
}

func (t *track) aggregates(width, now journal.Millis) []Aggregate {
	c := t.into
	gone := c.touchedBy(t.allGaps(c.bounds[0], c.end()))
	out := make([]Aggregate, len(c.list))
	for k := range out {
		v, m := &c.list[k], &c.more[k]
		from, to := c.bounds[k], c.bounds[k+1]
		a := Aggregate{From: from, To: to, Count: v.good, Average: v.sum / float64(v.good), TimeAverage: v.integral / float64(v.goodMs),
			Minimum: v.min, Maximum: v.max, MinimumAt: m.minAt, MaximumAt: m.maxAt, Range: v.max - v.min, Delta: v.last - v.first,
			Start: m.start.asked(), End: m.end.asked(), Interpolated: m.interpolated(), DurationGood: v.goodMs,
			Quality: journal.Bad, Worst: v.quality, Partial: to-from < width || to > now}
		if past := min(to, max(now, from)) - from; past > 0 {
			a.PercentGood = 100 * float64(v.goodMs) / float64(past)
			if v.goodMs == past {
				a.Quality = journal.Good
			} else if v.goodMs > 0 {
				a.Quality = Uncertain
			}
		}
		if v.count == 0 && v.goodMs == 0 || gone != nil && gone[k] {
			a.Worst = worse(a.Worst, journal.Stale)
		}
		out[k] = a
	}
	return out
}

func (r reading) asked() Reading {
	if r.index == 0 {
		return Reading{Value: math.NaN(), Quality: journal.Bad}
	}
	if !counts(r.num, r.quality) {
		r.num = math.NaN()
	}
	return Reading{r.at, r.num, r.quality}
}

// interpolated is the value at the interval's beginning: what holds there, else the last good one before.
func (m *extremes) interpolated() Reading {
	if r := m.atStart; r.index != 0 && counts(r.num, r.quality) {
		return r.asked()
	}
	r := m.before
	if r.index != 0 {
		r.quality = Uncertain
	}
	return r.asked()
}
