package chunk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"testing"

	"edge/historian/journal"

	"pgregory.net/rapid"
)

var hourSpan = Span{Start: 1_780_000_200_000 - 1_780_000_200_000%3_600_000, Step: 60_000, Steps: 60}

// rowsFrom makes minutes of what f says of each; a row is left out where f returns no values.
func rowsFrom(span Span, f func(i int) []float64) (out []Rollup) {
	for i := range span.Steps {
		at := span.Start + journal.Millis(i)*span.Step
		values := f(i)
		if values == nil {
			continue
		}
		r := NoRollup(at, at+span.Step)
		each := span.Step / journal.Millis(len(values))
		for _, v := range values {
			if r.Count++; r.Count == 1 {
				r.First, r.Min, r.Max = v, v, v
			}
			r.Good, r.Last, r.Sum = r.Good+1, v, r.Sum+v
			r.Min, r.Max = min(r.Min, v), max(r.Max, v)
			r.Integral += v * float64(each)
			r.GoodMs += each
		}
		out = append(out, r)
	}
	return out
}

// goldenRollups use every form and column once.
func goldenRollups() []Rollups {
	whole := NoRollup(hourSpan.Start, hourSpan.End())
	whole.Count, whole.Good, whole.First, whole.Last, whole.Min, whole.Max = 3, 2, 20.5, 19.75, 19.75, 20.5
	whole.Sum, whole.Integral, whole.GoodMs, whole.Quality = 40.25, 20.125*3_000_000, 3_000_000, journal.Bad
	text := NoRollup(hourSpan.Start, hourSpan.End())
	text.Count = 7
	held := NoRollup(hourSpan.Start, hourSpan.End())
	held.Last, held.GoodMs, held.Integral, held.Quality = 5, 3_600_000, 18_000_000, 64
	mixed := rowsFrom(hourSpan, func(i int) []float64 {
		if i%7 == 3 {
			return nil
		}
		return []float64{float64(i), float64(i*i%50) / 10, 3.25}
	})
	mixed[4].Good, mixed[4].Quality, mixed[5].GoodMs = 2, journal.Bad, 59_000
	return []Rollups{
		{Series: 1, Rows: rowsFrom(hourSpan, func(i int) []float64 { return []float64{float64(500 + 3*i), float64(501 + 3*i)} }), Holds: HoldsLast, Quality: journal.Good},
		{Series: 2, Rows: []Rollup{whole}, Holds: HoldsUnusable, Quality: journal.Bad},
		{Series: 3, Rows: mixed},
		{Series: 5, Rows: []Rollup{held}, Holds: HoldsLast, Quality: 64},
		{Series: 9, Rows: []Rollup{text}},
		{Series: 300, Rows: rowsFrom(hourSpan, func(i int) []float64 {
			q := float32(100.0 / 27648)
			return []float64{float64(float32(7000+i*i*31%997) * q), float64(float32(7100+i*17%91) * q)}
		})},
		{Series: 301, Rows: rowsFrom(hourSpan, func(i int) []float64 { return []float64{math.Sin(float64(i)), math.Cos(float64(i))} })},
		{Series: 302, Rows: rowsFrom(hourSpan, func(i int) []float64 { return []float64{math.Inf(1 - i%2*2), 1e300} })},
	}
}

func readRollups(t testing.TB, data []byte) (b *RollupBlock, out []Rollups) {
	t.Helper()
	b, err := ParseRollups(data)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b.Len() {
		var s Rollups
		if err := b.Read(i, &s); err != nil {
			t.Fatal(err)
		}
		if at, ok := b.Find(s.Series); !ok || at != i {
			t.Errorf("series %d found at %d, %v", s.Series, at, ok)
		}
		out = append(out, s)
	}
	return b, out
}

// The golden blocks stay as they are: those of version 1 are read, those of the newest are written as well.
func TestGoldenRollups(t *testing.T) {
	block, err := EncodeRollups(hourSpan, goldenRollups())
	if err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		writeHex(t, "testdata/rollups2.hex", block)
	}
	for _, name := range []string{"rollups.hex", "rollups2.hex"} {
		golden := readHex(t, "testdata/"+name)
		b, got := readRollups(t, golden)
		if b.Span != hourSpan {
			t.Errorf("%s: span %+v", name, b.Span)
		}
		for i, want := range goldenRollups() {
			if got[i].Series != want.Series || want.Holds != HoldsNothing && got[i].Quality != want.Quality {
				t.Errorf("%s: series %d holds quality %d, want %d and %d", name, got[i].Series, got[i].Quality, want.Series, want.Quality)
			}
			sameRows(t, want, got[i])
		}
		if b.version == rollupVersion && !bytes.Equal(golden, block) {
			t.Errorf("EncodeRollups writes %d bytes that differ from the golden %d", len(block), len(golden))
		}
	}
}

// drawRows draws rows as samples would make them; kind is what the values are like.
func drawRows(t *rapid.T, span Span) []Rollup {
	kind := rapid.IntRange(0, 5).Draw(t, "kind")
	value := func() float64 {
		x := rapid.IntRange(-300, 300).Draw(t, "x")
		switch kind {
		case 0:
			return float64(x)
		case 1:
			return float64(x) / 100
		case 2:
			return float64(float32(x) * float32(0.0217))
		case 3:
			return math.Exp(float64(x) / 100)
		case 4:
			return math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
		}
		return 7
	}
	return rowsFrom(span, func(int) (values []float64) {
		for range rapid.IntRange(0, 4).Draw(t, "n") {
			if v := value(); v == v {
				values = append(values, v+0)
			}
		}
		return values
	})
}

func TestRollupsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := hourSpan
		if rapid.Bool().Draw(t, "a day") {
			span = Span{Start: 86_400_000 * 20_000, Step: 3_600_000, Steps: 24}
		}
		var list []Rollups
		for id := range rapid.IntRange(1, 4).Draw(t, "series") {
			rows := drawRows(t, span)
			if len(rows) == 0 {
				continue
			}
			list = append(list, Rollups{Series: journal.SeriesID(id*1000 + 1), Rows: rows, Quality: journal.Good,
				Holds: Holding(rapid.IntRange(0, 2).Draw(t, "holds"))})
		}
		if len(list) == 0 {
			return
		}
		encoded := slices.Clone(list)
		for i := range encoded {
			encoded[i].Rows = slices.Clone(list[i].Rows)
		}
		data, err := EncodeRollups(span, encoded)
		if err != nil {
			t.Fatal(err)
		}
		b, err := ParseRollups(data)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range list {
			var got Rollups
			if err := b.Read(i, &got); err != nil {
				t.Fatal(err)
			}
			sameRows(t, want, got)
			if !slices.EqualFunc(encoded[i].Rows, got.Rows, func(a, b Rollup) bool { return a == b || a.Last != a.Last || a.First != a.First || a.Sum != a.Sum }) {
				t.Fatalf("EncodeRollups left %+v, a reader gets %+v", encoded[i].Rows, got.Rows)
			}
		}
	})
}

// sameRows allows what EncodeRollups' comment does: of the largest value 28 bits; of means of a minute one part in 2^14 of the
// widest swing.
func sameRows(t rapid.TB, want, got Rollups) {
	if len(want.Rows) != len(got.Rows) || want.Holds != got.Holds {
		t.Fatalf("%d rows, holds %d; want %d and %d", len(got.Rows), got.Holds, len(want.Rows), want.Holds)
	}
	top, swing := 0.0, 0.0
	for _, r := range want.Rows {
		top, swing = max(top, math.Abs(r.Min), math.Abs(r.Max)), max(swing, r.Max-r.Min)
	}
	for i, w := range want.Rows {
		g := got.Rows[i]
		near := func(what string, a, b, by float64) {
			if a != b && !(math.Abs(a-b) <= by) && (a == a || b == b) {
				t.Fatalf("row %d: %s %g, want %g within %g", i, what, b, a, by)
			}
		}
		if w.At != g.At || w.Until != g.Until || w.Count != g.Count || w.Good != g.Good || w.GoodMs != g.GoodMs || w.Quality != g.Quality {
			t.Fatalf("row %d: %+v, want %+v", i, g, w)
		}
		value := top * 0x1p-28
		near("first", w.First, g.First, value)
		near("last", w.Last, g.Last, value)
		near("min", w.Min, g.Min, value)
		near("max", w.Max, g.Max, value)
		mean := value + top*0x1p-22 + swing*0x1p-14
		near("mean by count", w.Sum/float64(w.Good), g.Sum/float64(g.Good), mean)
		near("mean by time", w.Integral/float64(w.GoodMs), g.Integral/float64(g.GoodMs), mean)
	}
}

func TestEncodeRollupsRefuses(t *testing.T) {
	row := NoRollup(hourSpan.Start, hourSpan.Start+60_000)
	late := NoRollup(hourSpan.Start+1, hourSpan.Start+60_001)
	much := row
	much.GoodMs = 60_001
	for name, list := range map[string][]Rollups{
		"nothing":            nil,
		"no rows":            {{Series: 1}},
		"series twice":       {{Series: 1, Rows: []Rollup{row}}, {Series: 1, Rows: []Rollup{row}}},
		"a row beside steps": {{Series: 1, Rows: []Rollup{late}}},
		"a row twice":        {{Series: 1, Rows: []Rollup{row, row}}},
		"more than its time": {{Series: 1, Rows: []Rollup{much}}},
	} {
		if _, err := EncodeRollups(hourSpan, list); !errors.Is(err, ErrRows) {
			t.Errorf("%s: %v, want ErrRows", name, err)
		}
	}
}

// Any flipped bit is found, by the head's checksum or by the series'.
func TestFlippedRollups(t *testing.T) {
	data, err := EncodeRollups(hourSpan, goldenRollups())
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(data) * 8 {
		bad := bytes.Clone(data)
		bad[bit/8] ^= 1 << (bit % 8)
		b, err := ParseRollups(bad)
		for i := 0; err == nil && i < b.Len(); i++ {
			err = b.Read(i, new(Rollups))
		}
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
			t.Fatalf("bit %d: %v", bit, err)
		}
	}
}

// fixRollups gives damaged bytes right checksums, so that a fuzzer comes behind them.
func fixRollups(data []byte) []byte {
	data = bytes.Clone(data)
	if len(data) < 10 {
		return data
	}
	n := int(binary.LittleEndian.Uint32(data[2:]))
	if n < 6 || n > len(data)-4 {
		return data
	}
	binary.LittleEndian.PutUint32(data[n:], crc32.Checksum(data[:n], castagnoli))
	b, err := ParseRollups(data)
	if err != nil {
		return data
	}
	for _, e := range b.series {
		if k := len(e.payload) - 4; k >= 0 {
			binary.LittleEndian.PutUint32(e.payload[k:], crc32.Checksum(e.payload[:k], castagnoli))
		}
	}
	return data
}

func FuzzRollups(f *testing.F) {
	data, err := EncodeRollups(hourSpan, goldenRollups())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(readHex(f, "testdata/rollups.hex")) // version 1
	for _, s := range goldenRollups() {
		if data, err := EncodeRollups(hourSpan, []Rollups{s}); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ParseRollups(fixRollups(data))
		if err != nil {
			return
		}
		var s Rollups
		for i := range b.Len() {
			if err := b.Read(i, &s); err != nil {
				continue
			}
			if len(s.Rows) == 0 || len(s.Rows) > MaxRows {
				t.Fatalf("%d rows", len(s.Rows))
			}
			for _, r := range s.Rows {
				if r.Good < 0 || r.Good > r.Count || r.GoodMs < 0 || r.GoodMs > r.Until-r.At {
					t.Fatalf("row %+v", r)
				}
			}
		}
	})
}
