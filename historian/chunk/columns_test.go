package chunk

import (
	"math"
	"testing"

	"edge/historian/journal"

	"pgregory.net/rapid"
)

// checkColumns compares what Columns, Arrived and Complete read with samples, which is the block's content.
func checkColumns(t rapid.TB, b *Block, samples []journal.Sample) {
	t.Helper()
	var line Timeline
	var light, half, full Columns
	if err := b.Timeline(&line); err != nil {
		t.Fatalf("Timeline: %v", err)
	}
	read := func(i int, c *Columns, f func(int, *Timeline, *Columns) error) {
		if err := f(i, &line, c); err != nil {
			t.Fatalf("series %d: %v", b.Entries[i].Series, err)
		}
	}
	for i := range b.Entries {
		read(i, &light, b.Columns)
		read(i, &half, b.Arrived)
		checkNumbers(t, b, i, &line, light.Floats(nil))
		read(i, &full, b.Complete)
		n := 0
		for _, s := range samples {
			if s.Series == b.Entries[i].Series {
				checkRow(t, &light, n, s)
				checkRow(t, &full, n, s)
				checkRow(t, &half, n, s)
				if half.Received[n] != s.Received || half.Flags[n] != uint8(flags(&s)) {
					t.Fatalf("sample %d of series %d: %d, %d, want %+v", n, s.Series, half.Received[n], half.Flags[n], s)
				}
				if full.Index[n] != s.Index || full.Received[n] != s.Received || full.Flags[n] != uint8(flags(&s)) {
					t.Fatalf("sample %d of series %d: %d, %d, %d, want %+v", n, s.Series, full.Index[n], full.Received[n], full.Flags[n], s)
				}
				n++
			}
		}
		if n != light.Len() || n != full.Len() || len(light.Index) != 0 || len(half.Index) != 0 {
			t.Fatalf("series %d: %d and %d samples, want %d", b.Entries[i].Series, light.Len(), full.Len(), n)
		}
	}
}

// checkNumbers compares what Numbers reads with what Floats gave.
func checkNumbers(t rapid.TB, b *Block, i int, line *Timeline, want []float64) {
	t.Helper()
	var c Columns
	got, err := b.Numbers(i, line, &c, []float64{7})
	if err != nil || len(got) != 1+len(want) || len(c.At) != len(want) {
		t.Fatalf("series %d: %d numbers and %d times of %d, %v", c.Series, len(got)-1, len(c.At), len(want), err)
	}
	for n, f := range got[1:] {
		if math.Float64bits(f) != math.Float64bits(want[n]) {
			t.Fatalf("number %d of series %d is %v, want %v", n, c.Series, f, want[n])
		}
	}
}

func checkRow(t rapid.TB, c *Columns, n int, s journal.Sample) {
	t.Helper()
	v := journal.Value{Type: c.Type, Null: c.IsNull(n)}
	if len(c.Bytes) > 0 {
		v.Bytes = c.Bytes[n]
	} else {
		v.Num = c.Num[n]
	}
	if c.At[n] != s.At || !EqualValue(v, s.Value) || c.qualityAt(n) != s.Quality {
		t.Fatalf("sample %d of series %d: %d %+v %d, want %+v", n, c.Series, c.At[n], v, c.qualityAt(n), s)
	}
	want, ok := s.Value.Float64()
	if got := c.Floats(nil)[n]; ok && math.Float64bits(got) != math.Float64bits(want) || !ok && !math.IsNaN(got) {
		t.Fatalf("sample %d of series %d is %v as a number, want %v %v", n, c.Series, got, want, ok)
	}
}

func (c *Columns) qualityAt(n int) journal.Quality {
	for _, run := range c.Quality {
		if n -= run.Count; n < 0 {
			return run.Quality
		}
	}
	return journal.Good
}

func TestReadingColumnsAllocatesNothing(t *testing.T) {
	var block *Block
	for _, samples := range windows(1, 1) {
		data, err := Encode(samples)
		if err != nil {
			t.Fatal(err)
		}
		if block, err = Parse(data); err != nil {
			t.Fatal(err)
		}
	}
	var line Timeline
	var c Columns
	floats := make([]float64, 0, block.Len())
	read := func(f func(int, *Timeline, *Columns) error) func() {
		return func() {
			if err := block.Timeline(&line); err != nil {
				t.Fatal(err)
			}
			for i := range block.Entries {
				if block.Entries[i].Type == 12 {
					continue // a dictionary of words is made anew
				}
				if err := f(i, &line, &c); err != nil {
					t.Fatal(err)
				}
				floats = c.Floats(floats[:0])
			}
		}
	}
	for _, mode := range []struct {
		name string
		run  func()
	}{{"Columns", read(block.Columns)}, {"Complete", read(block.Complete)}} {
		if n := testing.AllocsPerRun(5, mode.run); n > 0 {
			t.Errorf("%s: %v allocations to read a block into memory that was used before", mode.name, n)
		}
	}
}

func BenchmarkColumns(b *testing.B) {
	var blocks [][]byte
	count := 0
	for _, samples := range windows(5, 20) {
		block, err := Encode(samples)
		if err != nil {
			b.Fatal(err)
		}
		blocks, count = append(blocks, block), count+len(samples)
	}
	var line Timeline
	var c Columns
	b.ReportAllocs()
	for b.Loop() {
		for _, data := range blocks {
			block, err := Parse(data)
			if err != nil {
				b.Fatal(err)
			}
			if err := block.Timeline(&line); err != nil {
				b.Fatal(err)
			}
			for i := range block.Entries {
				if err := block.Columns(i, &line, &c); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/sample")
}

// A block read into the memory of another one is as if it were read anew.
func TestResetUsesMemoryAgain(t *testing.T) {
	var b Block
	var c Columns
	var line Timeline
	rapid.Check(t, func(t *rapid.T) {
		data, err := Encode(anySamples(t))
		if err != nil {
			t.Fatal(err)
		}
		if rapid.IntRange(0, 4).Draw(t, "damaged") == 0 {
			if b.Reset(data[:len(data)/2]) == nil || len(b.Entries) != 0 {
				t.Fatal("half a block is a block")
			}
		}
		fresh, err := Parse(data)
		if err == nil {
			err = b.Reset(data)
		}
		if err == nil {
			err = b.Timeline(&line)
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Entries {
			want, err := fresh.Decode(nil, i)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Columns(i, &line, &c); err != nil || len(c.At) != len(want) || b.Entries[i].Series != want[0].Series {
				t.Fatalf("%d samples of %d, %v", len(c.At), len(want), err)
			}
			for n, v := range want {
				if c.At[n] != v.At {
					t.Fatalf("sample %d is at %d, want %d", n, c.At[n], v.At)
				}
			}
			if a, z := fresh.Entries[i].Stats, b.Entries[i].Stats; (a == nil) != (z == nil) || a != nil && *a != *z {
				t.Fatalf("statistics %v, want %v", z, a)
			}
		}
	})
}
