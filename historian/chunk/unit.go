package chunk

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

// The forms of the numbers in a rollup. But for unitFloats they are integers times a unit.
const (
	unitNone    = iota // there are none
	unitDecimal        // e: m / 10^e
	unitSingle         // e: the Float nearest to m / 10^e
	unitLattice        // q as f64: the Float nearest to m * q
	unitBinary         // s, signed: m / 2^s; more digits than the largest of the values has in 28 bits are rounded away
	unitFloats         // as they are
)

// unitLimit bounds the integers, so that a sum over an hour's milliseconds has 63 bits.
const unitLimit = 1 << 41

// unit turns numbers into integers and back.
type unit struct {
	form byte
	e    int     // unitDecimal, unitSingle: the exponent; unitBinary: s
	q    float64 // unitLattice: q; unitBinary: 2^-s
}

// unitOf finds the unit of the values and fills ints with them. unitFloats is the answer when none fits. hint is the unit that
// the series had before.
func unitOf(values []float64, ints []int64, nums []uint64, hint unit) unit {
	if len(values) == 0 {
		return unit{form: unitNone}
	}
	single, top := true, 0.0
	for _, f := range values {
		single = single && float64(float32(f)) == f
		if a := math.Abs(f); !(a <= top) {
			top = a
		}
		if !(top < math.MaxFloat64) { // or NaN
			return unit{form: unitFloats}
		}
	}
	for i, f := range values {
		nums[i] = floatBits(f, single)
	}
	if single && hint.form == unitLattice && onLattice(ints, nums, hint.q, true) && fits(ints) {
		return hint
	}
	best, width := unit{}, uint64(0)
	if e, ok := decimalsAs(hint, ints, nums, single); ok && fits(ints) {
		if best, width = (unit{form: unitDecimal, e: e}), spread(ints); single {
			best.form = unitSingle
		}
	}
	if single && (best.form == unitNone || best.e > 0 && width >= latticeWorth) {
		if q, raw, ok := sparseLattice(values, nums); ok && fits(raw) && (best.form == unitNone || spread(raw) < width) {
			best = unit{form: unitLattice, q: q}
			copy(ints, raw)
		}
	}
	if best.form != unitNone {
		return best
	}
	return binaryUnit(values, ints, top)
}

// decimalsAs is decimals, which tries first what the series had.
func decimalsAs(hint unit, ints []int64, nums []uint64, single bool) (e int, ok bool) {
	if (hint.form == unitSingle && single || hint.form == unitDecimal && !single) && toDecimals(ints, nums, hint.e, single) {
		for _, x := range ints {
			if hint.e == 0 || x%10 != 0 {
				return hint.e, true
			}
		}
	}
	return decimals(ints, nums, single)
}

// latticeWorth is the spread of integers from which on it is worth the time to look for a lattice.
const latticeWorth = 1 << 12

func spread(m []int64) uint64 { return uint64(slices.Max(m)) - uint64(slices.Min(m)) }

func fits(m []int64) bool {
	for _, x := range m {
		if x <= -unitLimit || x >= unitLimit {
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
		if lo <= hi && onLattice(raw, nums, q, true) {
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

func binaryUnit(values []float64, ints []int64, top float64) unit {
	_, exp := math.Frexp(top)
	s := binaryBits - exp
	if s < -1000 || s > 1000 {
		return unit{form: unitFloats}
	}
	var all int64
	for i, scale := 0, math.Ldexp(1, s); i < len(values); i++ {
		ints[i] = int64(math.Round(values[i] * scale))
		all |= ints[i]
	}
	for ; all != 0 && all&1 == 0; all >>= 1 {
		s--
		for i := range values {
			ints[i] >>= 1
		}
	}
	return unit{form: unitBinary, e: s, q: math.Ldexp(1, -s)}
}

// value is what an integer stands for.
func (s *unit) value(m int64) float64 {
	switch s.form {
	case unitSingle:
		return float64(float32(float64(m) / pow10[s.e]))
	case unitLattice:
		return float64(float32(float64(m) * s.q))
	}
	return s.sum(m)
}

// sum is what the integer of a sum stands for; units is the way back.
func (s *unit) sum(m int64) float64 {
	switch s.form {
	case unitDecimal, unitSingle:
		return float64(m) / pow10[s.e]
	case unitLattice:
		return float64(m) * s.q
	}
	return float64(m) * s.q
}

func (s *unit) units(f float64) (m int64, ok bool) {
	switch s.form {
	case unitDecimal, unitSingle:
		f *= pow10[s.e]
	default:
		f /= s.q
	}
	f = math.Round(f)
	return int64(f), math.Abs(f) < 1<<62
}

func (s *unit) append(dst []byte) []byte {
	dst = append(dst, s.form)
	switch s.form {
	case unitDecimal, unitSingle:
		return append(dst, byte(s.e))
	case unitLattice:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(s.q))
	case unitBinary:
		return appendSvarint(dst, int64(s.e))
	}
	return dst
}

func (r *reader) readUnit() (s unit) {
	switch s.form = r.byte(); s.form {
	case unitNone, unitFloats:
	case unitDecimal, unitSingle:
		s.e = r.count(maxExponent)
	case unitLattice:
		s.q = math.Float64frombits(r.uint64())
	case unitBinary:
		e := r.svarint()
		r.bad = r.bad || e < -2000 || e > 2000
		s.e, s.q = int(e), math.Ldexp(1, -int(e))
	default:
		r.bad = true
	}
	return s
}
