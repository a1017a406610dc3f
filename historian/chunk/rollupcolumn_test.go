package chunk

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// sixty makes a column of 60 numbers.
func sixty(f func(i int64) int64) []int64 {
	out := make([]int64, 60)
	for i := range out {
		out[i] = f(int64(i))
	}
	return out
}

// noisy is a number below n, another for each i.
func noisy(i, n int64) int64 {
	x := uint64(i+1) * 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	return int64((x ^ x>>27) >> 33 % uint64(n))
}

func backFrom(t rapid.TB, columns [][]int64) (size int) {
	var w rowColumns
	for _, v := range columns {
		w.column(v)
	}
	data := w.end()
	r := bitReader{b: data}
	for i, v := range columns {
		got := make([]int64, len(v))
		if r.column(got); r.bad || !slices.Equal(got, v) {
			t.Fatalf("column %d came back as %v (bad: %v), want %v", i, got, r.bad, v)
		}
	}
	if !r.done() {
		t.Fatalf("%d bits of %d bytes were read", r.bit, len(data))
	}
	return len(data)
}

// Each form is taken for the numbers that it is for, and is as small as it should be.
func TestRowColumns(t *testing.T) {
	for name, c := range map[string]struct {
		v      []int64
		form   byte
		sparse bool
		bytes  int
	}{
		"one number":            {[]int64{-70_000}, 0, false, 3},
		"one for all":           {sixty(func(int64) int64 { return 37 }), rowsConst, false, 2},
		"small":                 {sixty(func(i int64) int64 { return noisy(i, 60) }), rowsPlain, false, 50},
		"about zero":            {sixty(func(i int64) int64 { return noisy(i, 400) - 200 }), rowsSigned, false, 74},
		"about something":       {sixty(func(i int64) int64 { return 50_000 + noisy(i, 60) - 30 }), rowsCentre, false, 56},
		"a walk":                {sixty(func(i int64) int64 { return 1000*i - 17*i*i + noisy(i, 9) }), rowsDelta, false, 88},
		"a counter":             {sixty(func(i int64) int64 { return 5_000_000 + 900*i + noisy(i, 9) }), rowsSteps, false, 40},
		"mostly zero":           {sixty(func(i int64) int64 { return max(0, noisy(i, 9000)-8000) }), rowsPlain, true, 20},
		"seldom another":        {sixty(func(i int64) int64 { return 10_000 + i/20*700 }), rowsDelta, true, 17},
		"too large for a code":  {sixty(func(i int64) int64 { return math.MaxInt64/3 + noisy(i, 1<<20) }), rowsWide, false, 162},
		"as large as they can":  {[]int64{math.MaxInt64, math.MinInt64, 0, -1}, rowsWide, false, 43},
		"larger than a code is": {append(sixty(func(i int64) int64 { return i % 3 })[:59], 40_000), rowsPlain, true, 21},
	} {
		t.Run(name, func(t *testing.T) {
			if len(c.v) > 1 {
				if form, _, sparse := formOf(c.v); form != c.form || sparse != c.sparse {
					t.Errorf("form %d, sparse %v; want %d, %v", form, sparse, c.form, c.sparse)
				}
			}
			if n := backFrom(t, [][]int64{c.v}); n > c.bytes {
				t.Errorf("%d bytes, want at most %d", n, c.bytes)
			}
		})
	}
}

func TestRowColumnsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) []int64 {
			width := rapid.IntRange(0, 63).Draw(t, "width")
			one := rapid.Int64Range(math.MinInt64>>width, math.MaxInt64>>width)
			if rapid.Bool().Draw(t, "few") {
				one = rapid.SampledFrom([]int64{0, 0, 0, 0, one.Draw(t, "other")})
			}
			return rapid.SliceOfN(one, 1, MaxRows).Draw(t, "numbers")
		}), 1, 9).Draw(t, "columns")
		backFrom(t, columns)
	})
}
