package chunk

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"edge/historian/journal"
)

// A series of a rollup block:
//
//	bits u8 | present bits | quality runs | held quality | unit | stream of bits: Count | Count-Good | length-GoodMs | values
//
// values is a column each of: Last of the rows that have one; then of the rows with a usable sample First-Min, Last-Min,
// Max-Last; then what Integral and Sum differ from what is to be expected. Of rows with unitFloats the six columns are the bits
// of the numbers.

// coarseBits is how many bits the largest difference of an Integral or a Sum keeps in rows shorter than an hour.
const coarseBits = 14

const hourMs = 3_600_000

// RollupEncoder makes rollup blocks and uses its memory again for the next. It remembers the unit of each series, which is then found
// sooner. It belongs to one goroutine. The zero value is ready.
type RollupEncoder struct {
	hints  map[journal.SeriesID]unit
	values []float64
	ints   []int64
	nums   []uint64
	col    []int64
	cols   [5][MaxRows]int64
	check  Rollups
	out    rowColumns

	// Of the block that is being made.
	span     Span
	last     journal.SeriesID
	count    int
	entries  []byte // of the directory
	payloads []byte
}

// append appends a series. What does not come back from it is encoded anew, exactly.
func (e *RollupEncoder) append(dst []byte, span Span, s *Rollups) ([]byte, error) {
	whole, err := checkRows(span, s)
	if err != nil {
		return nil, err
	}
	at := len(dst)
	for _, exact := range [...]bool{false, true} {
		dst = e.head(dst[:at], span, s, whole)
		sc := unit{form: unitFloats}
		if !exact {
			sc = e.unit(s.Series, s.Rows)
		}
		e.out.b = sc.append(dst)
		e.counts(dst[at], s.Rows)
		var slack slack
		if sc.form == unitFloats {
			e.floats(s.Rows)
		} else {
			slack = e.scaled(&sc, s.Rows)
		}
		dst = e.out.end()
		r := &rowReader{reader: reader{b: dst[at:]}, version: rollupVersion}
		if e.check.Series = s.Series; r.rollups(span, &e.check) && slack.same(s, &e.check) {
			copy(s.Rows, e.check.Rows)
			return dst, nil
		}
	}
	return nil, fmt.Errorf("%w: rows of series %d", ErrLossy, s.Series)
}

// head appends everything that is not a column.
func (e *RollupEncoder) head(dst []byte, span Span, s *Rollups, whole bool) []byte {
	at := len(dst)
	dst = append(dst, 0)
	var set byte
	if whole {
		set = rollupWhole
	} else if len(s.Rows) < span.Steps {
		set = rollupAbsent
		var present [(MaxRows + 7) / 8]byte
		for i := range s.Rows {
			k := (s.Rows[i].At - span.Start) / span.Step
			present[k/8] |= 1 << (k % 8)
		}
		dst = append(dst, present[:(span.Steps+7)/8]...)
	}
	quality := false
	for i := range s.Rows {
		r := &s.Rows[i]
		if r.Count != r.Good {
			set |= rollupUnusable
		}
		if r.Until-r.At != r.GoodMs {
			set |= rollupPartly
		}
		quality = quality || r.Quality != journal.Good
	}
	if quality {
		set |= rollupQuality
		dst = appendRowQuality(dst, s.Rows)
	}
	switch s.Holds {
	case HoldsLast:
		set |= rollupHolds
	case HoldsUnusable:
		set |= rollupHoldsNot
	}
	if s.Holds != HoldsNothing && s.Quality != journal.Good {
		set |= rollupHeld
		dst = binary.AppendUvarint(dst, uint64(s.Quality))
	}
	dst[at] = set
	return dst
}

// counts appends the columns of whole numbers that set asks for.
func (e *RollupEncoder) counts(set byte, rows []Rollup) {
	e.column(rows, func(r *Rollup) int64 { return int64(r.Count) })
	if set&rollupUnusable != 0 {
		e.column(rows, func(r *Rollup) int64 { return int64(r.Count - r.Good) })
	}
	if set&rollupPartly != 0 {
		e.column(rows, func(r *Rollup) int64 { return int64(r.Until - r.At - r.GoodMs) })
	}
}

// column appends one number for each row.
func (e *RollupEncoder) column(rows []Rollup, f func(*Rollup) int64) {
	e.col = e.col[:0]
	for i := range rows {
		e.col = append(e.col, f(&rows[i]))
	}
	e.out.column(e.col)
}

func appendRowQuality(dst []byte, rows []Rollup) []byte {
	for i := 0; i < len(rows); {
		n := 1
		for i+n < len(rows) && rows[i+n].Quality == rows[i].Quality {
			n++
		}
		dst = binary.AppendUvarint(dst, uint64(rows[i].Quality))
		dst = binary.AppendUvarint(dst, uint64(n))
		i += n
	}
	return dst
}

// carriedOnly says that a row has a Last and nothing else: what held all the while.
func (r *Rollup) carriedOnly() bool { return r.Count == 0 && r.GoodMs > 0 }

// differs says that a row's Integral is not told by its Last.
func (r *Rollup) differs() bool { return r.Count > 0 && r.GoodMs > 0 }

// unit finds the unit of all values of the rows, and leaves their integers in e.ints: Last of all rows that have it, then
// First, Min and Max of those with usable samples.
func (e *RollupEncoder) unit(id journal.SeriesID, rows []Rollup) unit {
	e.values = e.values[:0]
	for i := range rows {
		if r := &rows[i]; r.Good > 0 || r.carriedOnly() {
			e.values = append(e.values, r.Last)
		}
	}
	for i := range rows {
		if r := &rows[i]; r.Good > 0 {
			e.values = append(e.values, r.First, r.Min, r.Max)
		}
	}
	e.ints, e.nums = resize(e.ints, len(e.values)), resize(e.nums, len(e.values))
	u := unitOf(e.values, e.ints, e.nums, e.hints[id])
	if u.form == unitLattice || u.form == unitDecimal || u.form == unitSingle {
		if e.hints == nil {
			e.hints = make(map[journal.SeriesID]unit)
		}
		e.hints[id] = u
	}
	return u
}

// scaled appends the values as integers, and tells what they may come back as.
func (e *RollupEncoder) scaled(sc *unit, rows []Rollup) (slack slack) {
	if sc.form == unitNone {
		return slack
	}
	top := 0.0
	for _, f := range e.values {
		top = max(top, math.Abs(f))
	}
	lasts, rest := 0, 0
	for i := range rows {
		if r := &rows[i]; r.Good > 0 || r.carriedOnly() {
			lasts++
		}
	}
	e.out.column(e.ints[:lasts])
	rest = lasts
	n := (len(e.ints) - lasts) / 3
	first, low, high := e.cols[0][:n], e.cols[1][:n], e.cols[2][:n]
	integrals, sums := e.cols[3][:0], e.cols[4][:0]
	last, k, g := int64(0), 0, 0
	for i := range rows {
		r := &rows[i]
		middle := last
		if r.Good > 0 || r.carriedOnly() {
			last = e.ints[k]
			k++
		}
		if r.Good > 0 {
			f, lo, hi := e.ints[rest], e.ints[rest+1], e.ints[rest+2]
			rest += 3
			first[g], low[g], high[g] = f-lo, last-lo, hi-last
			g++
			middle = lo + (hi-lo)/2
		}
		if r.differs() {
			x, _ := sc.units(r.Integral)
			integrals = append(integrals, x-middle*int64(r.GoodMs))
		}
	}
	for _, c := range [...][]int64{first, low, high} {
		e.out.column(c)
	}
	shift := coarse(rows, integrals)
	e.out.put(uint64(shift), shiftBits)
	e.out.column(shifted(integrals, shift))
	slack.integral = sc.sum(1) * float64(int64(1)<<shift)
	fine := fineness(sc, rows)
	// What is to be expected of a sum is the mean by time: as the reader has it.
	rest, g, last, k = lasts, 0, 0, 0
	for i := range rows {
		r := &rows[i]
		middle := last
		if r.Good > 0 || r.carriedOnly() {
			last = e.ints[k]
			k++
		}
		if r.Good > 0 {
			lo, hi := e.ints[rest+1], e.ints[rest+2]
			rest += 3
			middle = lo + (hi-lo)/2
		}
		integral := middle * int64(r.GoodMs)
		if r.differs() {
			integral += integrals[g] << shift
			g++
		}
		if r.Good > 0 {
			x, _ := sc.units(r.Sum * fine)
			sums = append(sums, x-expected(r, middle, integral)*int64(fine))
		}
	}
	shift = coarse(rows, sums)
	mark := uint64(shift)
	if fine > 1 {
		mark |= finer
	}
	e.out.put(mark, shiftBits+1)
	e.out.column(shifted(sums, shift))
	slack.sum = sc.sum(1) * float64(int64(1)<<shift) / fine
	switch slack.relative = top * 0x1p-40; sc.form {
	case unitBinary:
		slack.value = math.Ldexp(top, -binaryBits)
	case unitLattice:
		slack.relative = top * 0x1p-23 // a Float's rounding of each value
	}
	return slack
}

// A sum has more digits than the values that are stored where samples between them do: then it is kept to parts of their unit.
const (
	sumParts = 256
	finer    = 1 << shiftBits // in the byte of the shift

	shiftBits = 6 // of a shift
)

func fineness(sc *unit, rows []Rollup) float64 {
	if sc.form == unitLattice {
		return 1 // what it is off by is a Float's rounding
	}
	for i := range rows {
		if x, ok := sc.units(rows[i].Sum); ok && math.Abs(sc.sum(x)-rows[i].Sum) > sc.sum(1)/(4*sumParts) {
			return sumParts
		}
	}
	return 1
}

// expected is the sum that a row would have if its mean by count were that by time.
func expected(r *Rollup, middle, integral int64) int64 {
	if r.GoodMs == 0 {
		return middle * int64(r.Good)
	}
	mean := float64(integral) / float64(r.GoodMs)
	return int64(math.Round(float64(r.Good) * mean))
}

// coarse is by how many bits the differences are cut.
func coarse(rows []Rollup, v []int64) int {
	if rows[0].Until-rows[0].At >= hourMs {
		return 0
	}
	var top uint64
	for _, x := range v {
		top = max(top, uint64(max(x, -x)))
	}
	return max(0, bits.Len64(top)-coarseBits)
}

// shifted rounds each number to a multiple of 2^shift, in place.
func shifted(v []int64, shift int) []int64 {
	if shift > 0 {
		for i, x := range v {
			v[i] = (x + 1<<(shift-1)) >> shift
		}
	}
	return v
}

// floats appends the six numbers of each row to the bit.
func (e *RollupEncoder) floats(rows []Rollup) {
	for _, f := range rollupFloats {
		e.column(rows, func(r *Rollup) int64 { return flip64(int64(math.Float64bits(*f(r)))) })
	}
}

var rollupFloats = [...]func(*Rollup) *float64{
	func(r *Rollup) *float64 { return &r.First }, func(r *Rollup) *float64 { return &r.Last },
	func(r *Rollup) *float64 { return &r.Min }, func(r *Rollup) *float64 { return &r.Max },
	func(r *Rollup) *float64 { return &r.Sum }, func(r *Rollup) *float64 { return &r.Integral },
}
