package chunk

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

// The forms of the numbers in a rollup. But for scaleFloats they are integers times a unit.
const (
	scaleNone    = iota // there are none
	scaleDecimal        // e: m / 10^e
	scaleSingle         // e: the Float nearest to m / 10^e
	scaleLattice        // q as f64: the Float nearest to m * q
	scaleBinary         // s, signed: m / 2^s; more digits than the largest of the values has in 32 bits are rounded away
	scaleFloats         // as they are
)

// scaleLimit bounds the integers, so that a sum over an hour's milliseconds has 63 bits.
const scaleLimit = 1 << 41

// scale turns numbers into integers and back.
type scale struct {
	form byte
	e    int // scaleDecimal, scaleSingle: the exponent; scaleBinary: s
	q    float64
}

// scaleOf finds the scale of the values and fills ints with them. scaleFloats is the answer when none fits.
func scaleOf(values []float64, ints []int64, nums []uint64) scale {
	if len(values) == 0 {
		return scale{form: scaleNone}
	}
	single, top := true, 0.0
	for _, f := range values {
		single = single && float64(float32(f)) == f
		top = math.Max(top, math.Abs(f)) // NaN or Inf if one is
	}
	if !(top < math.MaxFloat64) {
		return scale{form: scaleFloats}
	}
	for i, f := range values {
		nums[i] = floatBits(f, single)
	}
	best, width := scale{}, uint64(0)
	if m, e, ok := decimals(nums, single); ok && fits(m) {
		if best, width = (scale{form: scaleDecimal, e: e}), spread(m); single {
			best.form = scaleSingle
		}
		copy(ints, m)
	}
	if single && (best.form == scaleNone || width >= latticeWorth) {
		if q, raw, ok := sparseLattice(values, nums); ok && fits(raw) && (best.form == scaleNone || spread(raw) < width) {
			best = scale{form: scaleLattice, q: q}
			copy(ints, raw)
		}
	}
	if best.form != scaleNone {
		return best
	}
	return binaryScale(values, ints, top)
}

// latticeWorth is the spread of integers from which on it is worth the time to look for a lattice.
const latticeWorth = 1 << 12

func spread(m []int64) uint64 { return uint64(slices.Max(m)) - uint64(slices.Min(m)) }

func fits(m []int64) bool {
	for _, x := range m {
		if x <= -scaleLimit || x >= scaleLimit {
			return false
		}
	}
	return true
}

// binaryBits is how many bits the largest value has.
const binaryBits = 28

// sparseLattice is lattice for few values that lie far apart: the step is narrowed down from the smallest distance between
// two of them to the largest.
func sparseLattice(values []float64, nums []uint64) (q float64, raw []int64, ok bool) {
	sorted := slices.Compact(slices.Sorted(slices.Values(values)))
	if len(sorted) < 5 {
		return 0, nil, false
	}
	noise := ulp32(max(math.Abs(sorted[0]), math.Abs(sorted[len(sorted)-1])))
	distances := make([]float64, len(sorted)-1)
	for i := range distances {
		distances[i] = sorted[i+1] - sorted[i]
	}
	distances = append(distances, sorted[len(sorted)-1]-sorted[0])
	slices.Sort(distances)
	g, rest := distances[0], math.Inf(1)
	for range 8 { // each round either keeps g or replaces it with a smaller remainder
		if g, rest = narrow(distances, g, noise); rest == 0 {
			break
		}
		g = rest
	}
	if rest != 0 || !(g > 8*noise) {
		return 0, nil, false
	}
	lo, hi := g-g/1024, g+g/1024
	slices.SortFunc(sorted, func(a, b float64) int { return cmp.Compare(math.Abs(a), math.Abs(b)) })
	for _, v := range sorted { // raw*q rounded to float32: q lies within half a unit in v's last place, divided by raw
		if k := math.Round(math.Abs(v) * 2 / (lo + hi)); k > 0 {
			half := ulp32(v) / 2
			lo, hi = max(lo, (math.Abs(v)-half)/k), min(hi, (math.Abs(v)+half)/k)
		}
	}
	raw = make([]int64, len(values))
	for _, q := range [...]float64{float64(float32((lo + hi) / 2)), (lo + hi) / 2} {
		if lo <= hi && onLattice(nums, values, q, raw) {
			return q, raw, true
		}
	}
	return 0, nil, false
}

// narrow makes g more exact with each distance, from the smallest up; rest is what the first that is no multiple of g leaves.
func narrow(distances []float64, g, noise float64) (exact, rest float64) {
	if !(g > 8*noise) {
		return g, 0
	}
	sure := g // g is known to within noise/sure, relatively
	for _, d := range distances {
		k := math.Round(d / g)
		if r := math.Abs(d - k*g); r > max(4*noise, g/8) {
			return g, r
		}
		if d > 2*sure {
			g, sure = d/k, d
		}
	}
	return g, 0
}

func binaryScale(values []float64, ints []int64, top float64) scale {
	_, exp := math.Frexp(top)
	s := binaryBits - exp
	if s < -1000 || s > 1000 {
		return scale{form: scaleFloats}
	}
	var all int64
	for i, f := range values {
		ints[i] = int64(math.Round(math.Ldexp(f, s)))
		all |= ints[i]
	}
	for ; all != 0 && all&1 == 0; all >>= 1 {
		s--
		for i := range values {
			ints[i] >>= 1
		}
	}
	return scale{form: scaleBinary, e: s}
}

// value is what an integer stands for.
func (s *scale) value(m int64) float64 {
	switch s.form {
	case scaleSingle:
		return float64(float32(float64(m) / pow10[s.e]))
	case scaleLattice:
		return float64(float32(float64(m) * s.q))
	}
	return s.sum(m)
}

// sum is what the integer of a sum stands for; units is the way back.
func (s *scale) sum(m int64) float64 {
	switch s.form {
	case scaleDecimal, scaleSingle:
		return float64(m) / pow10[s.e]
	case scaleLattice:
		return float64(m) * s.q
	}
	return math.Ldexp(float64(m), -s.e)
}

func (s *scale) units(f float64) (m int64, ok bool) {
	switch s.form {
	case scaleDecimal, scaleSingle:
		f *= pow10[s.e]
	case scaleLattice:
		f /= s.q
	default:
		f = math.Ldexp(f, s.e)
	}
	f = math.Round(f)
	return int64(f), math.Abs(f) < 1<<62
}

func (s *scale) append(dst []byte) []byte {
	dst = append(dst, s.form)
	switch s.form {
	case scaleDecimal, scaleSingle:
		return append(dst, byte(s.e))
	case scaleLattice:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(s.q))
	case scaleBinary:
		return appendSvarint(dst, int64(s.e))
	}
	return dst
}

func (r *reader) scale() (s scale) {
	switch s.form = r.byte(); s.form {
	case scaleNone, scaleFloats:
	case scaleDecimal, scaleSingle:
		s.e = r.count(maxExponent)
	case scaleLattice:
		s.q = math.Float64frombits(r.uint64())
	case scaleBinary:
		e := r.svarint()
		r.bad = r.bad || e < -2000 || e > 2000
		s.e = int(e)
	default:
		r.bad = true
	}
	return s
}
