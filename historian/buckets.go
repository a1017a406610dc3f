package historian

import (
	"context"
	"math"
	"slices"
	"strconv"

	"edge/historian/journal"
)

const maxPoints = 10_000

// Buckets divides the range into points columns (1 to 10,000) of equal width; every column is returned.
//
// A value holds until the next sample, until its node or device dies, until a gap begins or ends, and never beyond now: Mean is
// weighted with the time that each value held (OPC UA Part 13, stepped). Min, Max and Last are those of the column's own
// samples, so that one sample shows at every zoom. A column without samples shows the value that is carried through it, if one
// is, with Count 0; else all its numbers are NaN. Bad and Stale samples count and set Quality, their values do not;
// neither do null, NaN and what is no number. Quality is the worst of the samples and of what holds; Stale inside a gap.
func (s *Store) Buckets(ctx context.Context, r Range, points int) ([]Bucket, []Gap, error) {
	q, err := s.query(r)
	if err != nil {
		return nil, nil, err
	}
	to := max(q.from+1, r.To)
	span := to - q.from
	a := &buckets{from: q.from, to: to, out: make([]Bucket, min(max(1, points), maxPoints, int(min(span, maxPoints))))}
	a.weight = make([]float64, len(a.out))
	// Gaps before the range count as well: nothing is carried over them.
	gaps, err := s.gaps(ctx, q.owner, max(0, q.from-lookBack), to)
	if err != nil {
		return nil, nil, err
	}
	a.edges, a.now = edges(gaps), s.now()
	a.clear()
	if carried, ok := q.before(ctx, q.from, max(0, q.from-lookBack), func(journal.Sample) bool { return true }); ok {
		a.hold(carried)
	}
	err = q.walk(ctx, func(list []journal.Sample) bool {
		for _, v := range list {
			a.add(v)
		}
		return true
	})
	if err != nil {
		return nil, nil, err
	}
	a.release(to)
	gaps = append(clip(gaps, q.from, to), clip(q.damage, q.from, to)...)
	a.finish(gaps)
	if q.floats() {
		a.shorten()
	}
	return a.out, gaps, nil
}

// floats tells whether every epoch of the metric is a Float.
func (q *query) floats() bool {
	return !slices.ContainsFunc(q.epochs, func(e *series) bool { return e.key.Type != floatType })
}

// floatType is Sparkplug's Float.
const floatType journal.DataType = 9

// shorten makes of each number of a Float the shortest decimal that is the same Float: 55.412, not 55.4119987487793.
func (a *buckets) shorten() {
	for i := range a.out {
		b := &a.out[i]
		b.Min, b.Max, b.Last = shortest(b.Min), shortest(b.Max), shortest(b.Last)
	}
}

func shortest(f float64) float64 {
	text := strconv.AppendFloat(nil, f, 'g', -1, 32)
	short, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return f
	}
	return short
}

// buckets gathers samples that come in order of time.
type buckets struct {
	from, to, now journal.Millis
	edges         []journal.Millis // where gaps begin and end, ascending
	out           []Bucket
	weight        []float64 // ms for which a value held, in each; Mean is the sum of value * ms until finish

	held journal.Sample // the value that holds since its At; Series 0: none
	edge journal.Millis // at which it ends, if no sample comes before
}

// start is the beginning of column k; start(len(out)) is the end of the range.
func (a *buckets) start(k int) journal.Millis {
	return a.from + (a.to-a.from)*journal.Millis(k)/journal.Millis(len(a.out))
}

// column is the one that t lies in.
func (a *buckets) column(t journal.Millis) int {
	n := journal.Millis(len(a.out))
	k := int((t - a.from) * n / (a.to - a.from))
	for k+1 < len(a.out) && a.start(k+1) <= t {
		k++
	}
	return k
}

func (a *buckets) clear() {
	nan := math.NaN()
	for k := range a.out {
		a.out[k] = Bucket{T: a.start(k), Min: nan, Max: nan, Last: nan, Quality: journal.Good}
	}
}

// add takes a sample that lies in the range.
func (a *buckets) add(v journal.Sample) {
	a.release(v.At)
	b := &a.out[a.column(v.At)]
	if b.Count++; b.Count == 1 {
		b.Min, b.Max, b.Last = math.NaN(), math.NaN(), math.NaN() // what was carried in shows in Mean only
	}
	b.Quality = worse(b.Quality, v.Quality)
	if f, ok := usable(v); ok {
		b.Min, b.Max, b.Last = fmin(b.Min, f), fmax(b.Max, f), f
	}
	a.hold(v)
}

func (a *buckets) hold(v journal.Sample) {
	a.held, a.edge = v, holdsUntil(a.edges, a.now, v.At)
}

// release ends what holds: its time until then, or until its edge, is spread over the columns.
func (a *buckets) release(until journal.Millis) {
	v := a.held
	a.held = journal.Sample{}
	start, end := max(v.At, a.from), min(until, a.edge, a.to)
	if v.Series == 0 || start >= end {
		return
	}
	f, ok := usable(v)
	for k := a.column(start); k < len(a.out) && a.start(k) < end; k++ {
		b := &a.out[k]
		b.Quality = worse(b.Quality, v.Quality)
		if !ok {
			continue
		}
		ms := float64(min(end, a.start(k+1)) - max(start, a.start(k)))
		b.Mean += f * ms
		a.weight[k] += ms
		if b.Count == 0 {
			b.Min, b.Max, b.Last = f, f, f
		}
	}
}

func (a *buckets) finish(gaps []Gap) {
	for k := range a.out {
		b := &a.out[k]
		switch {
		case a.weight[k] > 0:
			b.Mean /= a.weight[k]
		default:
			b.Mean = b.Last // a sample that held for no time, or NaN
		}
		if b.Count == 0 && a.weight[k] == 0 || touched(gaps, b.T, a.start(k+1)) {
			b.Quality = worse(b.Quality, journal.Stale)
		}
	}
}

func touched(gaps []Gap, from, to journal.Millis) bool {
	for _, g := range gaps {
		if g.From < to && (g.To == 0 || g.To > from) {
			return true
		}
	}
	return false
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
