package chunk

import (
	"math"

	"edge/historian/journal"
)

// rowReader reads what RollupEncoder.append wrote, now (version 2) or before.
type rowReader struct {
	reader
	version byte
	bits    bitReader
}

// rollups reads a series, all that is there.
func (r *rowReader) rollups(span Span, s *Rollups) bool {
	set := r.byte()
	var present []byte
	if set&rollupAbsent != 0 {
		present = r.take((span.Steps + 7) / 8)
	}
	s.Rows = rowsOf(span, set&rollupWhole != 0, present, s.Rows[:0])
	rows := s.Rows
	if len(rows) == 0 || r.bad {
		return false
	}
	if r.version == 1 {
		r.counts(set, rows)
	}
	if set&rollupQuality != 0 {
		r.rowQuality(rows)
	}
	s.Holds, s.Quality = HoldsNothing, journal.Good
	switch {
	case set&rollupHolds != 0:
		s.Holds = HoldsLast
	case set&rollupHoldsNot != 0:
		s.Holds = HoldsUnusable
	}
	if set&rollupHeld != 0 {
		s.Quality = journal.Quality(r.count(1<<16 - 1))
	}
	sc := r.readUnit()
	if r.version > 1 {
		r.bits.b = r.take(len(r.b))
		r.counts(set, rows)
	}
	switch {
	case r.bad:
	case sc.form == unitFloats:
		r.floats(rows)
	case sc.form != unitNone:
		r.scaled(&sc, rows)
	}
	return !r.bad && len(r.b) == 0 && (r.version == 1 || r.bits.done())
}

// ints fills dst with a column.
func (r *rowReader) ints(dst []int64) {
	switch {
	case r.version > 1:
		r.bits.column(dst)
	case len(dst) == 1:
		dst[0] = r.svarint()
	default:
		r.column(dst)
	}
}

func (r *rowReader) counts(set byte, rows []Rollup) {
	var buf [MaxRows]int64
	col := buf[:len(rows)]
	between := func(x, high int64) int64 {
		r.bad = r.bad || x < 0 || x > high
		return x
	}
	r.ints(col)
	for i := range rows {
		rows[i].Count = int(between(col[i], MaxRollupCount))
		rows[i].Good, rows[i].GoodMs = rows[i].Count, rows[i].Until-rows[i].At
	}
	if set&rollupUnusable != 0 {
		r.ints(col)
		for i := range rows {
			rows[i].Good -= int(between(col[i], int64(rows[i].Count)))
		}
	}
	if set&rollupPartly != 0 {
		r.ints(col)
		for i := range rows {
			rows[i].GoodMs -= journal.Millis(between(col[i], int64(rows[i].GoodMs)))
		}
	}
}

func (r *rowReader) floats(rows []Rollup) {
	var buf [MaxRows]int64
	col := buf[:len(rows)]
	for _, f := range rollupFloats {
		r.ints(col)
		for i := range rows {
			*f(&rows[i]) = math.Float64frombits(uint64(flip64(col[i])))
		}
	}
}

// shifts reads by how many bits a column was cut; of sums, whether it is in parts.
func (r *rowReader) shifts(ofSums bool) (shift, fine int64) {
	limit, width := 62, shiftBits
	if ofSums {
		limit, width = finer+62, shiftBits+1
	}
	x := 0
	if r.version > 1 {
		x = int(r.bits.take(width))
	} else {
		x = r.count(limit)
	}
	if x >= finer {
		return int64(x - finer), sumParts
	}
	return int64(x), 1
}

func (r *reader) rowQuality(rows []Rollup) {
	for len(rows) > 0 && !r.bad {
		q, n := r.count(1<<16-1), r.count(len(rows))
		r.bad = r.bad || n == 0
		for i := range n {
			rows[i].Quality = journal.Quality(q)
		}
		rows = rows[n:]
	}
}

// scaled reads the columns of values. Damaged ones give numbers, whatever they are.
func (r *rowReader) scaled(sc *unit, rows []Rollup) {
	var lasts, firsts, lows, highs, integrals, sums [MaxRows]int64
	n, good, differ := 0, 0, 0
	for i := range rows {
		row := &rows[i]
		if row.Good > 0 {
			good++
		}
		if row.Good > 0 || row.carriedOnly() {
			n++
		}
		if row.differs() {
			differ++
		}
	}
	r.ints(lasts[:n])
	for _, c := range [...]*[MaxRows]int64{&firsts, &lows, &highs} {
		r.ints(c[:good])
	}
	integralShift, _ := r.shifts(false)
	r.ints(integrals[:differ])
	sumShift, fine := r.shifts(true)
	r.ints(sums[:good])
	k, g, d, last := 0, 0, 0, int64(0)
	for i := range rows {
		row := &rows[i]
		middle := last
		if row.Good > 0 || row.carriedOnly() {
			last = lasts[k]
			k++
			row.Last = sc.value(last)
		}
		if row.Good > 0 {
			lo := last - lows[g]
			hi := last + highs[g]
			row.First, row.Min, row.Max = sc.value(lo+firsts[g]), sc.value(lo), sc.value(hi)
			middle = lo + (hi-lo)/2
		}
		integral := middle * int64(row.GoodMs)
		switch {
		case row.differs():
			integral += integrals[d] << integralShift
			d++
			row.Integral = sc.sum(integral)
		case row.carriedOnly():
			row.Integral = row.Last * float64(row.GoodMs)
		}
		if row.Good > 0 {
			row.Sum = sc.sum(expected(row, middle, integral)*fine+sums[g]<<sumShift) / float64(fine)
			g++
		}
	}
}

// slack is by how much what is decoded may differ: sum and integral once, and for each sample and ms by relative. The zero slack
// allows nothing.
type slack struct{ value, sum, integral, relative float64 }

// same compares what was decoded with what was to be encoded.
func (s slack) same(want, got *Rollups) bool {
	if len(want.Rows) != len(got.Rows) || want.Holds != got.Holds || want.Holds != HoldsNothing && want.Quality != got.Quality {
		return false
	}
	for i := range want.Rows {
		a, b := &want.Rows[i], &got.Rows[i]
		if a.At != b.At || a.Until != b.Until || a.Count != b.Count || a.Good != b.Good || a.GoodMs != b.GoodMs || a.Quality != b.Quality ||
			!near(a.First, b.First, s.value) || !near(a.Last, b.Last, s.value) || !near(a.Min, b.Min, s.value) || !near(a.Max, b.Max, s.value) ||
			!near(a.Sum, b.Sum, s.sum+(s.relative+s.value)*float64(a.Good)) ||
			!near(a.Integral, b.Integral, s.integral+(s.relative+s.value)*float64(a.GoodMs)) {
			return false
		}
	}
	return true
}

// near: NaN is near NaN, and the same number is near itself, infinite or not.
func near(a, b, by float64) bool { return a == b || math.Abs(a-b) <= by || a != a && b != b }
