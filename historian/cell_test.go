package historian

import (
	"math"
	"slices"
	"testing"

	"edge/historian/chunk"
	"edge/historian/journal"

	"pgregory.net/rapid"
)

// drawSample draws what a device may send after the sample before, and now and then what none should.
func drawSample(t *rapid.T, group []*series, prev journal.Sample) (journal.Sample, *series) {
	e := rapid.SampledFrom(group).Draw(t, "series")
	v := journal.Sample{Series: e.id, At: prev.At + rapid.SampledFrom([]journal.Millis{0, 0, 1, -1, 32767, 40_000, -32768}).Draw(t, "step"),
		Index: prev.Index + rapid.SampledFrom([]journal.Index{1, 1, 1, 2}).Draw(t, "gap"), Received: prev.Received, Quality: journal.Good}
	v.At = min(max(0, v.At), 599_999)
	if rapid.IntRange(0, 3).Draw(t, "new message") == 0 {
		v.Received += 1000
	}
	v.Birth, v.Historical = prev.Birth != (rapid.IntRange(0, 9).Draw(t, "birth") == 0), rapid.IntRange(0, 9).Draw(t, "history") == 0
	v.Quality = rapid.SampledFrom([]journal.Quality{journal.Good, journal.Good, journal.Bad, journal.Stale, 65535}).Draw(t, "quality")
	v.Value.Type = e.key.Type
	switch {
	case rapid.IntRange(0, 9).Draw(t, "null") == 0:
		v.Value.Null = true
	case width(e.key.Type) == 0:
		if b := rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "text"); len(b) > 0 {
			v.Value.Bytes = b
		}
	default:
		v.Value.Num = rapid.SampledFrom([]uint64{0, 1, 2, 255, 256, math.MaxInt32, 1 << 31, math.MaxUint32, 1 << 32, math.MaxUint64,
			^uint64(1<<31 - 1), 0x7fc00001}).Draw(t, "num")
	}
	return v, e
}

// A head gives back what a slice does: all of a cell, a series between two times, a range of indices; and knows repetitions.
func TestHeadIsASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var group []*series
		for i, kind := range rapid.SliceOfN(rapid.Uint8Range(1, 40), 1, 6).Draw(t, "types") {
			e := newSeries(journal.SeriesID(i+10), journal.SeriesKey{Type: journal.DataType(kind)}, 3)
			e.place = uint16(i * 900)
			group = append(group, e)
		}
		h := newHead(600_000)
		var twin []journal.Sample
		prev := journal.Sample{At: 300_000, Received: 1}
		for range rapid.IntRange(1, 250).Draw(t, "samples") {
			v, e := drawSample(t, group, prev)
			i := lastIndexFunc(twin, func(x journal.Sample) bool { return x.Series == v.Series && x.At == v.At })
			fresh := i < 0 || twin[i].Quality != v.Quality || !chunk.EqualValue(twin[i].Value, v.Value)
			if got := h.add(&v, e); got != fresh {
				t.Fatalf("%+v: added %v, want %v", v, got, fresh)
			}
			if fresh {
				twin = append(twin, v)
			}
			prev = v
		}
		compare(t, h, twin, group)
	})
}

func compare(t *rapid.T, h *head, twin []journal.Sample, group []*series) {
	c := h.cells[cellKey{0, 3}]
	if h.count != len(twin) || c.count != len(twin) || len(h.cells) != 1 || h.bytes != c.bytes() {
		t.Fatalf("%d samples in %d cells, %d bytes of %d; want %d", h.count, len(h.cells), h.bytes, c.bytes(), len(twin))
	}
	same := func(what string, got, want []journal.Sample) {
		if !slices.EqualFunc(got, want, chunk.Equal) {
			t.Fatalf("%s:\n%+v, want\n%+v", what, got, want)
		}
	}
	same("all", c.all(nil), twin)
	from, to := journal.Millis(rapid.IntRange(0, 600_000).Draw(t, "from")), journal.Millis(rapid.IntRange(0, 600_000).Draw(t, "to"))
	for _, e := range group {
		same("series", h.series(nil, e, from, to), slices.DeleteFunc(slices.Clone(twin), func(v journal.Sample) bool {
			return v.Series != e.id || v.At < from || v.At >= to
		}))
	}
	first, end := journal.Index(rapid.IntRange(0, 300).Draw(t, "first")), journal.Index(rapid.IntRange(0, 300).Draw(t, "end"))
	limit := rapid.IntRange(1, 50).Draw(t, "limit")
	want := slices.DeleteFunc(slices.Clone(twin), func(v journal.Sample) bool { return v.Index < first || v.Index >= end })
	same("between", c.between(nil, first, end, limit), want[:min(limit, len(want))])
}

func lastIndexFunc(list []journal.Sample, f func(journal.Sample) bool) int {
	for i := len(list) - 1; i >= 0; i-- {
		if f(list[i]) {
			return i
		}
	}
	return -1
}

// A block made straight from a cell is the one that is made of its samples, byte by byte.
func TestCellEncodesAsItsSamples(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var group []*series
		numbers := rapid.SliceOfNDistinct(rapid.Uint32Range(1, 40_000), 1, 6, rapid.ID).Draw(t, "numbers") // in any order
		for i, id := range numbers {
			kind := rapid.Uint8Range(1, 34).Draw(t, "type")
			e := newSeries(journal.SeriesID(id), journal.SeriesKey{Type: journal.DataType(kind)}, 3)
			e.place = uint16(i * 900)
			group = append(group, e)
		}
		h := newHead(600_000)
		prev := journal.Sample{At: 300_000, Received: 1}
		for range rapid.IntRange(1, 250).Draw(t, "samples") {
			v, e := drawSample(t, group, prev)
			h.add(&v, e)
			prev = v
		}
		c := h.cells[cellKey{0, 3}]
		var rows, list chunk.Encoder
		for range 2 { // what they remember of the series is the same then
			want, err := list.Encode(c.all(nil))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.encode(&rows, nil); err != nil || !slices.Equal(got, want) {
				t.Fatalf("%v: %d bytes, want the %d of its samples", err, len(got), len(want))
			}
		}
	})
}
