package historian

import (
	"cmp"
	"math"
	"slices"

	"edge/historian/chunk"
	"edge/historian/journal"
)

// reading is a sample as a chart needs it.
type reading struct {
	at      journal.Millis
	index   journal.Index
	num     float64 // NaN: null, text, or no number
	quality journal.Quality
}

// points are the readings of one metric, strictly ascending by time. Who is given them keeps nothing of them.
type points struct {
	at      []journal.Millis
	num     []float64
	quality []journal.Quality // nil: all are Good
}

// between are the points with from <= at < to.
func (p points) between(from, to journal.Millis) points {
	i, _ := slices.BinarySearch(p.at, from)
	j, _ := slices.BinarySearch(p.at, to)
	if i > 0 || j < len(p.at) {
		p.at, p.num = p.at[i:j], p.num[i:j]
		if p.quality != nil {
			p.quality = p.quality[i:j]
		}
	}
	return p
}

// counts says that a number of this quality is usable.
func counts(num float64, q journal.Quality) bool { return believed(q) && num == num }

// lastReadings sorts by time and keeps of each stamp the last to arrive.
func lastReadings(list []reading) []reading {
	order := func(a, b reading) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.index, b.index)) }
	if !slices.IsSortedFunc(list, order) { // mostly it is
		slices.SortFunc(list, order)
	}
	n := 0
	for _, r := range list {
		if n > 0 && list[n-1].at == r.at {
			n--
		}
		list[n] = r
		n++
	}
	return list[:n]
}

// memory reads the tracks' samples with from <= At < to that are not in a file yet. It holds the lock for one cell at a
// time: the follower waits no longer than that.
func (sc *scan) memory(from, to journal.Millis) {
	for _, k := range sc.s.cellsOf(sc.groups, from, to) {
		sc.s.readCell(k, func(c *cell) { sc.cell(c, from, to) })
	}
	for _, t := range sc.tracks {
		t.memory = lastReadings(t.memory)
	}
}

// cell reads one cell.
func (sc *scan) cell(c *cell, from, to journal.Millis) {
	tracks := make([]*track, len(c.members))
	for i, m := range c.members {
		if m.series != nil {
			tracks[i] = sc.byID[m.series.id]
		}
	}
	var v journal.Sample
	for i := range c.slots {
		if at := c.slots[i].at; at < from+math.MinInt16 || at >= to-math.MinInt16 {
			continue
		}
		for r := c.rowsOf(i); r.next(); {
			if t := tracks[r.place]; t != nil && r.at >= from && r.at < to {
				r.sample(&v)
				t.memory = append(t.memory, sc.reader.reading(&v))
			}
		}
	}
}

// cellsOf names the cells of some groups that touch a range.
func (s *Store) cellsOf(groups map[uint32]bool, from, to journal.Millis) (out []cellKey) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, h := range s.heads() {
		for k := range h.cells {
			twice := h == s.head && s.flushing != nil && s.flushing.cells[k] != nil
			if groups[k.group] && k.window < to && k.window+h.window > from && !twice {
				out = append(out, k)
			}
		}
	}
	return out
}

// readCell calls f with what memory has of a cell. What moved to a file since it was named is found there.
func (s *Store) readCell(k cellKey, f func(*cell)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, h := range s.heads() {
		if c := h.cells[k]; c != nil {
			f(c)
		}
	}
}

// columnReader turns a series of a block into points or readings; its memory is used again.
type columnReader struct {
	columns chunk.Columns
	num     []float64
	quality []journal.Quality
	at      []journal.Millis

	numbersOnly bool // null and what is no number is Bad: NaN is a number then
}

// points reads a series whose samples ascend by time.
func (c *columnReader) points(b *chunk.Block, i int, line *chunk.Timeline) (points, error) {
	var err error
	if c.num, err = b.Numbers(i, line, &c.columns, c.num[:0]); err != nil {
		return points{}, err
	}
	return points{c.columns.At, c.num, c.qualities()}, nil
}

func (c *columnReader) qualities() []journal.Quality {
	if c.numbersOnly && (len(c.columns.Null) > 0 || !isNumber(c.columns.Type)) {
		return c.numeric()
	}
	if len(c.columns.Quality) == 0 {
		return nil
	}
	return c.runs()
}

func (c *columnReader) runs() []journal.Quality {
	c.quality = c.quality[:0]
	for _, run := range c.columns.Quality {
		for range run.Count {
			c.quality = append(c.quality, run.Quality)
		}
	}
	return c.quality
}

// numeric are the qualities where some values may be none.
func (c *columnReader) numeric() []journal.Quality {
	c.runs()
	for len(c.quality) < c.columns.Len() {
		c.quality = append(c.quality, journal.Good)
	}
	number := isNumber(c.columns.Type)
	for n := range c.quality {
		if !number || c.columns.IsNull(n) {
			c.quality[n] = journal.Bad
		}
	}
	return c.quality
}

// isNumber tells whether values of a type, null aside, are numbers.
func isNumber(t journal.DataType) bool {
	_, ok := journal.Value{Type: t}.Float64()
	return ok
}

// reading is a sample of memory.
func (c *columnReader) reading(v *journal.Sample) reading {
	f, ok := v.Value.Float64()
	r := reading{v.At, v.Index, f, v.Quality}
	if !ok {
		if r.num = math.NaN(); c.numbersOnly {
			r.quality = journal.Bad
		}
	}
	return r
}

// readings appends a series' samples in index order.
func (c *columnReader) readings(dst []reading, b *chunk.Block, i int, line *chunk.Timeline) ([]reading, error) {
	if err := b.Complete(i, line, &c.columns); err != nil {
		return dst, err
	}
	c.num = c.columns.Floats(c.num[:0])
	quality := c.qualities()
	for n, at := range c.columns.At {
		r := reading{at, c.columns.Index[n], c.num[n], journal.Good}
		if quality != nil {
			r.quality = quality[n]
		}
		dst = append(dst, r)
	}
	return dst, nil
}

// toPoints is the same in columns.
func (c *columnReader) toPoints(list []reading) points {
	c.at, c.num, c.quality = c.at[:0], c.num[:0], c.quality[:0]
	good := true
	for _, r := range list {
		c.at, c.num, c.quality = append(c.at, r.at), append(c.num, r.num), append(c.quality, r.quality)
		good = good && r.quality == journal.Good
	}
	p := points{at: c.at, num: c.num}
	if !good {
		p.quality = c.quality
	}
	return p
}
