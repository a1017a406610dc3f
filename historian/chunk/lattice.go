package chunk

import (
	"cmp"
	"math"
	"slices"
)

// lattice finds the step q of an analog input whose raw counts were scaled with one multiplication: every value is
// float32(raw * q), to the bit. ok is false for values that do not lie so, or whose steps are too fine to be sure.
func (w *scratch) lattice(raw []int64, nums []uint64, single bool) (q float64, ok bool) {
	if !single || len(nums) < 8 {
		return 0, false
	}
	x := resize(w.floats, len(nums))
	w.floats = x
	for i, n := range nums {
		if x[i] = float64(math.Float32frombits(uint32(n))); math.IsNaN(x[i]) || math.IsInf(x[i], 0) {
			return 0, false
		}
	}
	lo, hi, ok := stepRange(x)
	if !ok {
		return 0, false
	}
	mid := float32((lo + hi) / 2)
	for _, q := range [...]float64{float64(mid), (lo + hi) / 2, float64(math.Nextafter32(mid, 0)), float64(math.Nextafter32(mid, math.MaxFloat32))} {
		if onLattice(raw, nums, q, single) {
			return q, true
		}
	}
	return 0, false
}

func onLattice(raw []int64, nums []uint64, q float64, single bool) bool {
	if !single || !(q > 0) {
		return false
	}
	for i, n := range nums {
		k := math.RoundToEven(float64(math.Float32frombits(uint32(n))) / q)
		if !(math.Abs(k) < 1<<31) {
			return false
		}
		raw[i] = int64(k)
		if floatBits(float64(raw[i])*q, true) != n {
			return false
		}
	}
	return true
}

// stepRange narrows the step down: first from the differences, then from the values, smallest first. Each value v = raw*q
// rounded to float32 says that q lies within half a unit in its last place, divided by raw. It sorts x.
func stepRange(x []float64) (lo, hi float64, ok bool) {
	slices.Sort(x)
	sorted := slices.Compact(x)
	top := max(math.Abs(sorted[0]), math.Abs(sorted[len(sorted)-1]))
	noise := ulp32(top) // of a difference: half a unit from each side
	g := commonStep(sorted, noise)
	if !(g > 8*noise) || top/g > 1<<22 {
		return 0, 0, false
	}
	spread := sorted[len(sorted)-1] - sorted[0]
	k := math.Round(spread / g)
	lo, hi = (spread-noise)/k, (spread+noise)/k
	slices.SortFunc(sorted, func(a, b float64) int { return cmp.Compare(math.Abs(a), math.Abs(b)) })
	for _, v := range sorted {
		v = math.Abs(v)
		k := math.Round(2 * v / (lo + hi))
		if k == 0 {
			continue
		}
		half := ulp32(v) / 2
		lo, hi = max(lo, (v-half)/k), min(hi, (v+half)/k)
		if lo > hi {
			return 0, 0, false
		}
	}
	return lo, hi, lo > 0
}

// commonStep is the greatest common divisor of the differences of sorted, each known to noise; 0 if there is none.
func commonStep(sorted []float64, noise float64) float64 {
	diffs := make([]float64, 0, len(sorted))
	for i := 1; i < len(sorted); i++ {
		diffs = append(diffs, sorted[i]-sorted[i-1])
	}
	if len(diffs) < 4 {
		return 0
	}
	slices.Sort(diffs)
	g := diffs[0]
	for range 8 { // each round either keeps g or replaces it with a smaller remainder
		exact, rest := remainder(sorted, g, noise)
		if rest == 0 {
			return exact
		}
		g = rest
	}
	return 0
}

// remainder walks up from the smallest value, making g more exact as the distance grows, and returns the first distance
// that is no multiple of g, 0 if all are.
func remainder(sorted []float64, g, noise float64) (exact, rest float64) {
	if !(g > 8*noise) {
		return g, 0 // stepRange refuses it
	}
	at, sure := 0.0, g // g is known to within noise/sure, relatively
	for i := 1; i < len(sorted); i++ {
		d := sorted[i] - sorted[i-1]
		k := math.Round(d / g)
		if r := math.Abs(d - k*g); r > max(4*noise, g/8) {
			return g, r
		}
		if at += d; at > 2*sure {
			if k := math.Round(at / g); k > 0 {
				g, sure = at/k, at
			}
		}
	}
	return g, 0
}

// ulp32 is the distance from |x| to the next float32.
func ulp32(x float64) float64 {
	f := math.Abs(float64(float32(x)))
	return float64(math.Nextafter32(float32(f), math.MaxFloat32)) - f
}
