package journal

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func roundTrip(t rapid.TB, rec Record) (bodyBytes int) {
	t.Helper()
	b, _ := appendEntry(nil, nil, &rec, rec.At-5)
	e, rest, err := nextEntry(b, rec.At-5)
	if err != nil || len(rest) > 0 {
		t.Fatalf("%v, %d bytes behind", err, len(rest))
	}
	got, err := e.record(7, 7, nil)
	if err != nil {
		t.Fatal(err)
	}
	rec.Index = 7
	for i := range rec.Samples {
		rec.Samples[i].Index = 7 + Index(i)
	}
	if diff := cmp.Diff(rec, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	return len(e.body)
}

// Every value comes back to the bit, in any neighbourhood.
func TestShortRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rec := Record{Kind: KindSamples, At: 1_700_000_000_000}
		s := Sample{Series: 100, At: rec.At, Received: rec.At, Quality: Good}
		for range rapid.IntRange(1, 30).Draw(t, "samples") {
			s.Series += SeriesID(rapid.SampledFrom([]int32{1, 2, 7, 8, 0, -3, 500}).Draw(t, "step"))
			s.At += rapid.SampledFrom([]Millis{0, 0, 1, -70}).Draw(t, "at")
			s.Received += rapid.SampledFrom([]Millis{0, 0, 0, 9}).Draw(t, "received")
			s.Quality = rapid.SampledFrom([]Quality{Good, Good, Bad, Stale}).Draw(t, "quality")
			s.Historical, s.Birth = rapid.Bool().Draw(t, "historical"), rapid.Bool().Draw(t, "birth")
			s.Value = drawValue(t)
			rec.Samples = append(rec.Samples, s)
		}
		roundTrip(t, rec)
	})
}

func drawValue(t *rapid.T) Value {
	v := Value{Type: rapid.SampledFrom([]DataType{1, 3, 4, 5, 8, 9, 9, 9, 10, 10, 10, 11, 12, 13, 17, 200}).Draw(t, "type")}
	if rapid.IntRange(0, 9).Draw(t, "null") == 0 {
		v.Null = true
		return v
	}
	decimal := float64(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "digits")>>rapid.IntRange(0, 50).Draw(t, "small")) /
		rapid.SampledFrom([]float64{1, 10, 100, 1000, 10_000, 3}).Draw(t, "divisor")
	switch v.Type {
	case 9:
		v.Num = uint64(rapid.OneOf(rapid.Just(math.Float32bits(float32(decimal))), rapid.Uint32()).Draw(t, "float"))
	case 10:
		v.Num = rapid.OneOf(rapid.Just(math.Float64bits(decimal)), rapid.Uint64()).Draw(t, "double")
	case 12, 17, 200:
		if b := rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "bytes"); len(b) > 0 {
			v.Bytes = b
		}
	default:
		v.Num = rapid.Uint64().Draw(t, "num")
	}
	return v
}

// What a value takes, with the byte that begins a sample.
func TestShortBytes(t *testing.T) {
	single := func(f float32) Value { return Value{Type: 9, Num: uint64(math.Float32bits(f))} }
	double := func(f float64) Value { return Value{Type: 10, Num: math.Float64bits(f)} }
	for _, c := range []struct {
		name  string
		value Value
		bytes int
	}{
		{"a temperature in tenths", single(55.4), 3},
		{"a whole Float", single(-7), 2},
		{"a Float of an analog input", single(float32(12345) * float32(100.0/27648)), 5},
		{"a Float too long as a decimal", single(300_000.5), 5},
		{"a NaN with a payload", Value{Type: 9, Num: 0x7fc12345}, 5},
		{"negative zero", single(float32(math.Copysign(0, -1))), 5},
		{"a Double in hundredths", double(1234.56), 4},
		{"a Double with all its digits", double(math.Pi), 9},
		{"infinity", double(math.Inf(-1)), 9},
		{"a counter", Value{Type: 4, Num: 1_000_000}, 4},
		{"an Int32", Value{Type: 3, Num: math.MaxUint64}, 2},
		{"a Boolean", Value{Type: 11, Num: 1}, 3},
		{"a null", Value{Type: 9, Null: true}, 3},
	} {
		at := Millis(1_700_000_000_000)
		s := Sample{Series: 3, At: at, Received: at, Quality: Good, Value: c.value}
		if got := roundTrip(t, Record{Kind: KindSamples, At: at, Samples: []Sample{s}}); got != c.bytes {
			t.Errorf("%s takes %d bytes, want %d", c.name, got, c.bytes)
		}
	}
}

// A reader that reuses memory gives the same records, and takes no more memory for the next one.
func TestReuse(t *testing.T) {
	j := openJournal(t, filepath.Join(t.TempDir(), "j"), Options{})
	for n := range 300 {
		if _, err := j.Append(0, plantMessage(1+n*37%90)); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.commit(); err != nil {
		t.Fatal(err)
	}
	r := j.NewReader(3).Reuse()
	for _, want := range readAll(t, j, 3) {
		got, ok, err := r.TryNext()
		if diff := cmp.Diff(want, got); diff != "" || !ok || err != nil {
			t.Fatalf("%v %v (-want +got):\n%s", ok, err, diff)
		}
	}
	r = j.NewReader(1).Reuse()
	if n := testing.AllocsPerRun(200, func() {
		if _, ok, err := r.TryNext(); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}); n > 0.5 {
		t.Errorf("%.1f allocations a record", n)
	}
}
