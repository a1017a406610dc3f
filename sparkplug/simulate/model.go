package simulate

import (
	"hash/fnv"
	"math"
	"time"
)

// modelEpoch is where counters and meters start.
var modelEpoch = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// curve is a number as a pure function of a Moment; the signals of plant.go are built from curves.
type curve func(Moment) float64

// mix folds names into a seed, so that every signal has its own noise.
func mix(seed uint64, names ...string) uint64 {
	h := fnv.New64a()
	for _, name := range names {
		_, _ = h.Write([]byte(name))
		_, _ = h.Write([]byte{0})
	}
	return scramble(seed ^ h.Sum64())
}

// scramble is the finalizer of splitmix64: neighbours in, strangers out.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// unit is the n-th random number of a seed, 0 <= x < 1.
func unit(seed uint64, n int64) float64 {
	return float64(scramble(seed^scramble(uint64(n)))>>11) / (1 << 53)
}

// noise wanders between -1 and 1, without a step, one knot per scale.
func noise(seed uint64, at time.Time, scale time.Duration) float64 {
	n, in := divide(at.UnixNano(), int64(scale))
	x := float64(in) / float64(scale)
	x = x * x * (3 - 2*x)
	a, b := unit(seed, n), unit(seed, n+1)
	return 2*(a+(b-a)*x) - 1
}

// divide is floor division with its remainder.
func divide(a, b int64) (quotient, rest int64) {
	quotient, rest = a/b, a%b
	if rest < 0 {
		quotient, rest = quotient-1, rest+b
	}
	return quotient, rest
}

func constant(v float64) curve { return func(Moment) float64 { return v } }

// wobble is slow drift with some fast noise on it, at most amplitude from base.
func wobble(base curve, amplitude float64) curve {
	return func(m Moment) float64 {
		slow := noise(m.Seed, m.At, 11*time.Minute)
		fast := noise(m.Seed+1, m.At, 4*time.Second)
		return base(m) + amplitude*(0.6*slow+0.4*fast)
	}
}

// daily swings once a day, highest at 15:00 UTC.
func daily(base, amplitude float64) curve {
	return func(m Moment) float64 {
		_, in := divide(m.At.UnixNano(), int64(24*time.Hour))
		return base + amplitude*math.Cos(2*math.Pi*(float64(in)/float64(24*time.Hour)-15.0/24))
	}
}

func plus(a, b curve) curve  { return func(m Moment) float64 { return a(m) + b(m) } }
func times(a, b curve) curve { return func(m Moment) float64 { return a(m) * b(m) } }

// setpoint is the last value written to name, or base.
func setpoint(name string, base float64) curve {
	return func(m Moment) float64 {
		v := base
		for _, w := range m.Writes {
			if w.Name == name && !w.At.After(m.At) {
				v = number(w.Value)
			}
		}
		return v
	}
}

// follow approaches the setpoint name as a first-order lag with time constant tau.
func follow(name string, base float64, tau time.Duration) curve {
	return func(m Moment) float64 {
		value, target, since := base, base, m.At
		for _, w := range m.Writes {
			if w.Name != name || w.At.After(m.At) {
				continue
			}
			if target != value {
				value = target + (value-target)*decay(w.At.Sub(since), tau)
			}
			target, since = number(w.Value), w.At
		}
		return target + (value-target)*decay(m.At.Sub(since), tau)
	}
}

func decay(d, tau time.Duration) float64 { return math.Exp(-float64(d) / float64(tau)) }
