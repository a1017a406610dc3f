package chunk

import (
	"math"
	"testing"

	"edge/historian/journal"

	"pgregory.net/rapid"
)

// weird are values of one type that lie on a walk, a wave, in a few places or anywhere, as long as it takes for several blocks of PFOR.
func weird(t *rapid.T, kind journal.DataType, n int) []uint64 {
	out := make([]uint64, n)
	shape, scale := rapid.IntRange(0, 7).Draw(t, "shape"), rapid.SampledFrom([]float64{1, 0.1, 0.001, 100.0 / 27648, 1e300, 1e-300}).Draw(t, "scale")
	state, wide := rapid.Uint64().Draw(t, "seed")|1, rapid.IntRange(0, 63).Draw(t, "bits")
	next := func() int64 {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		return int64(state) >> wide
	}
	walk := int64(0)
	for i := range out {
		x := next()
		switch shape {
		case 0:
			walk += x
		case 1:
			walk = int64(math.Sin(float64(i)/20) * float64(x>>20))
		case 2:
			walk = x
		case 3:
			walk += 7 + x%3
		case 4: // out of a band
			if walk += 50 + max(-40, min(40, x%30)); i%2 == 0 {
				walk -= 130
			}
		case 5: // now and then much larger
			walk = int64(i % 5)
			if x%61 == 0 {
				walk = x << (wide / 2)
			}
		case 6: // the bits themselves: NaN with payloads, infinities, zeros of both signs
			out[i] = [...]uint64{math.Float64bits(math.NaN()) + uint64(i%3), 0x7FF0000000000001, 1 << 63, 0, math.Float64bits(math.Inf(-1)), uint64(x)}[i%6]
			if kind == typeFloat {
				out[i] = [...]uint64{0x7FC00001, 0x7F800001, 1 << 31, 0, 0xFF800000, uint64(x) & math.MaxUint32}[i%6]
			}
			continue
		default:
			walk = 5
		}
		if out[i] = uint64(walk); kind == typeFloat || kind == typeDouble {
			out[i] = floatBits(float64(walk)*scale, kind == typeFloat)
		}
	}
	return out
}

// What one series was like before makes no difference to what a block holds, whatever its values are and whenever they came.
func TestWeirdBlocks(t *testing.T) {
	var e Encoder
	rapid.Check(t, func(t *rapid.T) {
		series := rapid.SampledFrom([]int{1, 2, 3, 128}).Draw(t, "series")
		n := rapid.SampledFrom([]int{1, 2, 23, 24, 31, 32, 127, 128, 129, 255, 256, 700}).Draw(t, "samples")
		if series == 128 {
			n = min(n, 24)
		}
		order := rapid.IntRange(0, 3).Draw(t, "order")
		late := rapid.Int64Range(-1<<41, 1<<41).Draw(t, "epoch")
		nulls := rapid.SampledFrom([]int{0, 0, 1, 2, 7}).Draw(t, "nulls")
		kinds, values := make([]journal.DataType, series), make([][]uint64, series)
		for k := range values {
			kinds[k] = rapid.SampledFrom([]journal.DataType{1, 4, 8, 9, 10, 11, 12, 13}).Draw(t, "kind")
			values[k] = weird(t, kinds[k], n)
		}
		var samples []journal.Sample
		for i := range n {
			at := journal.Millis(late + 1000*int64(i))
			switch order {
			case 1:
				at = journal.Millis(late - 777*int64(i))
			case 2:
				at = journal.Millis(late)
			case 3:
				at += journal.Millis(values[0][i] % 1500)
			}
			for k := range series {
				s := journal.Sample{Index: journal.Index(1 + len(samples) + i%3), Series: journal.SeriesID(1 + 300*k), At: at, Received: at + 3, Quality: journal.Good,
					Value: journal.Value{Type: kinds[k], Num: values[k][i]}}
				if len(samples) > 0 {
					s.Index = max(s.Index, samples[len(samples)-1].Index+1)
				}
				if s.Value.Null = nulls > 0 && (i+k)%nulls == 0; s.Value.Null {
					s.Value.Num = 0
				}
				if kinds[k] == 12 {
					s.Value.Num, s.Value.Bytes = 0, []byte{byte(values[k][i]), byte(i)}[:1+i%2]
				}
				samples = append(samples, s)
			}
		}
		block, err := e.Encode(samples)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Parse(block)
		if err != nil {
			t.Fatal(err)
		}
		checkColumns(t, b, samples)
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
	})
}

// Of blocks with one long series each, wherever that stands among the others, no more memory stays than of a few full blocks.
func TestEncoderMemoryIsBounded(t *testing.T) {
	var e Encoder
	const series, long = 32, 30_000
	for place := range series {
		var samples []journal.Sample
		for i := range long + series {
			id := max(1, min(series, i-long+1))
			if i < long {
				id = place + 1
			}
			samples = append(samples, journal.Sample{Index: journal.Index(1 + i), Series: journal.SeriesID(id), At: journal.Millis(10 * i), Quality: journal.Good,
				Value: journal.Value{Type: 4, Num: uint64(i)}})
		}
		if _, err := e.Encode(samples); err != nil {
			t.Fatal(err)
		}
		held := 0
		for _, c := range e.spare {
			held += cap(c.at)
		}
		if held > 4*MaxSamples {
			t.Fatalf("after %d blocks it has memory for %d samples", place+1, held)
		}
	}
}
