package historian

import (
	"math"
	"slices"

	"edge/historian/chunk"
	"edge/historian/journal"
)

// Looks says when who asks for columns looks at them, so that what makes no difference to it is left out: at First and each Step ms
// after it, with Step 0 at First alone. With Width 0 it looks at what holds then: the last sample until then. Else it looks at the
// smallest and the largest of the samples with t-Width < At <= t, and where the first of them and the last lie.
type Looks struct{ First, Step, Width journal.Millis }

// Samples lie in one cell if each look sees all of them or none. Of a cell one sample is enough, or four, and a block that lies in
// one need not be decoded where its statistics tell them.

// end is the last time of the cell that a time lies in.
func (l *Looks) end(at journal.Millis) journal.Millis {
	end := l.next(at)
	if l.Width > 0 {
		end = min(end, l.next(at+l.Width)-l.Width)
	}
	return end
}

// next is the first look at or after a time.
func (l *Looks) next(at journal.Millis) journal.Millis {
	switch {
	case at <= l.First:
		return l.First
	case l.Step <= 0:
		return math.MaxInt64
	}
	return l.First + (at-l.First+l.Step-1)/l.Step*l.Step
}

// slice are the points i to j.
func (p points) slice(i, j int) points {
	out := points{at: p.at[i:j], num: p.num[i:j]}
	if p.quality != nil {
		out.quality = p.quality[i:j]
	}
	return out
}

// eachCell calls f with the points of each cell, and where it ends.
func (l *Looks) eachCell(p points, f func(p points, end journal.Millis)) {
	for i := 0; i < len(p.at); {
		end, j := l.end(p.at[i]), i+1
		for j < len(p.at) && p.at[j] <= end {
			j++
		}
		f(p.slice(i, j), end)
		i = j
	}
}

// addLasts takes the last of each cell, in the place of one that came before.
func (c *Column) addLasts(p points) {
	c.looks.eachCell(p, func(p points, end journal.Millis) {
		if len(c.At) > 0 && c.cell == end {
			c.drop()
		}
		c.put(p.slice(len(p.at)-1, len(p.at)))
		c.cell = end
	})
}

// addExtremes takes the first, the smallest, the largest and the last of each cell, and all where one is not known or NaN.
func (c *Column) addExtremes(p points) {
	c.looks.eachCell(p, func(p points, _ journal.Millis) {
		n := len(p.at) - 1
		unknown := func(q journal.Quality) bool { return !believed(q) }
		if n < 4 || slices.ContainsFunc(p.quality, unknown) || slices.ContainsFunc(p.num, math.IsNaN) {
			c.put(p)
			return
		}
		low, high := 0, 0
		for i, x := range p.num {
			if x < p.num[low] {
				low = i
			}
			if x > p.num[high] {
				high = i
			}
		}
		last := -1
		for _, i := range [...]int{0, min(low, high), max(low, high), n} {
			if i > last {
				c.put(p.slice(i, i+1))
			}
			last = i
		}
	})
}

// statistics takes a block's statistics in place of its samples, if they lie in one cell.
func (c *Column) statistics(e *chunk.Entry) bool {
	if c.looks == nil || e.Stats == nil || c.looks.end(e.First) < e.Last {
		return false
	}
	s := e.Stats
	if c.looks.Width == 0 {
		c.addLasts(points{at: []journal.Millis{e.Last}, num: []float64{s.Last}})
		return true
	}
	// Where between the first and the last the extremes lie makes no difference. At least 32 samples have statistics.
	c.put(points{at: []journal.Millis{e.First, e.First + 1, e.First + 2, e.Last}, num: []float64{s.First, s.Min, s.Max, s.Last}})
	return true
}

// outdone says that a block makes no difference, because the next one of the metric begins in the same cell.
func (c *Column) outdone(e, next *chunk.Entry) bool {
	return c != nil && c.looks != nil && c.looks.Width == 0 && next.First > e.Last && next.First <= c.looks.end(e.First)
}
