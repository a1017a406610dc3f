package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"

	"edge/historian/journal"
)

// Stats are what a reader may use instead of a series' samples: all of them are Good, in ascending order of time,
// not null and finite.
type Stats struct {
	First, Last float64 // the values at Entry.First and Entry.Last
	Min, Max    float64
	Integral    float64 // of the stepped value over time from Entry.First to Entry.Last, in value * ms
}

// A shorter series has no statistics: decoding it is as quick. What lies on no scale would have long ones.
const (
	minStats        = 32
	minStatsOrdered = 256
)

// intStats are statistics in the integers that are stored.
type intStats struct {
	first, last, low, high int64
	sum                    uint64 // of each but the last less low, times the ms until the next
}

// worthStats says that the series is long, plainly numeric and in order, so that its statistics can stand for it, and
// fills exact.
func (c *column) worthStats() bool {
	if len(c.at) < minStats || !c.ascending || c.nulls > 0 || len(c.quality) > 0 || len(c.nums) == 0 || !isNumber(c.kind) {
		return false
	}
	form := c.form & formBits
	if form == valAlternate || form == valOrdered && len(c.at) < minStatsOrdered || form == valNumbers && c.isFloat() {
		return false
	}
	s := intStats{first: c.ints[0], last: c.ints[len(c.ints)-1], low: c.ints[0], high: c.ints[0]}
	for _, m := range c.ints {
		s.low, s.high = min(s.low, m), max(s.high, m)
	}
	span := uint64(c.at[len(c.at)-1]) - uint64(c.at[0])
	if over, _ := bits.Mul64(uint64(s.high)-uint64(s.low), span); over != 0 && c.sumsInts() {
		return false
	}
	for _, m := range [...]int64{s.low, s.high} {
		if f := number(c.kind, form, c.scale, m); math.IsNaN(f) || math.IsInf(f, 0) {
			return false
		}
	}
	if s.low < 0 && isUnsigned(c.kind) {
		return false // a number of more than 63 bits, which is not in its place
	}
	if c.sumsInts() {
		for i, m := range c.ints[:len(c.ints)-1] {
			s.sum += (uint64(m) - uint64(s.low)) * uint64(c.at[i+1]-c.at[i])
		}
	}
	c.exact = s
	return true
}

func (c *column) isFloat() bool { return c.kind == typeFloat || c.kind == typeDouble }

// sumsInts says that the integral is that of the integers: what they stand for is exact enough.
func (c *column) sumsInts() bool { return sumsInts(c.kind, c.form&formBits) }

func sumsInts(t journal.DataType, form byte) bool {
	return form == valNumbers || form == valDecimal && t == typeDouble
}

// isNumber says that Value.Float64 knows the type; isUnsigned that it takes Num as it is.
func isNumber(t journal.DataType) bool   { return t >= 1 && t <= 11 || t == 13 }
func isUnsigned(t journal.DataType) bool { return t >= 5 && t <= 8 || t == 11 }

// number is what a stored integer stands for. It ascends with m.
func number(t journal.DataType, form byte, scale uint64, m int64) float64 {
	f := float64(m)
	switch form {
	case valOrdered:
		var one [1]uint64
		fromOrdered(one[:], []int64{m}, t == typeFloat)
		f, _ = journal.Value{Type: t, Num: one[0]}.Float64()
		return f
	case valDecimal:
		f /= pow10[scale]
	case valLattice:
		f *= math.Float64frombits(scale)
	}
	if t == typeFloat {
		f = float64(float32(f))
	}
	return f
}

// appendStats writes what worthStats found.
func (c *column) appendStats(dst []byte) []byte {
	s := &c.exact
	dst = appendSvarint(dst, s.low)
	for _, m := range [...]int64{s.high, s.first, s.last} {
		dst = binary.AppendUvarint(dst, uint64(m)-uint64(s.low))
	}
	if c.sumsInts() {
		return binary.AppendUvarint(dst, s.sum)
	}
	var integral float64
	for i, n := range c.nums[:len(c.nums)-1] {
		f, _ := journal.Value{Type: c.kind, Num: n}.Float64()
		integral += f * float64(c.at[i+1]-c.at[i])
	}
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(integral))
}

// stats reads what appendStats wrote for the entry.
func (r *reader) stats(s *Stats, e *Entry) {
	form := e.form & formBits
	low := r.svarint()
	high := int64(uint64(low) + r.uvarint())
	first := int64(uint64(low) + r.uvarint())
	e.known = known{first, low}
	s.Min, s.Max = number(e.Type, form, e.scale, low), number(e.Type, form, e.scale, high)
	s.First = number(e.Type, form, e.scale, first)
	s.Last = number(e.Type, form, e.scale, int64(uint64(low)+r.uvarint()))
	if !sumsInts(e.Type, form) {
		s.Integral = math.Float64frombits(r.uint64())
		return
	}
	sum := float64(r.uvarint())
	if form == valDecimal {
		sum /= pow10[e.scale]
	}
	s.Integral = s.Min*float64(e.Last-e.First) + sum
}

// skipStats1 passes over the statistics of a block of version 1.
func (r *reader) skipStats1(t journal.DataType) {
	for range 4 {
		switch {
		case t == typeFloat:
			r.uint32()
		case r.byte() == 0:
			r.svarint()
		default:
			r.uint64()
		}
	}
	r.uint64()
}
