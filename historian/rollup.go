package historian

import (
	"math"

	"edge/historian/chunk"
	"edge/historian/journal"
)

// Rollup is what a metric comes to over one minute or one hour.
type Rollup = chunk.Rollup

const minuteMillis = journal.Millis(60_000)

// point is a sample as rows and columns see it. f counts if ok.
type point struct {
	at      journal.Millis
	f       float64
	ok      bool
	quality journal.Quality
}

func pointOf(v journal.Sample) point {
	f, ok := usable(v)
	return point{v.At, f, ok, v.Quality}
}

// held is what holds at a moment; on false: nothing.
type held struct {
	point
	on bool
}

// roller turns points, in order of time, into rows of equal width.
//
//	begin(from, step, n, carried, edges) ─► add ... ─► end ─► rows, what is carried out
type roller struct {
	rows  []Rollup
	to    journal.Millis
	edges []journal.Millis
	held  held
	edge  journal.Millis // at which held ends
	k     int            // the row that time has come to
}

// begin starts n rows of step ms at from. carried holds at from, since before it; edges are ascending and include those from
// from on.
func (r *roller) begin(from, step journal.Millis, n int, carried held, edges []journal.Millis) {
	if cap(r.rows) < n {
		r.rows = make([]Rollup, n)
	}
	r.rows = r.rows[:n]
	for i := range r.rows {
		at := from + journal.Millis(i)*step
		r.rows[i] = chunk.NoRollup(at, at+step)
	}
	r.to, r.edges, r.k = from+journal.Millis(n)*step, edges, 0
	carried.at = from - 1 // an edge at from ends it
	r.hold(carried)
}

func (r *roller) hold(h held) {
	r.held = h
	r.edge = nextEdge(r.edges, h.at)
}

// add takes a point of the rows, later than the one before.
func (r *roller) add(p point) {
	r.release(p.at)
	row := r.row(p.at)
	if row.Count++; row.Count == 1 {
		row.Last = math.NaN() // what was carried in shows in Integral only
	}
	row.Quality = worse(row.Quality, p.quality)
	if p.ok {
		p.f += 0 // no negative zero
		if row.Good++; row.Good == 1 {
			row.First, row.Min, row.Max = p.f, p.f, p.f
		}
		row.Last, row.Sum = p.f, row.Sum+p.f
		row.Min, row.Max = min(row.Min, p.f), max(row.Max, p.f)
	}
	r.hold(held{p, true})
}

// addAll adds points. Most of them end one that lies in the same row and counts: that is done here, the rest by add.
func (r *roller) addAll(list []point) {
	for i := 0; i < len(list); {
		p := &list[i]
		r.add(*p)
		i++
		row := &r.rows[r.k]
		if !p.ok || p.quality != journal.Good {
			continue
		}
		at, f, good, sum, integral, low, high := p.at, p.f+0, 0, row.Sum, row.Integral, row.Min, row.Max
		end := min(row.Until, r.edge)
		for ; i < len(list); i++ {
			q := &list[i]
			if !q.ok || q.quality != journal.Good || q.at >= end {
				break
			}
			integral += f * float64(q.at-at)
			at, f = q.at, q.f+0
			sum, low, high = sum+f, min(low, f), max(high, f)
			good++
		}
		if good > 0 {
			row.GoodMs += at - p.at
			row.Count, row.Good = row.Count+good, row.Good+good
			row.Sum, row.Integral, row.Min, row.Max, row.Last = sum, integral, low, high, f
			r.hold(held{point{at, f, true, journal.Good}, true})
		}
	}
}

// addGood adds points of quality Good; a value that is NaN does not count.
func (r *roller) addGood(times []journal.Millis, values []float64) {
	for i := 0; i < len(times); {
		from, f := times[i], values[i]
		r.add(point{from, f, f == f, journal.Good})
		i++
		if f != f {
			continue
		}
		row := &r.rows[r.k]
		at, f, first, sum, integral, low, high := from, f+0, i, row.Sum, row.Integral, row.Min, row.Max
		end := min(row.Until, r.edge)
		for ; i < len(times); i++ {
			t, x := times[i], values[i]
			if x != x || t >= end {
				break
			}
			x += 0 // no negative zero
			integral += f * float64(t-at)
			at, f = t, x
			sum += x
			if x < low {
				low = x
			}
			if x > high {
				high = x
			}
		}
		if good := i - first; good > 0 {
			row.GoodMs += at - from
			row.Count, row.Good = row.Count+good, row.Good+good
			row.Sum, row.Integral, row.Min, row.Max, row.Last = sum, integral, low, high, f
			r.hold(held{point{at, f, true, journal.Good}, true})
		}
	}
}

// row is the one that t lies in. Time only goes on.
func (r *roller) row(t journal.Millis) *Rollup {
	for t >= r.rows[r.k].Until {
		r.k++
	}
	return &r.rows[r.k]
}

// release ends what holds, and spreads its time over the rows.
func (r *roller) release(until journal.Millis) {
	if !r.held.on {
		return
	}
	h := r.held
	r.held.on = false
	at, end := max(h.at, r.rows[0].At), min(until, r.edge, r.to)
	for at < end {
		row := r.row(at)
		stop := min(end, row.Until)
		row.Quality = worse(row.Quality, h.quality)
		if h.ok {
			row.Integral += h.f * float64(stop-at)
			row.GoodMs += stop - at
			if row.Count == 0 {
				row.Last = h.f
			}
		}
		at = stop
	}
}

// end returns the rows, which are the roller's until begin, and what holds at their end.
func (r *roller) end() ([]Rollup, held) {
	out := r.held
	r.release(r.to)
	if r.edge < r.to || !out.ok && out.quality == journal.Good { // text says nothing that would be carried
		out = held{}
	}
	return r.rows, out
}

// extend puts the row that follows to the end of r.
func extend(r *Rollup, next *Rollup) {
	switch {
	case next.Good > 0:
		if r.Good == 0 {
			r.First = next.First
		}
		r.Min, r.Max, r.Last = fmin(r.Min, next.Min), fmax(r.Max, next.Max), next.Last
	case r.Count == 0 && (next.Count > 0 || next.GoodMs > 0):
		r.Last = next.Last
	}
	r.Until = next.Until
	r.Sum, r.Integral, r.GoodMs = r.Sum+next.Sum, r.Integral+next.Integral, r.GoodMs+next.GoodMs
	r.Count, r.Good = r.Count+next.Count, r.Good+next.Good
	r.Quality = worse(r.Quality, next.Quality)
}
