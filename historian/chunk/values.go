package chunk

import (
	"encoding/binary"
	"math"

	"edge/historian/journal"
)

// The forms of a series' values.
const (
	valNumbers   = iota // Num as a column of integers
	valAlternate        // two values in turn: a Boolean by exception
	valDecimal          // floats that are m / 10^e: e, a column of m
	valOrdered          // floats as integers of the same order: a column of those
	valLattice          // Floats that are raw * q, from an analog input: q, a column of raw
	valText             // each value's length and bytes
	valDict             // the distinct values, then for each sample its place among them
	valZipped           // one of the last two, compressed
)

// The Sparkplug datatypes whose form matters here.
const (
	typeFloat  journal.DataType = 9
	typeDouble journal.DataType = 10
)

// isText says that values of this type are in Value.Bytes.
func isText(t journal.DataType) bool { return t == 12 || t >= 14 && t <= 34 }

// formBits are those of Entry's form byte that say how the values are stored.
const formBits = payloadOffsets - 1

// memo is how a series was written in the block before: its next is likely to be the same.
type memo struct {
	q               float64 // the lattice that its values lay on
	shown           int     // how many values showed it
	decimals        int8    // the exponent and one; 0: none
	values, offsets choice
}

// numbers appends the values of a numeric series in a small form; plain allows valNumbers only.
func (e *Encoder) numbers(dst []byte, c *column, plain bool) []byte {
	single := c.kind == typeFloat
	c.ints = resize(c.ints, len(c.nums))
	if len(c.nums) == 0 {
		return dst
	}
	switch {
	case plain || !single && c.kind != typeDouble || single && anyWide(c.nums): // or no float32's bits
		c.setInts(valNumbers, 0)
	case e.scaled(c, single):
	default:
		c.form |= valOrdered
		ordered(c.ints, c.nums, single)
	}
	if !plain && alternates(c.ints) {
		c.form, c.scale = c.form&^formBits|valAlternate, 0
		dst = binary.AppendUvarint(dst, c.nums[0])
		return binary.AppendUvarint(dst, c.nums[1])
	}
	var k *known
	if c.stats = c.worthStats(); c.stats {
		k = &known{c.exact.first, c.exact.low}
	}
	return e.work.appendColumnAs(dst, c.ints, k, &c.memo.values)
}

func (c *column) setInts(form byte, scale uint64) {
	c.form, c.scale = c.form|form, scale
	for i, n := range c.nums {
		c.ints[i] = int64(n)
	}
}

// scaled finds the decimals or the lattice that a series of floats lies on.
func (e *Encoder) scaled(c *column, single bool) bool {
	h := c.memo
	if h.shown*2 < len(c.nums) || !onLattice(c.ints, c.nums, h.q, single) {
		if exp, ok := h.exponent(c, single); ok {
			c.form, c.scale = c.form|valDecimal, uint64(exp)
			return true
		}
		q, ok := e.work.lattice(c.ints, c.nums, single)
		if !ok {
			return false
		}
		h.q, h.shown = q, len(c.nums)
	}
	c.form, c.scale = c.form|valLattice, math.Float64bits(h.q)
	return true
}

// exponent finds the decimals of a series: those that it had before, as long as its form is not chosen anew.
func (h *memo) exponent(c *column, single bool) (exp int, ok bool) {
	if h.decimals > 0 && h.values.uses < choiceUses && toDecimals(c.ints, c.nums, int(h.decimals)-1, single) {
		return int(h.decimals) - 1, true
	}
	if exp, ok = decimals(c.ints, c.nums, single); ok {
		h.decimals = int8(exp + 1)
	}
	return exp, ok
}

// scale reads what turns integers into values, in blocks before version 3.
func (r *reader) scale(form byte) uint64 {
	switch form & formBits {
	case valDecimal:
		e := r.byte()
		r.bad = r.bad || e > maxExponent
		return uint64(e)
	case valLattice:
		return r.uint64()
	}
	return 0
}

func alternates(v []int64) bool {
	for i := 2; i < len(v); i++ {
		if v[i] != v[i-2] {
			return false
		}
	}
	return len(v) > 1 && v[0] != v[1]
}

func anyWide(nums []uint64) bool {
	for _, n := range nums {
		if n > math.MaxUint32 {
			return true
		}
	}
	return false
}

// ordered maps float bits to integers in the order of the numbers, so that close numbers are close integers.
func ordered(out []int64, nums []uint64, single bool) {
	for i, n := range nums {
		if single {
			out[i] = int64(flip32(int32(n)))
		} else {
			out[i] = flip64(int64(n))
		}
	}
}

// flip64 and flip32 turn sign and magnitude into two's complement; each is its own inverse.
func flip64(x int64) int64 { return x ^ int64(uint64(x>>63)>>1) }
func flip32(x int32) int32 { return x ^ int32(uint32(x>>31)>>1) }

const maxExponent = 15

// pow10 holds powers of ten that a float64 has exactly.
var pow10 = [maxExponent + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// decimals finds the smallest e for which every value is exactly m / 10^e rounded to its type. A Float has no more than
// seven digits that mean something: with more it would always be found, and no smaller.
func decimals(m []int64, nums []uint64, single bool) (e int, ok bool) {
	for _, n := range nums {
		for {
			if _, fits := toDecimal(n, e, single); fits {
				break
			}
			if e++; e > maxExponent {
				return 0, false
			}
		}
	}
	return e, toDecimals(m, nums, e, single)
}

func toDecimals(m []int64, nums []uint64, e int, single bool) (ok bool) {
	for i, n := range nums {
		if m[i], ok = toDecimal(n, e, single); !ok {
			return false
		}
	}
	return true
}

func toDecimal(bits uint64, e int, single bool) (m int64, ok bool) {
	x, limit := math.Float64frombits(bits), float64(1<<53)
	if single {
		x, limit = float64(math.Float32frombits(uint32(bits))), 1<<23
	}
	y := math.RoundToEven(x * pow10[e])
	if !(math.Abs(y) < limit) {
		return 0, false
	}
	m = int64(y) // of negative zero 0: it does not come back
	return m, floatBits(float64(m)/pow10[e], single) == bits
}

func floatBits(x float64, single bool) uint64 {
	if single {
		return uint64(math.Float32bits(float32(x)))
	}
	return math.Float64bits(x)
}

// numbers fills dst with the values of a numeric form; ints is memory for as many.
func (r *reader) numbers(form byte, scale uint64, t journal.DataType, dst []uint64, ints []int64, k *known) {
	ints = ints[:len(dst)]
	single := t == typeFloat
	switch form {
	case valAlternate:
		a, b := r.uvarint(), r.uvarint()
		for i := range dst {
			dst[i] = a
			a, b = b, a
		}
	case valNumbers:
		r.columnOf(ints, k)
		for i, x := range ints {
			dst[i] = uint64(x)
		}
	case valOrdered:
		r.columnOf(ints, k)
		fromOrdered(dst, ints, single)
	case valDecimal:
		r.columnOf(ints, k)
		fromDecimals(dst, ints, pow10[scale], single)
	case valLattice:
		r.columnOf(ints, k)
		fromLattice(dst, ints, math.Float64frombits(scale), single)
	default:
		r.bad = true
	}
}

// plainFloats says that the values are a column that toFloats knows.
func (e *Entry) plainFloats() bool {
	switch e.form & formBits {
	case valNumbers:
		return isNumber(e.Type)
	case valDecimal, valOrdered, valLattice:
		return e.Type == typeFloat || e.Type == typeDouble
	}
	return false
}

// toFloats turns the integers of a column into the numbers that they stand for, without their bits between.
func toFloats(dst []float64, ints []int64, e *Entry) {
	ints = ints[:len(dst)]
	single := e.Type == typeFloat
	switch form := e.form & formBits; {
	case form == valDecimal && single:
		scale := pow10[e.scale]
		for i, x := range ints {
			dst[i] = float64(float32(float64(x) / scale))
		}
	case form == valDecimal:
		scale := pow10[e.scale]
		for i, x := range ints {
			dst[i] = float64(x) / scale
		}
	case form == valLattice:
		q := math.Float64frombits(e.scale)
		for i, x := range ints {
			if dst[i] = float64(x) * q; single {
				dst[i] = float64(float32(dst[i]))
			}
		}
	case form == valOrdered && single:
		for i, x := range ints {
			dst[i] = float64(math.Float32frombits(uint32(flip32(int32(x)))))
		}
	case form == valOrdered:
		for i, x := range ints {
			dst[i] = math.Float64frombits(uint64(flip64(x)))
		}
	case single:
		for i, x := range ints {
			dst[i] = float64(math.Float32frombits(uint32(x)))
		}
	case e.Type == typeDouble:
		for i, x := range ints {
			dst[i] = math.Float64frombits(uint64(x))
		}
	case isUnsigned(e.Type):
		for i, x := range ints {
			dst[i] = float64(uint64(x))
		}
	default:
		for i, x := range ints {
			dst[i] = float64(x)
		}
	}
}

func fromOrdered(dst []uint64, ints []int64, single bool) {
	if single {
		for i, x := range ints {
			dst[i] = uint64(uint32(flip32(int32(x))))
		}
		return
	}
	for i, x := range ints {
		dst[i] = uint64(flip64(x))
	}
}

func fromDecimals(dst []uint64, ints []int64, scale float64, single bool) {
	if single {
		for i, x := range ints {
			dst[i] = uint64(math.Float32bits(float32(float64(x) / scale)))
		}
		return
	}
	for i, x := range ints {
		dst[i] = math.Float64bits(float64(x) / scale)
	}
}

func fromLattice(dst []uint64, ints []int64, q float64, single bool) {
	if single {
		for i, x := range ints {
			dst[i] = uint64(math.Float32bits(float32(float64(x) * q)))
		}
		return
	}
	for i, x := range ints {
		dst[i] = math.Float64bits(float64(x) * q)
	}
}
