package chunk

import (
	"encoding/binary"
	"math"

	"edge/historian/journal"
)

// Stats are what a reader may use instead of a series' samples: all of them are Good, in ascending order of time,
// not null and finite.
type Stats struct {
	First, Last float64 // the values at Entry.First and Entry.Last
	Min, Max    float64
	Integral    float64 // of the stepped value over time from Entry.First to Entry.Last, in value * ms
}

func (c *column) statistics() Stats {
	value := func(i int) float64 {
		f, _ := journal.Value{Type: c.kind, Num: c.nums[i]}.Float64()
		return f
	}
	n := len(c.nums)
	s := Stats{First: value(0), Last: value(n - 1), Min: math.Inf(1), Max: math.Inf(-1)}
	for i := range n {
		v := value(i)
		s.Min, s.Max = math.Min(s.Min, v), math.Max(s.Max, v)
		if i+1 < n {
			s.Integral += v * float64(c.at[i+1]-c.at[i])
		}
	}
	return s
}

// append writes the values in four bytes where the type has no more, the integral in eight.
func (s Stats) append(dst []byte, t journal.DataType) []byte {
	for _, f := range [...]float64{s.First, s.Last, s.Min, s.Max} {
		switch {
		case t == typeFloat:
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(f)))
		case smallInt(f):
			dst = appendSvarint(append(dst, 0), int64(f))
		default:
			dst = binary.LittleEndian.AppendUint64(append(dst, 1), math.Float64bits(f))
		}
	}
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(s.Integral))
}

func smallInt(f float64) bool {
	return math.Abs(f) < 1<<40 && f == math.Trunc(f) && !(f == 0 && math.Signbit(f))
}

func (r *reader) stats(t journal.DataType) (s Stats) {
	for _, f := range [...]*float64{&s.First, &s.Last, &s.Min, &s.Max} {
		switch {
		case t == typeFloat:
			*f = float64(math.Float32frombits(r.uint32()))
		case r.byte() == 0:
			*f = float64(r.svarint())
		default:
			*f = math.Float64frombits(r.uint64())
		}
	}
	s.Integral = math.Float64frombits(r.uint64())
	return s
}
