package chunk

import (
	"math"

	"edge/historian/journal"
)

// rollups reads what RollupEncoder.append wrote.
func (r *reader) rollups(span Span, s *Rollups) bool {
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
	var buf [MaxRows]int64
	col := buf[:len(rows)]
	r.counts(set, rows, col)
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
	switch sc := r.readUnit(); {
	case r.bad:
	case sc.form == unitFloats:
		for _, f := range rollupFloats {
			r.ints(col)
			for i := range rows {
				*f(&rows[i]) = math.Float64frombits(uint64(flip64(col[i])))
			}
		}
	case sc.form != unitNone:
		r.scaled(&sc, rows)
	}
	return !r.bad
}

// ints fills dst with what appendInts wrote.
func (r *reader) ints(dst []int64) {
	if len(dst) == 1 {
		dst[0] = r.svarint()
		return
	}
	r.column(dst)
}

func (r *reader) counts(set byte, rows []Rollup, col []int64) {
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
func (r *reader) scaled(sc *unit, rows []Rollup) {
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
	integralShift := r.count(62)
	r.ints(integrals[:differ])
	sumShift, fine := r.count(finer+62), int64(1)
	if sumShift >= finer {
		sumShift, fine = sumShift-finer, sumParts
	}
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
