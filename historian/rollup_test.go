package historian

import (
	"math"
	"slices"
	"testing"

	"edge/historian/chunk"
	"edge/historian/journal"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// slowRow is a row, millisecond by millisecond.
func slowRow(from, to journal.Millis, before held, points []point, edges []journal.Millis) Rollup {
	r := chunk.NoRollup(from, to)
	carried := math.NaN()
	for t := from; t < to; t++ {
		for _, p := range points {
			if p.at != t {
				continue
			}
			r.Count++
			r.Quality = worse(r.Quality, p.quality)
			if p.ok {
				if r.Good++; r.Good == 1 {
					r.First = p.f
				}
				r.Last, r.Min, r.Max, r.Sum = p.f, fmin(r.Min, p.f), fmax(r.Max, p.f), r.Sum+p.f
			}
		}
		h := slowHeld(t, before, points, edges)
		if !h.on {
			continue
		}
		r.Quality = worse(r.Quality, h.quality)
		if h.ok {
			r.Integral += h.f
			r.GoodMs++
			if r.Count == 0 {
				carried = h.f
			}
		}
	}
	if r.Count == 0 {
		r.Last = carried
	}
	return r
}

// slowHeld is what holds during the millisecond that begins at t; before holds until the first point.
func slowHeld(t journal.Millis, before held, points []point, edges []journal.Millis) held {
	h := before
	for _, p := range points {
		if p.at <= t {
			h = held{p, true}
		}
	}
	for _, e := range edges {
		if e > h.at && e <= t {
			return held{}
		}
	}
	return h
}

func drawPoints(t *rapid.T, from, to journal.Millis) (out []point) {
	for at := from; at < to; at += journal.Millis(rapid.IntRange(1, 30).Draw(t, "apart")) {
		q := rapid.SampledFrom([]journal.Quality{journal.Good, journal.Good, journal.Good, journal.Bad, journal.Stale, 64}).Draw(t, "quality")
		out = append(out, point{at, float64(rapid.IntRange(-3, 9).Draw(t, "value")), believed(q) && rapid.IntRange(0, 5).Draw(t, "number") > 0, q})
	}
	return out
}

var sameRow = cmp.Options{cmpopts.EquateNaNs()}

func TestRollerAgainstMilliseconds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const from, step, n = 1000, 40, 5
		before := held{point{at: from - 1, f: 7, ok: rapid.Bool().Draw(t, "usable"), quality: 64}, rapid.Bool().Draw(t, "carried")}
		points := drawPoints(t, from+journal.Millis(rapid.IntRange(0, 250).Draw(t, "first")), from+n*step)
		var edges []journal.Millis
		for _, at := range rapid.SliceOfN(rapid.IntRange(0, n*step+20), 0, 4).Draw(t, "edges") {
			edges = append(edges, from+journal.Millis(at))
		}
		slices.Sort(edges)
		// Two stretches, one after the other, are the same as one.
		split := rapid.IntRange(0, n).Draw(t, "split")
		var rows []Rollup
		var r roller
		carried := before
		for _, part := range [][2]int{{0, split}, {split, n}} {
			if part[0] == part[1] {
				continue
			}
			start, end := journal.Millis(from+part[0]*step), journal.Millis(from+part[1]*step)
			r.begin(start, step, part[1]-part[0], carried, edges)
			var in []point
			for _, p := range points {
				if p.at >= start && p.at < end {
					in = append(in, p)
				}
			}
			r.addAll(in)
			var list []Rollup
			list, carried = r.end()
			rows = append(rows, list...)
		}
		whole := chunk.NoRollup(from, from)
		for i, row := range rows {
			at := journal.Millis(from + i*step)
			if d := cmp.Diff(slowRow(at, at+step, before, points, edges), row, sameRow); d != "" {
				t.Fatalf("row %d (-want +got):\n%s", i, d)
			}
			extend(&whole, &row)
		}
		if d := cmp.Diff(slowRow(from, from+n*step, before, points, edges), whole, sameRow); d != "" {
			t.Fatalf("all rows together (-want +got):\n%s", d)
		}
		want := slowHeld(from+n*step, before, points, slices.DeleteFunc(edges, func(e journal.Millis) bool { return e == from+n*step }))
		if want.on && !want.ok && want.quality == journal.Good {
			want = held{}
		}
		if carried.on != want.on || want.on && (carried.ok != want.ok || carried.quality != want.quality || want.ok && carried.f != want.f) {
			t.Fatalf("carried out %+v, want %+v", carried, want)
		}
	})
}
