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
)

// The Sparkplug datatypes whose form matters here.
const (
	typeFloat  journal.DataType = 9
	typeDouble journal.DataType = 10
)

// isText says that values of this type are in Value.Bytes.
func isText(t journal.DataType) bool { return t == 12 || t >= 14 && t <= 34 }

// appendNumbers appends the values of a numeric series in their smallest form; plain allows valNumbers only.
func appendNumbers(dst []byte, t journal.DataType, nums []uint64, plain bool) []byte {
	if !plain && alternates(nums) {
		dst = append(dst, valAlternate)
		dst = binary.AppendUvarint(dst, nums[0])
		return binary.AppendUvarint(dst, nums[1])
	}
	ints := make([]int64, len(nums))
	for i, n := range nums {
		ints[i] = int64(n)
	}
	best := appendColumn([]byte{valNumbers}, ints)
	if !plain && (t == typeFloat || t == typeDouble) && !isConst(ints) {
		best = smallestFloats(best, nums, t == typeFloat)
	}
	return append(dst, best...)
}

func alternates(nums []uint64) bool {
	for i := 2; i < len(nums); i++ {
		if nums[i] != nums[i-2] {
			return false
		}
	}
	return len(nums) > 1 && nums[0] != nums[1]
}

// smallestFloats returns best or a smaller form of the same values.
func smallestFloats(best []byte, nums []uint64, single bool) []byte {
	try := func(b []byte) {
		if len(b) < len(best) {
			best = b
		}
	}
	if single && anyWide(nums) {
		return best // not float32 bits: kept as numbers
	}
	try(appendColumn([]byte{valOrdered}, ordered(nums, single)))
	if m, e, ok := decimals(nums, single); ok {
		try(appendColumn([]byte{valDecimal, byte(e)}, m))
	}
	if q, raw, ok := lattice(nums, single); ok {
		try(appendColumn(binary.LittleEndian.AppendUint64([]byte{valLattice}, math.Float64bits(q)), raw))
	}
	return best
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
func ordered(nums []uint64, single bool) []int64 {
	out := make([]int64, len(nums))
	for i, n := range nums {
		if single {
			out[i] = int64(flip32(int32(n)))
		} else {
			out[i] = flip64(int64(n))
		}
	}
	return out
}

// flip64 and flip32 turn sign and magnitude into two's complement; each is its own inverse.
func flip64(x int64) int64 { return x ^ int64(uint64(x>>63)>>1) }
func flip32(x int32) int32 { return x ^ int32(uint32(x>>31)>>1) }

const maxExponent = 15

// pow10 holds powers of ten that a float64 has exactly.
var pow10 = [maxExponent + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// decimals finds the smallest e for which every value is exactly m / 10^e rounded to its type.
func decimals(nums []uint64, single bool) (m []int64, e int, ok bool) {
	for _, n := range nums {
		for {
			if _, fits := toDecimal(n, e, single); fits {
				break
			}
			if e++; e > maxExponent {
				return nil, 0, false
			}
		}
	}
	m = make([]int64, len(nums))
	for i, n := range nums {
		if m[i], ok = toDecimal(n, e, single); !ok {
			return nil, 0, false
		}
	}
	return m, e, true
}

func toDecimal(bits uint64, e int, single bool) (m int64, ok bool) {
	x := math.Float64frombits(bits)
	if single {
		x = float64(math.Float32frombits(uint32(bits)))
	}
	y := math.Round(x * pow10[e])
	if !(math.Abs(y) < 1<<53) {
		return 0, false
	}
	m = int64(y)
	return m, fromDecimal(m, e, single) == bits
}

func fromDecimal(m int64, e int, single bool) uint64 {
	return floatBits(float64(m)/pow10[e], single)
}

func floatBits(x float64, single bool) uint64 {
	if single {
		return uint64(math.Float32bits(float32(x)))
	}
	return math.Float64bits(x)
}

// numbers fills dst with the values of a numeric form; ints is memory for as many.
func (r *reader) numbers(form byte, t journal.DataType, dst []uint64, ints []int64) {
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
		r.column(ints)
		for i, x := range ints {
			dst[i] = uint64(x)
		}
	case valOrdered:
		r.column(ints)
		fromOrdered(dst, ints, single)
	case valDecimal:
		e := int(r.byte())
		if e > maxExponent {
			r.bad = true
			return
		}
		r.column(ints)
		fromDecimals(dst, ints, pow10[e], single)
	case valLattice:
		q := math.Float64frombits(r.uint64())
		r.column(ints)
		fromLattice(dst, ints, q, single)
	default:
		r.bad = true
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

// appendTexts appends text or bytes in the smaller of two forms.
func appendTexts(dst []byte, texts [][]byte) []byte {
	place := make(map[string]uint64)
	codes := make([]uint64, len(texts))
	var words []byte
	plain := 1
	for i, s := range texts {
		code, seen := place[string(s)]
		if !seen {
			code = uint64(len(place))
			place[string(s)] = code
			words = appendText(words, s)
		}
		codes[i] = code
		plain += len(s) + 1 + len(s)/128
	}
	if len(words)+pforSize(codes)+3 < plain {
		dst = binary.AppendUvarint(append(dst, valDict), uint64(len(place)))
		return appendPFOR(append(dst, words...), codes)
	}
	dst = append(dst, valText)
	for _, s := range texts {
		dst = appendText(dst, s)
	}
	return dst
}

// texts fills dst with slices of the block.
func (r *reader) texts(form byte, dst [][]byte) {
	if form == valText {
		for i := range dst {
			dst[i] = r.text()
		}
		return
	}
	words := make([][]byte, r.count(len(dst)))
	for i := range words {
		words[i] = r.text()
	}
	var buf [pforBlock]uint64
	for len(dst) > 0 && !r.bad {
		codes := r.pforBlock(&buf, len(dst))
		for i, code := range codes {
			if code >= uint64(len(words)) {
				r.bad = true
				return
			}
			dst[i] = words[code]
		}
		dst = dst[len(codes):]
	}
}
