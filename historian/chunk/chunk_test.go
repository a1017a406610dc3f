package chunk

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"edge/historian/journal"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// roundTrip encodes and decodes in the three ways and compares.
func roundTrip(t rapid.TB, samples []journal.Sample) []byte {
	t.Helper()
	block, err := Encode(samples)
	if err != nil {
		t.Fatalf("Encode: %v", err)
	}
	b, err := Parse(block)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	all, err := b.All(nil)
	if err != nil {
		t.Fatalf("All: %v", err)
	}
	compare(t, "All", all, samples)
	for i, e := range b.Entries {
		one, err := b.Decode(nil, i)
		if err != nil {
			t.Fatalf("Decode series %d: %v", e.Series, err)
		}
		var want []journal.Sample
		for _, s := range samples {
			if s.Series == e.Series {
				want = append(want, s)
			}
		}
		compare(t, "Decode", one, want)
	}
	checkColumns(t, b, samples)
	return block
}

func compare(t rapid.TB, what string, got, want []journal.Sample) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d samples, want %d", what, len(got), len(want))
	}
	for i := range got {
		if !Equal(got[i], want[i]) {
			t.Fatalf("%s: sample %d\n got %+v\nwant %+v", what, i, got[i], want[i])
		}
	}
}

// anyValue draws values of one type; the small ones make columns that fit the clever forms.
func anyValue(kind journal.DataType) *rapid.Generator[journal.Value] {
	return rapid.Custom(func(t *rapid.T) journal.Value {
		v := journal.Value{Type: kind}
		if rapid.IntRange(0, 19).Draw(t, "null") == 0 {
			v.Null = true
			return v
		}
		if isText(kind) {
			v.Bytes = rapid.SliceOfN(rapid.Byte(), 0, 6).Draw(t, "bytes")
			return v
		}
		f := float64(rapid.IntRange(-500, 27648).Draw(t, "raw"))
		switch rapid.IntRange(0, 5).Draw(t, "form") {
		case 0:
			v.Num = rapid.Uint64().Draw(t, "bits")
		case 1:
			v.Num = uint64(rapid.IntRange(-3, 3).Draw(t, "small"))
		case 2:
			v.Num = floatBits(f/100, kind == typeFloat)
		case 3:
			v.Num = floatBits(f*0.009042245, kind == typeFloat)
		case 4:
			v.Num = floatBits(math.Float64frombits(rapid.Uint64().Draw(t, "f")), kind == typeFloat)
		default:
			v.Num = 1
		}
		return v
	})
}

func anySamples(t *rapid.T) []journal.Sample {
	kinds := []journal.DataType{3, 4, 9, 10, 11, 12, 13, 17}
	series := rapid.IntRange(1, 6).Draw(t, "series")
	kindOf := make([]journal.DataType, series)
	for i := range kindOf {
		kindOf[i] = rapid.SampledFrom(kinds).Draw(t, "kind")
	}
	n := rapid.IntRange(1, 300).Draw(t, "samples")
	out := make([]journal.Sample, n)
	index, at := journal.Index(1), journal.Millis(1_780_000_000_000)
	var s journal.Sample
	for i := range out {
		if rapid.IntRange(0, 3).Draw(t, "message") == 0 || i == 0 {
			at += journal.Millis(rapid.IntRange(-2000, 5000).Draw(t, "step"))
			index += journal.Index(rapid.IntRange(0, 40).Draw(t, "others"))
			s = journal.Sample{Received: at + journal.Millis(rapid.IntRange(-5, 300).Draw(t, "delay")),
				Historical: rapid.Bool().Draw(t, "historical"), Birth: rapid.IntRange(0, 9).Draw(t, "birth") == 0}
		}
		k := rapid.IntRange(0, series-1).Draw(t, "which")
		s.Index, s.Series, s.At = index, journal.SeriesID(7+3*k), at
		index++
		if rapid.IntRange(0, 9).Draw(t, "own") == 0 {
			s.At += journal.Millis(rapid.Int64().Draw(t, "time"))
		}
		s.Quality = rapid.SampledFrom([]journal.Quality{journal.Good, journal.Good, journal.Good, journal.Bad, journal.Stale, 7}).Draw(t, "q")
		s.Value = anyValue(kindOf[k]).Draw(t, "value")
		out[i] = s
	}
	return out
}

func TestEncodeDecodeIsIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { roundTrip(t, anySamples(t)) })
}

func TestRangeIsASliceOfAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		samples := anySamples(t)
		b, err := Parse(roundTrip(t, samples))
		if err != nil {
			t.Fatal(err)
		}
		last := samples[len(samples)-1].Index
		from := journal.Index(rapid.Uint64Range(0, uint64(last)+3).Draw(t, "from"))
		to := journal.Index(rapid.Uint64Range(0, uint64(last)+3).Draw(t, "to"))
		limit := rapid.IntRange(1, 400).Draw(t, "limit")
		var want []journal.Sample
		for _, s := range samples {
			if s.Index >= from && s.Index < to && len(want) < limit {
				want = append(want, s)
			}
		}
		got, err := b.Range(nil, from, to, limit)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, "Range", got, want)
	})
}

func TestColumnKeepsEveryPattern(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.OneOf(rapid.Int64(), rapid.Int64Range(-9, 9), rapid.Just(int64(math.MinInt64))), 1, 300).Draw(t, "v")
		k := &known{v[0], slices.Min(v)}
		var w scratch
		h := &choice{forms: uint8(rapid.IntRange(0, 1<<colForms-1).Draw(t, "forms"))}
		for i, bytes := range [][]byte{w.appendColumn(nil, v), w.appendTimes(nil, v), w.appendColumnAs(nil, v, k, h)} {
			r := &reader{b: bytes, tight: true}
			got := make([]int64, len(v))
			if i < 2 {
				r.column(got)
			} else {
				r.columnOf(got, k)
			}
			if r.bad || len(r.b) != 0 || !cmp.Equal(got, v) {
				t.Fatalf("got %v (bad %v, %d bytes left), want %v", got, r.bad, len(r.b), v)
			}
		}
	})
}

func TestCodesAreComplete(t *testing.T) {
	if len(codeLengths) != codeCount {
		t.Fatalf("%d codes, want %d", len(codeLengths), codeCount)
	}
	for c, lengths := range codeLengths {
		sum := 0
		for _, n := range lengths {
			sum += 1 << codeBits >> n
		}
		if sum != 1<<codeBits {
			t.Errorf("code %d fills %d of %d places", c, sum, 1<<codeBits)
		}
	}
}

func TestCodedKeepsEveryValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.OneOf(rapid.Uint64(), rapid.Uint64Max(40), rapid.Uint64Max(3000)), 1, 400).Draw(t, "v")
		code, low := rapid.IntRange(0, codeCount-1).Draw(t, "code"), rapid.IntRange(0, maxLow).Draw(t, "low")
		r := &reader{b: appendCoded(nil, v, code, low), tight: true, code: decoder{on: true, code: code}}
		got := make([]uint64, 0, len(v))
		for len(got) < len(v) {
			var buf [pforBlock]uint64
			got = append(got, r.pforBlock(&buf, len(v)-len(got))...)
		}
		if r.bad || len(r.b) != 0 || !cmp.Equal(got, v) {
			t.Fatalf("got %v (bad %v, %d bytes left), want %v", got, r.bad, len(r.b), v)
		}
	})
}

func TestSlotsKeepEveryList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 700).Draw(t, "in")
		limit := rapid.IntRange(0, 10).Draw(t, "share")
		var want []uint32
		for k, x := range in {
			if x < limit {
				want = append(want, uint32(k))
			}
		}
		r := &reader{b: new(scratch).appendSlots(nil, want, len(in)), tight: true}
		skip := *r
		got := make([]uint32, len(want))
		r.slots(got, len(in))
		skip.skipSlots(len(want), len(in))
		if r.bad || skip.bad || len(r.b) != 0 || len(skip.b) != 0 || !slices.Equal(got, want) {
			t.Fatalf("got %v (bad %v, %d bytes left), want %v", got, r.bad, len(r.b), want)
		}
	})
}

// ticks makes a series of one value per second, in a message of its own.
func ticks(kind journal.DataType, nums ...uint64) []journal.Sample {
	out := make([]journal.Sample, len(nums))
	for i, n := range nums {
		at := journal.Millis(1000 * i)
		out[i] = journal.Sample{Index: journal.Index(1 + i), Series: 1, At: at, Received: at, Quality: journal.Good,
			Value: journal.Value{Type: kind, Num: n}}
	}
	return out
}

func repeat(n int, f func(i int) uint64) []uint64 {
	out := make([]uint64, n)
	for i := range out {
		out[i] = f(i)
	}
	return out
}

func TestFormFitsTheValues(t *testing.T) {
	noise := func(i int) int { return int(uint32(i) * 2654435761 >> 20 % 997) }
	for _, c := range []struct {
		name string
		kind journal.DataType
		form byte
		nums []uint64
		most int // bytes
	}{
		{"constant", 10, valDecimal, repeat(500, func(int) uint64 { return math.Float64bits(21.5) }), 16},
		{"switch by exception", 11, valAlternate, repeat(500, func(i int) uint64 { return uint64(i & 1) }), 8},
		{"counter", 4, valNumbers, repeat(500, func(i int) uint64 { return uint64(1_000_000 + 3*i) }), 20},
		{"setpoint in tenths, float32", 9, valDecimal, repeat(500, func(i int) uint64 { return floatBits(float64(noise(i))/10, true) }), 700},
		{"hundredths, double", 10, valDecimal, repeat(500, func(i int) uint64 { return floatBits(float64(noise(i))/100, false) }), 700},
		{"analog input", 9, valLattice, repeat(500, func(i int) uint64 {
			return uint64(math.Float32bits(float32(11000+noise(i)) * float32(250.0/27648)))
		}), 700},
		{"full precision", 10, valOrdered, repeat(500, func(i int) uint64 { return math.Float64bits(math.Sin(float64(i * i))) }), 4100},
		{"NaN, infinities, negative zero", 10, valOrdered, repeat(500, func(i int) uint64 {
			return []uint64{0x7ff8000000000001, 0x7ff0000000000000, 0xfff0000000000000, 1 << 63, 0}[i%5]
		}), 4100},
	} {
		t.Run(c.name, func(t *testing.T) {
			block := roundTrip(t, ticks(c.kind, c.nums...))
			b, _ := Parse(block)
			if e := b.Entries[0]; e.form != c.form || len(e.payload)-4 > c.most {
				t.Errorf("form %d in %d bytes, want form %d in at most %d", e.form, len(e.payload)-4, c.form, c.most)
			}
		})
	}
}

// Texts are compressed where that pays, and come back.
func TestTextsAreCompressed(t *testing.T) {
	for _, c := range []struct {
		name string
		form byte
		text func(i int) string
	}{
		{"few words", valDict, func(i int) string { return []string{"run", "hold", "idle"}[i%3] }},
		{"numbered batches", valZipped, func(i int) string { return fmt.Sprintf("BATCH-2026-%08d", 1000+i) }},
		{"long words", valZipped, func(i int) string { return strings.Repeat(fmt.Sprint("order ", i%7), 20) }},
		{"nothing to gain", valText, func(i int) string {
			h := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
			return string(h[:])
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			samples := ticks(12, make([]uint64, 300)...)
			for i := range samples {
				samples[i].Value.Bytes = []byte(c.text(i))
				samples[i].Value.Null = i == 20
				if samples[i].Value.Null {
					samples[i].Value.Bytes = nil
				}
				if i > 200 {
					samples[i].Quality = journal.Stale
				}
			}
			b, _ := Parse(roundTrip(t, samples))
			if form := b.Entries[0].form & formBits; form != c.form {
				t.Errorf("form %d in %d bytes, want form %d", form, len(b.Entries[0].payload), c.form)
			}
		})
	}
}

func TestUnzipIsBounded(t *testing.T) {
	z, err := Zip(nil, make([]byte, MaxUnzipped+1))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint64{0, 1000, MaxUnzipped, MaxUnzipped + 1, 1 << 60} {
		if b, err := Unzip(z, n); err == nil {
			t.Errorf("asked for %d bytes of %d: %d", n, MaxUnzipped+1, len(b))
		}
	}
}

func TestStatsAreThoseOfTheSamples(t *testing.T) {
	b, _ := Parse(roundTrip(t, ticks(9, repeat(100, func(i int) uint64 { return floatBits(float64(i%10), true) })...)))
	want := &Stats{First: 0, Last: 9, Min: 0, Max: 9, Integral: 1000 * (45*10 - 9)}
	if d := cmp.Diff(want, b.Entries[0].Stats); d != "" {
		t.Error(d)
	}
	bad := ticks(9, repeat(100, func(i int) uint64 { return 1 })...)
	bad[50].Quality = journal.Bad
	if b, _ := Parse(roundTrip(t, bad)); b.Entries[0].Stats != nil {
		t.Error("a series with a Bad sample has statistics, which do not tell of it")
	}
}

func TestEncodeRefuses(t *testing.T) {
	two := ticks(4, 1, 2)
	swapped := []journal.Sample{two[1], two[0]}
	mixed := ticks(4, 1, 2)
	mixed[1].Value.Type = 9
	for _, c := range []struct {
		name string
		in   []journal.Sample
		want error
	}{
		{"nothing", nil, ErrLimit},
		{"more than a block holds", make([]journal.Sample, MaxSamples+1), ErrLimit},
		{"indices out of order", swapped, ErrOrder},
		{"two types in a series", mixed, ErrMixed},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Encode(c.in); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	samples := append(ticks(9, 1, 2, 3), ticks(9, 4, 5)...)
	for i := range samples {
		samples[i].Index = journal.Index(i + 1)
		samples[i].Series = journal.SeriesID(1 + i/3)
	}
	block := roundTrip(t, samples)
	for bit := range 8 * len(block) {
		block[bit/8] ^= 1 << (bit % 8)
		if b, err := Parse(block); err == nil {
			if _, err = b.All(nil); err == nil {
				t.Errorf("bit %d of %d flipped and not found", bit, 8*len(block))
			}
		}
		block[bit/8] ^= 1 << (bit % 8)
	}
}

// reseal makes the checksums of damaged bytes right, so that the fuzzer gets behind them.
func reseal(block []byte) {
	if len(block) < 10 {
		return
	}
	n := int(binary.LittleEndian.Uint32(block[2:]))
	if n < 6 || n > len(block)-4 {
		return
	}
	binary.LittleEndian.PutUint32(block[n:], crc32.Checksum(block[:n], castagnoli))
	if b, err := Parse(block); err == nil {
		for _, e := range b.Entries {
			if k := len(e.payload) - 4; k >= 0 {
				binary.LittleEndian.PutUint32(e.payload[k:], crc32.Checksum(e.payload[:k], castagnoli))
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, path := range []string{goldenPath(1), goldenPath(2), goldenPath(3), codedPath(2), codedPath(3)} {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		block, _ := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
		f.Add(block)
	}
	for _, samples := range windows(1, 1) { // of a real window's beginning
		block, err := Encode(samples[:min(400, len(samples))])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(block)
	}
	for _, kind := range []journal.DataType{4, 9, 10, 11} {
		block, err := Encode(ticks(kind, repeat(40, func(i int) uint64 { return uint64(i * i % 7) })...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(block)
	}
	batches := ticks(12, make([]uint64, 60)...)
	for i := range batches {
		batches[i].Value.Bytes = fmt.Appendf(nil, "BATCH-2026-%08d", i)
	}
	zipped, err := Encode(batches)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(zipped)
	text := ticks(12, 0, 0, 0)
	text[0].Value.Bytes, text[2].Value.Null, text[1].Quality = []byte("run"), true, journal.Bad
	block, err := Encode(text)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(block)
	f.Fuzz(func(t *testing.T, data []byte) {
		reseal(data)
		b, err := Parse(data)
		if err != nil {
			return
		}
		got, err := b.All(nil)
		if err == nil && len(got) != b.Len() {
			t.Fatalf("%d samples of %d", len(got), b.Len())
		}
		var line Timeline
		var c Columns
		lineErr := b.Timeline(&line)
		for i := range b.Entries {
			if lineErr == nil {
				if err := b.Columns(i, &line, &c); err == nil && (c.Len() != b.Entries[i].Count || len(c.Floats(nil)) != c.Len()) {
					t.Fatalf("series %d: columns of %d samples of %d", i, c.Len(), b.Entries[i].Count)
				} else if err == nil {
					checkNumbers(t, b, i, &line, c.Floats(nil))
				}
			}
			if one, err := b.Decode(nil, i); err == nil && len(one) != b.Entries[i].Count {
				t.Fatalf("series %d: %d samples of %d", i, len(one), b.Entries[i].Count)
			}
		}
		if part, err := b.Range(nil, b.FirstIndex+1, b.LastIndex, 10); err == nil && len(part) > 10 {
			t.Fatalf("Range gave %d samples, limit 10", len(part))
		}
	})
}
